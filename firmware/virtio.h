/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver side of a modern virtio PCI device with one split queue in use, no more than tests
 * need. Everything is reachable, so that tests can also do it wrong.
 */
#ifndef FIRMWARE_VIRTIO_H
#define FIRMWARE_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

#define VIRTIO_ID_NET     1
#define VIRTIO_ID_BLK     2
#define VIRTIO_ID_CONSOLE 3
#define VIRTIO_ID_RNG     4
#define VIRTIO_ID_BALLOON 5
#define VIRTIO_ID_VSOCK   19
#define VIRTIO_ID_PMEM    27

#define VIRTIO_STATUS_ACKNOWLEDGE 1
#define VIRTIO_STATUS_DRIVER      2
#define VIRTIO_STATUS_DRIVER_OK   4
#define VIRTIO_STATUS_FEATURES_OK 8
#define VIRTIO_STATUS_NEEDS_RESET 64

#define VIRTIO_F_INDIRECT  (UINT64_C(1) << 28)
#define VIRTIO_F_VERSION_1 (UINT64_C(1) << 32)

/* Registers of the common configuration (virtio 1.2, 4.1.4.3). */
#define VIRTIO_DEVICE_FEATURE_SELECT 0x00
#define VIRTIO_DEVICE_FEATURE        0x04
#define VIRTIO_DRIVER_FEATURE_SELECT 0x08
#define VIRTIO_DRIVER_FEATURE        0x0c
#define VIRTIO_CONFIG_VECTOR         0x10
#define VIRTIO_NUM_QUEUES            0x12
#define VIRTIO_STATUS                0x14
#define VIRTIO_QUEUE_SELECT          0x16
#define VIRTIO_QUEUE_SIZE            0x18
#define VIRTIO_QUEUE_VECTOR          0x1a
#define VIRTIO_QUEUE_ENABLE          0x1c
#define VIRTIO_QUEUE_NOTIFY_OFF      0x1e
#define VIRTIO_QUEUE_DESC            0x20
#define VIRTIO_QUEUE_DRIVER          0x28
#define VIRTIO_QUEUE_DEVICE          0x30

#define VIRTQ_SIZE 64 /* every device of the machine takes that many */

#define VIRTQ_NEXT     1
#define VIRTQ_WRITE    2
#define VIRTQ_INDIRECT 4

struct virtq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

/* Virtio 1.2, 2.7. */
struct virtq {
	struct virtq_desc desc[VIRTQ_SIZE];
	struct {
		uint16_t flags, idx, ring[VIRTQ_SIZE], used_event;
	} avail;
	struct {
		uint16_t flags, idx;
		struct {
			uint32_t id, len;
		} ring[VIRTQ_SIZE];
		uint16_t avail_event;
	} used __attribute__((aligned(4)));
	uint16_t seen; /* used.idx as far as it has been looked at */
} __attribute__((aligned(16)));

struct virtio {
	unsigned bdf;
	uint64_t common, notify, device; /* addresses of the register groups */
	uint32_t notify_step;
	unsigned index; /* of the queue in use: 0 unless somebody sets another */
	volatile struct virtq *queue;
};

/* Finds the device of type @id on bus 0 and maps its registers. False: none, or not a sound one. */
bool virtio_find(struct virtio *v, unsigned id);

/* Writes 0 to the status and waits until it reads 0. */
void virtio_reset(const struct virtio *v);

uint8_t virtio_status(const struct virtio *v);
void virtio_add_status(const struct virtio *v, uint8_t bits);

/* From reset to FEATURES_OK with exactly @features; false if the device refuses. */
bool virtio_negotiate(const struct virtio *v, uint64_t features);

/* Clears @queue and sets it up as queue v->index. */
void virtio_set_queue(struct virtio *v, volatile struct virtq *queue);

/* All of it: reset, VERSION_1 and @features, the queue, DRIVER_OK. */
bool virtio_start(struct virtio *v, uint64_t features, volatile struct virtq *queue);

/* MSI-X entry 0 raises @vector on this processor for the queue. Between virtio_set_queue() and use.
 */
bool virtio_route(const struct virtio *v, uint8_t vector);

void virtq_set(volatile struct virtq *q, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
	uint16_t next);

/* Makes the chain at @head available and kicks. */
void virtio_submit(const struct virtio *v, uint16_t head);
void virtio_kick(const struct virtio *v);

/* Polls until something was used (returns true, its written length in *@len) or the device needs a
 * reset (false). */
bool virtio_wait(const struct virtio *v, uint32_t *len);

#endif
