// SPDX-License-Identifier: Apache-2.0
/* Virtio over PCI (virtio 1.2, 4.1): registers, interrupts, notification. */
#include "virtio/pci.h"

#include <stdlib.h>

#include "bus/bus.h"
#include "pci/express.h"
#include "pci/function.h"
#include "pci/host.h"
#include "pci/msix.h"
#include "util/err.h"
#include "util/thread.h"
#include "virtio/pci_layout.h"

struct virtio_pci {
	struct pci_function function;
	struct virtio_device *dev;
	struct bus *mmio;
	const struct log *log;
	uint8_t pci_cap; /* where the capability for access through configuration space is */
	_Atomic uint8_t isr;
	_Atomic uint16_t config_vector;
	_Atomic uint16_t *queue_vector;

	/* under the device's lock */
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select;
	uint64_t base;     /* of the BAR, or PCI_BAR_UNMAPPED */
	uint64_t kicks_at; /* BAR base for which the ioeventfds stand, or PCI_BAR_UNMAPPED */
};

/* --- kicks --- */

static uint64_t kick_address(uint64_t base, unsigned queue)
{
	return base + VP_NOTIFY + (uint64_t)queue * VP_NOTIFY_STEP;
}

/*
 * Ioeventfds exist only while the device is active and the BAR is mapped: the kernel takes its time
 * over each change, and a guest moves BARs about before it uses the device. Where one can't be had,
 * kicks arrive in bar_write().
 */
static void place_kicks(struct virtio_pci *vp)
{
	const struct virtio_device *dev = vp->dev;
	uint64_t want = dev->active && !dev->resetting ? vp->base : PCI_BAR_UNMAPPED;
	if (vp->kicks_at == want)
		return;
	for (unsigned i = 0; i < dev->queue_count; i++) {
		/* Frozen while active, so the queues enabled then are the same at both times. */
		if (!dev->queue[i].ring.enabled)
			continue;
		if (vp->kicks_at != PCI_BAR_UNMAPPED)
			bus_ioeventfd_remove(
				vp->mmio, kick_address(vp->kicks_at, i), 0, dev->queue[i].kick);
		if (want != PCI_BAR_UNMAPPED && bus_ioeventfd_add(vp->mmio, kick_address(want, i),
							0, dev->queue[i].kick, NULL) < 0)
			log_debug(vp->log, vp->function.name, "no ioeventfd for queue %u", i);
	}
	vp->kicks_at = want;
}

static void bar_moved(struct pci_function *f, unsigned bar, uint64_t base)
{
	struct virtio_pci *vp = container_of(f, struct virtio_pci, function);
	if (bar != VP_BAR)
		return;
	LOCK_SCOPE(&vp->dev->lock);
	vp->base = base;
	place_kicks(vp);
}

static void activated(struct virtio_device *dev, bool active)
{
	place_kicks(dev->transport_data);
}

static void bus_master(struct pci_function *f, bool enabled)
{
	virtio_device_set_dma(container_of(f, struct virtio_pci, function)->dev, enabled);
}

/* 2.4: a reset of the function resets the device. */
static void function_reset(struct pci_function *f)
{
	struct virtio_device *dev = container_of(f, struct virtio_pci, function)->dev;
	LOCK_SCOPE(&dev->lock);
	virtio_device_set_status(dev, 0);
}

/* --- interrupts --- */

static void queue_interrupt(struct virtio_device *dev, unsigned queue)
{
	struct virtio_pci *vp = dev->transport_data;
	if (!msix_enabled(vp->function.msix)) /* 4.1.4.5.1 */
		vp->isr |= VP_ISR_QUEUE;
	msix_notify(vp->function.msix, vp->queue_vector[queue]);
}

static void config_interrupt(struct virtio_device *dev)
{
	struct virtio_pci *vp = dev->transport_data;
	vp->isr |= VP_ISR_CONFIG;
	msix_notify(vp->function.msix, vp->config_vector);
}

/* 4.1.5.1.2.1: a vector that can't be had reads back as none. */
static uint16_t grant_vector(const struct virtio_pci *vp, uint32_t vector)
{
	return vector <= vp->dev->queue_count ? (uint16_t)vector : VIRTIO_MSI_NO_VECTOR;
}

static void forget(struct virtio_device *dev)
{
	struct virtio_pci *vp = dev->transport_data;
	vp->device_feature_select = vp->driver_feature_select = vp->queue_select = 0;
	vp->isr = 0;
	vp->config_vector = VIRTIO_MSI_NO_VECTOR;
	for (unsigned i = 0; i < dev->queue_count; i++)
		vp->queue_vector[i] = VIRTIO_MSI_NO_VECTOR;
}

static const struct virtio_transport pci_transport = {
	.queue_interrupt = queue_interrupt,
	.config_interrupt = config_interrupt,
	.activated = activated,
	.reset = forget,
};

/* --- common configuration, 4.1.4.3 --- */

/* The width of the register that starts at an offset; 4.1.3.1 allows no other access. */
static const uint8_t register_width[VP_COMMON_SIZE] = {
	[VP_DEVICE_FEATURE_SELECT] = 4,
	[VP_DEVICE_FEATURE] = 4,
	[VP_DRIVER_FEATURE_SELECT] = 4,
	[VP_DRIVER_FEATURE] = 4,
	[VP_CONFIG_VECTOR] = 2,
	[VP_NUM_QUEUES] = 2,
	[VP_STATUS] = 1,
	[VP_GENERATION] = 1,
	[VP_QUEUE_SELECT] = 2,
	[VP_QUEUE_SIZE] = 2,
	[VP_QUEUE_VECTOR] = 2,
	[VP_QUEUE_ENABLE] = 2,
	[VP_QUEUE_NOTIFY_OFF] = 2,
	[VP_QUEUE_DESC] = 4,
	[VP_QUEUE_DESC + 4] = 4,
	[VP_QUEUE_DRIVER] = 4,
	[VP_QUEUE_DRIVER + 4] = 4,
	[VP_QUEUE_DEVICE] = 4,
	[VP_QUEUE_DEVICE + 4] = 4,
};

static uint32_t queue_read(const struct virtio_pci *vp, unsigned offset)
{
	unsigned queue = vp->queue_select;
	if (queue >= vp->dev->queue_count) /* 4.1.4.3.1: there is no such queue: size 0 */
		return 0;
	const struct virtq *q = &vp->dev->queue[queue].ring;
	switch (offset) {
	case VP_QUEUE_SIZE:
		return q->size;
	case VP_QUEUE_VECTOR:
		return vp->queue_vector[queue];
	case VP_QUEUE_ENABLE:
		return q->enabled;
	case VP_QUEUE_NOTIFY_OFF:
		return queue;
	case VP_QUEUE_DESC:
		return (uint32_t)q->desc;
	case VP_QUEUE_DESC + 4:
		return (uint32_t)(q->desc >> 32);
	case VP_QUEUE_DRIVER:
		return (uint32_t)q->driver;
	case VP_QUEUE_DRIVER + 4:
		return (uint32_t)(q->driver >> 32);
	case VP_QUEUE_DEVICE:
		return (uint32_t)q->device;
	case VP_QUEUE_DEVICE + 4:
		return (uint32_t)(q->device >> 32);
	default:
		return 0;
	}
}

static uint32_t common_read(const struct virtio_pci *vp, unsigned offset)
{
	const struct virtio_device *dev = vp->dev;
	switch (offset) {
	case VP_DEVICE_FEATURE_SELECT:
		return vp->device_feature_select;
	case VP_DEVICE_FEATURE:
		return virtio_device_offered(dev, vp->device_feature_select);
	case VP_DRIVER_FEATURE_SELECT:
		return vp->driver_feature_select;
	case VP_DRIVER_FEATURE:
		return virtio_device_accepted(dev, vp->driver_feature_select);
	case VP_CONFIG_VECTOR:
		return vp->config_vector;
	case VP_NUM_QUEUES:
		return dev->queue_count;
	case VP_STATUS:
		return dev->status;
	case VP_GENERATION:
		return dev->generation;
	case VP_QUEUE_SELECT:
		return vp->queue_select;
	default:
		return queue_read(vp, offset);
	}
}

static void set_low(uint64_t *reg, uint32_t value)
{
	*reg = (*reg & ~(uint64_t)UINT32_MAX) | value;
}

static void set_high(uint64_t *reg, uint32_t value)
{
	*reg = (*reg & UINT32_MAX) | (uint64_t)value << 32;
}

static void queue_write(struct virtio_pci *vp, unsigned offset, uint32_t value)
{
	struct virtq *q = virtio_device_setup(vp->dev, vp->queue_select);
	if (!q)
		return;
	switch (offset) {
	case VP_QUEUE_SIZE:
		q->size = (uint16_t)value; /* judged when the queue is enabled */
		break;
	case VP_QUEUE_ENABLE:
		if (value == 1)
			virtio_device_enable_queue(vp->dev, vp->queue_select);
		break;
	case VP_QUEUE_DESC:
		set_low(&q->desc, value);
		break;
	case VP_QUEUE_DESC + 4:
		set_high(&q->desc, value);
		break;
	case VP_QUEUE_DRIVER:
		set_low(&q->driver, value);
		break;
	case VP_QUEUE_DRIVER + 4:
		set_high(&q->driver, value);
		break;
	case VP_QUEUE_DEVICE:
		set_low(&q->device, value);
		break;
	case VP_QUEUE_DEVICE + 4:
		set_high(&q->device, value);
		break;
	default:
		break;
	}
}

static void common_write(struct virtio_pci *vp, unsigned offset, uint32_t value)
{
	struct virtio_device *dev = vp->dev;
	switch (offset) {
	case VP_DEVICE_FEATURE_SELECT:
		vp->device_feature_select = value;
		break;
	case VP_DRIVER_FEATURE_SELECT:
		vp->driver_feature_select = value;
		break;
	case VP_DRIVER_FEATURE:
		virtio_device_accept(dev, vp->driver_feature_select, value);
		break;
	case VP_CONFIG_VECTOR:
		vp->config_vector = grant_vector(vp, value);
		break;
	case VP_STATUS:
		virtio_device_set_status(dev, (uint8_t)value);
		break;
	case VP_QUEUE_SELECT:
		vp->queue_select = (uint16_t)value;
		break;
	case VP_QUEUE_VECTOR: /* may change while the queue is in use */
		if (vp->queue_select < dev->queue_count)
			vp->queue_vector[vp->queue_select] = grant_vector(vp, value);
		break;
	default:
		queue_write(vp, offset, value);
		break;
	}
}

/* --- the BAR --- */

/* The device's own configuration; one that is larger than most has a page of its own. */
static bool large_config(const struct virtio_device *dev)
{
	return dev->config_size > VP_DEVICE_SIZE;
}

static uint32_t device_at(const struct virtio_device *dev)
{
	return large_config(dev) ? VP_DEVICE_LARGE : VP_DEVICE;
}

static uint32_t device_size(const struct virtio_device *dev)
{
	return large_config(dev) ? VP_DEVICE_LARGE_SIZE : VP_DEVICE_SIZE;
}

static uint32_t bar_size(const struct virtio_device *dev)
{
	return large_config(dev) ? 2 * VP_BAR_SIZE : VP_BAR_SIZE;
}

static bool in_device(const struct virtio_device *dev, uint64_t offset)
{
	return offset >= device_at(dev) && offset - device_at(dev) < device_size(dev);
}

static bool is_register(uint64_t offset, unsigned size)
{
	return offset < VP_COMMON_SIZE && register_width[offset] == size;
}

/* The register groups, which is all but MSI-X. */
static uint32_t group_read(struct virtio_pci *vp, uint64_t offset, unsigned size)
{
	if (is_register(offset, size)) {
		LOCK_SCOPE(&vp->dev->lock);
		return common_read(vp, (unsigned)offset);
	}
	if (offset == VP_ISR) /* 4.1.4.5: reading clears */
		return atomic_exchange(&vp->isr, 0);
	if (in_device(vp->dev, offset)) {
		LOCK_SCOPE(&vp->dev->lock);
		return virtio_device_config(vp->dev, offset - device_at(vp->dev), size);
	}
	return 0;
}

static void group_write(struct virtio_pci *vp, uint64_t offset, uint32_t value, unsigned size)
{
	if (is_register(offset, size)) {
		LOCK_SCOPE(&vp->dev->lock);
		common_write(vp, (unsigned)offset, value);
	} else if (offset >= VP_NOTIFY && offset < VP_MSIX_TABLE && !(offset % VP_NOTIFY_STEP)) {
		virtio_device_kick(vp->dev, (unsigned)(offset - VP_NOTIFY) / VP_NOTIFY_STEP);
	} else if (in_device(vp->dev, offset)) {
		LOCK_SCOPE(&vp->dev->lock);
		virtio_device_config_write(vp->dev, offset - device_at(vp->dev), value, size);
	}
}

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
	struct virtio_pci *vp = opaque;
	if (msix_owns(vp->function.msix, offset))
		return msix_read(vp->function.msix, offset, size);
	return group_read(vp, offset, size);
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct virtio_pci *vp = opaque;
	if (msix_owns(vp->function.msix, offset))
		msix_write(vp->function.msix, offset, value, size);
	else
		group_write(vp, offset, (uint32_t)value, size);
}

static const struct region_ops bar_ops = {
	.read = bar_read,
	.write = bar_write,
	.min_size = 1,
	.max_size = 4, /* 4.1.3.1: also 64-bit registers are accessed in halves */
};

/* --- access through configuration space, 4.1.4.9 --- */

static void pci_cap_written(struct pci_function *f, unsigned offset, unsigned size)
{
	struct virtio_pci *vp = container_of(f, struct virtio_pci, function);
	const unsigned cap = vp->pci_cap;
	if (offset + size <= cap || offset >= cap + VP_CAP_SIZE_MORE)
		return;
	uint8_t bar = (uint8_t)pci_config_read(&f->config, cap + VP_CAP_AT_BAR, 1);
	uint32_t at = (uint32_t)pci_config_read(&f->config, cap + VP_CAP_AT_OFFSET, 4);
	uint32_t len = (uint32_t)pci_config_read(&f->config, cap + VP_CAP_AT_LENGTH, 4);
	if (bar != VP_BAR || (len != 1 && len != 2 && len != 4) || at % len ||
		at >= bar_size(vp->dev) || msix_owns(f->msix, at))
		return;
	if (offset + size > cap + VP_CAP_AT_DATA) {
		uint32_t data = (uint32_t)pci_config_read(&f->config, cap + VP_CAP_AT_DATA, 4);
		group_write(vp, at, data & (uint32_t)ones(len), len);
	} else {
		pci_config_set(&f->config, cap + VP_CAP_AT_DATA, group_read(vp, at, len), 4);
	}
}

static uint8_t add_cap(
	struct virtio_pci *vp, uint8_t type, uint32_t offset, uint32_t length, const uint32_t *more)
{
	uint8_t size = more ? VP_CAP_SIZE_MORE : VP_CAP_SIZE;
	const struct vp_cap cap = {
		.cap_len = size,
		.cfg_type = type,
		.bar = VP_BAR,
		.offset = htole32(offset),
		.length = htole32(length),
		.more = more ? htole32(*more) : 0,
	};
	return pci_function_add_cap(
		&vp->function, 0x09, &cap, (uint8_t)(size - 2), type == VP_CAP_PCI);
}

static int add_caps(struct virtio_pci *vp, struct lacuna_error **err)
{
	static const uint32_t step = VP_NOTIFY_STEP, none = 0;
	struct pci_config *c = &vp->function.config;
	if (!add_cap(vp, VP_CAP_COMMON, VP_COMMON, VP_COMMON_SIZE, NULL) ||
		!add_cap(vp, VP_CAP_ISR, VP_ISR, VP_ISR_SIZE, NULL) ||
		!add_cap(vp, VP_CAP_DEVICE, device_at(vp->dev), device_size(vp->dev), NULL) ||
		!add_cap(
			vp, VP_CAP_NOTIFY, VP_NOTIFY, vp->dev->queue_count * VP_NOTIFY_STEP, &step))
		return err_set(err, ENOSPC, "no room for capabilities");
	vp->pci_cap = add_cap(vp, VP_CAP_PCI, 0, 0, &none);
	if (!vp->pci_cap)
		return err_set(err, ENOSPC, "no room for capabilities");
	pci_config_writable(c, vp->pci_cap + VP_CAP_AT_BAR, 0xff, 1);
	pci_config_writable(c, vp->pci_cap + VP_CAP_AT_OFFSET, UINT32_MAX, 4);
	pci_config_writable(c, vp->pci_cap + VP_CAP_AT_LENGTH, UINT32_MAX, 4);
	pci_config_writable(c, vp->pci_cap + VP_CAP_AT_DATA, UINT32_MAX, 4);
	return 0;
}

/* --- life --- */

static const struct pci_function_ops function_ops = {
	.cap_written = pci_cap_written,
	.bar_moved = bar_moved,
	.bus_master = bus_master,
	.reset = function_reset,
};

/* PCI code and ID assignment specification, 1.11: what a guest without our driver should take it
 * for */
static uint32_t class_code(uint16_t id)
{
	switch (id) {
	case 1:
		return 0x020000; /* Ethernet controller */
	case 2:
		return 0x018000; /* mass storage, other */
	case 19:
		return 0x078000; /* communication, other */
	default:
		return 0x00ff00; /* device that fits no class */
	}
}

int virtio_pci_new(struct virtio_device *dev, const struct device_env *env, struct virtio_pci **ret,
	struct lacuna_error **err)
{
	struct virtio_pci *vp = calloc(1, sizeof(*vp));
	if (!vp)
		return err_nomem(err);
	vp->dev = dev;
	vp->mmio = env->mmio;
	vp->log = env->log;
	vp->base = vp->kicks_at = PCI_BAR_UNMAPPED;
	vp->queue_vector = calloc(dev->queue_count, sizeof(*vp->queue_vector));
	int rc;
	if (!vp->queue_vector) {
		rc = err_nomem(err);
		goto fail;
	}
	dev->transport = &pci_transport;
	dev->transport_data = vp;
	forget(dev);

	const struct pci_identity id = {
		.vendor = VIRTIO_PCI_VENDOR,
		.device = (uint16_t)(VIRTIO_PCI_DEVICE_BASE + dev->model->id),
		.subsystem_vendor = VIRTIO_PCI_VENDOR,
		.subsystem = (uint16_t)(VIRTIO_PCI_DEVICE_BASE + dev->model->id),
		.class_code = class_code(dev->model->id),
		.revision = 1, /* 4.1.2.1 */
	};
	rc = pci_function_init(&vp->function, dev->name, &id, &function_ops, err);
	if (rc < 0)
		goto fail;
	pci_function_add_bar(&vp->function, VP_BAR, bar_size(dev), true, true, &bar_ops, vp);
	rc = msix_init(
		&vp->function, dev->queue_count + 1, VP_BAR, VP_MSIX_TABLE, VP_MSIX_PBA, err);
	if (rc < 0)
		goto fail;
	rc = add_caps(vp, err);
	if (rc < 0)
		goto fail;
	rc = pci_express_add(&vp->function, err);
	if (rc < 0)
		goto fail;
	rc = pci_host_add(env->pci, &vp->function, env->bus, err);
	if (rc < 0)
		goto fail;
	*ret = vp;
	return 0;
fail:
	virtio_pci_free(vp);
	return rc;
}

void virtio_pci_free(struct virtio_pci *vp)
{
	if (!vp)
		return;
	pci_function_done(&vp->function); /* unmaps the BAR, which takes the ioeventfds back */
	vp->dev->transport = NULL;
	free(vp->queue_vector);
	free(vp);
}
