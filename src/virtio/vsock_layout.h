/* SPDX-License-Identifier: Apache-2.0 */
/* What a socket device and its driver exchange (virtio 1.2, 5.10.2 to 5.10.6). */
#ifndef VIRTIO_VSOCK_LAYOUT_H
#define VIRTIO_VSOCK_LAYOUT_H

#include <assert.h>

#include "util/bytes.h"

enum { VSOCK_QUEUE_RX, VSOCK_QUEUE_TX, VSOCK_QUEUE_EVENT, VSOCK_QUEUE_COUNT };

#define VSOCK_F_STREAM (1ull << 0)

struct vsock_config {
	le64 guest_cid;
};
static_assert(sizeof(struct vsock_config) == 8, "virtio 1.2, 5.10.4");

/* Context identifiers: 0 and 1 are reserved, 0xffffffff means any, the upper half is zero. */
#define VSOCK_CID_HOST      2u
#define VSOCK_CID_GUEST_MIN 3u
#define VSOCK_CID_GUEST_MAX 0xfffffffeu

struct vsock_header {
	le64 src_cid;
	le64 dst_cid;
	le32 src_port;
	le32 dst_port;
	le32 len;
	le16 type;
	le16 op;
	le32 flags;
	le32 buf_alloc;
	le32 fwd_cnt;
} __attribute__((packed));
#define VSOCK_HEADER_SIZE 44u
static_assert(sizeof(struct vsock_header) == VSOCK_HEADER_SIZE, "virtio 1.2, 5.10.6");

enum { VSOCK_TYPE_STREAM = 1, VSOCK_TYPE_SEQPACKET = 2 };

enum {
	VSOCK_OP_INVALID = 0,
	VSOCK_OP_REQUEST = 1,
	VSOCK_OP_RESPONSE = 2,
	VSOCK_OP_RST = 3,
	VSOCK_OP_SHUTDOWN = 4,
	VSOCK_OP_RW = 5,
	VSOCK_OP_CREDIT_UPDATE = 6,
	VSOCK_OP_CREDIT_REQUEST = 7,
};

/* Flags of VSOCK_OP_SHUTDOWN: the sender will receive, or send, no more. */
#define VSOCK_SHUTDOWN_RCV  1u
#define VSOCK_SHUTDOWN_SEND 2u
#define VSOCK_SHUTDOWN_BOTH (VSOCK_SHUTDOWN_RCV | VSOCK_SHUTDOWN_SEND)

#endif
