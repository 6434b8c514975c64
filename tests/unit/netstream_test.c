// SPDX-License-Identifier: Apache-2.0
/* Frames over a stream socket: whole, in pieces, too long, too short, and a peer that is slow or
 * gone. */
#include "backend/netstream.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/bytes.h"

static struct netstream *s;
static int peer;

static void set_up(void)
{
	int fd[2];
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	peer = fd[1];
	cr_assert_eq(netstream_new(fd[0], &s, NULL), 0);
}

static void tear_down(void)
{
	netstream_free(s);
	close(peer);
}

TestSuite(netstream, .init = set_up, .fini = tear_down, .timeout = 60);

static uint8_t content(uint32_t len, uint32_t i)
{
	return (uint8_t)(len * 7 + i * 3 + (i >> 8));
}

/* A frame as the peer writes it; returns its size with the prefix. */
static size_t make(uint8_t *to, uint32_t len)
{
	uint32_t prefix = htobe32(len);
	memcpy(to, &prefix, 4);
	for (uint32_t i = 0; i < len; i++)
		to[4 + i] = content(len, i);
	return 4 + (size_t)len;
}

static void put(const void *bytes, size_t size)
{
	cr_assert_eq(send(peer, bytes, size, 0), (ssize_t)size);
}

static void expect_frame(uint32_t len)
{
	const uint8_t *frame;
	uint32_t got;
	cr_assert_eq(netstream_peek(s, &frame, &got), 1, "a frame of %u bytes", len);
	cr_assert_eq(got, len);
	for (uint32_t i = 0; i < len; i++)
		cr_assert_eq(frame[i], content(len, i), "byte %u of %u", i, len);
	netstream_consume(s);
}

static void expect_none(int rc)
{
	const uint8_t *frame;
	uint32_t len;
	cr_assert_eq(netstream_peek(s, &frame, &len), rc);
}

Test(netstream, cut_at_every_byte)
{
	uint8_t bytes[256];
	size_t size = make(bytes, 60);
	size += make(bytes + size, 14);
	size += make(bytes + size, 99);
	for (size_t cut = 1; cut < size; cut++) {
		put(bytes, cut);
		unsigned before = (cut >= 64) + (cut >= 64 + 18);
		if (before > 0)
			expect_frame(60);
		if (before > 1)
			expect_frame(14);
		expect_none(0);
		put(bytes + cut, size - cut);
		if (before < 1)
			expect_frame(60);
		if (before < 2)
			expect_frame(14);
		expect_frame(99);
		expect_none(0);
	}
}

Test(netstream, byte_by_byte)
{
	uint8_t bytes[64];
	size_t size = make(bytes, 20);
	for (size_t i = 0; i < size; i++) {
		expect_none(0);
		put(bytes + i, 1);
	}
	expect_frame(20);
}

Test(netstream, peek_again_is_the_same)
{
	uint8_t bytes[64];
	const uint8_t *first, *second;
	uint32_t len;
	put(bytes, make(bytes, 20));
	cr_assert_eq(netstream_peek(s, &first, &len), 1);
	cr_assert_eq(netstream_peek(s, &second, &len), 1);
	cr_expect_eq(first, second);
	expect_frame(20);
}

/* Lengths that make the buffer wrap at all kinds of places. */
Test(netstream, many_lengths)
{
	static uint8_t bytes[4 + NETSTREAM_FRAME_MAX];
	for (uint32_t len = 14; len <= NETSTREAM_FRAME_MAX; len += len < 2000 ? 97 : 7919) {
		put(bytes, make(bytes, 1514));
		put(bytes, make(bytes, len));
		expect_frame(1514);
		expect_frame(len);
	}
	put(bytes, make(bytes, NETSTREAM_FRAME_MAX));
	expect_frame(NETSTREAM_FRAME_MAX);
}

Test(netstream, runts_are_skipped)
{
	uint8_t bytes[64];
	for (uint32_t len = 0; len < 14; len++)
		put(bytes, make(bytes, len));
	put(bytes, make(bytes, 14));
	expect_frame(14);
	expect_none(0);
}

/* A peer that does nothing but send runts: each look takes one bufferful, and no more. */
Test(netstream, endless_runts)
{
	static const uint8_t runts[180000];
	int size = sizeof(runts);
	struct pollfd more = { .fd = netstream_fd(s), .events = POLLIN };
	cr_assert_eq(setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	put(runts, sizeof(runts));
	expect_none(0);
	cr_expect_eq(poll(&more, 1, 0), 1, "all of it was read");
	expect_none(0);
	expect_none(0);
	cr_expect_eq(poll(&more, 1, 0), 0);
}

Test(netstream, nonsense)
{
	uint8_t bytes[] = { 0, 1, 0, 0, 1, 2, 3 };
	put(bytes, sizeof(bytes));
	expect_none(-EPROTO);
}

Test(netstream, peer_gone)
{
	uint8_t bytes[64];
	put(bytes, make(bytes, 20));
	put(bytes, 3); /* of the next */
	close(peer);
	expect_frame(20);
	expect_none(-EPIPE);
	uint8_t *room = netstream_reserve(s, 14);
	cr_assert_not_null(room);
	memset(room, 0, 14);
	netstream_commit(s, 14);
	cr_expect_eq(netstream_flush(s), -EPIPE);
}

/* --- out --- */

static bool queue(uint32_t len)
{
	uint8_t *room = netstream_reserve(s, len);
	if (!room)
		return false;
	for (uint32_t i = 0; i < len; i++)
		room[i] = content(len, i);
	netstream_commit(s, len);
	return true;
}

static void expect_sent(uint32_t len)
{
	static uint8_t wanted[4 + NETSTREAM_FRAME_MAX], got[4 + NETSTREAM_FRAME_MAX];
	size_t size = make(wanted, len);
	cr_assert_eq(recv(peer, got, size, MSG_WAITALL), (ssize_t)size);
	cr_assert_arr_eq(got, wanted, size);
}

Test(netstream, sends_in_batches)
{
	uint8_t byte;
	for (unsigned i = 0; i < 20; i++)
		cr_assert(queue(100 + i));
	cr_expect_eq(recv(peer, &byte, 1, MSG_DONTWAIT), -1, "nothing before the flush");
	cr_assert_eq(netstream_flush(s), 0);
	for (unsigned i = 0; i < 20; i++)
		expect_sent(100 + i);
	/* More than a batch, and more than a frame of the largest size: no flush needed between. */
	for (unsigned i = 0; i < 40; i++)
		cr_assert(queue(1514));
	cr_assert(queue(NETSTREAM_FRAME_MAX));
	cr_assert_eq(netstream_flush(s), 0);
	for (unsigned i = 0; i < 40; i++)
		expect_sent(1514);
	expect_sent(NETSTREAM_FRAME_MAX);
}

/* The peer takes nothing for a while: at some point there is no room, and nothing gets lost. */
Test(netstream, slow_peer)
{
	unsigned sent = 0, flushed = 0;
	int small = 8192;
	cr_assert_eq(setsockopt(netstream_fd(s), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	while (queue(20000 + sent)) {
		sent++;
		cr_assert_lt(sent, 1000, "the buffer is bounded");
	}
	cr_assert_eq(netstream_flush(s), -EAGAIN);
	for (unsigned i = 0; i < sent; i++) {
		static uint8_t wanted[4 + NETSTREAM_FRAME_MAX], got[4 + NETSTREAM_FRAME_MAX];
		size_t size = make(wanted, 20000 + i);
		for (size_t at = 0; at < size;) {
			flushed += netstream_flush(s) == 0;
			ssize_t n = recv(peer, got + at, size - at, MSG_DONTWAIT);
			cr_assert_gt(n, 0);
			at += (size_t)n;
		}
		cr_assert_arr_eq(got, wanted, size);
	}
	cr_expect_gt(flushed, 0);
	cr_assert(queue(33));
	cr_assert_eq(netstream_flush(s), 0);
	expect_sent(33);
}
