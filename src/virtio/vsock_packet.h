/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of the socket device: headers in and out of chains, and which packets are for us at all
 * (virtio 1.2, 5.10.6). Everything here is pure. */
#ifndef VIRTIO_VSOCK_PACKET_H
#define VIRTIO_VSOCK_PACKET_H

#include "virtio/virtq.h"
#include "virtio/vsock_layout.h"

/* A header, in the host's byte order. The payload follows it in the chain. */
struct vsock_packet {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port;
	uint32_t len;
	uint16_t type, op;
	uint32_t flags;
	uint32_t buf_alloc, fwd_cnt;
};

/* Takes the header from the readable part of @c. NULL, or what is wrong with the chain: then the
 * driver is broken, not the packet. */
const char *vsock_packet_read(const struct virtq_chain *c, struct vsock_packet *ret);

/* Puts the header at the start of the writable part of @c; false when there is no room. */
bool vsock_packet_write(const struct virtq_chain *c, const struct vsock_packet *p);

enum vsock_verdict {
	VSOCK_TAKE,
	VSOCK_DROP,
	VSOCK_REFUSE, /* with a RST */
};

enum vsock_verdict vsock_packet_judge(const struct vsock_packet *p, uint64_t guest_cid);

/* The RST that answers @p. */
struct vsock_packet vsock_packet_reset(const struct vsock_packet *p);

#endif
