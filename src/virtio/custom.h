/* SPDX-License-Identifier: Apache-2.0 */
/* A virtio device of the embedder's own, after a description (include/lacuna/device.h). */
#ifndef VIRTIO_CUSTOM_H
#define VIRTIO_CUSTOM_H

#include "dev/device.h"

extern const struct device_class virtio_custom_class;

#endif
