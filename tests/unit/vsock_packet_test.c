// SPDX-License-Identifier: Apache-2.0
/* Headers of the socket device in chains of every cut, and what becomes of which packet. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "virtio/vsock_packet.h"

#define CID 7

static const struct vsock_packet sample = {
	.src_cid = CID,
	.dst_cid = VSOCK_CID_HOST,
	.src_port = 0x01020304,
	.dst_port = 0xfffffffe,
	.len = 100,
	.type = VSOCK_TYPE_STREAM,
	.op = VSOCK_OP_RW,
	.flags = 0xa5a5a5a5,
	.buf_alloc = 0x40000,
	.fwd_cnt = 0xffffffff,
};

/* As the specification lays it out, byte by byte (5.10.6). */
static const uint8_t sample_bytes[VSOCK_HEADER_SIZE] = { 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0,
	0, 0, 4, 3, 2, 1, 0xfe, 0xff, 0xff, 0xff, 100, 0, 0, 0, 1, 0, 5, 0, 0xa5, 0xa5, 0xa5, 0xa5,
	0, 0, 4, 0, 0xff, 0xff, 0xff, 0xff };

static bool equal(const struct vsock_packet *a, const struct vsock_packet *b)
{
	return a->src_cid == b->src_cid && a->dst_cid == b->dst_cid && a->src_port == b->src_port &&
	       a->dst_port == b->dst_port && a->len == b->len && a->type == b->type &&
	       a->op == b->op && a->flags == b->flags && a->buf_alloc == b->buf_alloc &&
	       a->fwd_cnt == b->fwd_cnt;
}

/* A chain over @bytes, readable or writable, in pieces of @piece bytes. */
static void chain_over(
	struct virtq_chain *c, uint8_t *bytes, uint32_t size, uint32_t piece, bool writable)
{
	unsigned count = 0;
	*c = (struct virtq_chain){ 0 };
	for (uint32_t at = 0; at < size; at += piece)
		c->iov[count++] =
			(struct iovec){ bytes + at, at + piece <= size ? piece : size - at };
	*(writable ? &c->in_count : &c->out_count) = count;
	*(writable ? &c->in_size : &c->out_size) = size;
}

struct cut {
	uint32_t size, piece;
	bool ok;
};

ParameterizedTestParameters(vsock_packet, read)
{
	static struct cut cuts[] = { { 144, 144, true }, { 144, 44, true }, { 144, 1, true },
		{ 144, 7, true }, { 145, 145, true }, { 143, 143, false }, { 44, 44, false },
		{ 43, 43, false }, { 43, 1, false }, { 0, 1, false } };
	return cr_make_param_array(struct cut, cuts, ARRAY_SIZE(cuts));
}

ParameterizedTest(struct cut *p, vsock_packet, read)
{
	static uint8_t bytes[256];
	static struct virtq_chain c;
	struct vsock_packet got;
	memcpy(bytes, sample_bytes, sizeof(sample_bytes));
	chain_over(&c, bytes, p->size, p->piece, false);
	const char *wrong = vsock_packet_read(&c, &got);
	cr_expect_eq(!wrong, p->ok, "%u bytes in pieces of %u: %s", p->size, p->piece,
		wrong ? wrong : "read");
	if (!wrong)
		cr_expect(equal(&got, &sample));
}

Test(vsock_packet, length_that_wraps)
{
	static uint8_t bytes[VSOCK_HEADER_SIZE];
	static struct virtq_chain c;
	struct vsock_packet got;
	static const uint32_t lengths[] = { 1, 0x80000000, 0xffffffff - VSOCK_HEADER_SIZE + 1,
		0xffffffff };
	for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
		store_le32(bytes + 24, lengths[i]);
		chain_over(&c, bytes, sizeof(bytes), sizeof(bytes), false);
		cr_expect_not_null(vsock_packet_read(&c, &got), "%#x", lengths[i]);
	}
	store_le32(bytes + 24, 0);
	cr_expect_null(vsock_packet_read(&c, &got));
}

ParameterizedTestParameters(vsock_packet, write)
{
	static struct cut cuts[] = { { 44, 44, true }, { 44, 1, true }, { 100, 43, true },
		{ 43, 43, false }, { 0, 1, false } };
	return cr_make_param_array(struct cut, cuts, ARRAY_SIZE(cuts));
}

ParameterizedTest(struct cut *p, vsock_packet, write)
{
	static uint8_t bytes[256];
	static struct virtq_chain c;
	memset(bytes, 0xee, sizeof(bytes));
	chain_over(&c, bytes, p->size, p->piece, true);
	cr_expect_eq(vsock_packet_write(&c, &sample), p->ok);
	if (p->ok)
		cr_expect_arr_eq(bytes, sample_bytes, VSOCK_HEADER_SIZE);
	cr_expect_eq(bytes[p->ok ? VSOCK_HEADER_SIZE : 0], 0xee, "nothing else is touched");
}

struct judged {
	uint64_t src_cid, dst_cid;
	uint16_t type, op;
	enum vsock_verdict verdict;
};

ParameterizedTestParameters(vsock_packet, judge)
{
	static struct judged rows[] = {
		{ CID, 2, 1, VSOCK_OP_REQUEST, VSOCK_TAKE },
		{ CID, 2, 1, VSOCK_OP_RST, VSOCK_TAKE },
		{ CID, 2, 1, 0, VSOCK_TAKE }, /* the connection decides */
		{ CID, 2, 1, 99, VSOCK_TAKE },
		{ CID + 1, 2, 1, VSOCK_OP_REQUEST, VSOCK_DROP },
		{ 2, 2, 1, VSOCK_OP_REQUEST, VSOCK_DROP },
		{ (1ull << 32) + CID, 2, 1, VSOCK_OP_REQUEST, VSOCK_DROP },
		{ CID, CID, 1, VSOCK_OP_REQUEST, VSOCK_REFUSE },
		{ CID, 1, 1, VSOCK_OP_REQUEST, VSOCK_REFUSE },
		{ CID, (1ull << 32) + 2, 1, VSOCK_OP_RW, VSOCK_REFUSE },
		{ CID, 3, 1, VSOCK_OP_RST, VSOCK_DROP },
		{ CID, 2, 2, VSOCK_OP_REQUEST, VSOCK_REFUSE }, /* seqpacket */
		{ CID, 2, 0, VSOCK_OP_REQUEST, VSOCK_REFUSE },
		{ CID, 2, 0xffff, VSOCK_OP_CREDIT_UPDATE, VSOCK_REFUSE },
		{ CID, 2, 2, VSOCK_OP_RST, VSOCK_DROP },
	};
	return cr_make_param_array(struct judged, rows, ARRAY_SIZE(rows));
}

ParameterizedTest(struct judged *row, vsock_packet, judge)
{
	struct vsock_packet p = sample;
	p.src_cid = row->src_cid;
	p.dst_cid = row->dst_cid;
	p.type = row->type;
	p.op = row->op;
	cr_expect_eq(vsock_packet_judge(&p, CID), row->verdict, "from %llx to %llx type %u op %u",
		(unsigned long long)p.src_cid, (unsigned long long)p.dst_cid, p.type, p.op);
}

Test(vsock_packet, reset_goes_back)
{
	struct vsock_packet r = vsock_packet_reset(&sample);
	const struct vsock_packet wanted = {
		.src_cid = VSOCK_CID_HOST,
		.dst_cid = CID,
		.src_port = sample.dst_port,
		.dst_port = sample.src_port,
		.type = VSOCK_TYPE_STREAM,
		.op = VSOCK_OP_RST,
	};
	cr_expect(equal(&r, &wanted));
}
