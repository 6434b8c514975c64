/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of a guest's sockets: Unix stream sockets, in the form that users of Firecracker
 * and Cloud Hypervisor know. Programs of the host connect to PATH, where we listen, and say which
 * port of the guest they want ("CONNECT 1234\n"). Programs of the guest that connect to port P of
 * the host reach whoever listens at PATH_P.
 *
 * Nothing here blocks; all descriptors are non-blocking.
 */
#ifndef BACKEND_VSOCK_HOST_H
#define BACKEND_VSOCK_HOST_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vsock_host;

/* Listens at @path, where there must be nothing yet. */
int vsock_host_new(const char *path, struct vsock_host **ret, struct lacuna_error **err);
/* The same with a duplicate of @fd, a socket that listens already and does not block. @path is only
 * the beginning of the names that the guest's connections go to; NULL: they go nowhere. */
int vsock_host_adopt(int fd, const char *path, struct vsock_host **ret, struct lacuna_error **err);
/* Removes the socket's file if it is still ours. NULL is fine. */
void vsock_host_free(struct vsock_host *h);

/* To wait for: readable when somebody has connected. Stays the host's. */
int vsock_host_fd(const struct vsock_host *h);
/* The next one who has connected: a descriptor, or -errno (-EAGAIN: nobody). */
int vsock_host_accept(const struct vsock_host *h);
/* Connects to the listener for @port: a descriptor, or -errno (-ECONNREFUSED: there can be none).
 */
int vsock_host_connect(const struct vsock_host *h, uint32_t port);

/* The first line on a connection to PATH, as far as it has come. */
#define VSOCK_GREETING_MAX (sizeof("CONNECT 4294967295\n") - 1)

struct vsock_greeting {
	uint8_t length;
	char text[VSOCK_GREETING_MAX];
};

/* Takes from @fd what belongs to the line and not one byte more: 1 when it is complete, 0 when more
 * is to come, -EPROTO when it asks for no port, -errno when nothing will follow. */
int vsock_greeting_read(struct vsock_greeting *g, int fd, uint32_t *ret_port);

#endif
