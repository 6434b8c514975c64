// SPDX-License-Identifier: Apache-2.0
/* Copies of descriptions. A copy that could be made in part only can be freed like a whole one. */
#include "machine/custom.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dev/device.h"
#include "machine/config.h"
#include "util/err.h"

/* NULL for NULL; *@ok becomes false when memory is out. */
static void *copy_bytes(const void *from, size_t size, bool *ok)
{
	void *copy = from ? malloc(size + !size) : NULL;
	if (copy)
		memcpy(copy, from, size);
	else if (from)
		*ok = false;
	return copy;
}

static char *copy_name(const char *name, bool *ok)
{
	return copy_bytes(name, strlen(name) + 1, ok);
}

/* --- PCI functions --- */

void custom_pci_free(struct lacuna_pci_device *copy)
{
	if (!copy)
		return;
	/* What was copied is ours to free, whatever the type says. */
	for (size_t i = 0; copy->capability && i < copy->capability_count; i++) {
		free((void *)(uintptr_t)copy->capability[i].body);
		free((void *)(uintptr_t)copy->capability[i].writable);
		free((void *)(uintptr_t)copy->capability[i].write_1_clear);
	}
	free((void *)(uintptr_t)copy->capability);
	free((void *)(uintptr_t)copy->ops);
	free((void *)(uintptr_t)copy->name);
	free(copy);
}

static struct lacuna_pci_capability *copy_capabilities(
	const struct lacuna_pci_device *from, bool *ok)
{
	struct lacuna_pci_capability *copy = calloc(from->capability_count + 1, sizeof(*copy));
	if (!copy) {
		*ok = false;
		return NULL;
	}
	for (size_t i = 0; i < from->capability_count; i++) {
		copy[i] = from->capability[i];
		copy[i].body = copy_bytes(copy[i].body, copy[i].size, ok);
		copy[i].writable = copy_bytes(copy[i].writable, copy[i].size, ok);
		copy[i].write_1_clear = copy_bytes(copy[i].write_1_clear, copy[i].size, ok);
	}
	return copy;
}

static struct lacuna_pci_device *copy_pci(const struct lacuna_pci_device *from)
{
	bool ok = true;
	struct lacuna_pci_device *copy = copy_bytes(from, sizeof(*from), &ok);
	if (!copy)
		return NULL;
	copy->name = copy_name(from->name, &ok);
	copy->ops = copy_bytes(from->ops, sizeof(*from->ops), &ok);
	copy->capability = copy_capabilities(from, &ok);
	if (ok)
		return copy;
	custom_pci_free(copy);
	return NULL;
}

/* --- virtio devices --- */

void custom_virtio_free(struct lacuna_virtio_device *copy)
{
	if (!copy)
		return;
	free((void *)(uintptr_t)copy->config);
	free((void *)(uintptr_t)copy->config_writable);
	free((void *)(uintptr_t)copy->ops);
	free((void *)(uintptr_t)copy->name);
	free(copy);
}

static struct lacuna_virtio_device *copy_virtio(const struct lacuna_virtio_device *from)
{
	bool ok = true;
	struct lacuna_virtio_device *copy = copy_bytes(from, sizeof(*from), &ok);
	if (!copy)
		return NULL;
	copy->name = copy_name(from->name, &ok);
	copy->ops = copy_bytes(from->ops, sizeof(*from->ops), &ok);
	copy->config = copy_bytes(from->config, from->config_size, &ok);
	copy->config_writable = copy_bytes(from->config_writable, from->config_size, &ok);
	if (ok)
		return copy;
	custom_virtio_free(copy);
	return NULL;
}

/* --- adding --- */

/* The place goes as the text of an option, as with any other device. */
static struct machine_device_option *add(
	struct machine_config *config, const char *name, int bus, struct lacuna_error **err)
{
	char text[24] = "";
	if (bus != LACUNA_BUS_ANY)
		snprintf(text, sizeof(text), "bus=%d", bus);
	if (machine_config_add_device(config, name, text, err) < 0)
		return NULL;
	return &config->devices[config->device_count - 1];
}

int machine_config_add_pci(struct machine_config *config, const struct lacuna_pci_device *device,
	struct lacuna_error **err)
{
	struct lacuna_pci_device *copy = copy_pci(device);
	struct machine_device_option *option =
		copy ? add(config, device->name, device->bus, err) : NULL;
	if (!option) {
		custom_pci_free(copy);
		return err_nomem(err);
	}
	option->pci = copy;
	return 0;
}

int machine_config_add_virtio(struct machine_config *config,
	const struct lacuna_virtio_device *device, struct lacuna_error **err)
{
	struct lacuna_virtio_device *copy = copy_virtio(device);
	struct machine_device_option *option =
		copy ? add(config, device->name, device->bus, err) : NULL;
	if (!option) {
		custom_virtio_free(copy);
		return err_nomem(err);
	}
	option->virtio = copy;
	return 0;
}
