/* SPDX-License-Identifier: Apache-2.0 */
/* Persistent memory as an option: "pmem". */
#ifndef VIRTIO_PMEM_H
#define VIRTIO_PMEM_H

#include "dev/device.h"

extern const struct device_class virtio_pmem_class;

#endif
