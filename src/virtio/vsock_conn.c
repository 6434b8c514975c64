// SPDX-License-Identifier: Apache-2.0
/* The state machine of a connection; vsock_conn.h has the map. */
#include "virtio/vsock_conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

void vsock_conn_init_host(struct vsock_conn *c)
{
	c->state = VSOCK_GREETING;
}

/* How many bytes the guest has room for. A guest that claims to have taken more than was sent has
 * none. */
static uint32_t credit(const struct vsock_conn *c)
{
	uint32_t under_way = c->sent - c->guest_forwarded;
	return under_way < c->guest_alloc ? c->guest_alloc - under_way : 0;
}

/* Every packet tells how much that is. */
static void take_credit(struct vsock_conn *c, const struct vsock_packet *p)
{
	c->guest_alloc = p->buf_alloc;
	c->guest_forwarded = p->fwd_cnt;
	if (credit(c))
		c->asked = false;
}

void vsock_conn_init_guest(struct vsock_conn *c, const struct vsock_packet *request)
{
	c->state = VSOCK_CONNECTING;
	c->guest_port = request->src_port;
	c->host_port = request->dst_port;
	take_credit(c, request);
}

static void drop_ring(struct vsock_conn *c)
{
	free(c->ring.data);
	c->ring = (struct ring){ 0 };
}

void vsock_conn_done(struct vsock_conn *c)
{
	drop_ring(c);
}

/* --- changes of state --- */

static void die(struct vsock_conn *c)
{
	drop_ring(c);
	c->owed = 0;
	c->state = VSOCK_DEAD;
}

static void reset(struct vsock_conn *c)
{
	drop_ring(c);
	c->owed = VSOCK_OWE_RESET;
	c->state = VSOCK_RESETTING;
}

/* The host's program has gone and nothing of it is left to deliver. */
static void host_closed(struct vsock_conn *c)
{
	drop_ring(c);
	c->ended = c->deaf = true;
	c->owed = VSOCK_OWE_SHUTDOWN | (c->owed & VSOCK_OWE_RESPONSE);
	c->state = VSOCK_CLOSING;
}

int vsock_conn_greet(struct vsock_conn *c, uint32_t *ret_port)
{
	int rc = vsock_greeting_read(&c->greeting, c->fd, ret_port);
	if (rc < 0)
		die(c);
	return rc;
}

void vsock_conn_request(struct vsock_conn *c, uint32_t guest_port, uint32_t host_port)
{
	c->guest_port = guest_port;
	c->host_port = host_port;
	c->owed = VSOCK_OWE_REQUEST;
	c->state = VSOCK_REQUESTED;
}

void vsock_conn_connected(struct vsock_conn *c)
{
	c->owed = VSOCK_OWE_RESPONSE;
	c->state = VSOCK_OPEN;
}

void vsock_conn_refused(struct vsock_conn *c)
{
	reset(c);
}

/* --- from guest to host --- */

/* The guest learns that bytes have been taken when it may be short of room: with the next packet,
 * or by one of its own once it believes half of the room to be used. */
static void forward(struct vsock_conn *c, uint32_t bytes)
{
	c->forwarded += bytes;
	uint32_t believed = c->forwarded + (uint32_t)c->ring.count - c->forwarded_told;
	if (c->state == VSOCK_OPEN && bytes && believed >= VSOCK_CREDIT / 2)
		c->owed |= VSOCK_OWE_CREDIT_UPDATE;
}

/* The host takes no more; the guest may still want to hear it. */
static void turn_deaf(struct vsock_conn *c)
{
	uint32_t lost = (uint32_t)c->ring.count;
	drop_ring(c);
	forward(c, lost);
	if (c->deaf)
		return;
	c->deaf = true;
	if (c->state == VSOCK_OPEN)
		c->owed |= VSOCK_OWE_SHUTDOWN;
}

/* After the last byte: what the guest has shut is shut for the host too. */
static void shut_writing(struct vsock_conn *c)
{
	if (c->ring.count)
		return;
	if (c->state == VSOCK_DRAINING) {
		if (c->owed)
			reset(c);
		else
			die(c);
	} else if ((c->guest_shut & VSOCK_SHUTDOWN_SEND) && !c->write_shut) {
		c->write_shut = true;
		shutdown(c->fd, SHUT_WR);
	}
}

/* Writes what waits. */
static void flush(struct vsock_conn *c)
{
	size_t len;
	while (c->ring.count) {
		const uint8_t *data = ring_peek(&c->ring, &len);
		ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			turn_deaf(c);
			break;
		}
		ring_drop(&c->ring, (size_t)n);
		forward(c, (uint32_t)n);
	}
	drop_ring(c);
	shut_writing(c);
}

/* Keeps [@offset, @offset + @len) of the chain, which the ring has room for. */
static bool keep(
	struct vsock_conn *c, const struct virtq_chain *chain, uint32_t offset, uint32_t len)
{
	if (!c->ring.data) {
		c->ring = (struct ring){ .data = malloc(VSOCK_CREDIT), .size = VSOCK_CREDIT };
		if (!c->ring.data)
			return false;
	}
	uint8_t piece[4096];
	while (len) {
		uint32_t n = (uint32_t)min_u64(len, sizeof(piece));
		if (!virtq_chain_read(chain, offset, piece, n))
			return false;
		ring_put(&c->ring, piece, n);
		offset += n;
		len -= n;
	}
	return true;
}

/* Payload: straight from the guest's buffers to the socket; the ring takes what doesn't fit. */
static uint32_t receive_data(
	struct vsock_conn *c, const struct vsock_packet *p, const struct virtq_chain *chain)
{
	if ((c->guest_shut & VSOCK_SHUTDOWN_SEND) || p->len > VSOCK_CREDIT - c->ring.count) {
		reset(c);
		return 0;
	}
	uint32_t done = 0;
	if (!c->ring.count && !c->deaf && p->len) {
		struct iovec iov[VIRTQ_SIZE_MAX];
		struct msghdr m = { .msg_iov = iov };
		m.msg_iovlen = virtq_chain_out(chain, VSOCK_HEADER_SIZE, p->len, iov);
		ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0)
			done = (uint32_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			turn_deaf(c);
	}
	if (c->deaf)
		done = p->len; /* into nothing */
	if (done < p->len && !keep(c, chain, VSOCK_HEADER_SIZE + done, p->len - done)) {
		reset(c);
		return 0;
	}
	forward(c, done);
	return p->len;
}

static void receive_shutdown(struct vsock_conn *c, const struct vsock_packet *p)
{
	unsigned before = c->guest_shut;
	c->guest_shut |= p->flags & VSOCK_SHUTDOWN_BOTH;
	if (c->guest_shut == VSOCK_SHUTDOWN_BOTH) { /* 5.10.6.5: answered by a RST */
		if (c->state == VSOCK_OPEN && c->ring.count) {
			c->state = VSOCK_DRAINING;
			c->owed = VSOCK_OWE_RESET;
		} else {
			reset(c);
		}
		return;
	}
	if (c->state != VSOCK_OPEN)
		return;
	if (c->guest_shut & ~before & VSOCK_SHUTDOWN_RCV)
		shutdown(c->fd, SHUT_RD);
	shut_writing(c);
}

/* The guest has accepted what the host's program asked for. */
static void opened(struct vsock_conn *c)
{
	char line[32];
	int len = snprintf(line, sizeof(line), "OK %u\n", c->host_port);
	/* Nothing else has been written, so it fits, or else nobody is there. */
	if (send(c->fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len) {
		reset(c);
		return;
	}
	c->state = VSOCK_OPEN;
	c->readable = true;
}

/* What the guest may send while the connection is open. */
static uint32_t receive_open(
	struct vsock_conn *c, const struct vsock_packet *p, const struct virtq_chain *chain)
{
	switch (p->op) {
	case VSOCK_OP_RW:
		return receive_data(c, p, chain);
	case VSOCK_OP_SHUTDOWN:
		receive_shutdown(c, p);
		break;
	case VSOCK_OP_CREDIT_UPDATE:
		break;
	case VSOCK_OP_CREDIT_REQUEST:
		c->owed |= VSOCK_OWE_CREDIT_UPDATE;
		break;
	default: /* a REQUEST too: the guest knows nothing of this connection */
		reset(c);
	}
	return 0;
}

uint32_t vsock_conn_receive(
	struct vsock_conn *c, const struct vsock_packet *p, const struct virtq_chain *chain)
{
	if (p->op == VSOCK_OP_RST) {
		if (c->state == VSOCK_DRAINING)
			c->owed = 0;
		else
			die(c);
		return 0;
	}
	take_credit(c, p);
	switch (c->state) {
	case VSOCK_CONNECTING:
		reset(c);
		break;
	case VSOCK_REQUESTED:
		if (p->op == VSOCK_OP_RESPONSE && !c->owed)
			opened(c);
		else
			reset(c);
		break;
	case VSOCK_OPEN:
		return receive_open(c, p, chain);
	case VSOCK_CLOSING:
		if (p->op == VSOCK_OP_SHUTDOWN)
			receive_shutdown(c, p);
		else if (p->op == VSOCK_OP_REQUEST)
			reset(c);
		break;
	default: /* a RST is on its way */
		break;
	}
	return 0;
}

/* --- from host to guest --- */

static bool may_read(const struct vsock_conn *c)
{
	return c->state == VSOCK_OPEN && !c->ended && !(c->guest_shut & VSOCK_SHUTDOWN_RCV) &&
	       credit(c);
}

/* The host's end is closed: nothing can be written, what it sent before can still be read. */
static void host_gone(struct vsock_conn *c)
{
	switch (c->state) {
	case VSOCK_REQUESTED:
		if (c->owed & VSOCK_OWE_REQUEST)
			die(c);
		else
			reset(c);
		break;
	case VSOCK_OPEN:
		c->gone = c->readable = true;
		if (c->ended || (c->guest_shut & VSOCK_SHUTDOWN_RCV))
			host_closed(c);
		else
			turn_deaf(c);
		break;
	case VSOCK_DRAINING:
		drop_ring(c);
		shut_writing(c);
		break;
	default:
		break;
	}
}

void vsock_conn_event(struct vsock_conn *c, uint32_t events)
{
	if (events & (EPOLLHUP | EPOLLERR))
		host_gone(c);
	if (events & EPOLLIN)
		c->readable = true;
	if ((events & EPOLLOUT) && vsock_conn_needs_fd(c))
		flush(c);
}

bool vsock_conn_needs_fd(const struct vsock_conn *c)
{
	return c->state == VSOCK_GREETING || c->state == VSOCK_REQUESTED ||
	       c->state == VSOCK_OPEN || c->state == VSOCK_DRAINING;
}

uint32_t vsock_conn_interest(const struct vsock_conn *c)
{
	switch (c->state) {
	case VSOCK_GREETING:
		return EPOLLIN;
	case VSOCK_REQUESTED:
		return EPOLLHUP;
	case VSOCK_OPEN:
		return (may_read(c) && !c->readable ? EPOLLIN : 0u) |
		       (c->ring.count ? EPOLLOUT : 0u) | (c->gone ? 0u : EPOLLHUP);
	case VSOCK_DRAINING:
		return EPOLLOUT;
	default:
		return 0;
	}
}

bool vsock_conn_pending(const struct vsock_conn *c)
{
	return c->owed || (c->readable && may_read(c));
}

/* Fills the payload from the socket: its length, or 0 when there is none. */
static uint32_t read_data(struct vsock_conn *c, const struct virtq_chain *chain)
{
	struct iovec iov[VIRTQ_SIZE_MAX];
	struct msghdr m = { .msg_iov = iov };
	uint32_t room = (uint32_t)min_u64(chain->in_size - VSOCK_HEADER_SIZE, VSOCK_PACKET_MAX);
	room = (uint32_t)min_u64(room, credit(c));
	m.msg_iovlen = virtq_chain_in(chain, VSOCK_HEADER_SIZE, room, iov);
	ssize_t n = recvmsg(c->fd, &m, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		c->readable = errno == EINTR;
		return 0;
	}
	if (n > 0) {
		/* Less than could be: epoll will say when there is more. */
		c->readable = (uint32_t)n == room || c->gone;
		c->sent += (uint32_t)n;
		return (uint32_t)n;
	}
	c->ended = true;
	c->readable = false;
	if (n < 0 || c->gone)
		host_closed(c);
	else
		c->owed |= VSOCK_OWE_SHUTDOWN;
	return 0;
}

/* Takes @what off the list of what is owed, if it is there. */
static bool settle(struct vsock_conn *c, unsigned what)
{
	bool owed = c->owed & what;
	c->owed &= ~what;
	return owed;
}

static uint16_t next_control(struct vsock_conn *c, struct vsock_packet *p)
{
	if (settle(c, VSOCK_OWE_RESET)) {
		if (c->state == VSOCK_RESETTING)
			die(c);
		return VSOCK_OP_RST;
	}
	if (settle(c, VSOCK_OWE_REQUEST))
		return VSOCK_OP_REQUEST;
	if (settle(c, VSOCK_OWE_RESPONSE)) {
		c->readable = c->state == VSOCK_OPEN;
		return VSOCK_OP_RESPONSE;
	}
	if (settle(c, VSOCK_OWE_SHUTDOWN)) {
		p->flags =
			(c->deaf ? VSOCK_SHUTDOWN_RCV : 0u) | (c->ended ? VSOCK_SHUTDOWN_SEND : 0u);
		return VSOCK_OP_SHUTDOWN;
	}
	return VSOCK_OP_INVALID;
}

bool vsock_conn_produce(
	struct vsock_conn *c, const struct virtq_chain *chain, struct vsock_packet *ret)
{
	struct vsock_packet p = {
		.src_port = c->host_port,
		.dst_port = c->guest_port,
		.type = VSOCK_TYPE_STREAM,
		.buf_alloc = VSOCK_CREDIT,
		.fwd_cnt = c->forwarded,
	};
	p.op = next_control(c, &p);
	if (!p.op && c->readable && may_read(c)) {
		p.len = read_data(c, chain);
		if (p.len)
			p.op = VSOCK_OP_RW;
		else
			p.op = next_control(c, &p); /* the end was found */
		if (p.len && !credit(c) && !c->asked) {
			c->asked = true;
			c->owed |= VSOCK_OWE_CREDIT_REQUEST;
		}
	}
	if (!p.op && settle(c, VSOCK_OWE_CREDIT_UPDATE))
		p.op = VSOCK_OP_CREDIT_UPDATE;
	if (!p.op && settle(c, VSOCK_OWE_CREDIT_REQUEST))
		p.op = VSOCK_OP_CREDIT_REQUEST;
	if (!p.op)
		return false;
	/* Every packet tells the guest of its room. */
	c->forwarded_told = c->forwarded;
	c->owed &= ~(unsigned)VSOCK_OWE_CREDIT_UPDATE;
	*ret = p;
	return true;
}

bool vsock_conn_detached(const struct vsock_conn *c)
{
	return c->state == VSOCK_DEAD || (c->state == VSOCK_DRAINING && !c->owed);
}
