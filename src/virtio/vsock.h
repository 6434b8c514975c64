/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device (virtio 1.2, 5.10): stream sockets between programs of the guest and of the
 * host, which meets them as Unix sockets (src/backend/vsock_host.h). Option "vsock", with the
 * guest's context identifier (cid) and the path of the host's socket, or one that listens already
 * (fd).
 */
#ifndef VIRTIO_VSOCK_H
#define VIRTIO_VSOCK_H

#include "dev/device.h"

extern const struct device_class virtio_vsock_class;

#endif
