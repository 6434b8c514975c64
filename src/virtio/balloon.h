/* SPDX-License-Identifier: Apache-2.0 */
/* The traditional memory balloon as an option: "balloon". */
#ifndef VIRTIO_BALLOON_H
#define VIRTIO_BALLOON_H

#include "dev/device.h"

extern const struct device_class virtio_balloon_class;

#endif
