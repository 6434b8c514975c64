/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tap interface of the host (Linux Documentation/networking/tuntap.rst). Each read or write of a
 * queue's descriptor moves one frame with a virtio_net_hdr of 12 little-endian bytes before it. The
 * interface must exist: none is ever made here, and none is configured.
 */
#ifndef BACKEND_TAP_H
#define BACKEND_TAP_H

#include <lacuna/error.h>
#include <net/if.h>
#include <stdbool.h>

#define TAP_QUEUES_MAX 8u

struct tap {
	char name[IFNAMSIZ];
	unsigned queues;
	int fd[TAP_QUEUES_MAX]; /* -1: not open */
	int io_flags; /* for preadv2() and pwritev2(), which then never wait: 0, or RWF_NOWAIT */
	bool up;      /* when it was opened */
	bool uso;     /* the kernel knows TUN_F_USO4 and TUN_F_USO6 */
};

/* Opens interface @name with @queues queues, 1 to TAP_QUEUES_MAX, of which the first is enabled. */
int tap_open(const char *name, unsigned queues, struct tap **ret, struct lacuna_error **err);
/* Takes a duplicate of @fd, an open tap with IFF_VNET_HDR. The original stays the caller's. */
int tap_adopt(int fd, struct tap **ret, struct lacuna_error **err);
void tap_close(struct tap *tap);

/* What may come in: TUN_F_* of linux/if_tun.h, 0 for plain frames. 0 or -errno. Any thread. */
int tap_set_offloads(const struct tap *tap, unsigned flags);
/* A disabled queue gets no frames, and what it held is gone. 0 or -errno. Any thread; slow. */
int tap_enable_queue(const struct tap *tap, unsigned queue, bool enable);

#endif
