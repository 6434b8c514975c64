// SPDX-License-Identifier: Apache-2.0
/*
 * Descriptions of devices of the embedder's own: everything that can be wrong with one is found
 * here, by name, before anything is copied. The calls on an instance are in src/pci/custom.c and
 * src/virtio/custom.c.
 */
#include <assert.h>
#include <lacuna/device.h>
#include <string.h>

#include "api/config.h"
#include "dev/device.h"
#include "machine/custom.h"
#include "pci/custom.h"
#include "pci/function.h"
#include "pci/msix.h"
#include "pci/regs.h"
#include "pci/topology.h"
#include "util/bytes.h"
#include "util/err.h"
#include "virtio/virtq.h"

/* No structure of device.h will be larger; a size beyond was never set. */
#define STRUCT_MAX  4096u
#define NAME_LENGTH 23u
static_assert(NAME_LENGTH + sizeof("65535") <= DEVICE_NAME_SIZE, "a number fits behind a name");

/* Copies a structure that begins with its size from a caller whose version of it may be another;
 * @want is the size of ours. */
static int take_struct(
	void *ret, size_t want, const void *from, const char *what, struct lacuna_error **err)
{
	size_t size;
	memcpy(&size, from, sizeof(size));
	if (size < sizeof(size) || size > STRUCT_MAX)
		return err_set(err, EINVAL, "%ssize: %zu is not that of the structure", what, size);
	memset(ret, 0, want);
	memcpy(ret, from, min_u64(size, want));
	for (size_t i = want; i < size; i++)
		if (((const uint8_t *)from)[i])
			return err_set(err, EINVAL,
				"%ssize: a field beyond byte %zu is set, which this version of the library does not know",
				what, want);
	memcpy(ret, &want, sizeof(want));
	return 0;
}

/* --- what both kinds have --- */

static bool is_letter(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A number is put behind it, so a digit there could make two names one. */
static int check_name(const char *name, struct lacuna_error **err)
{
	size_t len = name ? strnlen(name, NAME_LENGTH + 1) : 0;
	bool sound =
		len > 0 && len <= NAME_LENGTH && is_letter(name[0]) && !is_digit(name[len - 1]);
	for (size_t i = 0; sound && i < len; i++)
		sound = is_letter(name[i]) || is_digit(name[i]) || name[i] == '-';
	if (!sound)
		return err_set(err, EINVAL,
			"name: '%.*s' will not do; give 1 to %u of a-z, 0-9 and '-', a letter first and no digit last",
			(int)NAME_LENGTH + 1, name ? name : "", NAME_LENGTH);
	if (machine_config_has_option(name))
		return err_set(err, EINVAL,
			"name: '%s' is a key of lacuna_config_set(); give another", name);
	return 0;
}

static int check_bus(int bus, struct lacuna_error **err)
{
	if (bus == LACUNA_BUS_ANY || (bus >= 0 && bus <= PCI_PORTS_MAX))
		return 0;
	return err_set(err, EINVAL, "bus: %d is none; give 0 to %d, or LACUNA_BUS_ANY", bus,
		PCI_PORTS_MAX);
}

static int missing(const char *field, struct lacuna_error **err)
{
	return err_set(err, EINVAL, "%s: it is NULL, but required", field);
}

/* Where these are in a description of one kind or the other. */
struct kind {
	const char *name;
	size_t size, name_at, ops_at, ops_size;
};

/* Copies @device and its operations, as far as this library knows them, to @ret and @ret_ops. */
static int take_device(const struct kind *kind, const void *device, void *ret, void *ret_ops,
	struct lacuna_error **err)
{
	const char *name;
	const void *ops;
	int rc = take_struct(ret, kind->size, device, "", err);
	if (rc < 0)
		return rc;
	memcpy(&name, (const uint8_t *)ret + kind->name_at, sizeof(name));
	memcpy(&ops, (const uint8_t *)ret + kind->ops_at, sizeof(ops));
	rc = check_name(name, err);
	if (rc < 0)
		return rc;
	rc = ops ? take_struct(ret_ops, kind->ops_size, ops, "ops.", err) : missing("ops", err);
	memcpy((uint8_t *)ret + kind->ops_at, &ret_ops, sizeof(ret_ops));
	return rc;
}

#define KIND(text, type, ops_type)                                                     \
	{                                                                              \
		.name = (text), .size = sizeof(type), .name_at = offsetof(type, name), \
		.ops_at = offsetof(type, ops), .ops_size = sizeof(ops_type)            \
	}

static const struct kind pci_kind =
	KIND("PCI device", struct lacuna_pci_device, struct lacuna_pci_ops);
static const struct kind virtio_kind =
	KIND("virtio device", struct lacuna_virtio_device, struct lacuna_virtio_ops);

static int no_argument(const struct kind *kind, struct lacuna_error **err)
{
	return err_set(err, EINVAL, "%s: configuration or description is NULL", kind->name);
}

/* --- PCI functions --- */

#define BAR_MAX GIB

static bool takes_two(const struct lacuna_pci_device *d, unsigned bar)
{
	bool exists = d->bar[bar].size || (d->msix_vectors && bar == d->msix_bar);
	return exists && d->bar[bar].is_64;
}

static int check_bar(const struct lacuna_pci_device *d, unsigned i, struct lacuna_error **err)
{
	uint64_t size = d->bar[i].size;
	bool msix = d->msix_vectors && i == d->msix_bar;
	static const uint8_t zeros[sizeof(d->bar[i].reserved)];
	if (memcmp(d->bar[i].reserved, zeros, sizeof(zeros)))
		return err_set(err, EINVAL, "bar[%u].reserved: it is not 0", i);
	if (size && (!is_power_of_2(size) || size < 4 * KIB || size > BAR_MAX))
		return err_set(err, EINVAL,
			"bar[%u].size: %llu is not a power of two from 4096 to 1 GiB", i,
			(unsigned long long)size);
	if (size && msix)
		return err_set(err, EINVAL,
			"msix_bar: bar[%u] is to hold the interrupts, and its size must be 0", i);
	if ((size || msix) && i > 0 && takes_two(d, i - 1))
		return err_set(err, EINVAL, "%s: bar[%u].is_64 takes the place of BAR %u as well",
			msix ? "msix_bar" : "bar", i - 1, i);
	if (i == PCI_BARS - 1 && takes_two(d, i))
		return err_set(err, EINVAL, "bar[%u].is_64: there is no BAR after it", i);
	return 0;
}

static int check_bars(const struct lacuna_pci_device *d, struct lacuna_error **err)
{
	if (d->msix_vectors > MSIX_MAX)
		return err_set(err, EINVAL, "msix_vectors: %u is more than the %u there can be",
			d->msix_vectors, MSIX_MAX);
	if (d->msix_vectors && d->msix_bar >= PCI_BARS)
		return err_set(err, EINVAL, "msix_bar: there is no BAR %u; give 0 to %u",
			d->msix_bar, PCI_BARS - 1);
	for (unsigned i = 0; i < PCI_BARS; i++) {
		int rc = check_bar(d, i, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static bool is_ours(const struct lacuna_pci_capability *c)
{
	if (c->extended)
		return c->id == PCI_EXT_ID_SERIAL;
	return c->id == PCI_CAP_ID_MSI || c->id == PCI_CAP_ID_EXPRESS || c->id == PCI_CAP_ID_MSIX;
}

static int check_capability(
	const struct lacuna_pci_capability *c, size_t i, struct lacuna_error **err)
{
	/* 0 and all ones are no capability but the end of a list (PCIe 5.0, 7.6.3). */
	if (c->id == 0 || c->id >= (c->extended ? 0xffff : 0xff))
		return err_set(err, EINVAL, "capability[%zu].id: %#x is none", i, c->id);
	if (is_ours(c))
		return err_set(
			err, EINVAL, "capability[%zu].id: %#x is the library's to add", i, c->id);
	if (c->version > (c->extended ? 15 : 0))
		return err_set(err, EINVAL, "capability[%zu].version: %u is more than %u", i,
			c->version, c->extended ? 15 : 0);
	if (c->reserved[0] || c->reserved[1])
		return err_set(err, EINVAL, "capability[%zu].reserved: it is not 0", i);
	return 0;
}

static int check_masks(const struct lacuna_pci_capability *c, size_t i, struct lacuna_error **err)
{
	const uint8_t *writable = c->writable, *clear = c->write_1_clear;
	for (size_t at = 0; writable && clear && at < c->size; at++)
		if (writable[at] & clear[at])
			return err_set(err, EINVAL,
				"capability[%zu].write_1_clear: it has bits of .writable in byte %zu",
				i, at);
	return 0;
}

/* That all of them find room, each at a multiple of 4. */
static int check_capabilities(const struct lacuna_pci_device *d, struct lacuna_error **err)
{
	size_t room = pci_custom_caps_room(d->msix_vectors), ext_room = pci_custom_ext_caps_room();
	if (d->capability_count && !d->capability)
		return missing("capability", err);
	for (size_t i = 0; i < d->capability_count; i++) {
		const struct lacuna_pci_capability *c = &d->capability[i];
		int rc = check_capability(c, i, err);
		if (rc < 0)
			return rc;
		size_t *left = c->extended ? &ext_room : &room;
		size_t header = c->extended ? PCI_EXT_HEADER : 2;
		if (c->size > *left || header + c->size > *left)
			return err_set(err, EINVAL,
				"capability[%zu].size: %zu bytes and their header find no room, %zu are left",
				i, c->size, *left);
		*left -= min_u64(align_up(header + c->size, 4), *left);
		rc = check_masks(c, i, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int check_identity(const struct lacuna_pci_device *d, struct lacuna_error **err)
{
	/* What a read of nothing, and of a function that is not ready, gives (PCIe 5.0, 2.3.2). */
	if (d->vendor_id == 0 || d->vendor_id == 1 || d->vendor_id == 0xffff)
		return err_set(err, EINVAL, "vendor_id: %#x stands for no function", d->vendor_id);
	if (d->class_code > 0xffffff)
		return err_set(err, EINVAL, "class_code: %#x has more than 24 bits", d->class_code);
	return 0;
}

static int check_pci(const struct lacuna_pci_device *d, struct lacuna_error **err)
{
	int rc = d->ops->create ? check_identity(d, err) : missing("ops.create", err);
	if (rc == 0)
		rc = check_bars(d, err);
	if (rc == 0)
		rc = check_capabilities(d, err);
	return rc < 0 ? rc : check_bus(d->bus, err);
}

LACUNA_API int lacuna_config_add_pci_device(struct lacuna_config *config,
	const struct lacuna_pci_device *device, struct lacuna_error **err)
{
	struct lacuna_pci_device d;
	struct lacuna_pci_ops ops;
	if (!config || !device)
		return no_argument(&pci_kind, err);
	int rc = take_device(&pci_kind, device, &d, &ops, err);
	err_prefix(err, rc, "%s", pci_kind.name);
	if (rc == 0)
		rc = err_prefix(err, check_pci(&d, err), "%s '%s'", pci_kind.name, d.name);
	return rc < 0 ? rc : machine_config_add_pci(&config->machine, &d, err);
}

/* --- virtio devices --- */

#define QUEUES_MAX    64u
#define DEVICE_ID_MAX 63u
#define CONFIG_MAX    4096u

/* Virtio 1.2, 2.2: bits 24 to 49 are the transport's, or reserved. */
#define DEVICE_FEATURES (~((UINT64_C(1) << 50) - 1) | ((UINT64_C(1) << 24) - 1))

static int check_virtio(const struct lacuna_virtio_device *d, struct lacuna_error **err)
{
	if (!d->ops->create || !d->ops->kicked)
		return missing(d->ops->create ? "ops.kicked" : "ops.create", err);
	if (d->device_id == 0 || d->device_id > DEVICE_ID_MAX)
		return err_set(err, EINVAL, "device_id: %u is none; give 1 to %u", d->device_id,
			DEVICE_ID_MAX);
	if (d->features & ~DEVICE_FEATURES)
		return err_set(err, EINVAL,
			"features: bits of %#llx are not the device type's; give bits 0 to 23 and 50 to 63",
			(unsigned long long)(d->features & ~DEVICE_FEATURES));
	if (d->queues == 0 || d->queues > QUEUES_MAX)
		return err_set(err, EINVAL, "queues: %u; give 1 to %u", d->queues, QUEUES_MAX);
	if (!is_power_of_2(d->queue_size) || d->queue_size > VIRTQ_SIZE_MAX)
		return err_set(err, EINVAL, "queue_size: %u is not a power of two up to %u",
			d->queue_size, VIRTQ_SIZE_MAX);
	if (d->config_size > CONFIG_MAX)
		return err_set(err, EINVAL, "config_size: %zu is more than %u", d->config_size,
			CONFIG_MAX);
	return check_bus(d->bus, err);
}

LACUNA_API int lacuna_config_add_virtio_device(struct lacuna_config *config,
	const struct lacuna_virtio_device *device, struct lacuna_error **err)
{
	struct lacuna_virtio_device d;
	struct lacuna_virtio_ops ops;
	if (!config || !device)
		return no_argument(&virtio_kind, err);
	int rc = take_device(&virtio_kind, device, &d, &ops, err);
	err_prefix(err, rc, "%s", virtio_kind.name);
	if (rc == 0)
		rc = err_prefix(err, check_virtio(&d, err), "%s '%s'", virtio_kind.name, d.name);
	return rc < 0 ? rc : machine_config_add_virtio(&config->machine, &d, err);
}
