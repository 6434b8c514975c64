// SPDX-License-Identifier: Apache-2.0
/* Headers of the socket device (virtio 1.2, 5.10.6). */
#include "virtio/vsock_packet.h"

const char *vsock_packet_read(const struct virtq_chain *c, struct vsock_packet *ret)
{
	struct vsock_header h;
	if (!virtq_chain_read(c, 0, &h, VSOCK_HEADER_SIZE))
		return "a packet without a whole header";
	*ret = (struct vsock_packet){
		.src_cid = le64toh(h.src_cid),
		.dst_cid = le64toh(h.dst_cid),
		.src_port = le32toh(h.src_port),
		.dst_port = le32toh(h.dst_port),
		.len = le32toh(h.len),
		.type = le16toh(h.type),
		.op = le16toh(h.op),
		.flags = le32toh(h.flags),
		.buf_alloc = le32toh(h.buf_alloc),
		.fwd_cnt = le32toh(h.fwd_cnt),
	};
	if (ret->len > c->out_size - VSOCK_HEADER_SIZE)
		return "a packet that is longer than its buffers";
	return NULL;
}

bool vsock_packet_write(const struct virtq_chain *c, const struct vsock_packet *p)
{
	const struct vsock_header h = {
		.src_cid = htole64(p->src_cid),
		.dst_cid = htole64(p->dst_cid),
		.src_port = htole32(p->src_port),
		.dst_port = htole32(p->dst_port),
		.len = htole32(p->len),
		.type = htole16(p->type),
		.op = htole16(p->op),
		.flags = htole32(p->flags),
		.buf_alloc = htole32(p->buf_alloc),
		.fwd_cnt = htole32(p->fwd_cnt),
	};
	return virtq_chain_write(c, 0, &h, VSOCK_HEADER_SIZE);
}

enum vsock_verdict vsock_packet_judge(const struct vsock_packet *p, uint64_t guest_cid)
{
	if (p->src_cid != guest_cid) /* 5.10.6.4.1: an answer would reach nobody */
		return VSOCK_DROP;
	/* Nobody lives at other CIDs, and we speak streams only (5.10.6.4.2). A RST is never
	 * answered by a RST. */
	if (p->dst_cid != VSOCK_CID_HOST || p->type != VSOCK_TYPE_STREAM)
		return p->op == VSOCK_OP_RST ? VSOCK_DROP : VSOCK_REFUSE;
	return VSOCK_TAKE;
}

struct vsock_packet vsock_packet_reset(const struct vsock_packet *p)
{
	return (struct vsock_packet){
		.src_cid = p->dst_cid,
		.dst_cid = p->src_cid,
		.src_port = p->dst_port,
		.dst_port = p->src_port,
		.type = p->type,
		.op = VSOCK_OP_RST,
	};
}
