/* SPDX-License-Identifier: Apache-2.0 */
/* An entropy source (virtio 1.2, 5.4), fed by getrandom() on the loop thread. Option "rng", without
 * keys. */
#ifndef VIRTIO_RNG_H
#define VIRTIO_RNG_H

#include "dev/device.h"

extern const struct device_class virtio_rng_class;

#endif
