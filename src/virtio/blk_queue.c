// SPDX-License-Identifier: Apache-2.0
/* The queues of a block device at work (virtio 1.2, 5.2.6). */
#include "virtio/blk_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "util/bytes.h"
#include "util/thread.h"

#define BATCH_MAX 64u /* requests that are handed to the host together */
#define RETRY_US  10000u

static struct blk_queue *queue_of(struct virtio_worker *w)
{
	return &container_of(w->set, struct blk, workers)->queue[w->index];
}

static struct virtio_worker *worker_of(const struct blk_queue *q)
{
	return &q->blk->workers.worker[q->index];
}

/* --- places for requests --- */

static struct blk_slot *get_slot(struct blk_queue *q)
{
	struct blk_slot *s = q->free;
	if (s) {
		q->free = s->next_free;
		return s;
	}
	s = malloc(sizeof(*s));
	if (s)
		s->queue = q;
	return s;
}

/* The one used last is used next, so only as many are ever touched as were under way at once. */
static void put_slot(struct blk_slot *s)
{
	s->next_free = s->queue->free;
	s->queue->free = s;
}

/* --- completion --- */

static void add(_Atomic uint64_t *counter, uint64_t n)
{
	/* one writer */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
		memory_order_relaxed);
}

static void count(struct blk_queue *q, const struct blk_request *r, int rc)
{
	struct blk_counters *c = &q->counters;
	if (rc < 0) {
		add(&c->errors, 1);
	} else if (r->type == BLK_T_IN) {
		add(&c->reads, 1);
		add(&c->bytes_read, r->bytes);
	} else if (r->type == BLK_T_OUT) {
		add(&c->writes, 1);
		add(&c->bytes_written, r->bytes);
	} else if (r->type == BLK_T_FLUSH) {
		add(&c->flushes, 1);
	}
}

static void warn(struct blk *b, const struct blk_request *r, int rc)
{
	static const char *const verb[] = {
		[DISK_READ] = "read",
		[DISK_WRITE] = "write",
		[DISK_FLUSH] = "flush",
		[DISK_DISCARD] = "discard",
		[DISK_ZERO] = "write zeroes",
	};
	const char *why = strerrordesc_np(-rc);
	if (rc == -EIO && !b->disk->device)
		why = "Input/output error, or the file has become shorter";
	log_warning_rarely(b->log, &b->warned, b->dev.name,
		"%s %s: %s; the guest is told of an I/O error", verb[r->io.op],
		b->disk->file.bare_name, why ? why : "unknown error");
}

static void give_back(struct blk_queue *q, struct blk_slot *s, int rc)
{
	struct blk_request *r = &s->request;
	count(q, r, r->status == BLK_S_IOERR ? -EIO : rc);
	uint32_t written = blk_request_finish(r, rc);
	virtio_queue_put_head(&q->blk->virtio, q->index, r->head, written);
	put_slot(s);
}

static void done(struct disk_io *io, int rc)
{
	struct blk_slot *s = container_of(io, struct blk_slot, request.io);
	if (rc < 0)
		warn(s->queue->blk, &s->request, rc);
	give_back(s->queue, s, rc);
}

/* --- limits --- */

/* Microseconds until the request may begin, or 0, when it has been counted. */
static uint64_t admit(struct blk_limits *l, const struct blk_request *r)
{
	if (!l->requests.rate && !l->bytes.rate)
		return 0;
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	uint64_t now = (uint64_t)t.tv_sec * BUCKET_SECOND + (uint64_t)t.tv_nsec;
	LOCK_SCOPE(&l->lock);
	uint64_t wait =
		max_u64(bucket_wait(&l->requests, now), r->bytes ? bucket_wait(&l->bytes, now) : 0);
	if (wait)
		return wait / 1000 + 1;
	bucket_take(&l->requests, now, 1);
	bucket_take(&l->bytes, now, r->bytes);
	return 0;
}

/* --- serving --- */

/* The next request that is to be carried out. NULL: none, or none can be taken now, when @q is
 * stalled. Those that need no disk are given back here; after many of them others get their turn.
 */
static struct blk_slot *take(struct blk_queue *q)
{
	struct blk *b = q->blk;
	struct blk_slot *s = q->waiting;
	q->waiting = NULL;
	for (unsigned given = 0; !s; given++) {
		/* A driver may offer the same chain again and again. */
		if (q->engine->under_way == ENGINE_DEPTH || given == BATCH_MAX)
			return NULL;
		s = get_slot(q);
		if (!s) { /* no memory on the host; perhaps later */
			q->stalled = true;
			loop_arm(q->timer, RETRY_US, 0);
			return NULL;
		}
		if (!virtio_queue_pop(&b->virtio, q->index, &q->chain)) {
			put_slot(s);
			return NULL;
		}
		int rc = blk_request_parse(&b->target, &q->chain, &s->request);
		if (rc > 0)
			break;
		if (rc < 0) {
			put_slot(s);
			virtio_device_fail(&b->virtio, "a request without header or status byte");
			return NULL;
		}
		give_back(q, s, 0);
		s = NULL;
	}
	uint64_t wait_us = admit(&b->limits, &s->request);
	if (wait_us) {
		q->waiting = s;
		q->stalled = true;
		loop_arm(q->timer, wait_us, 0);
		return NULL;
	}
	return s;
}

static unsigned begin_some(struct blk_queue *q)
{
	unsigned n = 0;
	struct blk_slot *s;
	while (n < BATCH_MAX && (s = take(q))) {
		s->request.io.done = done;
		engine_add(q->engine, &s->request.io);
		n++;
	}
	return n;
}

/* Kicks stay off until a turn of the loop finds nothing, as in net_transmit(). */
static void serve(struct blk_queue *q)
{
	struct virtio_device *v = &q->blk->virtio;
	q->stalled = false;
	virtio_queue_kicks_off(v, q->index);
	unsigned n = begin_some(q);
	if (n)
		engine_run(q->engine);
	virtio_queue_signal(v, q->index);
	q->stalled |= q->engine->under_way == ENGINE_DEPTH;
	if (!q->stalled && (n || virtio_queue_kicks_on(v, q->index)))
		virtio_device_kick(v, q->index);
}

static void kicked(struct virtio_worker *w, unsigned queue)
{
	struct blk_queue *q = queue_of(w);
	if (!q->stopped)
		serve(q);
}

static bool serving(const struct blk_queue *q)
{
	return worker_of(q)->serving && !q->stopped;
}

static void time_has_come(void *opaque)
{
	struct blk_queue *q = opaque;
	if (serving(q))
		serve(q);
}

static void let_go(struct blk_queue *q)
{
	if (worker_of(q)->letting_go && !q->engine->under_way)
		virtio_worker_done(worker_of(q));
}

static void engine_ready(void *opaque, uint32_t events)
{
	struct blk_queue *q = opaque;
	engine_run(q->engine);
	virtio_queue_signal(&q->blk->virtio, q->index);
	if (serving(q) && q->stalled)
		serve(q);
	let_go(q);
}

/* --- the worker's life --- */

static void begin(struct virtio_worker *w)
{
	engine_start(queue_of(w)->engine);
}

static bool end(struct virtio_worker *w)
{
	struct blk_queue *q = queue_of(w);
	if (q->waiting) {
		blk_request_drop(&q->waiting->request);
		put_slot(q->waiting);
		q->waiting = NULL;
	}
	q->stalled = false;
	return !q->engine->under_way;
}

const struct virtio_worker_ops blk_queue_ops = {
	.begin = begin,
	.kicked = kicked,
	.end = end,
};

static void stop(void *opaque)
{
	struct blk_queue *q = opaque;
	q->stopped = true;
	engine_drain(q->engine);
	let_go(q);
	sem_post(&q->blk->stopped);
}

void blk_queue_stop(struct blk_queue *q)
{
	loop_signal(q->stop_source);
}

int blk_queue_init(struct blk *b, unsigned index, enum engine_kind kind, struct lacuna_error **err)
{
	struct blk_queue *q = &b->queue[index];
	q->blk = b;
	q->index = index;
	int rc = engine_new(b->disk, kind, &q->engine, err);
	if (rc < 0)
		return rc;
	struct loop *loop = worker_of(q)->loop;
	rc = loop_add_fd(loop, q->engine->fd, EPOLLIN, engine_ready, q, &q->engine_source, err);
	if (rc == 0)
		rc = loop_add_timer(loop, time_has_come, q, &q->timer, err);
	return rc < 0 ? rc : loop_add_event(loop, stop, q, &q->stop_source, err);
}

void blk_queue_done(struct blk_queue *q)
{
	loop_remove(q->engine_source);
	loop_remove(q->timer);
	loop_remove(q->stop_source);
	engine_free(q->engine);
	if (q->waiting) {
		blk_request_drop(&q->waiting->request);
		put_slot(q->waiting);
	}
	while (q->free) {
		struct blk_slot *s = q->free;
		q->free = s->next_free;
		free(s);
	}
}
