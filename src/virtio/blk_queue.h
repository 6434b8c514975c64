/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queues of a block device at work. Each belongs to one worker with an engine of its own:
 * requests are taken in batches, all of them begin, and each is given back as it completes, in any
 * order (virtio 1.2, 2.7.14). With a limit on requests or bytes a second they begin in the order of
 * the ring: the one that must wait keeps those behind it in the ring.
 */
#ifndef VIRTIO_BLK_QUEUE_H
#define VIRTIO_BLK_QUEUE_H

#include <semaphore.h>

#include "backend/engine.h"
#include "util/bucket.h"
#include "virtio/blk.h"
#include "virtio/worker.h"

struct blk_queue;

/* A request under way, or one that waits for its turn, or a free place for one. */
struct blk_slot {
	struct blk_request request;
	struct blk_queue *queue;
	struct blk_slot *next_free;
};

struct blk_counters {
	_Atomic uint64_t reads, writes, flushes, errors, bytes_read, bytes_written;
};

struct blk_queue {
	struct blk *blk;
	unsigned index;
	struct engine *engine;
	struct loop_source *engine_source, *timer, *stop_source;
	struct blk_counters counters; /* written by the worker only */

	/* below: the worker's */
	struct blk_slot *free;
	struct blk_slot *waiting; /* may not begin yet, because of the limits */
	bool stalled; /* took no more, though there may be some, and no kick will come */
	bool stopped;
	struct virtq_chain chain;
};

/* Of all queues of a disk together. */
struct blk_limits {
	pthread_mutex_t lock; /* innermost */
	struct bucket requests, bytes;
};

struct blk {
	struct device dev;
	struct virtio_device virtio;
	struct virtio_workers workers;
	struct virtio_pci *pci;
	const struct log *log;
	struct log_limit warned;
	struct disk *disk;
	struct blk_config config;
	struct blk_target target; /* changes while no worker serves, but for the atomic one */
	struct blk_limits limits;
	bool write_back; /* the cache mode at reset */
	unsigned queues;
	struct blk_queue *queue;
	sem_t stopped;
	bool started;
};

extern const struct virtio_worker_ops blk_queue_ops;

int blk_queue_init(struct blk *b, unsigned index, enum engine_kind kind, struct lacuna_error **err);
/* The worker's thread has ended; the loop still exists. */
void blk_queue_done(struct blk_queue *q);

/* Nothing is taken any more, and what is under way completes: then b->stopped is posted. */
void blk_queue_stop(struct blk_queue *q);

#endif
