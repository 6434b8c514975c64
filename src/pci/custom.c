// SPDX-License-Identifier: Apache-2.0
/*
 * A PCI function of the embedder's own. What the description gives is checked already
 * (src/api/device.c); what the guest gives is checked here and below: callbacks see accesses that
 * lie inside a BAR, and capabilities change where their mask allows.
 *
 * The calls on an instance come from any thread, with locks of the embedder's held that callbacks
 * may want as well, and callbacks come with the PCI host's lock held. So none of these calls takes
 * the host's lock: registers have one of their own, DMA has another, MSI-X a third; each is let go
 * before anybody is called.
 */
#include "pci/custom.h"

#include <assert.h>
#include <lacuna/device.h>
#include <stdlib.h>

#include "mem/gmem.h"
#include "pci/express.h"
#include "pci/function.h"
#include "pci/host.h"
#include "pci/msix.h"
#include "pci/regs.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/thread.h"

#define PAGE 4096u

struct custom_bar {
	struct lacuna_pci_function *owner;
	unsigned index;
};

/* Bytes [offset, end), with the body from @body on. */
struct custom_cap {
	unsigned offset, body, end;
};

struct lacuna_pci_function {
	struct device dev;
	struct pci_function function;
	const struct gmem *mem;
	struct lacuna_pci_ops ops;
	void *state;
	bool created; /* and so to be destroyed */
	struct custom_bar bar[PCI_BARS];
	struct custom_cap *cap;
	size_t cap_count;

	pthread_mutex_t dma_lock; /* held while something is copied */
	bool master;              /* may copy; under it */
};

static struct lacuna_pci_function *of(struct pci_function *f)
{
	return container_of(f, struct lacuna_pci_function, function);
}

/* --- BARs --- */

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
	const struct custom_bar *b = opaque;
	const struct lacuna_pci_function *f = b->owner;
	return f->ops.bar_read ? f->ops.bar_read(f->state, b->index, offset, size) : 0;
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	const struct custom_bar *b = opaque;
	const struct lacuna_pci_function *f = b->owner;
	if (f->ops.bar_write)
		f->ops.bar_write(f->state, b->index, offset, value, size);
}

static const struct region_ops bar_ops = { .read = bar_read, .write = bar_write };

/* The BAR with the MSI-X table and pending bits, and nothing else. */
static uint64_t msix_bar_read(void *opaque, uint64_t offset, unsigned size)
{
	struct lacuna_pci_function *f = opaque;
	return msix_owns(f->function.msix, offset) ? msix_read(f->function.msix, offset, size) : 0;
}

static void msix_bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct lacuna_pci_function *f = opaque;
	if (msix_owns(f->function.msix, offset))
		msix_write(f->function.msix, offset, value, size);
}

static const struct region_ops msix_bar_ops = { .read = msix_bar_read, .write = msix_bar_write };

/* Table and pending bits in pages of their own (PCIe 5.0, 7.7.2: so that they can be mapped apart).
 */
static int add_msix(
	struct lacuna_pci_function *f, const struct lacuna_pci_device *d, struct lacuna_error **err)
{
	if (!d->msix_vectors)
		return 0;
	const struct lacuna_pci_bar *b = &d->bar[d->msix_bar];
	uint32_t pba = (uint32_t)align_up((uint64_t)d->msix_vectors * MSIX_ENTRY_SIZE, PAGE);
	uint64_t size = PAGE;
	while (size < pba + PAGE)
		size *= 2;
	pci_function_add_bar(
		&f->function, d->msix_bar, size, b->is_64, b->prefetchable, &msix_bar_ops, f);
	return msix_init(&f->function, d->msix_vectors, d->msix_bar, 0, pba, err);
}

static void add_bars(struct lacuna_pci_function *f, const struct lacuna_pci_device *d)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct lacuna_pci_bar *b = &d->bar[i];
		f->bar[i] = (struct custom_bar){ .owner = f, .index = i };
		if (b->size)
			pci_function_add_bar(&f->function, i, b->size, b->is_64, b->prefetchable,
				&bar_ops, &f->bar[i]);
	}
}

/* --- capabilities --- */

#define CAP_HEADER 2u

unsigned pci_custom_caps_room(bool msix)
{
	return PCI_CAPS_END - PCI_HEADER_END - EXPRESS_CAP_SIZE - (msix ? MSIX_CAP_SIZE : 0);
}

unsigned pci_custom_ext_caps_room(void)
{
	return PCI_CONFIG_SIZE - PCI_EXT_CAPS - SERIAL_SIZE;
}

/* Whole dwords, so that what follows begins at one. */
static_assert(EXPRESS_CAP_SIZE % 4 == 0 && MSIX_CAP_SIZE % 4 == 0, "the room told is there");
static_assert(SERIAL_SIZE % 4 == 0, "likewise");

static unsigned add_cap(struct pci_function *f, const struct lacuna_pci_capability *c)
{
	const uint8_t zeros[PCI_CAPS_END] = { 0 };
	return pci_function_add_cap(f, (uint8_t)c->id, c->body ? c->body : zeros,
		(uint8_t)(CAP_HEADER + c->size), false);
}

static unsigned add_ext_cap(struct pci_function *f, const struct lacuna_pci_capability *c)
{
	const uint8_t *body = c->body;
	unsigned offset = pci_function_add_ext_cap(
		f, c->id, c->version, (unsigned)(PCI_EXT_HEADER + c->size));
	for (unsigned i = 0; offset && body && i < c->size; i++)
		pci_config_set(&f->config, offset + PCI_EXT_HEADER + i, body[i], 1);
	return offset;
}

static int add_caps(
	struct lacuna_pci_function *f, const struct lacuna_pci_device *d, struct lacuna_error **err)
{
	f->cap = calloc(d->capability_count + 1, sizeof(*f->cap));
	if (!f->cap)
		return err_nomem(err);
	for (size_t i = 0; i < d->capability_count; i++) {
		const struct lacuna_pci_capability *c = &d->capability[i];
		unsigned offset =
			c->extended ? add_ext_cap(&f->function, c) : add_cap(&f->function, c);
		if (!offset)
			return err_set(err, ENOSPC, "no room for capability[%zu]", i);
		unsigned body = offset + (c->extended ? PCI_EXT_HEADER : CAP_HEADER);
		f->cap[f->cap_count++] =
			(struct custom_cap){ offset, body, body + (unsigned)c->size };
	}
	return 0;
}

/* After create(): what the bytes hold now is what a reset brings back. */
static int make_writable(
	struct lacuna_pci_function *f, const struct lacuna_pci_device *d, struct lacuna_error **err)
{
	struct pci_config *c = &f->function.config;
	for (size_t i = 0; i < f->cap_count; i++) {
		const uint8_t *writable = d->capability[i].writable;
		const uint8_t *clear = d->capability[i].write_1_clear;
		unsigned body = f->cap[i].body;
		for (unsigned at = 0; at < f->cap[i].end - body; at++) {
			if (writable && writable[at])
				pci_config_writable(c, body + at, writable[at], 1);
			if (clear && clear[at])
				pci_config_write_1_clear(c, body + at, clear[at], 1);
		}
	}
	/* Wherever they are; cap_written() looks whose it is. */
	pci_function_add_hook(&f->function, PCI_HEADER_END, PCI_CONFIG_SIZE - PCI_HEADER_END);
	return f->function.config.failed ? err_nomem(err) : 0;
}

static void cap_written(struct pci_function *function, unsigned offset, unsigned size)
{
	struct lacuna_pci_function *f = of(function);
	for (size_t i = 0; f->ops.capability_written && i < f->cap_count; i++) {
		const struct custom_cap *c = &f->cap[i];
		unsigned from = (unsigned)max_u64(offset, c->body);
		unsigned end = (unsigned)min_u64(offset + size, c->end);
		if (from < end && pci_config_may_write(&function->config, from, end - from))
			f->ops.capability_written(f->state, c->offset);
	}
}

unsigned lacuna_pci_capability_offset(const struct lacuna_pci_function *f, size_t index)
{
	return index < f->cap_count ? f->cap[index].offset : 0;
}

static bool is_register(unsigned offset, unsigned width)
{
	return (width == 1 || width == 2 || width == 4) && offset < PCI_CONFIG_SIZE &&
	       offset % width == 0;
}

uint32_t lacuna_pci_config_read(struct lacuna_pci_function *f, unsigned offset, unsigned width)
{
	struct pci_config *c = &f->function.config;
	if (!is_register(offset, width))
		return UINT32_MAX;
	LOCK_SCOPE(&c->lock); /* the bytes may be about to move into the window */
	return (uint32_t)pci_config_read(c, offset, width);
}

void lacuna_pci_config_set(
	struct lacuna_pci_function *f, unsigned offset, uint32_t value, unsigned width)
{
	for (size_t i = 0; is_register(offset, width) && i < f->cap_count; i++)
		if (offset >= f->cap[i].body && offset + width <= f->cap[i].end)
			pci_config_set(&f->function.config, offset, value, width);
}

/* --- interrupts, memory, reset --- */

void lacuna_pci_interrupt(struct lacuna_pci_function *f, unsigned vector)
{
	if (f->function.msix)
		msix_notify(f->function.msix, vector);
}

int lacuna_pci_dma_read(struct lacuna_pci_function *f, uint64_t gpa, void *buf, size_t size)
{
	LOCK_SCOPE(&f->dma_lock);
	if (!f->master)
		return -EPERM;
	return size ? gmem_read(f->mem, gpa, buf, size) : 0;
}

int lacuna_pci_dma_write(struct lacuna_pci_function *f, uint64_t gpa, const void *buf, size_t size)
{
	LOCK_SCOPE(&f->dma_lock);
	if (!f->master)
		return -EPERM;
	return size ? gmem_write(f->mem, gpa, buf, size) : 0;
}

/* Waits for what is being copied: once the guest's write is done, its memory is its own. */
static void bus_master(struct pci_function *function, bool enabled)
{
	struct lacuna_pci_function *f = of(function);
	LOCK_SCOPE(&f->dma_lock);
	f->master = enabled;
}

static void reset(struct pci_function *function)
{
	const struct lacuna_pci_function *f = of(function);
	if (f->ops.reset)
		f->ops.reset(f->state);
}

static const struct pci_function_ops function_ops = {
	.cap_written = cap_written,
	.bus_master = bus_master,
	.reset = reset,
};

/* --- life --- */

/* The guest is gone: its memory is what it was. */
static void custom_stop(struct device *dev)
{
	struct lacuna_pci_function *f = container_of(dev, struct lacuna_pci_function, dev);
	bus_master(&f->function, false);
}

static void custom_destroy(struct device *dev)
{
	struct lacuna_pci_function *f = container_of(dev, struct lacuna_pci_function, dev);
	if (f->created && f->ops.destroy)
		f->ops.destroy(f->state);
	pci_function_done(&f->function);
	pthread_mutex_destroy(&f->dma_lock);
	free(f->cap);
	free(f);
}

static int call_create(struct lacuna_pci_function *f, void *opaque, struct lacuna_error **err)
{
	struct lacuna_error *own = NULL;
	int rc = f->ops.create(opaque, f, &f->state, &own);
	rc = device_callback_result("create", rc, own, err);
	f->created = rc == 0;
	return rc;
}

static int build(
	struct lacuna_pci_function *f, const struct device_env *env, struct lacuna_error **err)
{
	const struct lacuna_pci_device *d = env->custom_pci;
	const struct pci_identity id = {
		.vendor = d->vendor_id,
		.device = d->device_id,
		.subsystem_vendor = d->subsystem_vendor_id,
		.subsystem = d->subsystem_id,
		.class_code = d->class_code,
		.revision = d->revision,
	};
	int rc = pci_function_init(&f->function, f->dev.name, &id, &function_ops, err);
	if (rc < 0)
		return rc;
	add_bars(f, d);
	rc = add_msix(f, d, err);
	if (rc == 0)
		rc = pci_express_add(&f->function, err);
	if (rc == 0)
		rc = add_caps(f, d, err);
	if (rc == 0)
		rc = call_create(f, d->opaque, err);
	if (rc == 0)
		rc = make_writable(f, d, err);
	return rc < 0 ? rc : pci_host_add(env->pci, &f->function, env->bus, err);
}

static int custom_create(const struct device_env *env, const struct keyval *args,
	struct device **ret, struct lacuna_error **err)
{
	struct lacuna_pci_function *f = calloc(1, sizeof(*f));
	if (!f)
		return err_nomem(err);
	f->dev.class = &pci_custom_class;
	f->mem = env->mem;
	f->ops = *env->custom_pci->ops;
	pthread_mutex_init(&f->dma_lock, NULL);
	int rc = build(f, env, err);
	if (rc < 0) {
		custom_destroy(&f->dev);
		return rc;
	}
	*ret = &f->dev;
	return 0;
}

static const char *const no_keys[] = { NULL };

const struct device_class pci_custom_class = {
	.name = "pci-custom",
	.keys = no_keys,
	.create = custom_create,
	.stop = custom_stop,
	.destroy = custom_destroy,
};
