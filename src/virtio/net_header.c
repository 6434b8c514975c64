// SPDX-License-Identifier: Apache-2.0
/* The header before each frame (virtio 1.2, 5.1.6): nothing gets from one side to the other that
 * was not agreed upon. */
#include "virtio/net.h"

/* The feature without which a driver may not send this type; 0: there is no such type. */
static uint64_t host_feature(uint8_t gso_type)
{
	switch (gso_type) {
	case NET_GSO_TCPV4:
		return NET_F_HOST_TSO4;
	case NET_GSO_TCPV6:
		return NET_F_HOST_TSO6;
	case NET_GSO_UDP:
		return NET_F_HOST_USO;
	default:
		return 0;
	}
}

/* 5.1.6.2 */
bool net_header_out(struct net_hdr *hdr, uint32_t len, uint64_t accepted)
{
	uint8_t flags = hdr->flags & NET_HDR_NEEDS_CSUM; /* others must be ignored */
	uint8_t type = hdr->gso_type & (uint8_t)~NET_GSO_ECN;
	bool ecn = hdr->gso_type & NET_GSO_ECN;

	hdr->num_buffers = 0;
	hdr->flags = flags;
	if (flags) {
		uint32_t sum_at = (uint32_t)le16toh(hdr->csum_start) + le16toh(hdr->csum_offset);
		if (!(accepted & NET_F_CSUM) || len < 2 || sum_at > len - 2)
			return false;
	} else {
		hdr->csum_start = hdr->csum_offset = 0;
	}
	if (type == NET_GSO_NONE) {
		hdr->gso_type = NET_GSO_NONE;
		hdr->hdr_len = hdr->gso_size = 0;
		return !ecn;
	}
	uint64_t feature = host_feature(type);
	if (!feature || !(accepted & feature) || (ecn && !(accepted & NET_F_HOST_ECN)))
		return false;
	if (le16toh(hdr->hdr_len) > len) /* a hint, no more */
		hdr->hdr_len = htole16((uint16_t)len);
	return flags && hdr->gso_size;
}

/* 5.1.6.4.1. What the driver has not agreed to does occur: a tap may hold frames from before. */
bool net_header_in(struct net_hdr *hdr, uint64_t offloads)
{
	bool ecn = hdr->gso_type & NET_GSO_ECN;
	uint64_t needed = 0;
	switch (hdr->gso_type & ~NET_GSO_ECN) {
	case NET_GSO_NONE:
		hdr->gso_size = hdr->hdr_len = 0;
		break;
	case NET_GSO_TCPV4:
		needed = NET_F_GUEST_TSO4;
		break;
	case NET_GSO_TCPV6:
		needed = NET_F_GUEST_TSO6;
		break;
	case NET_GSO_UDP:
		needed = NET_F_GUEST_USO4 | NET_F_GUEST_USO6;
		break;
	default:
		return false;
	}
	if (ecn)
		needed |= NET_F_GUEST_ECN;
	if ((offloads & needed) != needed)
		return false;
	if (offloads & NET_F_GUEST_CSUM) {
		hdr->flags &= NET_HDR_NEEDS_CSUM | NET_HDR_DATA_VALID;
		return true;
	}
	bool whole = !(hdr->flags & NET_HDR_NEEDS_CSUM);
	hdr->flags = 0;
	hdr->csum_start = hdr->csum_offset = 0;
	return whole;
}
