// SPDX-License-Identifier: Apache-2.0
/* Virtio 1.2, 4.1 (PCI transport) and 2.7 (split queues), from the driver's side. */
#include "virtio.h"

#include "io.h"
#include "pci.h"
#include "string.h"

#define VENDOR      0x1af4
#define DEVICE_BASE 0x1040

#define CAP_TYPE   3 /* fields of struct virtio_pci_cap, 4.1.4 */
#define CAP_BAR    4
#define CAP_OFFSET 8
#define CAP_STEP   16
#define CAP_COMMON 1
#define CAP_NOTIFY 2
#define CAP_DEVICE 4

_Static_assert(sizeof(struct virtq_desc) == 16, "virtio 1.2, 2.7.5");

static void common_write(const struct virtio *v, unsigned reg, uint32_t value, unsigned size)
{
	mem_write(v->common + reg, value, size);
}

/* 64-bit registers are written in halves (4.1.3.1). */
static void common_write64(const struct virtio *v, unsigned reg, uint64_t value)
{
	common_write(v, reg, value, 4);
	common_write(v, reg + 4, value >> 32, 4);
}

bool virtio_find(struct virtio *v, unsigned id)
{
	enum pci_mechanism m = pci_preferred();
	int bdf = pci_find(VENDOR, DEVICE_BASE + id);
	if (bdf < 0)
		return false;
	*v = (struct virtio){ .bdf = bdf };
	for (unsigned at = 0; (at = pci_find_capability(bdf, PCI_CAP_VENDOR, at));) {
		unsigned type = pci_read(m, bdf, at + CAP_TYPE, 1);
		if (type != CAP_COMMON && type != CAP_NOTIFY && type != CAP_DEVICE)
			continue;
		uint64_t base = pci_bar_map(bdf, pci_read(m, bdf, at + CAP_BAR, 1)) +
				pci_read(m, bdf, at + CAP_OFFSET, 4);
		if (type == CAP_COMMON)
			v->common = base;
		else if (type == CAP_DEVICE)
			v->device = base;
		else
			v->notify = base;
		if (type == CAP_NOTIFY)
			v->notify_step = pci_read(m, bdf, at + CAP_STEP, 4);
	}
	pci_write(m, bdf, PCI_COMMAND, 2,
		PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF);
	return v->common && v->notify;
}

uint8_t virtio_status(const struct virtio *v)
{
	return mem_read(v->common + VIRTIO_STATUS, 1);
}

void virtio_add_status(const struct virtio *v, uint8_t bits)
{
	common_write(v, VIRTIO_STATUS, virtio_status(v) | bits, 1);
}

void virtio_reset(const struct virtio *v)
{
	common_write(v, VIRTIO_STATUS, 0, 1);
	while (virtio_status(v))
		;
}

bool virtio_negotiate(const struct virtio *v, uint64_t features)
{
	virtio_reset(v);
	virtio_add_status(v, VIRTIO_STATUS_ACKNOWLEDGE);
	virtio_add_status(v, VIRTIO_STATUS_DRIVER);
	for (unsigned half = 0; half < 2; half++) {
		common_write(v, VIRTIO_DRIVER_FEATURE_SELECT, half, 4);
		common_write(v, VIRTIO_DRIVER_FEATURE, features >> half * 32, 4);
	}
	virtio_add_status(v, VIRTIO_STATUS_FEATURES_OK);
	return virtio_status(v) & VIRTIO_STATUS_FEATURES_OK;
}

void virtio_set_queue(struct virtio *v, volatile struct virtq *queue)
{
	memset((void *)queue, 0, sizeof(*queue));
	v->queue = queue;
	common_write(v, VIRTIO_QUEUE_SELECT, v->index, 2);
	common_write(v, VIRTIO_QUEUE_SIZE, VIRTQ_SIZE, 2);
	common_write64(v, VIRTIO_QUEUE_DESC, (uint64_t)&queue->desc);
	common_write64(v, VIRTIO_QUEUE_DRIVER, (uint64_t)&queue->avail);
	common_write64(v, VIRTIO_QUEUE_DEVICE, (uint64_t)&queue->used);
	common_write(v, VIRTIO_QUEUE_ENABLE, 1, 2);
}

bool virtio_start(struct virtio *v, uint64_t features, volatile struct virtq *queue)
{
	if (!virtio_negotiate(v, VIRTIO_F_VERSION_1 | features))
		return false;
	virtio_set_queue(v, queue);
	virtio_add_status(v, VIRTIO_STATUS_DRIVER_OK);
	return virtio_status(v) & VIRTIO_STATUS_DRIVER_OK;
}

bool virtio_route(const struct virtio *v, uint8_t vector)
{
	if (!pci_msix_route(v->bdf, 0, vector))
		return false;
	common_write(v, VIRTIO_QUEUE_SELECT, v->index, 2);
	common_write(v, VIRTIO_QUEUE_VECTOR, 0, 2);
	return mem_read(v->common + VIRTIO_QUEUE_VECTOR, 2) == 0;
}

void virtq_set(volatile struct virtq *q, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
	uint16_t next)
{
	q->desc[i].addr = addr;
	q->desc[i].len = len;
	q->desc[i].flags = flags;
	q->desc[i].next = next;
}

void virtio_kick(const struct virtio *v)
{
	common_write(v, VIRTIO_QUEUE_SELECT, v->index, 2);
	uint16_t off = mem_read(v->common + VIRTIO_QUEUE_NOTIFY_OFF, 2);
	mem_write(v->notify + (uint64_t)off * v->notify_step, v->index, 2);
}

void virtio_submit(const struct virtio *v, uint16_t head)
{
	volatile struct virtq *q = v->queue;
	q->avail.ring[q->avail.idx % VIRTQ_SIZE] = head;
	barrier_full(); /* entry before index: pairs with the device's acquire (2.7.13.3) */
	q->avail.idx++;
	barrier_full(); /* index before the kick */
	virtio_kick(v);
}

bool virtio_wait(const struct virtio *v, uint32_t *len)
{
	volatile struct virtq *q = v->queue;
	while (q->used.idx == q->seen)
		if (virtio_status(v) & VIRTIO_STATUS_NEEDS_RESET)
			return false;
	barrier_full(); /* index before entry: pairs with the device's release (2.7.14) */
	*len = q->used.ring[q->seen % VIRTQ_SIZE].len;
	q->seen++;
	return true;
}
