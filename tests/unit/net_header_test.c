// SPDX-License-Identifier: Apache-2.0
/* The header of a frame: what a driver may ask of the host, and what it may be told. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "virtio/net.h"

#define CSUM NET_F_CSUM
#define TSO  (NET_F_CSUM | NET_F_HOST_TSO4 | NET_F_HOST_TSO6)
#define ALL  (TSO | NET_F_HOST_ECN | NET_F_HOST_USO)

struct out_case {
	uint64_t accepted;
	uint32_t len;
	uint8_t flags, type;
	uint16_t hdr_len, gso_size, start, offset;
	bool ok;
	uint16_t hdr_len_after;
};

ParameterizedTestParameters(net_header, out)
{
	static struct out_case c[] = {
		/* accepted, len, flags, type, hdr_len, gso_size, csum_start, csum_offset */
		{ 0, 14, 0, 0, 0, 0, 0, 0, true, 0 },
		{ 0, 14, 0xfe, 0, 0, 0, 0, 0, true, 0 }, /* flags nobody knows */
		{ 0, 14, 0, 0, 99, 99, 99, 99, true, 0 },
		{ CSUM, 60, 1, 0, 0, 0, 34, 16, true, 0 },
		{ 0, 60, 1, 0, 0, 0, 34, 16, false, 0 }, /* not agreed upon */
		{ CSUM, 52, 1, 0, 0, 0, 34, 16, true, 0 },
		{ CSUM, 51, 1, 0, 0, 0, 34, 16, false, 0 }, /* the sum is behind the end */
		{ CSUM, 60, 1, 0, 0, 0, 0xffff, 0xffff, false, 0 },
		{ CSUM, 60, 1, 0, 0, 0, 0xfff0, 0x20, false, 0 },
		{ CSUM, 14, 1, 0, 0, 0, 0, 12, true, 0 },
		{ TSO, 3000, 1, 1, 54, 1448, 34, 16, true, 54 },
		{ TSO, 3000, 1, 4, 74, 1428, 54, 16, true, 74 },
		{ TSO, 3000, 1, 1, 0, 1448, 34, 16, true, 0 },
		{ TSO, 3000, 1, 1, 3001, 1448, 34, 16, true, 3000 }, /* only a hint */
		{ TSO, 3000, 1, 1, 0xffff, 1448, 34, 16, true, 3000 },
		{ TSO, 3000, 0, 1, 54, 1448, 34, 16, false, 0 }, /* needs a checksum */
		{ TSO, 3000, 1, 1, 54, 0, 34, 16, false, 0 },
		{ CSUM, 3000, 1, 1, 54, 1448, 34, 16, false, 0 },
		{ CSUM | NET_F_HOST_TSO4, 3000, 1, 4, 54, 1448, 34, 16, false, 0 },
		{ CSUM | NET_F_HOST_TSO6, 3000, 1, 1, 54, 1448, 34, 16, false, 0 },
		{ TSO, 3000, 1, 0x81, 54, 1448, 34, 16, false, 0 }, /* ECN */
		{ ALL, 3000, 1, 0x81, 54, 1448, 34, 16, true, 54 },
		{ ALL, 3000, 1, 0x84, 54, 1448, 34, 16, true, 54 },
		{ ALL, 3000, 1, 0x80, 54, 1448, 34, 16, false, 0 }, /* ECN of nothing */
		{ ALL, 3000, 1, 5, 42, 1472, 34, 6, true, 42 },
		{ TSO, 3000, 1, 5, 42, 1472, 34, 6, false, 0 },
		{ ALL, 3000, 1, 3, 42, 1472, 34, 6, false, 0 }, /* UFO was never offered */
		{ ALL, 3000, 1, 2, 42, 1472, 34, 6, false, 0 },
		{ ALL, 3000, 1, 0x7f, 42, 1472, 34, 6, false, 0 },
		{ ALL, 3000, 1, 0xff, 42, 1472, 34, 6, false, 0 },
	};
	return cr_make_param_array(struct out_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct out_case *c, net_header, out)
{
	struct net_hdr h = { c->flags, c->type, htole16(c->hdr_len), htole16(c->gso_size),
		htole16(c->start), htole16(c->offset), 77 };
	cr_assert_eq(net_header_out(&h, c->len, c->accepted), c->ok);
	if (!c->ok)
		return;
	cr_expect_eq(h.flags, c->flags & 1);
	cr_expect_eq(h.gso_type, c->type);
	cr_expect_eq(le16toh(h.hdr_len), c->hdr_len_after);
	cr_expect_eq(le16toh(h.gso_size), c->type ? c->gso_size : 0);
	cr_expect_eq(le16toh(h.csum_start), h.flags ? c->start : 0);
	cr_expect_eq(le16toh(h.csum_offset), h.flags ? c->offset : 0);
	cr_expect_eq(h.num_buffers, 0);
}

#define GCSUM NET_F_GUEST_CSUM
#define GTSO  (GCSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6)

struct in_case {
	uint64_t offloads;
	uint8_t flags, type;
	bool ok;
	uint8_t flags_after;
};

ParameterizedTestParameters(net_header, in)
{
	static struct in_case c[] = {
		{ 0, 0, 0, true, 0 },
		{ 0, 2, 0, true, 0 }, /* "the checksum is right" is for those who asked */
		{ 0, 1, 0, false, 0 },
		{ GCSUM, 1, 0, true, 1 },
		{ GCSUM, 2, 0, true, 2 },
		{ GCSUM, 0xff, 0, true, 3 },
		{ GCSUM, 1, 1, false, 0 },
		{ GTSO, 1, 1, true, 1 },
		{ GTSO, 1, 4, true, 1 },
		{ GCSUM | NET_F_GUEST_TSO4, 1, 4, false, 0 },
		{ GTSO, 1, 0x81, false, 0 },
		{ GTSO | NET_F_GUEST_ECN, 1, 0x81, true, 1 },
		{ GTSO, 1, 5, false, 0 },
		{ GTSO | NET_F_GUEST_USO4 | NET_F_GUEST_USO6, 1, 5, true, 1 },
		{ GTSO | NET_F_GUEST_USO4, 1, 5, false, 0 },
		{ UINT64_MAX, 1, 3, false, 0 },
		{ UINT64_MAX, 1, 0x7f, false, 0 },
	};
	return cr_make_param_array(struct in_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct in_case *c, net_header, in)
{
	struct net_hdr h = { c->flags, c->type, htole16(54), htole16(1448), htole16(34),
		htole16(16), 0 };
	cr_assert_eq(net_header_in(&h, c->offloads), c->ok);
	if (!c->ok)
		return;
	cr_expect_eq(h.flags, c->flags_after);
	cr_expect_eq(h.gso_type, c->type);
	cr_expect_eq(le16toh(h.gso_size), c->type ? 1448 : 0);
}
