// SPDX-License-Identifier: Apache-2.0
/* The state machine of a connection, between packets made by hand and one end of a socket pair. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "virtio/vsock_conn.h"

#define GUEST_PORT 1024
#define HOST_PORT  52
#define GUEST_ROOM 65536u
#define RX_ROOM    4096u

static struct vsock_conn conn, *c = &conn;
static int peer; /* the host's program */
static struct virtq_chain tx, rx;
static uint8_t tx_bytes[VSOCK_HEADER_SIZE + 2 * VSOCK_CREDIT];
static uint8_t rx_bytes[VSOCK_HEADER_SIZE + RX_ROOM];
static struct vsock_packet got; /* what the guest got last */
static uint32_t guest_taken;    /* bytes the guest's program has read */

/* --- the guest --- */

static uint32_t guest_sends_flags(uint16_t op, uint32_t len, uint32_t flags)
{
	const struct vsock_packet p = {
		.len = len,
		.type = VSOCK_TYPE_STREAM,
		.op = op,
		.flags = flags,
		.buf_alloc = GUEST_ROOM,
		.fwd_cnt = guest_taken,
		.src_port = GUEST_PORT,
		.dst_port = HOST_PORT,
	};
	/* three buffers that don't end where anything else does */
	uint32_t size = VSOCK_HEADER_SIZE + len;
	tx = (struct virtq_chain){ .out_count = 3, .out_size = size };
	tx.iov[0] = (struct iovec){ tx_bytes, 20 };
	tx.iov[1] = (struct iovec){ tx_bytes + 20, (size - 20) / 3 };
	tx.iov[2] = (struct iovec){ tx_bytes + 20 + (size - 20) / 3, size - 20 - (size - 20) / 3 };
	return vsock_conn_receive(c, &p, &tx);
}

static uint32_t guest_sends(uint16_t op, uint32_t len)
{
	return guest_sends_flags(op, len, 0);
}

/* One buffer of the guest's: the operation that it gets, or 0 when nothing comes. */
static uint16_t guest_gets(void)
{
	rx = (struct virtq_chain){ .in_count = 2, .in_size = sizeof(rx_bytes) };
	rx.iov[0] = (struct iovec){ rx_bytes, VSOCK_HEADER_SIZE };
	rx.iov[1] = (struct iovec){ rx_bytes + VSOCK_HEADER_SIZE, RX_ROOM };
	got = (struct vsock_packet){ 0 };
	if (!vsock_conn_pending(c) || !vsock_conn_produce(c, &rx, &got))
		return 0;
	cr_expect_eq(got.src_port, HOST_PORT);
	cr_expect_eq(got.dst_port, GUEST_PORT);
	cr_expect_eq(got.type, VSOCK_TYPE_STREAM);
	cr_expect_eq(got.buf_alloc, VSOCK_CREDIT);
	return got.op;
}

/* --- the host --- */

/* What epoll would tell, as far as the connection wants to know it; false: nothing. */
static bool host_event(void)
{
	uint32_t interest = vsock_conn_interest(c);
	struct pollfd p = { .fd = c->fd, .events = (short)interest };
	if (!interest || !vsock_conn_needs_fd(c) || poll(&p, 1, 0) <= 0)
		return false;
	vsock_conn_event(c, (uint32_t)p.revents);
	return true;
}

static size_t peer_reads(uint8_t *buf, size_t size)
{
	size_t done = 0;
	while (done < size) {
		ssize_t n = recv(peer, buf + done, size - done, MSG_DONTWAIT);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

static bool peer_at_end(void)
{
	uint8_t byte;
	return recv(peer, &byte, 1, MSG_DONTWAIT) == 0;
}

static void fill_pattern(uint8_t *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(seed + i * 7 + (i >> 8));
}

static void set_up(void)
{
	int fd[2];
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	memset(c, 0, sizeof(*c));
	c->fd = fd[0];
	peer = fd[1];
	guest_taken = 0;
}

static void tear_down(void)
{
	vsock_conn_done(c);
	if (c->fd >= 0)
		close(c->fd);
	if (peer >= 0)
		close(peer);
}

/* A guest's connection, accepted. */
static void open_from_guest(void)
{
	const struct vsock_packet request = {
		.src_port = GUEST_PORT,
		.dst_port = HOST_PORT,
		.type = VSOCK_TYPE_STREAM,
		.op = VSOCK_OP_REQUEST,
		.buf_alloc = GUEST_ROOM,
	};
	vsock_conn_init_guest(c, &request);
	cr_assert_eq(guest_gets(), 0);
	vsock_conn_connected(c);
	cr_assert_eq(guest_gets(), VSOCK_OP_RESPONSE);
	cr_assert_eq(guest_gets(), 0);
}

TestSuite(vsock_conn, .init = set_up, .fini = tear_down, .timeout = 60);

/* --- opening --- */

Test(vsock_conn, host_opens)
{
	char ok[16] = "";
	uint32_t port = 0;
	vsock_conn_init_host(c);
	cr_expect_eq(vsock_conn_greet(c, &port), 0);
	cr_expect_eq(vsock_conn_interest(c), EPOLLIN);
	cr_assert_eq(send(peer, "CONNECT 1024\nearly", 18, 0), 18);
	cr_assert_eq(vsock_conn_greet(c, &port), 1);
	cr_expect_eq(port, GUEST_PORT);
	vsock_conn_request(c, port, HOST_PORT);
	cr_expect_eq(guest_gets(), VSOCK_OP_REQUEST);
	cr_expect_eq(guest_gets(), 0);
	cr_expect_not(host_event(), "nobody waits for what came early");
	guest_sends(VSOCK_OP_RESPONSE, 0);
	cr_expect_eq(c->state, VSOCK_OPEN);
	cr_expect_eq(peer_reads((uint8_t *)ok, sizeof(ok)), 6);
	cr_expect_str_eq(ok, "OK 52\n");
	cr_expect_eq(guest_gets(), VSOCK_OP_RW);
	cr_expect_eq(got.len, 5);
	cr_expect_arr_eq(rx_bytes + VSOCK_HEADER_SIZE, "early", 5);
}

Test(vsock_conn, guest_refuses)
{
	vsock_conn_init_host(c);
	vsock_conn_request(c, GUEST_PORT, HOST_PORT);
	cr_assert_eq(guest_gets(), VSOCK_OP_REQUEST);
	guest_sends(VSOCK_OP_RST, 0);
	cr_expect_eq(c->state, VSOCK_DEAD);
	cr_expect_not(vsock_conn_needs_fd(c));
	cr_expect_not(vsock_conn_pending(c));
}

Test(vsock_conn, host_gives_up_before_the_request)
{
	vsock_conn_init_host(c);
	vsock_conn_request(c, GUEST_PORT, HOST_PORT);
	close(peer);
	cr_assert(host_event());
	cr_expect_eq(c->state, VSOCK_DEAD);
}

Test(vsock_conn, host_gives_up_after_the_request)
{
	vsock_conn_init_host(c);
	vsock_conn_request(c, GUEST_PORT, HOST_PORT);
	cr_assert_eq(guest_gets(), VSOCK_OP_REQUEST);
	close(peer);
	cr_assert(host_event());
	cr_expect_eq(guest_gets(), VSOCK_OP_RST);
	cr_expect_eq(c->state, VSOCK_DEAD);
}

Test(vsock_conn, host_closes_before_the_response)
{
	const struct vsock_packet request = { .src_port = GUEST_PORT, .dst_port = HOST_PORT };
	vsock_conn_init_guest(c, &request);
	vsock_conn_connected(c);
	close(peer);
	cr_assert(host_event());
	cr_expect_eq(guest_gets(), VSOCK_OP_RESPONSE);
	cr_expect_eq(guest_gets(), VSOCK_OP_SHUTDOWN);
}

/* --- data and credit --- */

Test(vsock_conn, data_both_ways)
{
	uint8_t buf[5000];
	open_from_guest();
	fill_pattern(tx_bytes + VSOCK_HEADER_SIZE, 5000, 1);
	cr_expect_eq(guest_sends(VSOCK_OP_RW, 5000), 5000);
	cr_expect_eq(peer_reads(buf, sizeof(buf)), 5000);
	cr_expect_arr_eq(buf, tx_bytes + VSOCK_HEADER_SIZE, 5000);

	fill_pattern(buf, sizeof(buf), 2);
	cr_assert_eq(send(peer, buf, 5000, 0), 5000);
	cr_assert(host_event());
	cr_expect_eq(guest_gets(), VSOCK_OP_RW);
	cr_expect_eq(got.len, RX_ROOM);
	cr_expect_eq(got.fwd_cnt, 5000);
	cr_expect_arr_eq(rx_bytes + VSOCK_HEADER_SIZE, buf, RX_ROOM);
	cr_expect_eq(guest_gets(), VSOCK_OP_RW);
	cr_expect_eq(got.len, 5000 - RX_ROOM);
	cr_expect_arr_eq(rx_bytes + VSOCK_HEADER_SIZE, buf + RX_ROOM, 5000 - RX_ROOM);
	cr_expect_eq(guest_gets(), 0);
	cr_expect_eq(vsock_conn_interest(c) & EPOLLIN, EPOLLIN);
}

/* The guest has no room: nothing is read, nothing is waited for, and it is asked once. */
Test(vsock_conn, guest_without_room)
{
	static uint8_t buf[GUEST_ROOM + 8192];
	uint32_t total = 0, asked = 0;
	open_from_guest();
	fill_pattern(buf, sizeof(buf), 3);
	cr_assert_eq(send(peer, buf, sizeof(buf), 0), (ssize_t)sizeof(buf));
	cr_assert(host_event());
	for (uint16_t op; (op = guest_gets());) {
		asked += op == VSOCK_OP_CREDIT_REQUEST;
		total += got.len;
	}
	cr_expect_eq(total, GUEST_ROOM);
	cr_expect_eq(asked, 1);
	cr_expect_eq(vsock_conn_interest(c) & EPOLLIN, 0);
	guest_sends(VSOCK_OP_CREDIT_UPDATE, 0); /* of nothing */
	cr_expect_not(vsock_conn_pending(c));

	guest_taken = 100;
	guest_sends(VSOCK_OP_CREDIT_UPDATE, 0);
	cr_expect_eq(guest_gets(), VSOCK_OP_RW);
	cr_expect_eq(got.len, 100);
	cr_expect_eq(guest_gets(), VSOCK_OP_CREDIT_REQUEST);
	cr_expect_eq(guest_gets(), 0);
	guest_taken = total + 100;
	guest_sends(VSOCK_OP_CREDIT_UPDATE, 0);
	while (guest_gets() == VSOCK_OP_RW)
		total += got.len;
	cr_expect_eq(total + 100, sizeof(buf));
}

/* Counters that make no sense give no room. */
Test(vsock_conn, guest_lies_about_its_room)
{
	open_from_guest();
	guest_taken = 1; /* of nothing sent */
	guest_sends(VSOCK_OP_CREDIT_UPDATE, 0);
	cr_assert_eq(send(peer, "x", 1, 0), 1);
	cr_expect_not(host_event());
	cr_expect_eq(guest_gets(), 0);
	guest_taken = 0;
	guest_sends(VSOCK_OP_CREDIT_UPDATE, 0);
	cr_expect(host_event());
	cr_expect_eq(guest_gets(), VSOCK_OP_RW);
}

/* The host's program does not read: all the guest may send is kept, in order, and one byte more is
 * an error. */
static uint32_t fill_up(void)
{
	uint32_t sent = 0, piece = 30000;
	for (;;) {
		if (piece > VSOCK_CREDIT - c->ring.count)
			piece = (uint32_t)(VSOCK_CREDIT - c->ring.count);
		if (!piece)
			return sent;
		fill_pattern(tx_bytes + VSOCK_HEADER_SIZE, piece, sent);
		cr_assert_eq(guest_sends(VSOCK_OP_RW, piece), piece);
		sent += piece;
	}
}

Test(vsock_conn, host_does_not_read)
{
	static uint8_t buf[4 * 1024 * 1024];
	open_from_guest();
	uint32_t sent = fill_up(), at = 0, seen = 0, updates = 0;
	cr_expect_eq(c->ring.count, VSOCK_CREDIT);
	while (guest_gets())
		;
	cr_expect_eq(sent - got.fwd_cnt, sent, "what is told is what is so");
	cr_expect_eq(vsock_conn_interest(c) & EPOLLOUT, EPOLLOUT);

	while (seen < sent) {
		seen += (uint32_t)peer_reads(buf + seen, sizeof(buf) - seen);
		host_event();
		while (guest_gets())
			updates += got.op == VSOCK_OP_CREDIT_UPDATE;
	}
	cr_expect_eq(seen, sent);
	cr_expect_gt(updates, 0);
	cr_expect_eq(c->forwarded, sent);
	cr_expect_eq(c->forwarded_told, sent);
	cr_expect_null(c->ring.data, "no memory is kept");
	for (uint32_t piece = 30000; at < sent; at += piece) {
		if (at + piece > sent)
			piece = sent - at;
		fill_pattern(tx_bytes, piece, at);
		if (memcmp(buf + at, tx_bytes, piece) != 0)
			break;
	}
	cr_expect_geq(at + 30000, sent - VSOCK_CREDIT);
}

Test(vsock_conn, more_than_the_credit)
{
	open_from_guest();
	fill_up();
	cr_expect_eq(guest_sends(VSOCK_OP_RW, 1), 0);
	cr_expect_eq(c->state, VSOCK_RESETTING);
	cr_expect_null(c->ring.data);
	cr_expect_eq(guest_gets(), VSOCK_OP_RST);
	cr_expect_eq(c->state, VSOCK_DEAD);
}

Test(vsock_conn, credit_is_told_when_asked_and_when_half_is_used)
{
	uint8_t buf[8192];
	open_from_guest();
	guest_sends(VSOCK_OP_CREDIT_REQUEST, 0);
	cr_expect_eq(guest_gets(), VSOCK_OP_CREDIT_UPDATE);
	for (uint32_t sent = 8192; sent < VSOCK_CREDIT / 2; sent += 8192) {
		guest_sends(VSOCK_OP_RW, 8192);
		cr_assert_eq(peer_reads(buf, 8192), 8192);
		cr_assert_eq(guest_gets(), 0);
	}
	guest_sends(VSOCK_OP_RW, 8192);
	cr_expect_eq(guest_gets(), VSOCK_OP_CREDIT_UPDATE);
	cr_expect_eq(got.fwd_cnt, VSOCK_CREDIT / 2);
}

/* --- shutting and closing --- */

Test(vsock_conn, guest_shuts_sending)
{
	open_from_guest();
	guest_sends(VSOCK_OP_RW, 3);
	guest_sends_flags(VSOCK_OP_SHUTDOWN, 0, VSOCK_SHUTDOWN_SEND);
	uint8_t buf[8];
	cr_expect_eq(peer_reads(buf, sizeof(buf)), 3);
	cr_expect(peer_at_end());
	cr_assert_eq(send(peer, "still", 5, 0), 5);
	cr_assert(host_event());
	cr_expect_eq(guest_gets(), VSOCK_OP_RW);
	cr_expect_eq(got.len, 5);
	guest_sends(VSOCK_OP_RW, 1);
	cr_expect_eq(guest_gets(), VSOCK_OP_RST, "data after its end");
}

Test(vsock_conn, guest_shuts_sending_with_data_waiting)
{
	static uint8_t buf[4 * 1024 * 1024];
	open_from_guest();
	uint32_t sent = fill_up();
	size_t seen = 0;
	guest_sends_flags(VSOCK_OP_SHUTDOWN, 0, VSOCK_SHUTDOWN_SEND);
	while (seen < sent) {
		seen += peer_reads(buf + seen, sizeof(buf) - seen);
		host_event();
	}
	cr_expect(peer_at_end());
	cr_expect_eq(c->state, VSOCK_OPEN);
}

Test(vsock_conn, guest_shuts_receiving)
{
	uint8_t buf[8];
	open_from_guest();
	guest_sends_flags(VSOCK_OP_SHUTDOWN, 0, VSOCK_SHUTDOWN_RCV);
	cr_expect_eq(send(peer, "x", 1, MSG_NOSIGNAL), -1);
	cr_expect_eq(errno, EPIPE);
	cr_expect_not(host_event());
	guest_sends(VSOCK_OP_RW, 2);
	cr_expect_eq(peer_reads(buf, sizeof(buf)), 2);
	close(peer);
	cr_expect(host_event());
	cr_expect_eq(guest_gets(), VSOCK_OP_SHUTDOWN);
	cr_expect_eq(got.flags, VSOCK_SHUTDOWN_BOTH);
}

Test(vsock_conn, guest_closes)
{
	open_from_guest();
	guest_sends(VSOCK_OP_RW, 3);
	guest_sends_flags(VSOCK_OP_SHUTDOWN, 0, VSOCK_SHUTDOWN_BOTH);
	cr_expect_eq(c->state, VSOCK_RESETTING);
	cr_expect_not(vsock_conn_needs_fd(c));
	cr_expect_not(vsock_conn_detached(c), "the ports are free after the RST only");
	cr_expect_eq(guest_gets(), VSOCK_OP_RST);
	cr_expect(vsock_conn_detached(c));
	cr_expect_eq(c->state, VSOCK_DEAD);
}

Test(vsock_conn, guest_closes_with_data_waiting)
{
	static uint8_t buf[4 * 1024 * 1024];
	open_from_guest();
	uint32_t sent = fill_up();
	size_t seen = 0;
	guest_sends_flags(VSOCK_OP_SHUTDOWN, 0, VSOCK_SHUTDOWN_BOTH);
	cr_expect_eq(c->state, VSOCK_DRAINING);
	cr_expect_eq(guest_gets(), VSOCK_OP_RST);
	cr_expect_eq(guest_gets(), 0);
	cr_expect(vsock_conn_detached(c));
	while (seen < sent) {
		seen += peer_reads(buf + seen, sizeof(buf) - seen);
		host_event();
		cr_expect_eq(guest_gets(), 0);
	}
	cr_expect_eq(c->state, VSOCK_DEAD);
}

Test(vsock_conn, guest_closes_and_the_host_never_reads)
{
	open_from_guest();
	fill_up();
	guest_sends_flags(VSOCK_OP_SHUTDOWN, 0, VSOCK_SHUTDOWN_BOTH);
	cr_expect_eq(guest_gets(), VSOCK_OP_RST);
	close(peer);
	cr_expect(host_event());
	cr_expect_eq(c->state, VSOCK_DEAD);
	cr_expect_null(c->ring.data);
}

Test(vsock_conn, drained_before_the_reset_is_sent)
{
	static uint8_t buf[4 * 1024 * 1024];
	open_from_guest();
	uint32_t sent = fill_up();
	size_t seen = 0;
	guest_sends_flags(VSOCK_OP_SHUTDOWN, 0, VSOCK_SHUTDOWN_BOTH);
	while (seen < sent) {
		seen += peer_reads(buf + seen, sizeof(buf) - seen);
		host_event();
	}
	cr_expect_eq(c->state, VSOCK_RESETTING);
	cr_expect_eq(guest_gets(), VSOCK_OP_RST);
	cr_expect_eq(guest_gets(), 0);
}

Test(vsock_conn, host_shuts_writing)
{
	uint8_t buf[8];
	open_from_guest();
	cr_assert_eq(send(peer, "last", 4, 0), 4);
	shutdown(peer, SHUT_WR);
	cr_assert(host_event());
	cr_expect_eq(guest_gets(), VSOCK_OP_RW);
	cr_expect(host_event());
	cr_expect_eq(guest_gets(), VSOCK_OP_SHUTDOWN);
	cr_expect_eq(got.flags, VSOCK_SHUTDOWN_SEND);
	cr_expect_eq(guest_gets(), 0);
	cr_expect_not(host_event(), "the end is not waited for again");
	cr_expect_eq(guest_sends(VSOCK_OP_RW, 4), 4);
	cr_expect_eq(peer_reads(buf, sizeof(buf)), 4);
	close(peer);
	cr_expect(host_event());
	cr_expect_eq(guest_gets(), VSOCK_OP_SHUTDOWN);
	cr_expect_eq(got.flags, VSOCK_SHUTDOWN_BOTH);
	cr_expect_eq(c->state, VSOCK_CLOSING);
	guest_sends_flags(VSOCK_OP_SHUTDOWN, 0, VSOCK_SHUTDOWN_BOTH);
	cr_expect_eq(guest_gets(), VSOCK_OP_RST);
}

Test(vsock_conn, host_shuts_reading)
{
	open_from_guest();
	shutdown(peer, SHUT_RD);
	guest_sends(VSOCK_OP_RW, 4);
	cr_expect_eq(guest_gets(), VSOCK_OP_SHUTDOWN);
	cr_expect_eq(got.flags, VSOCK_SHUTDOWN_RCV);
	cr_expect_eq(got.fwd_cnt, 4, "what is dropped takes no room");
	cr_assert_eq(send(peer, "on", 2, 0), 2);
	cr_assert(host_event());
	cr_expect_eq(guest_gets(), VSOCK_OP_RW);
	cr_expect_eq(guest_sends(VSOCK_OP_RW, VSOCK_CREDIT), VSOCK_CREDIT);
	cr_expect_eq(c->state, VSOCK_OPEN);
}

/* The host's program sends and goes: the guest gets all of it, then the end. */
Test(vsock_conn, host_closes_with_data_waiting)
{
	static uint8_t buf[GUEST_ROOM + 5000];
	uint32_t total = 0;
	open_from_guest();
	fill_up();
	cr_assert_eq(send(peer, buf, sizeof(buf), 0), (ssize_t)sizeof(buf));
	close(peer);
	cr_assert(host_event());
	cr_expect_null(c->ring.data, "nobody will read it");
	while (guest_gets())
		total += got.len;
	cr_expect_eq(total, GUEST_ROOM);
	cr_expect_eq(c->state, VSOCK_OPEN);
	cr_expect_eq(vsock_conn_interest(c), 0, "no event would change anything");
	guest_taken = total;
	guest_sends(VSOCK_OP_CREDIT_UPDATE, 0);
	while (guest_gets() == VSOCK_OP_RW)
		total += got.len;
	cr_expect_eq(total, sizeof(buf));
	cr_expect_eq(got.op, VSOCK_OP_SHUTDOWN);
	cr_expect_eq(got.flags, VSOCK_SHUTDOWN_BOTH);
	cr_expect_eq(guest_sends(VSOCK_OP_RW, 10), 0, "crossed on the way");
	cr_expect_eq(c->state, VSOCK_CLOSING);
	guest_sends(VSOCK_OP_RST, 0);
	cr_expect_eq(c->state, VSOCK_DEAD);
}

/* --- what no driver may send, and RST, in each state --- */

static void bring_to(enum vsock_state state)
{
	const struct vsock_packet request = { .src_port = GUEST_PORT, .dst_port = HOST_PORT };
	switch (state) {
	case VSOCK_CONNECTING:
		vsock_conn_init_guest(c, &request);
		break;
	case VSOCK_REQUESTED:
		vsock_conn_init_host(c);
		vsock_conn_request(c, GUEST_PORT, HOST_PORT);
		guest_gets();
		break;
	case VSOCK_OPEN:
		open_from_guest();
		break;
	case VSOCK_CLOSING:
		open_from_guest();
		shutdown(peer, SHUT_RDWR);
		host_event();
		guest_gets();
		guest_gets();
		break;
	case VSOCK_DRAINING:
		open_from_guest();
		fill_up();
		guest_sends_flags(VSOCK_OP_SHUTDOWN, 0, VSOCK_SHUTDOWN_BOTH);
		break;
	case VSOCK_RESETTING:
		open_from_guest();
		guest_sends(VSOCK_OP_RESPONSE, 0);
		break;
	default:
		break;
	}
	cr_assert_eq(c->state, state, "in state %d", c->state);
}

struct step {
	enum vsock_state from;
	uint16_t op;
	uint32_t flags;
	enum vsock_state to;
};

ParameterizedTestParameters(vsock_conn, step)
{
	static struct step steps[] = {
		{ VSOCK_CONNECTING, VSOCK_OP_RST, 0, VSOCK_DEAD },
		{ VSOCK_CONNECTING, VSOCK_OP_REQUEST, 0, VSOCK_RESETTING },
		{ VSOCK_CONNECTING, VSOCK_OP_RW, 0, VSOCK_RESETTING },
		{ VSOCK_CONNECTING, VSOCK_OP_SHUTDOWN, 3, VSOCK_RESETTING },
		{ VSOCK_REQUESTED, VSOCK_OP_RESPONSE, 0, VSOCK_OPEN },
		{ VSOCK_REQUESTED, VSOCK_OP_RST, 0, VSOCK_DEAD },
		{ VSOCK_REQUESTED, VSOCK_OP_REQUEST, 0, VSOCK_RESETTING },
		{ VSOCK_REQUESTED, VSOCK_OP_RW, 0, VSOCK_RESETTING },
		{ VSOCK_REQUESTED, VSOCK_OP_SHUTDOWN, 3, VSOCK_RESETTING },
		{ VSOCK_REQUESTED, VSOCK_OP_CREDIT_UPDATE, 0, VSOCK_RESETTING },
		{ VSOCK_REQUESTED, 77, 0, VSOCK_RESETTING },
		{ VSOCK_OPEN, VSOCK_OP_RST, 0, VSOCK_DEAD },
		{ VSOCK_OPEN, VSOCK_OP_REQUEST, 0, VSOCK_RESETTING },
		{ VSOCK_OPEN, VSOCK_OP_RESPONSE, 0, VSOCK_RESETTING },
		{ VSOCK_OPEN, VSOCK_OP_INVALID, 0, VSOCK_RESETTING },
		{ VSOCK_OPEN, 8, 0, VSOCK_RESETTING },
		{ VSOCK_OPEN, 0xffff, 0, VSOCK_RESETTING },
		{ VSOCK_OPEN, VSOCK_OP_RW, 0, VSOCK_OPEN },
		{ VSOCK_OPEN, VSOCK_OP_CREDIT_REQUEST, 0, VSOCK_OPEN },
		{ VSOCK_OPEN, VSOCK_OP_SHUTDOWN, 0, VSOCK_OPEN },
		{ VSOCK_OPEN, VSOCK_OP_SHUTDOWN, 0xfffffffc, VSOCK_OPEN },
		{ VSOCK_OPEN, VSOCK_OP_SHUTDOWN, 0xffffffff, VSOCK_RESETTING },
		{ VSOCK_CLOSING, VSOCK_OP_RST, 0, VSOCK_DEAD },
		{ VSOCK_CLOSING, VSOCK_OP_REQUEST, 0, VSOCK_RESETTING },
		{ VSOCK_CLOSING, VSOCK_OP_SHUTDOWN, 1, VSOCK_CLOSING },
		{ VSOCK_CLOSING, VSOCK_OP_SHUTDOWN, 3, VSOCK_RESETTING },
		{ VSOCK_CLOSING, VSOCK_OP_RW, 0, VSOCK_CLOSING },
		{ VSOCK_CLOSING, VSOCK_OP_CREDIT_REQUEST, 0, VSOCK_CLOSING },
		{ VSOCK_CLOSING, 77, 0, VSOCK_CLOSING },
		{ VSOCK_DRAINING, VSOCK_OP_RST, 0, VSOCK_DRAINING },
		{ VSOCK_DRAINING, VSOCK_OP_REQUEST, 0, VSOCK_DRAINING },
		{ VSOCK_DRAINING, VSOCK_OP_RW, 0, VSOCK_DRAINING },
		{ VSOCK_RESETTING, VSOCK_OP_RST, 0, VSOCK_DEAD },
		{ VSOCK_RESETTING, VSOCK_OP_REQUEST, 0, VSOCK_RESETTING },
		{ VSOCK_RESETTING, VSOCK_OP_RW, 0, VSOCK_RESETTING },
	};
	return cr_make_param_array(struct step, steps, ARRAY_SIZE(steps));
}

ParameterizedTest(
	struct step *s, vsock_conn, step, .init = set_up, .fini = tear_down, .timeout = 60)
{
	bring_to(s->from);
	guest_sends_flags(s->op, 0, s->flags);
	cr_expect_eq(c->state, s->to, "state %d, operation %u: state %d", s->from, s->op, c->state);
	if (s->to == VSOCK_RESETTING) {
		cr_expect_eq(guest_gets(), VSOCK_OP_RST);
		cr_expect_eq(c->state, VSOCK_DEAD);
	}
	if (c->state == VSOCK_DEAD) {
		cr_expect_eq(guest_gets(), 0, "a RST is not answered");
		cr_expect_null(c->ring.data);
		cr_expect_eq(vsock_conn_interest(c), 0);
	}
}

/* --- anything in any order --- */

static uint64_t dice_state;

static uint32_t dice(uint32_t sides)
{
	dice_state = dice_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(dice_state >> 33) % sides;
}

static void host_does_something(void)
{
	static uint8_t buf[100000];
	static const int ways[] = { SHUT_RD, SHUT_WR, SHUT_RDWR };
	switch (dice(8)) {
	case 0:
		if (!dice(4))
			shutdown(peer, ways[dice(3)]);
		break;
	case 1:
		peer_reads(buf, dice(sizeof(buf)));
		break;
	case 2:
		if (!dice(20)) {
			shutdown(peer, SHUT_RDWR);
			close(peer);
			peer = -1;
		}
		break;
	default:
		send(peer, buf, dice(20000), MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

static void guest_does_something(void)
{
	static const uint16_t likely[] = { VSOCK_OP_RW, VSOCK_OP_RW, VSOCK_OP_RW,
		VSOCK_OP_CREDIT_UPDATE, VSOCK_OP_CREDIT_REQUEST, VSOCK_OP_SHUTDOWN };
	uint16_t op = dice(50) ? likely[dice(ARRAY_SIZE(likely))] : (uint16_t)dice(10);
	if (op == VSOCK_OP_SHUTDOWN && dice(10))
		op = VSOCK_OP_RW;
	uint32_t len = dice(30) ? dice(9000) : dice(2 * VSOCK_CREDIT);
	guest_taken += dice(3) ? dice(c->sent - guest_taken + 1) : 0;
	guest_sends_flags(op, op == VSOCK_OP_RW ? len : 0, dice(4));
}

/* What the owner does between callbacks. True: it has come to rest, and only somebody's doing
 * something can change that. */
static bool comes_to_rest(void)
{
	for (unsigned round = 0; round < 1000; round++) {
		bool event = host_event(), packet = guest_gets();
		cr_assert_leq(c->ring.count, VSOCK_CREDIT);
		cr_assert_leq(c->sent - guest_taken, GUEST_ROOM);
		if (!vsock_conn_needs_fd(c) && c->fd >= 0) {
			close(c->fd);
			c->fd = -1;
		}
		if (!event && !packet)
			return true;
	}
	return false;
}

/* However guest and host behave, a connection keeps its bounds, waits for nothing that is there
 * already, and ends in DEAD when the guest resets it. */
Test(vsock_conn, any_order)
{
	for (unsigned life = 0; life < 400; life++) {
		if (life) {
			tear_down();
			set_up();
		}
		dice_state = life;
		if (dice(2)) {
			open_from_guest();
		} else {
			vsock_conn_init_host(c);
			vsock_conn_request(c, GUEST_PORT, HOST_PORT);
			guest_gets();
			guest_sends(VSOCK_OP_RESPONSE, 0);
		}
		for (unsigned step = 0; step < 200 && c->state != VSOCK_DEAD; step++) {
			if (dice(2))
				host_does_something();
			else
				guest_does_something();
			if (dice(2))
				cr_assert(comes_to_rest(), "life %u, step %u, state %d", life, step,
					c->state);
		}
		if (c->state != VSOCK_DEAD)
			guest_sends(VSOCK_OP_RST, 0);
		if (c->state == VSOCK_DRAINING) {
			close(peer);
			peer = -1;
			comes_to_rest();
		}
		cr_assert_eq(c->state, VSOCK_DEAD);
		cr_assert_null(c->ring.data);
	}
}
