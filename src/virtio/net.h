/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network device (virtio 1.2, 5.1): frames between the guest's queues and a tap or a stream of
 * the host. One or more pairs of a receive and a transmit queue, each pair with a thread of its
 * own, and a control queue.
 *
 * Option "net": tap=NAME[,queues=N] | fd=N | passt[=SOCKET|,fd=N], and mac=, mtu=; see lacuna(1).
 * Without mac= the address is a random one of local administration, another one each time.
 *
 * A tap is given frames as the guest has them, with checksums and segmentation left to the host
 * where the driver agreed. The stream has no place for that: there the guest is offered no
 * offloads, since a checksum is cheapest where the data is copied anyway, in the guest.
 */
#ifndef VIRTIO_NET_H
#define VIRTIO_NET_H

#include <lacuna/log.h>

#include "backend/netstream.h"
#include "backend/passt.h"
#include "backend/tap.h"
#include "dev/device.h"
#include "virtio/net_layout.h"
#include "virtio/worker.h"

extern const struct device_class virtio_net_class;

#define NET_PAIRS_MAX TAP_QUEUES_MAX

struct net;

/* Of one direction, as the guest sees it. Written by one thread, read by any. */
struct net_count {
	_Atomic uint64_t packets, bytes, dropped;
};

/* A frame on its way to the guest. */
struct net_frame {
	struct net_hdr hdr;
	uint32_t len;        /* without the header; 0: there is none */
	uint32_t placed;     /* so much of it is in the guest's buffers already */
	const uint8_t *rest; /* what follows */
};

#define NET_RX_IOVS 512u

/* Chains taken from the receive queue and not yet given back, in order. Their buffers lie one after
 * the other in @iov, so that a frame of unknown length can be read right into several of them. */
struct net_window {
	struct {
		uint16_t head, iovs;
		uint32_t size;
	} chain[VIRTQ_SIZE_MAX];
	unsigned chains, iovs;
	uint32_t size;
	struct iovec iov[NET_RX_IOVS];
};

struct net_pair {
	struct net *net;
	unsigned index;
	int fd;
	struct loop_source *source; /* of fd, while the pair serves */
	uint32_t events;
	struct net_count rx, tx;

	struct virtq_chain chain; /* being sent */
	bool chain_waits;         /* until the host has room for it */
	struct net_frame frame;   /* waits for room in the guest, if it has a length */
	struct net_window window;
	uint8_t *spill; /* NET_FRAME_MAX: what did not fit in the window */

	pthread_mutex_t lock; /* held while frames are received */
	bool enabled;         /* the driver uses the pair; under the lock */
};

struct net {
	struct device dev;
	struct virtio_device virtio;
	struct virtio_pci *pci;
	struct virtio_workers workers;
	const struct log *log;
	struct loop *loop; /* the machine's */
	struct net_config config;

	struct tap *tap; /* or the stream */
	struct netstream *stream;
	struct passt *passt; /* of our own, at the other end of the stream */
	struct loop_source *passt_source;

	unsigned pairs;
	struct net_pair *pair;
	_Atomic uint64_t
		offloads; /* NET_F_GUEST_*: in what form frames may be handed to the driver */

	pthread_mutex_t link_lock; /* taken before the device's */
	bool link_wanted;          /* by the user; under it */
	_Atomic bool lost;         /* the host's side is gone; changes under it */
	_Atomic bool link_up;      /* what the driver sees; likewise */
};

/* What a device is made of, but for its options. */
struct net_options {
	struct tap *tap; /* one of the two; taken, also on failure */
	struct netstream *stream;
	struct passt *passt; /* likewise, or NULL */
	uint8_t mac[6];
	uint16_t mtu; /* 0: not told */
};

int net_new(const struct device_env *env, const struct net_options *options, struct net **ret,
	struct lacuna_error **err);

static inline unsigned net_rx_queue(const struct net_pair *p)
{
	return 2 * p->index;
}

static inline unsigned net_tx_queue(const struct net_pair *p)
{
	return 2 * p->index + 1;
}

/* --- net.c --- */

/* The host's side is gone for good: the driver sees the link go down. @why: NULL for no more than
 * that. Any thread; no lock held but a pair's. */
void net_lost(struct net *net, const char *why);
/* Waits for these events, and no others. On the pair's thread. */
void net_wait(struct net_pair *p, uint32_t add, uint32_t remove);
/* TUN_F_* for a set of NET_F_GUEST_*, which @net->offloads becomes. 0 or -errno. */
int net_set_offloads(struct net *net, uint64_t offloads);

/* --- net_header.c --- */

/* A driver's header before a frame of @len bytes, with features @accepted: checked, and made what
 * the host may rely on. False: the frame is not to be sent. */
bool net_header_out(struct net_hdr *hdr, uint32_t len, uint64_t accepted);
/* The host's header, made what the driver may be given. False: it must not see the frame. */
bool net_header_in(struct net_hdr *hdr, uint64_t offloads);

/* --- net_rx.c, net_tx.c, net_ctrl.c: on the pair's thread --- */

/* Frames may have come, or room for them. */
void net_receive(struct net_pair *p);
/* Forgets what is under way. */
void net_receive_end(struct net_pair *p);
/* The driver may have frames, or the host room for them. */
void net_transmit(struct net_pair *p);

/* Carries out what the driver asks for on the control queue. */
void net_control(struct net *net, unsigned queue);
/* Enables that many pairs, from 1, and disables the others. 0 or -errno. */
int net_use_pairs(struct net *net, unsigned pairs);

#endif
