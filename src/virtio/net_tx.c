// SPDX-License-Identifier: Apache-2.0
/* Frames from the guest to the host (virtio 1.2, 5.1.6.2). */
#include <errno.h>
#include <sys/epoll.h>

#include "virtio/net.h"

/* So many frames are sent before the driver is told and others get their turn. */
#define TURN 64u

/* 0 or -errno; -EAGAIN: the host has no room now. */
static int send_to_tap(struct net_pair *p, const struct net_hdr *hdr, uint32_t len)
{
	struct iovec iov[1 + VIRTQ_SIZE_MAX] = { { (void *)(uintptr_t)hdr, NET_HDR_SIZE } };
	unsigned count = 1 + virtq_chain_out(&p->chain, NET_HDR_SIZE, len, iov + 1);
	ssize_t n;
	do
		n = pwritev2(p->fd, iov, (int)count, -1, p->net->tap->io_flags);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int send_to_stream(struct net_pair *p, uint32_t len)
{
	if (len > NETSTREAM_FRAME_MAX)
		return -EMSGSIZE;
	uint8_t *room = netstream_reserve(p->net->stream, len);
	if (!room)
		return -EAGAIN;
	if (!virtq_chain_read(&p->chain, NET_HDR_SIZE, room, len))
		return -EFAULT;
	netstream_commit(p->net->stream, len);
	return 0;
}

/* Sends the frame of the pair's chain, or drops it. False: it has to wait. */
static bool send_frame(struct net_pair *p)
{
	struct net *net = p->net;
	uint32_t len = p->chain.out_size - NET_HDR_SIZE;
	struct net_hdr hdr;
	int rc = -EINVAL;
	if (net->link_up && len >= NET_ETH_HEADER && len <= NET_FRAME_MAX &&
		virtq_chain_read(&p->chain, 0, &hdr, sizeof(hdr)) &&
		net_header_out(&hdr, len, net->virtio.accepted))
		rc = net->stream ? send_to_stream(p, len) : send_to_tap(p, &hdr, len);
	if (rc == -EAGAIN)
		return false;
	if (rc == -EBADFD)
		net_lost(net, NULL);
	if (rc < 0) {
		p->tx.dropped++;
		return true;
	}
	p->tx.packets++;
	p->tx.bytes += len;
	return true;
}

/* True when everything is with the host's kernel. */
static bool flush(struct net_pair *p)
{
	int rc = p->net->stream ? netstream_flush(p->net->stream) : 0;
	if (rc == -EPIPE)
		net_lost(p->net, NULL);
	return rc != -EAGAIN;
}

/*
 * Kicks stay off until a turn finds nothing: a driver that is about to send more needs none, and
 * between two turns of the loop it has the time. Without that, a host that is quick about a frame
 * takes a kick, an exit, for each.
 */
void net_transmit(struct net_pair *p)
{
	struct virtio_device *v = &p->net->virtio;
	unsigned queue = net_tx_queue(p), sent = 0;
	bool blocked = false;

	if (!virtio_device_may_run(v)) { /* also not what waits; a kick follows when it may */
		net_wait(p, 0, EPOLLOUT);
		return;
	}
	virtio_queue_kicks_off(v, queue);
	while (sent < TURN && (p->chain_waits || virtio_queue_pop(v, queue, &p->chain))) {
		if (p->chain.out_size < NET_HDR_SIZE) {
			virtio_device_fail(v, "a frame to send without a whole header");
			break;
		}
		p->chain_waits = blocked = !send_frame(p);
		if (blocked)
			break;
		virtio_queue_put(v, queue, &p->chain, 0);
		sent++;
	}
	if (!flush(p))
		blocked = true;
	net_wait(p, blocked ? EPOLLOUT : 0, blocked ? 0 : EPOLLOUT);
	virtio_queue_signal(v, queue);
	if (!blocked && (sent || virtio_queue_kicks_on(v, queue)))
		virtio_device_kick(v, queue);
}
