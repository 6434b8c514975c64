/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptions of devices of the embedder's own (include/lacuna/device.h) in a configuration:
 * copied with all that they point to, but what @opaque does. They are sound: src/api/device.c has
 * looked.
 */
#ifndef MACHINE_CUSTOM_H
#define MACHINE_CUSTOM_H

#include <lacuna/device.h>

struct machine_config;

/* Adds a device. -ENOMEM, and then @config is as it was. */
int machine_config_add_pci(struct machine_config *config, const struct lacuna_pci_device *device,
	struct lacuna_error **err);
int machine_config_add_virtio(struct machine_config *config,
	const struct lacuna_virtio_device *device, struct lacuna_error **err);

/* NULL is fine. */
void custom_pci_free(struct lacuna_pci_device *copy);
void custom_virtio_free(struct lacuna_virtio_device *copy);

#endif
