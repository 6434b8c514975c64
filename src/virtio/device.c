// SPDX-License-Identifier: Apache-2.0
/* What all virtio devices have in common: features, status machine, queues (virtio 1.2, 2, 3.1). */
#include "virtio/device.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"
#include "util/thread.h"

#define DRIVER_BITS                                                                   \
	(VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK | \
		VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_FAILED)

int virtio_device_init(struct virtio_device *dev, const struct virtio_model *model,
	const struct gmem *mem, const struct log *log, uint64_t features, unsigned queue_count,
	uint16_t queue_size, struct lacuna_error **err)
{
	memset(dev, 0, sizeof(*dev));
	struct virtio_queue *queue = calloc(queue_count, sizeof(*queue));
	if (!queue)
		return err_nomem(err);
	pthread_mutex_init(&dev->lock, NULL);
	dev->model = model;
	dev->name = model->name;
	dev->log = log;
	dev->offered = features | VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX;
	dev->queue = queue;
	dev->queue_count = queue_count;
	for (unsigned i = 0; i < queue_count; i++) {
		virtq_init(&queue[i].ring, mem, queue_size);
		queue[i].kick = -1;
	}
	for (unsigned i = 0; i < queue_count; i++) {
		queue[i].kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (queue[i].kick < 0) {
			int rc = err_errno(err, "eventfd for a queue");
			virtio_device_done(dev);
			return rc;
		}
	}
	return 0;
}

void virtio_device_done(struct virtio_device *dev)
{
	if (!dev->queue)
		return;
	for (unsigned i = 0; i < dev->queue_count; i++)
		fd_close(&dev->queue[i].kick);
	free(dev->queue);
	dev->queue = NULL;
	pthread_mutex_destroy(&dev->lock);
}

/* --- features --- */

uint32_t virtio_device_offered(const struct virtio_device *dev, uint32_t select)
{
	return select < 2 ? (uint32_t)(dev->offered >> (32 * select)) : 0;
}

uint32_t virtio_device_accepted(const struct virtio_device *dev, uint32_t select)
{
	return select < 2 ? (uint32_t)(dev->accepted >> (32 * select)) : 0;
}

void virtio_device_accept(struct virtio_device *dev, uint32_t select, uint32_t bits)
{
	/* 3.1.1: the driver may not change its mind after FEATURES_OK. */
	if (select >= 2 || (dev->status & VIRTIO_STATUS_FEATURES_OK))
		return;
	dev->accepted &= ~((uint64_t)UINT32_MAX << (32 * select));
	dev->accepted |= (uint64_t)bits << (32 * select);
}

/* 2.2.2 and 6.1: a device that finds these unacceptable leaves FEATURES_OK clear. */
static bool features_ok(const struct virtio_device *dev)
{
	return !(dev->accepted & ~dev->offered) && (dev->accepted & VIRTIO_F_VERSION_1);
}

/* --- status --- */

static void finish_reset(struct virtio_device *dev)
{
	dev->active = false;
	dev->resetting = false;
	dev->accepted = 0;
	for (unsigned i = 0; i < dev->queue_count; i++) {
		virtq_reset(&dev->queue[i].ring);
		eventfd_drain(dev->queue[i].kick);
	}
	if (dev->transport)
		dev->transport->reset(dev);
	if (dev->model->reset)
		dev->model->reset(dev);
	dev->status = 0;
}

static void reset(struct virtio_device *dev)
{
	if (dev->resetting)
		return;
	if (dev->active) {
		dev->resetting = true;
		if (dev->transport)
			dev->transport->activated(dev, false);
		if (!dev->model->deactivate(dev))
			return;
	}
	finish_reset(dev);
}

void virtio_device_released(struct virtio_device *dev)
{
	LOCK_SCOPE(&dev->lock);
	if (dev->resetting)
		finish_reset(dev);
}

static void activate(struct virtio_device *dev)
{
	for (unsigned i = 0; i < dev->queue_count; i++) {
		dev->queue[i].ring.indirect = virtio_device_has(dev, VIRTIO_F_INDIRECT_DESC);
		dev->queue[i].ring.event_idx = virtio_device_has(dev, VIRTIO_F_EVENT_IDX);
	}
	dev->active = true;
	if (dev->transport)
		dev->transport->activated(dev, true);
	dev->model->activate(dev);
}

void virtio_device_set_status(struct virtio_device *dev, uint8_t status)
{
	if (!status) {
		reset(dev);
		return;
	}
	if (dev->resetting)
		return;
	/* 2.1.1: a driver only ever sets bits; one that clears some is not followed. */
	uint8_t added = status & DRIVER_BITS & ~dev->status;
	if ((added & VIRTIO_STATUS_FEATURES_OK) && !features_ok(dev))
		added &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
	/* 3.1.1: queues start only with features agreed upon, and not on a device in need of reset.
	 */
	uint8_t would_be = dev->status | added;
	if (!(would_be & VIRTIO_STATUS_FEATURES_OK) || (would_be & VIRTIO_STATUS_NEEDS_RESET))
		added &= (uint8_t)~VIRTIO_STATUS_DRIVER_OK;
	dev->status |= added;
	if (added & VIRTIO_STATUS_DRIVER_OK)
		activate(dev);
}

void virtio_device_fail(struct virtio_device *dev, const char *why)
{
	uint8_t before = atomic_fetch_or(&dev->status, VIRTIO_STATUS_NEEDS_RESET);
	if (before & VIRTIO_STATUS_NEEDS_RESET)
		return;
	log_guest(dev->log, &dev->log_limit, dev->name, "device needs reset: %s", why);
	if ((before & VIRTIO_STATUS_DRIVER_OK) && dev->transport) /* 2.1.2 */
		dev->transport->config_interrupt(dev);
}

/* --- queues, from the driver's side --- */

struct virtq *virtio_device_setup(struct virtio_device *dev, unsigned queue)
{
	if (queue >= dev->queue_count || dev->active || dev->queue[queue].ring.enabled)
		return NULL;
	return &dev->queue[queue].ring;
}

void virtio_device_enable_queue(struct virtio_device *dev, unsigned queue)
{
	struct virtq *q = virtio_device_setup(dev, queue);
	if (q && virtq_enable(q) < 0)
		virtio_device_fail(dev, q->broken);
}

void virtio_device_kick(struct virtio_device *dev, unsigned queue)
{
	if (queue < dev->queue_count)
		eventfd_signal(dev->queue[queue].kick);
}

void virtio_device_set_dma(struct virtio_device *dev, bool allowed)
{
	dev->dma = allowed;
	if (dev->model->bus_master)
		dev->model->bus_master(dev, allowed);
	/* What the driver made available meanwhile must not wait for its next kick. */
	for (unsigned i = 0; allowed && i < dev->queue_count; i++)
		virtio_device_kick(dev, i);
}

uint32_t virtio_device_config(const struct virtio_device *dev, uint64_t offset, unsigned size)
{
	uint8_t bytes[4] = { 0 };
	if (offset < dev->config_size)
		memcpy(bytes, (const uint8_t *)dev->config + offset,
			min_u64(size, dev->config_size - offset));
	return load_le32(bytes);
}

void virtio_device_config_write(
	struct virtio_device *dev, uint64_t offset, uint32_t value, unsigned size)
{
	if (dev->model->config_write && !dev->resetting && offset < dev->config_size &&
		size <= dev->config_size - offset)
		dev->model->config_write(dev, (unsigned)offset, value, size);
}

void virtio_device_config_changed(struct virtio_device *dev)
{
	dev->generation++;
	if ((dev->status & VIRTIO_STATUS_DRIVER_OK) && dev->transport)
		dev->transport->config_interrupt(dev);
}

void virtio_device_config_change(
	struct virtio_device *dev, unsigned offset, const void *bytes, unsigned size)
{
	LOCK_SCOPE(&dev->lock);
	memcpy((uint8_t *)dev->config + offset, bytes, size);
	virtio_device_config_changed(dev);
}

/* --- queues, from the model's side --- */

bool virtio_device_may_run(const struct virtio_device *dev)
{
	return dev->dma && !dev->resetting && !(dev->status & VIRTIO_STATUS_NEEDS_RESET);
}

bool virtio_queue_pop(struct virtio_device *dev, unsigned queue, struct virtq_chain *ret)
{
	struct virtq *q = &dev->queue[queue].ring;
	if (!virtio_device_may_run(dev))
		return false;
	int rc = virtq_pop(q, ret);
	if (rc < 0)
		virtio_device_fail(dev, q->broken);
	return rc > 0;
}

void virtio_queue_put(struct virtio_device *dev, unsigned queue, const struct virtq_chain *chain,
	uint32_t written)
{
	virtq_push(&dev->queue[queue].ring, chain, written);
}

void virtio_queue_put_head(
	struct virtio_device *dev, unsigned queue, uint16_t head, uint32_t written)
{
	virtq_push_head(&dev->queue[queue].ring, head, written);
}

void virtio_queue_signal(struct virtio_device *dev, unsigned queue)
{
	if (virtq_wants_interrupt(&dev->queue[queue].ring) && dev->transport)
		dev->transport->queue_interrupt(dev, queue);
}

void virtio_queue_push(struct virtio_device *dev, unsigned queue, const struct virtq_chain *chain,
	uint32_t written)
{
	virtio_queue_put(dev, queue, chain, written);
	virtio_queue_signal(dev, queue);
}

void virtio_queue_kicks_off(struct virtio_device *dev, unsigned queue)
{
	if (virtio_device_may_run(dev))
		virtq_kicks_off(&dev->queue[queue].ring);
}

bool virtio_queue_kicks_on(struct virtio_device *dev, unsigned queue)
{
	return virtio_device_may_run(dev) && virtq_kicks_on(&dev->queue[queue].ring);
}
