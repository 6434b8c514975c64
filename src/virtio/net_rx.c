// SPDX-License-Identifier: Apache-2.0
/*
 * Frames from the host to the guest (virtio 1.2, 5.1.6.3 and 5.1.6.4). A tap doesn't tell how long
 * the next frame is. So it is read into all chains that were taken from the queue so far, as if
 * they were one buffer, with a buffer of ours behind them that takes what does not fit: no frame is
 * ever cut short, and few are copied.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "util/thread.h"
#include "virtio/net.h"

/* So many frames are received before others get their turn. */
#define TURN 64u

#define SEGMENTED (NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_GUEST_USO4 | NET_F_GUEST_USO6)

/* --- the window --- */

/* Whether it may become larger, when the driver has more chains. */
static bool can_grow(const struct net_pair *p)
{
	const struct virtio_device *v = &p->net->virtio;
	const struct net_window *w = &p->window;
	if (!virtio_device_has(v, NET_F_MRG_RXBUF)) /* a frame has one chain */
		return !w->chains;
	return w->chains < v->queue[net_rx_queue(p)].ring.size &&
	       w->iovs + VIRTQ_SIZE_MAX <= NET_RX_IOVS;
}

/* Takes chains until the window has @want bytes, or there are no more. */
static void gather(struct net_pair *p, uint32_t want)
{
	struct virtio_device *v = &p->net->virtio;
	struct net_window *w = &p->window;
	struct virtq_chain c;
	while (w->size < want && can_grow(p) && virtio_queue_pop(v, net_rx_queue(p), &c)) {
		if (c.in_size < NET_HDR_SIZE) { /* 5.1.6.3.1 */
			virtio_device_fail(v, "a receive buffer without room for a header");
			return;
		}
		/* No frame needs more of it, and so the sum can't overflow. */
		uint32_t size = (uint32_t)min_u64(c.in_size, NET_HDR_SIZE + NET_FRAME_MAX);
		unsigned iovs = virtq_chain_in(&c, 0, size, w->iov + w->iovs);
		w->chain[w->chains].head = c.head;
		w->chain[w->chains].iovs = (uint16_t)iovs;
		w->chain[w->chains].size = size;
		w->chains++;
		w->iovs += iovs;
		w->size += size;
	}
}

/* How many of the first chains hold @len bytes, which the window does. */
static unsigned chains_for(const struct net_window *w, uint32_t len)
{
	unsigned n = 0;
	for (uint32_t sum = 0; sum < len; n++)
		sum += w->chain[n].size;
	return n;
}

/* Gives the first @chains chains back, filled with @len bytes. */
static void give_back(struct net_pair *p, unsigned chains, uint32_t len)
{
	struct virtq *ring = &p->net->virtio.queue[net_rx_queue(p)].ring;
	struct net_window *w = &p->window;
	unsigned iovs = 0;
	for (unsigned i = 0; i < chains; i++) {
		uint32_t used = (uint32_t)min_u64(len, w->chain[i].size);
		virtq_fill(ring, w->chain[i].head, used);
		len -= used;
		iovs += w->chain[i].iovs;
		w->size -= w->chain[i].size;
	}
	virtq_flush(ring); /* all chains of the frame at once: a driver looks for them at once */
	w->chains -= chains;
	w->iovs -= iovs;
	memmove(w->chain, w->chain + chains, w->chains * sizeof(w->chain[0]));
	memmove(w->iov, w->iov + iovs, w->iovs * sizeof(w->iov[0]));
}

/* --- a frame to the driver --- */

static void drop(struct net_pair *p)
{
	if (p->net->stream)
		netstream_consume(p->net->stream);
	p->frame.len = 0;
	p->rx.dropped++;
}

/* Hands the pair's frame over, or drops it. False: the guest has not enough room now. */
static bool deliver(struct net_pair *p)
{
	struct net_frame *f = &p->frame;
	struct net_window *w = &p->window;
	uint32_t need = NET_HDR_SIZE + f->len;
	if (!net_header_in(&f->hdr, p->net->offloads)) {
		drop(p);
		return true;
	}
	gather(p, need);
	if (!virtio_device_may_run(&p->net->virtio))
		return false;
	if (w->size < need) {
		if (can_grow(p))
			return false;
		drop(p);
		return true;
	}
	unsigned chains = chains_for(w, need);
	f->hdr.num_buffers = htole16((uint16_t)chains);
	const struct gmem_file *files = p->net->virtio.queue[net_rx_queue(p)].ring.mem->file;
	virtq_iov_write(files, w->iov, NET_HDR_SIZE + f->placed, f->rest, f->len - f->placed);
	virtq_iov_write(files, w->iov, 0, &f->hdr, NET_HDR_SIZE);
	give_back(p, chains, need);
	p->rx.packets++;
	p->rx.bytes += f->len;
	if (p->net->stream)
		netstream_consume(p->net->stream);
	f->len = 0;
	return true;
}

/* --- a frame from the host: 1, 0 for none, or -errno --- */

/* Reads into the window, the last argument says how much of it, and beyond. */
static int read_tap(struct net_pair *p, uint32_t window)
{
	struct net_frame *f = &p->frame;
	struct iovec iov[1 + NET_RX_IOVS + 1] = { { &f->hdr, NET_HDR_SIZE } };
	unsigned count = 1;
	if (window > NET_HDR_SIZE)
		count += virtq_slice(p->window.iov, p->window.iovs, window, NET_HDR_SIZE,
			window - NET_HDR_SIZE, iov + count);
	iov[count++] = (struct iovec){ p->spill, NET_FRAME_MAX };
	ssize_t n;
	do
		n = preadv2(p->fd, iov, (int)count, -1, p->net->tap->io_flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (n <= NET_HDR_SIZE)
		return -EMSGSIZE;
	f->len = (uint32_t)min_u64((uint64_t)n - NET_HDR_SIZE, NET_FRAME_MAX);
	f->placed = (uint32_t)min_u64(f->len, window ? window - NET_HDR_SIZE : 0);
	f->rest = p->spill;
	return 1;
}

static int read_stream(struct net_pair *p)
{
	struct net_frame *f = &p->frame;
	int rc = netstream_peek(p->net->stream, &f->rest, &f->len);
	if (rc <= 0)
		f->len = 0;
	f->placed = 0;
	f->hdr = (struct net_hdr){ 0 };
	return rc;
}

static int fetch(struct net_pair *p, uint32_t window)
{
	int rc = p->net->stream ? read_stream(p) : read_tap(p, window);
	if (rc >= 0)
		return rc;
	/* These concern one frame, whatever else is final. */
	if (rc == -EMSGSIZE || rc == -EFAULT || rc == -ENOMEM || rc == -ENOBUFS) {
		p->rx.dropped++;
		return 1;
	}
	net_lost(p->net, rc == -EPROTO ? "the other end of its socket sends no frames" : NULL);
	return rc;
}

/* How large a window most frames need; what is larger takes a copy more. */
static uint32_t usual_size(const struct net *net)
{
	if (net->offloads & SEGMENTED)
		return NET_HDR_SIZE + NET_FRAME_MAX;
	uint32_t mtu = (uint32_t)max_u64(1500, le16toh(net->config.mtu));
	return NET_HDR_SIZE + NET_ETH_HEADER + 4 + mtu;
}

/* As long as the link is down, and for a pair that the driver doesn't use. */
static void discard(struct net_pair *p)
{
	if (p->frame.len)
		drop(p);
	for (unsigned n = 0; n < TURN; n++) {
		if (fetch(p, 0) <= 0)
			return;
		if (p->frame.len)
			drop(p);
	}
}

/* Returns whether there is still room in the guest. */
static bool receive(struct net_pair *p)
{
	struct virtio_device *v = &p->net->virtio;
	unsigned queue = net_rx_queue(p), turn = 0;
	bool room = true;
	virtio_queue_kicks_off(v, queue);
	while (turn < TURN) {
		gather(p, usual_size(p->net));
		bool may = p->window.chains && virtio_device_may_run(v);
		if (may && !p->frame.len && fetch(p, p->window.size) <= 0)
			break;
		if (may && (!p->frame.len || deliver(p))) {
			turn++;
			continue;
		}
		room = virtio_queue_kicks_on(v, queue);
		if (!room)
			break;
		virtio_queue_kicks_off(v, queue);
	}
	virtio_queue_signal(v, queue);
	/* Of a stream more may have been read than could be handed over. */
	if (turn == TURN && p->net->stream)
		virtio_device_kick(v, queue);
	return room;
}

void net_receive(struct net_pair *p)
{
	LOCK_SCOPE(&p->lock);
	bool room = true;
	if (p->net->link_up && p->enabled)
		room = receive(p);
	else
		discard(p);
	net_wait(p, room ? EPOLLIN : 0, room ? 0 : EPOLLIN);
}

void net_receive_end(struct net_pair *p)
{
	p->window.chains = p->window.iovs = p->window.size = 0;
	p->frame.len = 0;
}
