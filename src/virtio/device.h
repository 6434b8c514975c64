/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a virtio device that neither knows how the driver reaches it (a transport) nor what
 * it does (a model): features, status, queues, configuration (virtio 1.2, 2 and 3.1).
 *
 * Threads: register accesses come from vCPUs, through the transport, which holds the device's lock.
 * While the device is active, each queue belongs to one thread of the model; that thread holds no
 * lock. The model is told to start and to let go by two calls and may let go later, since a driver
 * waits until the status reads 0 (2.4.2); until then every register but the status is frozen.
 */
#ifndef VIRTIO_DEVICE_H
#define VIRTIO_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>

#include "util/log.h"
#include "virtio/virtq.h"

/* 2.1 */
#define VIRTIO_STATUS_ACKNOWLEDGE 1u
#define VIRTIO_STATUS_DRIVER      2u
#define VIRTIO_STATUS_DRIVER_OK   4u
#define VIRTIO_STATUS_FEATURES_OK 8u
#define VIRTIO_STATUS_NEEDS_RESET 64u
#define VIRTIO_STATUS_FAILED      128u

/* 6; the first two are offered by every device */
#define VIRTIO_F_INDIRECT_DESC ((uint64_t)1 << 28)
#define VIRTIO_F_EVENT_IDX     ((uint64_t)1 << 29)
#define VIRTIO_F_VERSION_1     ((uint64_t)1 << 32)

struct virtio_device;

/* What a kind of device is. All calls but bus_master() come with the device's lock held. */
struct virtio_model {
	const char *name;
	uint16_t id; /* 5 */
	/* The driver is ready: take the queues and look at each of them once. */
	void (*activate)(struct virtio_device *dev);
	/* Let go of the queues: true when that is done, false when virtio_device_released() will
	 * be called by another thread. Must not block. */
	bool (*deactivate)(struct virtio_device *dev);
	/* The device may touch guest memory from now on, or no more: then it returns when nothing
	 * is being copied. May be NULL. */
	void (*bus_master)(struct virtio_device *dev, bool enabled);
	/* The driver writes @size bytes (1, 2 or 4) of the configuration: store what may be
	 * written. NULL: nothing may. */
	void (*config_write)(
		struct virtio_device *dev, unsigned offset, uint32_t value, unsigned size);
	/* The device was reset, whether it was active or not: forget what the driver has written to
	 * the configuration. May be NULL. */
	void (*reset)(struct virtio_device *dev);
};

/* How the driver is reached. */
struct virtio_transport {
	/* Any thread, any lock. */
	void (*queue_interrupt)(struct virtio_device *dev, unsigned queue);
	void (*config_interrupt)(struct virtio_device *dev);
	/* The device's lock is held. Kicks of the enabled queues matter from now on, or no more. */
	void (*activated)(struct virtio_device *dev, bool active);
	/* The device was reset: forget what the driver has set. The lock is held. */
	void (*reset)(struct virtio_device *dev);
};

struct virtio_queue {
	struct virtq ring;
	int kick; /* eventfd: signalled by transport or kernel, waited for by the model */
};

struct virtio_device {
	const struct virtio_model *model;
	const char *name; /* for messages; the model's until somebody knows better */
	const struct virtio_transport *transport;
	void *transport_data;
	const struct log *log;
	struct log_limit log_limit;

	pthread_mutex_t lock;
	uint64_t offered, accepted;
	_Atomic uint8_t status;
	_Atomic bool dma;       /* the transport lets the device touch guest memory */
	bool active;            /* the model has the queues */
	_Atomic bool resetting; /* and has been asked to let go of them; changes under the lock */
	void *config;           /* the model's; changes under the lock only */
	unsigned config_size;
	uint8_t generation; /* of the configuration, 2.5.1 */
	struct virtio_queue *queue;
	unsigned queue_count;
};

/*
 * @features are those of the device type; the common ones are added. @config stays the caller's.
 * The transport is set later, by whoever makes it.
 */
int virtio_device_init(struct virtio_device *dev, const struct virtio_model *model,
	const struct gmem *mem, const struct log *log, uint64_t features, unsigned queue_count,
	uint16_t queue_size, struct lacuna_error **err);
void virtio_device_done(struct virtio_device *dev); /* also on one that was zeroed only */

/* --- for transports; the caller holds the lock --- */

uint32_t virtio_device_offered(const struct virtio_device *dev, uint32_t select);
uint32_t virtio_device_accepted(const struct virtio_device *dev, uint32_t select);
void virtio_device_accept(struct virtio_device *dev, uint32_t select, uint32_t bits);
/* The driver wrote the status register; 0 resets. */
void virtio_device_set_status(struct virtio_device *dev, uint8_t status);
/* The queue whose set-up the driver may change now, or NULL. */
struct virtq *virtio_device_setup(struct virtio_device *dev, unsigned queue);
void virtio_device_enable_queue(struct virtio_device *dev, unsigned queue);
/* @size is 1, 2 or 4; bytes beyond the end read as zero. */
uint32_t virtio_device_config(const struct virtio_device *dev, uint64_t offset, unsigned size);
void virtio_device_config_write(
	struct virtio_device *dev, uint64_t offset, uint32_t value, unsigned size);

/* For transports, without the lock. Any thread. */
void virtio_device_kick(struct virtio_device *dev, unsigned queue);
void virtio_device_set_dma(struct virtio_device *dev, bool allowed);

/* --- for models --- */

static inline bool virtio_device_has(const struct virtio_device *dev, uint64_t feature)
{
	return (dev->accepted & feature) == feature;
}

/* Changes @size bytes of the configuration at @offset and tells the driver (2.5). Any thread,
 * without the lock. */
void virtio_device_config_change(
	struct virtio_device *dev, unsigned offset, const void *bytes, unsigned size);

/* For who has changed it, with the lock held ever since: tells the driver. */
void virtio_device_config_changed(struct virtio_device *dev);

/* Chains may be taken: the transport allows it, the driver has broken nothing and asked for no
 * reset. */
bool virtio_device_may_run(const struct virtio_device *dev);

/* The next chain, if there is one; a queue that the guest broke stops the device (2.1.2). */
bool virtio_queue_pop(struct virtio_device *dev, unsigned queue, struct virtq_chain *ret);
/* Gives it back; the driver learns of it by the next virtio_queue_signal(), one for many. */
void virtio_queue_put(struct virtio_device *dev, unsigned queue, const struct virtq_chain *chain,
	uint32_t written);
void virtio_queue_put_head(
	struct virtio_device *dev, unsigned queue, uint16_t head, uint32_t written);
/* Interrupts if the driver wants that for what was given back since the last call. */
void virtio_queue_signal(struct virtio_device *dev, unsigned queue);
/* Both in one. */
void virtio_queue_push(struct virtio_device *dev, unsigned queue, const struct virtq_chain *chain,
	uint32_t written);
/* See virtq_kicks_off() and virtq_kicks_on(). */
void virtio_queue_kicks_off(struct virtio_device *dev, unsigned queue);
bool virtio_queue_kicks_on(struct virtio_device *dev, unsigned queue);

/* The driver did what no driver may do: the device works no more until it is reset. */
void virtio_device_fail(struct virtio_device *dev, const char *why);
/* The model no longer uses the queues after deactivate had returned false. The lock is not held. */
void virtio_device_released(struct virtio_device *dev);

#endif
