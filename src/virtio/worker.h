/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads of a device whose work is too heavy, or blocks too long, for the loop of the machine.
 * Each worker is an event loop of its own and serves some of the device's queues; a device has one
 * worker or several. This file ties them to the life of the device: activation hands the queues
 * over, a reset asks every worker to let go and completes when the last one has.
 *
 * A model embeds struct virtio_workers, calls virtio_workers_activate() and _deactivate() from its
 * own two hooks, and serves in the callbacks below, which run on the worker's thread without a
 * lock.
 */
#ifndef VIRTIO_WORKER_H
#define VIRTIO_WORKER_H

#include "loop/loop.h"
#include "virtio/device.h"

struct virtio_workers;

struct virtio_worker {
	struct virtio_workers *set;
	unsigned index;
	struct loop *loop; /* sources of the model's own may be added to it */
	struct loop_source *order_source;
	_Atomic int order;
	bool serving, letting_go; /* the thread's own */
};

/* A queue's kick on a worker's loop. */
struct virtio_kick {
	struct virtio_worker *worker;
	unsigned queue;
	struct loop_source *source;
};

struct virtio_worker_ops {
	/* The queues are this thread's from now on: add sources, if there are others than kicks. A
	 * call of kicked() for every queue follows. May be NULL. */
	void (*begin)(struct virtio_worker *w);
	/* @queue was kicked, or may have chains for another reason. Only between begin and end. */
	void (*kicked)(struct virtio_worker *w, unsigned queue);
	/* Take no more chains. True: nothing is under way, the queues are let go. False:
	 * virtio_worker_done() follows on this thread. May be NULL: true. */
	bool (*end)(struct virtio_worker *w);
};

struct virtio_workers {
	struct virtio_device *dev;
	const struct virtio_worker_ops *ops;
	unsigned count;
	_Atomic unsigned busy; /* workers that have not let go yet */
	struct virtio_worker *worker;
	struct virtio_kick *kick; /* of every queue of the device */
};

/* Makes @count workers; queue q is served by worker @worker_of(q). @dev has its queues already. The
 * threads come with virtio_workers_start(). */
int virtio_workers_init(struct virtio_workers *set, struct virtio_device *dev, unsigned count,
	unsigned (*worker_of)(const struct virtio_device *dev, unsigned queue),
	const struct virtio_worker_ops *ops, struct lacuna_error **err);
/* Also on one that was zeroed only; stops first. */
void virtio_workers_done(struct virtio_workers *set);

int virtio_workers_start(struct virtio_workers *set, struct lacuna_error **err);
/* Ends the threads, wherever the device is; no callback runs afterwards. What is under way is the
 * caller's to wait for. */
void virtio_workers_stop(struct virtio_workers *set);

/* For the model's activate and deactivate, which returns false then. The device's lock is held. */
void virtio_workers_activate(struct virtio_workers *set);
void virtio_workers_deactivate(struct virtio_workers *set);

/* What was under way when end() returned false has completed. On the worker's thread. */
void virtio_worker_done(struct virtio_worker *w);

#endif
