// SPDX-License-Identifier: Apache-2.0
/* A hash table of connections, chained. */
#include "virtio/vsock_table.h"

/* Multiplies by 2^64 over the golden ratio (Knuth, 6.4), for the guest chooses the ports. */
static unsigned bucket_of(uint32_t guest_port, uint32_t host_port)
{
	uint64_t key = (uint64_t)guest_port << 32 | host_port;
	return (unsigned)(key * 0x9e3779b97f4a7c15u >> 54) & (VSOCK_TABLE_SIZE - 1);
}

struct vsock_conn *vsock_table_find(
	const struct vsock_table *t, uint32_t guest_port, uint32_t host_port)
{
	struct vsock_conn *c = t->bucket[bucket_of(guest_port, host_port)];
	while (c && (c->guest_port != guest_port || c->host_port != host_port))
		c = c->next;
	return c;
}

void vsock_table_add(struct vsock_table *t, struct vsock_conn *c)
{
	struct vsock_conn **head = &t->bucket[bucket_of(c->guest_port, c->host_port)];
	c->next = *head;
	*head = c;
}

void vsock_table_remove(struct vsock_table *t, struct vsock_conn *c)
{
	struct vsock_conn **at = &t->bucket[bucket_of(c->guest_port, c->host_port)];
	while (*at && *at != c)
		at = &(*at)->next;
	if (*at)
		*at = c->next;
}

uint32_t vsock_table_new_port(struct vsock_table *t, uint32_t guest_port)
{
	/* Far more ports than connections: the search is short. */
	do {
		if (t->next_port < VSOCK_HOST_PORT_MIN || t->next_port >= VSOCK_HOST_PORT_MAX)
			t->next_port = VSOCK_HOST_PORT_MIN;
		else
			t->next_port++;
	} while (vsock_table_find(t, guest_port, t->next_port));
	return t->next_port;
}
