/* SPDX-License-Identifier: Apache-2.0 */
/* Connections by their pair of ports; the CIDs are the same for all of a device (virtio 1.2,
 * 5.10.6). One thread. */
#ifndef VIRTIO_VSOCK_TABLE_H
#define VIRTIO_VSOCK_TABLE_H

#include "virtio/vsock_conn.h"

#define VSOCK_TABLE_SIZE 1024u /* a power of two */

/* Ports of the host's side of its own connections; those the guest connects to are mostly below. */
#define VSOCK_HOST_PORT_MIN 0x40000000u
#define VSOCK_HOST_PORT_MAX 0x7fffffffu

struct vsock_table {
	struct vsock_conn *bucket[VSOCK_TABLE_SIZE];
	uint32_t next_port;
};

struct vsock_conn *vsock_table_find(
	const struct vsock_table *t, uint32_t guest_port, uint32_t host_port);
/* @c's ports are set and no other connection has both. */
void vsock_table_add(struct vsock_table *t, struct vsock_conn *c);
void vsock_table_remove(struct vsock_table *t, struct vsock_conn *c);

/* A port of the host that no connection to @guest_port has. */
uint32_t vsock_table_new_port(struct vsock_table *t, uint32_t guest_port);

#endif
