// SPDX-License-Identifier: Apache-2.0
/*
 * Orders to workers. The driver's side (a vCPU, holding the device's lock) writes an order and
 * signals; the thread obeys. Activation is never ordered before the last reset is complete, so at
 * most one order waits, and a begin that a reset overtakes is as if it had never been.
 */
#include "virtio/worker.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "util/bytes.h"
#include "util/err.h"

enum order { ORDER_NONE, ORDER_BEGIN, ORDER_END };

static void queue_kicked(void *opaque, uint32_t events)
{
	const struct virtio_kick *k = opaque;
	struct virtio_worker *w = k->worker;
	if (w->serving)
		w->set->ops->kicked(w, k->queue);
}

void virtio_worker_done(struct virtio_worker *w)
{
	if (!w->letting_go)
		return;
	w->letting_go = false;
	struct virtio_device *dev = w->set->dev;
	if (atomic_fetch_sub(&w->set->busy, 1) == 1)
		virtio_device_released(dev);
}

static void obey(void *opaque)
{
	struct virtio_worker *w = opaque;
	const struct virtio_worker_ops *ops = w->set->ops;
	switch (atomic_exchange(&w->order, ORDER_NONE)) {
	case ORDER_BEGIN:
		w->serving = true;
		if (ops->begin)
			ops->begin(w);
		for (unsigned q = 0; q < w->set->dev->queue_count; q++)
			if (w->set->kick[q].worker == w)
				ops->kicked(w, q);
		break;
	case ORDER_END: {
		bool was_serving = w->serving;
		w->serving = false;
		w->letting_go = true;
		if (!was_serving || !ops->end || ops->end(w))
			virtio_worker_done(w);
		break;
	}
	default:
		break;
	}
}

static int init_worker(struct virtio_worker *w, struct lacuna_error **err)
{
	int rc = loop_new(&w->loop, err);
	return rc < 0 ? rc : loop_add_event(w->loop, obey, w, &w->order_source, err);
}

int virtio_workers_init(struct virtio_workers *set, struct virtio_device *dev, unsigned count,
	unsigned (*worker_of)(const struct virtio_device *dev, unsigned queue),
	const struct virtio_worker_ops *ops, struct lacuna_error **err)
{
	*set = (struct virtio_workers){ .dev = dev, .ops = ops };
	set->worker = calloc(count, sizeof(*set->worker));
	set->kick = calloc(dev->queue_count, sizeof(*set->kick));
	if (!set->worker || !set->kick) {
		free(set->worker);
		free(set->kick);
		*set = (struct virtio_workers){ 0 };
		return err_nomem(err);
	}
	int rc = 0;
	for (unsigned i = 0; i < count && rc == 0; i++) {
		struct virtio_worker *w = &set->worker[set->count++];
		w->set = set;
		w->index = i;
		rc = init_worker(w, err);
	}
	for (unsigned q = 0; q < dev->queue_count && rc == 0; q++) {
		struct virtio_kick *k = &set->kick[q];
		*k = (struct virtio_kick){ .worker = &set->worker[worker_of(dev, q)], .queue = q };
		/* Edge-triggered: each kick is an event of its own, and nobody has to read them. */
		rc = loop_add_fd(k->worker->loop, dev->queue[q].kick, EPOLLIN | EPOLLET,
			queue_kicked, k, &k->source, err);
	}
	if (rc < 0)
		virtio_workers_done(set);
	return rc;
}

void virtio_workers_done(struct virtio_workers *set)
{
	if (!set->worker)
		return;
	virtio_workers_stop(set);
	for (unsigned q = 0; q < set->dev->queue_count; q++)
		loop_remove(set->kick[q].source);
	for (unsigned i = 0; i < set->count; i++) {
		loop_remove(set->worker[i].order_source);
		loop_free(set->worker[i].loop);
	}
	free(set->kick);
	free(set->worker);
	*set = (struct virtio_workers){ 0 };
}

int virtio_workers_start(struct virtio_workers *set, struct lacuna_error **err)
{
	int rc = 0;
	for (unsigned i = 0; i < set->count && rc == 0; i++)
		rc = loop_start(set->worker[i].loop, err);
	return rc;
}

void virtio_workers_stop(struct virtio_workers *set)
{
	for (unsigned i = 0; i < set->count; i++)
		loop_stop(set->worker[i].loop);
}

static void give_order(struct virtio_workers *set, enum order order)
{
	for (unsigned i = 0; i < set->count; i++) {
		set->worker[i].order = order;
		loop_signal(set->worker[i].order_source);
	}
}

void virtio_workers_activate(struct virtio_workers *set)
{
	give_order(set, ORDER_BEGIN);
}

void virtio_workers_deactivate(struct virtio_workers *set)
{
	set->busy = set->count;
	give_order(set, ORDER_END);
}
