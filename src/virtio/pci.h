/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio over PCI, modern devices only (virtio 1.2, 4.1): one 64-bit BAR with all register groups
 * and MSI-X, interrupts by MSI-X alone, each queue's kick an ioeventfd while the device is active.
 *
 * The capability for access through configuration space (4.1.4.9) is there, with one difference:
 * reading configuration space never traps here, so pci_cfg_data is filled when the driver writes
 * bar, offset or length, not when it reads. To read a register again, write one of those again. It
 * reaches the virtio register groups, not the MSI-X tables.
 */
#ifndef VIRTIO_PCI_H
#define VIRTIO_PCI_H

#include "dev/device.h"
#include "virtio/device.h"

struct virtio_pci;

/* Puts @dev on the PCI bus of @env; the transport uses @dev until it is freed. */
int virtio_pci_new(struct virtio_device *dev, const struct device_env *env, struct virtio_pci **ret,
	struct lacuna_error **err);
void virtio_pci_free(struct virtio_pci *vp); /* NULL is fine */

#endif
