/* SPDX-License-Identifier: Apache-2.0 */
/* What a network device and its driver exchange (virtio 1.2, 5.1.3 to 5.1.6). */
#ifndef VIRTIO_NET_LAYOUT_H
#define VIRTIO_NET_LAYOUT_H

#include <assert.h>
#include <stddef.h>

#include "util/bytes.h"

/* 5.1.3 */
#define NET_F_CSUM                (1ull << 0)
#define NET_F_GUEST_CSUM          (1ull << 1)
#define NET_F_CTRL_GUEST_OFFLOADS (1ull << 2)
#define NET_F_MTU                 (1ull << 3)
#define NET_F_MAC                 (1ull << 5)
#define NET_F_GUEST_TSO4          (1ull << 7)
#define NET_F_GUEST_TSO6          (1ull << 8)
#define NET_F_GUEST_ECN           (1ull << 9)
#define NET_F_HOST_TSO4           (1ull << 11)
#define NET_F_HOST_TSO6           (1ull << 12)
#define NET_F_HOST_ECN            (1ull << 13)
#define NET_F_MRG_RXBUF           (1ull << 15)
#define NET_F_STATUS              (1ull << 16)
#define NET_F_CTRL_VQ             (1ull << 17)
#define NET_F_MQ                  (1ull << 22)
#define NET_F_CTRL_MAC_ADDR       (1ull << 23)
/* virtio 1.3, 5.1.3 */
#define NET_F_GUEST_USO4 (1ull << 54)
#define NET_F_GUEST_USO6 (1ull << 55)
#define NET_F_HOST_USO   (1ull << 56)

/* What a driver may switch off and on again, 5.1.6.5.6 */
#define NET_GUEST_OFFLOADS                                                          \
	(NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_GUEST_ECN | \
		NET_F_GUEST_USO4 | NET_F_GUEST_USO6)

/* 5.1.4; the fields of features that are never offered are left out */
struct net_config {
	uint8_t mac[6];
	le16 status;
	le16 max_virtqueue_pairs;
	le16 mtu;
};
static_assert(sizeof(struct net_config) == 12, "virtio 1.2, 5.1.4");

#define NET_S_LINK_UP 1u

/* 5.1.6; before every frame. */
struct net_hdr {
	uint8_t flags;
	uint8_t gso_type;
	le16 hdr_len;
	le16 gso_size;
	le16 csum_start;
	le16 csum_offset;
	le16 num_buffers;
};
#define NET_HDR_SIZE 12u
static_assert(sizeof(struct net_hdr) == NET_HDR_SIZE, "virtio 1.2, 5.1.6");

#define NET_HDR_NEEDS_CSUM 1u
#define NET_HDR_DATA_VALID 2u

#define NET_GSO_NONE  0u
#define NET_GSO_TCPV4 1u
#define NET_GSO_TCPV6 4u
#define NET_GSO_UDP   5u /* VIRTIO_NET_HDR_GSO_UDP_L4 */
#define NET_GSO_ECN   0x80u

/* 5.1.6.5: class and command, data; then one byte of the device's */
#define NET_CTRL_HDR_SIZE       2u
#define NET_CTRL_OK             0u
#define NET_CTRL_ERR            1u
#define NET_CTRL_MAC            1u
#define NET_CTRL_MAC_ADDR       1u
#define NET_CTRL_MQ             4u
#define NET_CTRL_MQ_PAIRS       0u
#define NET_CTRL_OFFLOADS       5u
#define NET_CTRL_OFFLOADS_APPLY 0u

#define NET_ETH_HEADER 14u
/* An IP packet of 64 KiB less one with an Ethernet header and a VLAN tag; segmentation offload
 * makes them that long. */
#define NET_FRAME_MAX (65535u + NET_ETH_HEADER + 4u)

#endif
