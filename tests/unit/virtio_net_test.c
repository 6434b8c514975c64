// SPDX-License-Identifier: Apache-2.0
/*
 * The network device between a driver that does it right or wrong and a host that is one end of a
 * socket pair: datagrams take the place of a tap's reads and writes, a stream that of passt.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <sys/socket.h>

#include "virtio/net.h"
#include "virtio_fixture.h"

#define V1       VIRTIO_F_VERSION_1
#define MERGE    (V1 | NET_F_MRG_RXBUF)
#define OFFLOADS (NET_F_CSUM | NET_F_HOST_TSO4 | NET_F_GUEST_CSUM | NET_F_GUEST_TSO4)
#define CONTROL  (V1 | NET_F_CTRL_VQ)

/* Each queue has a page of rings and its own buffers. */
#define RX            0u
#define TX            1u
#define CTRL          2u
#define RINGS_AT(q)   (0x10000u + 0x1000u * (q))
#define BUFFERS_AT(q) (0x14000u + 0x4000u * (q))
#define AVAIL         0x400u
#define USED          0x800u

static struct board board, *b = &board;
static struct net *net;
static int host; /* the other end */

static void make_device(struct net_options *o)
{
	memcpy(o->mac, "\x52\x54\0\1\2\3", 6);
	board_init(b);
	cr_assert_eq(net_new(&b->env, o, &net, NULL), 0);
	b->dev = &net->dev;
	board_start(b);
}

static void tap_up(void)
{
	int fd[2];
	struct net_options o = { .tap = calloc(1, sizeof(*o.tap)), .mtu = 9000 };
	cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fd), 0);
	host = fd[1];
	o.tap->queues = 1;
	o.tap->up = true;
	for (unsigned i = 0; i < TAP_QUEUES_MAX; i++)
		o.tap->fd[i] = -1;
	o.tap->fd[0] = fd[0];
	make_device(&o);
}

static void stream_up(void)
{
	int fd[2];
	struct net_options o = { 0 };
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	host = fd[1];
	cr_assert_eq(netstream_new(fd[0], &o.stream, NULL), 0);
	make_device(&o);
}

static void down(void)
{
	board_done(b);
	close(host);
}

TestSuite(net_tap, .init = tap_up, .fini = down, .timeout = 60);
TestSuite(net_stream, .init = stream_up, .fini = down, .timeout = 60);

/* --- the driver --- */

static void desc(unsigned q, unsigned i, gpa_t addr, uint32_t len, uint16_t flags)
{
	put_desc(&b->ram, RINGS_AT(q) + 16 * i, addr, len, flags, (uint16_t)(i + 1));
}

static void kick_queue(unsigned q)
{
	bar_set(b, VP_NOTIFY + VP_NOTIFY_STEP * q, q, 2);
}

/* 2.7.10: whether the device asks for a kick when the driver makes one more chain available. */
static bool wants_kick(unsigned q, uint64_t features, uint16_t idx)
{
	if (features & VIRTIO_F_EVENT_IDX)
		return load_shared(&b->ram, RINGS_AT(q) + USED + 4 + 8 * RING_SIZE) == idx;
	return !load_shared(&b->ram, RINGS_AT(q) + USED);
}

static void make_available(unsigned q, uint16_t head)
{
	gpa_t avail = RINGS_AT(q) + AVAIL;
	uint16_t idx = load_shared(&b->ram, avail + 2);
	*word(&b->ram, avail + 4 + (gpa_t)2 * (idx % RING_SIZE)) = head;
	store_shared(&b->ram, avail + 2, (uint16_t)(idx + 1));
}

static void submit(unsigned q, uint16_t head)
{
	make_available(q, head);
	kick_queue(q);
}

static uint16_t used_idx(unsigned q)
{
	return load_shared(&b->ram, RINGS_AT(q) + USED + 2);
}

static bool broken(void)
{
	return bar_get(b, VP_STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET;
}

/* Waits until that many chains were given back, or more. */
static void wait_count(unsigned q, uint16_t count)
{
	while ((int16_t)(used_idx(q) - count) < 0) {
		cr_assert_not(broken());
		sched_yield();
	}
}

static uint32_t length_used(unsigned q, unsigned i)
{
	return load_le32(
		(uint8_t *)gmem_ptr(&b->ram, RINGS_AT(q) + USED + 4 + 8 * (i % RING_SIZE), 8) + 4);
}

static void start_driver(uint64_t features)
{
	reset_device(b);
	memset(gmem_ptr(&b->ram, RINGS_AT(0), 0x3000), 0, 0x3000);
	negotiate(b, features);
	bar_set(b, VP_CONFIG_VECTOR, 0, 2);
	for (unsigned q = 0; q < 3; q++) {
		bar_set(b, VP_QUEUE_SELECT, q, 2);
		bar_set(b, VP_QUEUE_SIZE, RING_SIZE, 2);
		bar_set(b, VP_QUEUE_VECTOR, 1, 2);
		bar_set(b, VP_QUEUE_DESC, RINGS_AT(q), 4);
		bar_set(b, VP_QUEUE_DRIVER, RINGS_AT(q) + AVAIL, 4);
		bar_set(b, VP_QUEUE_DEVICE, RINGS_AT(q) + USED, 4);
		bar_set(b, VP_QUEUE_ENABLE, 1, 2);
	}
	bar_set(b, VP_STATUS, 15, 1);
	cr_assert_eq(bar_get(b, VP_STATUS, 1), 15);
}

static void expect_broken(void)
{
	while (!broken())
		sched_yield();
}

/* Puts @len bytes of a pattern at @addr. */
static void fill(gpa_t addr, uint32_t len, uint8_t seed)
{
	uint8_t *p = gmem_ptr(&b->ram, addr, len);
	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(seed + i * 3);
}

static void expect_pattern(const uint8_t *p, uint32_t len, uint8_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		cr_assert_eq(p[i], (uint8_t)(seed + i * 3), "byte %u of %u", i, len);
}

/* What arrives at the host: its length, with the header on a tap. */
static size_t host_gets(uint8_t *buf, size_t size)
{
	struct pollfd p = { .fd = host, .events = POLLIN };
	cr_assert_eq(poll(&p, 1, 30000), 1, "nothing arrives");
	ssize_t n = recv(host, buf, size, 0);
	cr_assert_geq(n, 0);
	return (size_t)n;
}

/* A frame of @len bytes without header, from the host. */
static void host_sends(const struct net_hdr *hdr, uint32_t len, uint8_t seed)
{
	static uint8_t buf[NET_HDR_SIZE + NET_FRAME_MAX];
	memset(buf, 0, NET_HDR_SIZE);
	if (hdr)
		memcpy(buf, hdr, NET_HDR_SIZE);
	for (uint32_t i = 0; i < len; i++)
		buf[NET_HDR_SIZE + i] = (uint8_t)(seed + i * 3);
	cr_assert_eq(send(host, buf, NET_HDR_SIZE + len, 0), (ssize_t)(NET_HDR_SIZE + len));
}

struct wanted {
	const char *key;
	char value[64];
};

static void look(void *opaque, const char *key, const char *value)
{
	struct wanted *w = opaque;
	if (!strcmp(key, w->key))
		snprintf(w->value, sizeof(w->value), "%s", value);
}

static void expect_property(const char *key, const char *value)
{
	struct wanted w = { .key = key };
	virtio_net_class.get(b->dev, look, &w);
	cr_expect_str_eq(w.value, value, "%s", key);
}

static int set_property(const char *text)
{
	struct keyval *kv;
	cr_assert_eq(keyval_parse(text, NULL, virtio_net_class.settable, &kv, NULL), 0);
	int rc = virtio_net_class.set(b->dev, kv, NULL);
	keyval_free(kv);
	return rc;
}

/* --- configuration --- */

static uint64_t offered(void)
{
	uint64_t f = 0;
	for (unsigned i = 0; i < 2; i++) {
		bar_set(b, VP_DEVICE_FEATURE_SELECT, i, 4);
		f |= bar_get(b, VP_DEVICE_FEATURE, 4) << (32 * i);
	}
	return f;
}

Test(net_tap, configuration)
{
	cr_expect_eq(config_read(b, 0, 4), 0x10411af4);
	cr_expect_eq(config_read(b, 0x0a, 2), 0x0200, "an Ethernet controller");
	uint64_t wanted = OFFLOADS | NET_F_HOST_TSO6 | NET_F_GUEST_TSO6 | NET_F_HOST_ECN |
			  NET_F_GUEST_ECN | NET_F_MTU | NET_F_MAC | NET_F_STATUS | NET_F_MRG_RXBUF |
			  NET_F_CTRL_VQ | NET_F_CTRL_MAC_ADDR | NET_F_CTRL_GUEST_OFFLOADS;
	cr_expect_eq(offered() & wanted, wanted);
	cr_expect_not(offered() & NET_F_MQ, "one pair only");
	cr_expect_eq(bar_get(b, VP_DEVICE, 4), 0x01005452);
	cr_expect_eq(bar_get(b, VP_DEVICE + 4, 2), 0x0302);
	cr_expect_eq(bar_get(b, VP_DEVICE + 6, 2), NET_S_LINK_UP);
	cr_expect_eq(bar_get(b, VP_DEVICE + 8, 2), 1);
	cr_expect_eq(bar_get(b, VP_DEVICE + 10, 2), 9000);
	bar_set(b, VP_DEVICE, 0xff, 1);
	cr_expect_eq(bar_get(b, VP_DEVICE, 1), 0x52, "read-only");
	expect_property("mac", "52:54:00:01:02:03");
	expect_property("link", "up");
}

Test(net_stream, configuration)
{
	cr_expect_not(offered() & (OFFLOADS | NET_F_CTRL_GUEST_OFFLOADS | NET_F_MTU),
		"nobody at the other end could carry them out");
	cr_expect(offered() & NET_F_MRG_RXBUF);
}

/* --- from the guest --- */

/* A frame of @len bytes behind a header, cut into descriptors of @cut bytes. */
static void transmit(uint32_t len, uint32_t cut, uint8_t seed)
{
	gpa_t at = BUFFERS_AT(TX);
	uint32_t left = NET_HDR_SIZE + len;
	memset(gmem_ptr(&b->ram, at, NET_HDR_SIZE), 0, NET_HDR_SIZE);
	fill(at + NET_HDR_SIZE, len, seed);
	for (unsigned i = 0; left; i++) {
		uint32_t n = left < cut ? left : cut;
		left -= n;
		desc(TX, i, at, n, left ? NEXT : 0);
		at += n;
	}
	submit(TX, 0);
}

/* A driver that kicks only when it is asked to: whenever it looks, no frame stays behind. */
static void send_politely(uint64_t features)
{
	uint8_t got[NET_HDR_SIZE + 64];
	start_driver(features);
	desc(TX, 0, BUFFERS_AT(TX), sizeof(got), 0);
	memset(gmem_ptr(&b->ram, BUFFERS_AT(TX), NET_HDR_SIZE), 0, NET_HDR_SIZE);
	for (uint16_t i = 0; i < 2000; i++) {
		/* it asks again once there is nothing to send */
		while (i % 2 && !wants_kick(TX, features, i))
			sched_yield();
		fill(BUFFERS_AT(TX) + NET_HDR_SIZE, 64, (uint8_t)i);
		make_available(TX, 0);
		atomic_thread_fence(memory_order_seq_cst);
		if (wants_kick(TX, features, i))
			kick_queue(TX);
		cr_assert_eq(host_gets(got, sizeof(got)), sizeof(got));
		expect_pattern(got + NET_HDR_SIZE, 64, (uint8_t)i);
		wait_count(TX, (uint16_t)(i + 1));
	}
}

Test(net_tap, frames_without_a_kick)
{
	send_politely(V1);
	send_politely(V1 | VIRTIO_F_EVENT_IDX);
}

static void expect_at_host(uint32_t len, uint8_t seed)
{
	uint8_t buf[4096];
	cr_assert_eq(host_gets(buf, sizeof(buf)), NET_HDR_SIZE + len);
	expect_pattern(buf + NET_HDR_SIZE, len, seed);
}

Test(net_tap, transmits)
{
	static const uint32_t cuts[] = { 4096, 700, 101, 14, 13, 12, 11, 7 };
	enable_interrupts(b);
	start_driver(V1);
	for (unsigned i = 0; i < ARRAY_SIZE(cuts); i++) {
		uint32_t len = cuts[i] < 100 ? 60 : 1514;
		transmit(len, cuts[i], (uint8_t)i);
		expect_at_host(len, (uint8_t)i);
		wait_count(TX, (uint16_t)(i + 1));
		cr_expect_eq(length_used(TX, i), 0);
	}
	cr_expect(interrupted(b, 1, 30000));
	expect_property("tx-packets", "8");
	expect_property("tx-dropped", "0");
}

/* A header that asks for a checksum is handed on; what it must not ask for is not sent. */
Test(net_tap, transmits_offloads)
{
	uint8_t buf[4096];
	start_driver(V1 | OFFLOADS);
	const struct net_hdr good = { NET_HDR_NEEDS_CSUM, NET_GSO_TCPV4, htole16(54), htole16(1448),
		htole16(34), htole16(16), 0xffff };
	const struct net_hdr bad = { NET_HDR_NEEDS_CSUM, NET_GSO_TCPV6, htole16(54), htole16(1448),
		htole16(34), htole16(16), 0 };
	for (unsigned i = 0; i < 2; i++) {
		gmem_write(&b->ram, BUFFERS_AT(TX), i ? &good : &bad, NET_HDR_SIZE);
		desc(TX, 0, BUFFERS_AT(TX), NET_HDR_SIZE, NEXT);
		desc(TX, 1, BUFFERS_AT(TX) + NET_HDR_SIZE, 2000, 0);
		submit(TX, 0);
		wait_count(TX, (uint16_t)(i + 1));
	}
	cr_assert_eq(host_gets(buf, sizeof(buf)), 2012);
	struct net_hdr got;
	memcpy(&got, buf, sizeof(got));
	cr_expect_eq(got.gso_type, NET_GSO_TCPV4);
	cr_expect_eq(got.num_buffers, 0);
	cr_expect_eq(recv(host, buf, sizeof(buf), 0), -1, "only one arrives");
	expect_property("tx-dropped", "1");
}

enum fate { SENT, DROPPED, BROKEN };

struct tx_case {
	uint32_t out[3]; /* lengths of the readable buffers, 0: none */
	uint32_t in;     /* of a writable one behind them */
	int fate;
};

ParameterizedTestParameters(net_tap, odd_transmissions)
{
	static struct tx_case c[] = {
		{ { 12, 60, 0 }, 0, SENT },
		{ { 5, 7, 14 }, 0, SENT },
		{ { 11, 15, 0 }, 0, SENT },
		{ { 12, 60, 0 }, 64, SENT }, /* what is writable is left alone */
		{ { 12, 0, 0 }, 0, DROPPED },
		{ { 12, 13, 0 }, 0, DROPPED },        /* less than an Ethernet header */
		{ { 12, 0xfff0, 0x10 }, 0, DROPPED }, /* the datagram is too long for the socket */
		{ { 12, 0x10000, 2 }, 0, DROPPED },
		{ { 12, 0x10000, 0x10000 }, 0, DROPPED },
		{ { 0x10000, 0x10000, 0x10000 }, 0, DROPPED },
		{ { 11, 0, 0 }, 0, BROKEN },
		{ { 1, 0, 0 }, 0, BROKEN },
		{ { 0, 0, 0 }, 64, BROKEN },
	};
	return cr_make_param_array(struct tx_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct tx_case *c, net_tap, odd_transmissions)
{
	uint8_t buf[256];
	unsigned n = 0;
	int small = 4096;
	cr_assert_eq(setsockopt(net->tap->fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	start_driver(V1);
	uint32_t total = c->out[0] + c->out[1] + c->out[2];
	/* Long ones lie in the upper RAM, one over the other. */
	gpa_t at = total < 0x1000 ? BUFFERS_AT(TX) : RAM_LOW;
	unsigned count = (c->out[0] != 0) + (c->out[1] != 0) + (c->out[2] != 0);
	memset(gmem_ptr(&b->ram, at, 256), 0, 256);
	for (; n < count; n++) {
		desc(TX, n, at, c->out[n], n + 1 < count || c->in ? NEXT : 0);
		at += total < 0x1000 ? c->out[n] : 0;
	}
	if (c->in)
		desc(TX, n, BUFFERS_AT(RX), c->in, WRITE);
	submit(TX, 0);
	if (c->fate == BROKEN) {
		expect_broken();
		return;
	}
	wait_count(TX, 1);
	cr_expect_eq(length_used(TX, 0), 0);
	if (c->fate == SENT)
		cr_expect_eq(host_gets(buf, sizeof(buf)), total);
	else
		cr_expect_eq(recv(host, buf, sizeof(buf), 0), -1);
	expect_property("tx-dropped", c->fate == SENT ? "0" : "1");
}

/* The host takes nothing for a while: no frame is lost or turned over, and a reset gets through. */
Test(net_tap, host_is_slow)
{
	start_driver(V1);
	for (unsigned round = 0; round < 2; round++) {
		memset(gmem_ptr(&b->ram, BUFFERS_AT(TX), 0x1000), 0, 0x1000);
		uint16_t sent = 0;
		for (;; sent++) {
			gpa_t at = BUFFERS_AT(TX) + 64 * (sent % RING_SIZE);
			struct pollfd room = { .fd = net->tap->fd[0], .events = POLLOUT };
			store_le16(gmem_ptr(&b->ram, at + 12, 2), sent);
			desc(TX, sent % RING_SIZE, at, 60, 0);
			submit(TX, sent % RING_SIZE);
			if (poll(&room, 1, 0) == 0)
				break;
			wait_count(TX, (uint16_t)(sent + 1));
		}
		if (round == 0) {
			start_driver(V1);
			uint8_t buf[64];
			while (recv(host, buf, sizeof(buf), 0) > 0)
				;
			continue;
		}
		for (unsigned i = 0; i <= sent; i++) {
			uint8_t buf[64];
			cr_assert_eq(host_gets(buf, sizeof(buf)), 60);
			cr_assert_eq(load_le16(buf + 12), i);
		}
		wait_count(TX, (uint16_t)(sent + 1));
	}
}

/* --- to the guest --- */

/* Offers @count chains of @size bytes each, from descriptor @first. */
static void offer_buffers(unsigned first, unsigned count, uint32_t size)
{
	for (unsigned i = first; i < first + count; i++) {
		desc(RX, i % RING_SIZE, BUFFERS_AT(RX) + size * (i % RING_SIZE), size, WRITE);
		submit(RX, (uint16_t)(i % RING_SIZE));
	}
}

/* What lies in the guest's buffers from number @first on. */
static void expect_in_guest(unsigned first, uint32_t size, uint32_t len, uint8_t seed)
{
	static uint8_t bytes[NET_HDR_SIZE + NET_FRAME_MAX];
	uint32_t total = NET_HDR_SIZE + len;
	unsigned chains = (total + size - 1) / size;
	for (unsigned i = 0; i < chains; i++) {
		uint32_t n = total - i * size < size ? total - i * size : size;
		gmem_read(&b->ram, BUFFERS_AT(RX) + size * ((first + i) % RING_SIZE),
			bytes + (size_t)i * size, n);
		cr_expect_eq(length_used(RX, first + i), n);
	}
	cr_expect_eq(load_le16(bytes + 10), chains, "num_buffers");
	expect_pattern(bytes + NET_HDR_SIZE, len, seed);
}

Test(net_tap, receives)
{
	enable_interrupts(b);
	start_driver(V1);
	offer_buffers(0, 2, 1600);
	host_sends(NULL, 1514, 1);
	cr_assert(interrupted(b, 1, 30000));
	wait_count(RX, 1);
	expect_in_guest(0, 1600, 1514, 1);
	host_sends(NULL, 14, 2);
	wait_count(RX, 2);
	expect_in_guest(1, 1600, 14, 2);
	host_sends(NULL, 60, 3); /* before there is a buffer for it */
	host_sends(NULL, 61, 4);
	offer_buffers(2, 1, 1600);
	wait_count(RX, 3);
	expect_in_guest(2, 1600, 60, 3);
	offer_buffers(3, 1, 1600);
	wait_count(RX, 4);
	expect_in_guest(3, 1600, 61, 4);
	expect_property("rx-packets", "4");
	expect_property("rx-dropped", "0");
}

struct merge_case {
	uint32_t size, len;
	unsigned chains;
};

ParameterizedTestParameters(net_tap, merges)
{
	static struct merge_case c[] = {
		{ 1024, 1012, 1 },
		{ 1024, 1013, 2 },
		{ 100, 1188, 12 },
		{ 100, 1189, 13 },
		{ 12, 60, 6 },
		{ 13, 60, 6 },
		{ 1000, 9014, 10 },
	};
	return cr_make_param_array(struct merge_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct merge_case *c, net_tap, merges)
{
	start_driver(MERGE);
	offer_buffers(0, RING_SIZE, c->size);
	host_sends(NULL, c->len, 9);
	wait_count(RX, (uint16_t)c->chains);
	expect_in_guest(0, c->size, c->len, 9);
	/* The next one begins where this one ended. */
	offer_buffers(0, c->chains, c->size);
	host_sends(NULL, c->len, 77);
	wait_count(RX, (uint16_t)(2 * c->chains));
	expect_in_guest(c->chains, c->size, c->len, 77);
}

/* A frame for which the driver adds buffers one by one: it gets them all, or none. */
Test(net_tap, merges_late_buffers)
{
	start_driver(MERGE);
	offer_buffers(0, 1, 500);
	host_sends(NULL, 1800, 5);
	for (unsigned i = 1; i < 4; i++) {
		cr_assert_eq(used_idx(RX), 0);
		offer_buffers(i, 1, 500);
	}
	wait_count(RX, 4);
	expect_in_guest(0, 500, 1800, 5);
}

/* No queue full of such buffers will ever hold it. */
Test(net_tap, drops_what_can_never_fit)
{
	start_driver(MERGE);
	offer_buffers(0, RING_SIZE, 20);
	host_sends(NULL, 400, 5);
	host_sends(NULL, 60, 6);
	wait_count(RX, 4);
	expect_in_guest(0, 20, 60, 6);
	expect_property("rx-dropped", "1");

	start_driver(V1);
	offer_buffers(0, 2, 600);
	host_sends(NULL, 589, 7);
	host_sends(NULL, 588, 8);
	wait_count(RX, 1);
	expect_in_guest(0, 600, 588, 8);
	expect_property("rx-dropped", "2");
}

/* A chain of several buffers, the header across them; and readable ones before, which don't count.
 */
Test(net_tap, receives_into_pieces)
{
	uint8_t frame[100];
	start_driver(V1);
	gpa_t at = BUFFERS_AT(RX);
	memset(gmem_ptr(&b->ram, at, 200), 0xee, 200);
	desc(RX, 0, at, 10, NEXT);
	desc(RX, 1, at + 10, 5, NEXT | WRITE);
	desc(RX, 2, at + 15, 8, NEXT | WRITE);
	desc(RX, 3, at + 23, 99, WRITE);
	submit(RX, 0);
	host_sends(NULL, 100, 3);
	wait_count(RX, 1);
	cr_expect_eq(length_used(RX, 0), 112);
	gmem_read(&b->ram, at + 22, frame, 100);
	expect_pattern(frame, 100, 3);
	const uint8_t *p = gmem_ptr(&b->ram, at, 200);
	cr_expect_eq(p[9], 0xee);
	cr_expect_eq(p[122], 0xee);
}

struct rx_case {
	uint32_t out, in;
	bool merge;
};

ParameterizedTestParameters(net_tap, broken_receive_chains)
{
	static struct rx_case c[] = {
		{ 64, 0, false },
		{ 64, 0, true },
		{ 0, 11, false },
		{ 0, 11, true },
		{ 64, 1, true },
	};
	return cr_make_param_array(struct rx_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct rx_case *c, net_tap, broken_receive_chains)
{
	start_driver(c->merge ? MERGE : V1);
	if (c->out)
		desc(RX, 0, BUFFERS_AT(RX), c->out, c->in ? NEXT : 0);
	desc(RX, 1, BUFFERS_AT(RX), c->in, WRITE);
	submit(RX, c->out ? 0 : 1);
	expect_broken();
	host_sends(NULL, 60, 1);
	start_driver(c->merge ? MERGE : V1);
	offer_buffers(0, 1, 1600);
	wait_count(RX, 1);
	expect_in_guest(0, 1600, 60, 1);
}

/* The tap may still hold what an earlier driver had agreed to. */
Test(net_tap, drops_what_was_not_agreed_upon)
{
	const struct net_hdr tso = { NET_HDR_NEEDS_CSUM, NET_GSO_TCPV4, htole16(54), htole16(1448),
		htole16(34), htole16(16), 0 };
	struct net_hdr got;
	start_driver(V1);
	offer_buffers(0, 1, 1600);
	host_sends(&tso, 1500, 1);
	host_sends(NULL, 60, 2);
	wait_count(RX, 1);
	expect_in_guest(0, 1600, 60, 2);
	start_driver(V1 | OFFLOADS);
	offer_buffers(0, 1, 1600);
	host_sends(&tso, 1500, 1);
	wait_count(RX, 1);
	expect_in_guest(0, 1600, 1500, 1);
	gmem_read(&b->ram, BUFFERS_AT(RX), &got, sizeof(got));
	cr_expect_eq(got.gso_type, NET_GSO_TCPV4);
	cr_expect_eq(got.flags, NET_HDR_NEEDS_CSUM);
}

/* Without bus mastering nothing moves, either way; afterwards everything does. */
Test(net_tap, no_dma)
{
	uint8_t buf[64];
	start_driver(MERGE);
	offer_buffers(0, 2, 1600);
	host_sends(NULL, 60, 1);
	wait_count(RX, 1); /* so that the next buffer is in the device's hands */
	config_write(b, 4, config_read(b, 4, 2) & ~4u, 2);
	host_sends(NULL, 61, 2);
	transmit(60, 4096, 5);
	bar_set(b, VP_NOTIFY, 0, 2);
	struct pollfd p = { .fd = host, .events = POLLIN };
	cr_expect_eq(poll(&p, 1, 200), 0);
	cr_expect_eq(used_idx(RX), 1);
	config_write(b, 4, config_read(b, 4, 2) | 4, 2);
	wait_count(RX, 2);
	expect_in_guest(1, 1600, 61, 2);
	cr_expect_eq(host_gets(buf, sizeof(buf)), 64, "cut by our buffer");
	wait_count(TX, 1);
}

/* What the device holds when it is reset is the driver's again at once. */
Test(net_tap, reset_takes_the_buffers_back)
{
	for (unsigned i = 0; i < 20; i++) {
		start_driver(MERGE);
		offer_buffers(0, RING_SIZE, 1000);
		host_sends(NULL, 60, 1);
		reset_device(b);
		memset(gmem_ptr(&b->ram, BUFFERS_AT(RX), 0x4000), 0xee, 0x4000);
		host_sends(NULL, 60, 1);
		loop_turn(b);
		const uint8_t *p = gmem_ptr(&b->ram, BUFFERS_AT(RX), 0x4000);
		for (unsigned at = 0; at < 0x4000; at++)
			cr_assert_eq(p[at], 0xee);
	}
	start_driver(MERGE);
	offer_buffers(0, RING_SIZE, 1000);
	wait_count(RX, 1); /* what the host sent while nobody listened */
}

/* --- the link --- */

Test(net_tap, link)
{
	uint8_t buf[64];
	enable_interrupts(b);
	start_driver(V1 | NET_F_STATUS);
	offer_buffers(0, 1, 1600);
	cr_assert_eq(set_property("link=down"), 0);
	cr_expect(interrupted(b, 0, 30000), "a configuration interrupt");
	cr_expect_eq(bar_get(b, VP_DEVICE + 6, 2), 0);
	expect_property("link", "down");
	transmit(60, 4096, 1);
	wait_count(TX, 1);
	cr_expect_eq(recv(host, buf, sizeof(buf), 0), -1, "nothing leaves");
	host_sends(NULL, 60, 1);
	while (net->pair[0].rx.dropped != 1) /* nor enters */
		sched_yield();
	cr_assert_eq(set_property("link=down"), 0);
	cr_assert_eq(set_property("link=up"), 0);
	cr_expect(interrupted(b, 0, 30000));
	cr_expect_eq(bar_get(b, VP_DEVICE + 6, 2), NET_S_LINK_UP);
	host_sends(NULL, 70, 2);
	wait_count(RX, 1);
	expect_in_guest(0, 1600, 70, 2);
	transmit(60, 4096, 3);
	expect_at_host(60, 3);
	cr_expect_lt(set_property("link=sideways"), 0);
	expect_property("tx-dropped", "1");
}

/* --- the control queue --- */

struct control_case {
	uint8_t bytes[10];
	uint32_t out, in;
	int answer; /* -1: the device is broken */
	bool all;   /* features */
};

ParameterizedTestParameters(net_tap, control)
{
	static struct control_case c[] = {
		{ { 1, 1, 2, 0, 0, 0, 0, 9 }, 8, 1, 0, true },
		{ { 1, 1, 2, 0, 0, 0, 0, 9 }, 8, 64, 0, true },
		{ { 1, 1, 2, 0, 0, 0, 0, 9 }, 8, 1, 1, false }, /* not negotiated */
		{ { 1, 1, 3, 0, 0, 0, 0, 9 }, 8, 1, 1, true },  /* a group's address */
		{ { 1, 1, 2, 0, 0, 0, 0, 9 }, 7, 1, 1, true },
		{ { 1, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, 10, 1, 1, true }, /* address table */
		{ { 0, 0, 1 }, 3, 1, 1, true },                       /* promiscuous */
		{ { 2, 0, 1, 0 }, 4, 1, 1, true },
		{ { 3, 0 }, 2, 1, 1, true },
		{ { 4, 0, 1, 0 }, 4, 1, 1, true }, /* pairs, without the feature */
		{ { 5, 0, 2, 0, 0, 0, 0, 0, 0, 0 }, 10, 1, 1, false },
		{ { 5, 0, 0, 8, 0, 0, 0, 0, 0, 0 }, 10, 1, 1,
			true }, /* HOST_TSO4 is none of them */
		{ { 5, 0, 0, 1, 0, 0, 0, 0, 0, 0 }, 10, 1, 1, true }, /* TSO6 was not accepted */
		{ { 5, 0, 2, 0, 0, 0, 0, 0, 0 }, 9, 1, 1, true },
		{ { 5, 1, 2, 0, 0, 0, 0, 0, 0, 0 }, 10, 1, 1, true },
		{ { 255, 255 }, 2, 1, 1, true },
		{ { 1 }, 1, 1, -1, true },
		{ { 1 }, 0, 1, -1, true },
		{ { 1, 1, 2, 0, 0, 0, 0, 9 }, 8, 0, -1, true },
	};
	return cr_make_param_array(struct control_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct control_case *c, net_tap, control)
{
	start_driver(c->all ? CONTROL | OFFLOADS | NET_F_CTRL_MAC_ADDR | NET_F_CTRL_GUEST_OFFLOADS
			    : CONTROL);
	uint8_t *p = gmem_ptr(&b->ram, BUFFERS_AT(CTRL), 128);
	memcpy(p, c->bytes, sizeof(c->bytes));
	memset(p + 64, 0xee, 64);
	if (c->out)
		desc(CTRL, 0, BUFFERS_AT(CTRL), c->out, c->in ? NEXT : 0);
	desc(CTRL, 1, BUFFERS_AT(CTRL) + 64, c->in, WRITE);
	submit(CTRL, c->out ? 0 : 1);
	if (c->answer < 0) {
		expect_broken();
		return;
	}
	wait_count(CTRL, 1);
	cr_expect_eq(p[64], c->answer);
	cr_expect_eq(p[65], 0xee);
	cr_expect_eq(length_used(CTRL, 0), 1);
	bool changed = c->bytes[0] == 1 && c->answer == 0;
	expect_property("mac", changed ? "02:00:00:00:00:09" : "52:54:00:01:02:03");
	cr_expect_eq(bar_get(b, VP_DEVICE + 5, 1), changed ? 9 : 3);
}

/* --- over a stream --- */

static void expect_on_stream(uint32_t len, uint8_t seed)
{
	uint8_t prefix[4], frame[2048];
	cr_assert_eq(recv(host, prefix, 4, MSG_WAITALL), 4);
	cr_assert_eq(prefix[0] << 24 | prefix[1] << 16 | prefix[2] << 8 | prefix[3], (int)len);
	cr_assert_eq(recv(host, frame, len, MSG_WAITALL), (ssize_t)len);
	expect_pattern(frame, len, seed);
}

static void stream_sends(uint32_t len, uint8_t seed)
{
	uint8_t buf[4 + 9014] = { 0, 0, (uint8_t)(len >> 8), (uint8_t)len };
	for (uint32_t i = 0; i < len; i++)
		buf[4 + i] = (uint8_t)(seed + i * 3);
	cr_assert_eq(send(host, buf, 4 + len, 0), (ssize_t)(4 + len));
}

Test(net_stream, both_ways)
{
	enable_interrupts(b);
	start_driver(MERGE);
	for (unsigned i = 0; i < 8; i++) {
		transmit(60 + 100 * i, 111, (uint8_t)i);
		expect_on_stream(60 + 100 * i, (uint8_t)i);
		wait_count(TX, (uint16_t)(i + 1));
	}
	stream_sends(1514, 1); /* before there are buffers */
	stream_sends(60, 2);
	stream_sends(9014, 3);
	offer_buffers(0, 14, 1024);
	wait_count(RX, 2 + 1 + 9);
	expect_in_guest(0, 1024, 1514, 1);
	expect_in_guest(2, 1024, 60, 2);
	expect_in_guest(3, 1024, 9014, 3);
	cr_expect(interrupted(b, 1, 30000));
	expect_property("rx-packets", "3");
	expect_property("tx-packets", "8");
}

/* More frames at once than a turn has. */
Test(net_stream, many_at_once)
{
	unsigned count = 150, seen = 0;
	start_driver(MERGE);
	for (unsigned i = 0; i < count; i++)
		stream_sends(60, (uint8_t)i);
	offer_buffers(0, RING_SIZE, 100);
	while (seen < count) {
		wait_count(RX, (uint16_t)(seen + 1));
		expect_in_guest(seen, 100, 60, (uint8_t)seen);
		offer_buffers(seen, 1, 100);
		seen++;
	}
}

Test(net_stream, too_long)
{
	start_driver(V1);
	/* 65536 bytes, one more than the stream can tell */
	desc(TX, 0, BUFFERS_AT(TX), NET_HDR_SIZE, NEXT);
	desc(TX, 1, RAM_LOW, RAM_HIGH, 0);
	submit(TX, 0);
	wait_count(TX, 1);
	expect_property("tx-dropped", "1");
	transmit(60, 100, 1);
	expect_on_stream(60, 1);
}

Test(net_stream, peer_is_slow)
{
	uint16_t sent = 0;
	start_driver(V1);
	memset(gmem_ptr(&b->ram, RAM_LOW, RAM_HIGH), 0x5a, RAM_HIGH);
	memset(gmem_ptr(&b->ram, BUFFERS_AT(TX), NET_HDR_SIZE), 0, NET_HDR_SIZE);
	desc(TX, 0, BUFFERS_AT(TX), NET_HDR_SIZE, NEXT);
	desc(TX, 1, RAM_LOW, RAM_HIGH - 1, 0);
	for (;; sent++) {
		struct pollfd room = { .fd = netstream_fd(net->stream), .events = POLLOUT };
		submit(TX, 0);
		if (poll(&room, 1, 0) == 0)
			break;
		wait_count(TX, (uint16_t)(sent + 1));
	}
	uint16_t queued = (uint16_t)(sent + 1);
	for (unsigned i = 0; i < queued; i++) {
		static uint8_t buf[4 + 65535];
		cr_assert_eq(recv(host, buf, sizeof(buf), MSG_WAITALL), (ssize_t)sizeof(buf));
		cr_assert_eq(load_le32(buf), 0xffff0000);
		cr_assert_eq(buf[4], 0x5a);
		cr_assert_eq(buf[sizeof(buf) - 1], 0x5a);
	}
	wait_count(TX, queued);
}

static void expect_lost(void)
{
	cr_expect(interrupted(b, 0, 30000));
	cr_expect_eq(bar_get(b, VP_DEVICE + 6, 2), 0);
	transmit(60, 100, 1);
	wait_count(TX, 1); /* dropped, and the device lives */
	cr_expect_eq(set_property("link=up"), -ENOTCONN);
	expect_property("link", "down");
	start_driver(V1 | NET_F_STATUS);
	cr_expect_eq(bar_get(b, VP_DEVICE + 6, 2), 0);
	transmit(60, 100, 1);
	wait_count(TX, 1);
}

Test(net_stream, peer_gone)
{
	enable_interrupts(b);
	start_driver(V1 | NET_F_STATUS);
	offer_buffers(0, 1, 1600);
	stream_sends(60, 1);
	shutdown(host, SHUT_RDWR);
	wait_count(RX, 1);
	expect_in_guest(0, 1600, 60, 1);
	offer_buffers(1, 1, 1600);
	expect_lost();
}

/* With no room in the guest nobody reads the socket: the end is seen all the same. */
Test(net_stream, peer_gone_while_the_guest_is_full)
{
	enable_interrupts(b);
	start_driver(V1 | NET_F_STATUS);
	offer_buffers(0, 1, 1600);
	for (unsigned i = 0; i < 3; i++)
		stream_sends(60, 1);
	wait_count(RX, 1);
	shutdown(host, SHUT_RDWR);
	offer_buffers(1, 3, 1600);
	wait_count(RX, 3);
	expect_lost();
}

/* The peer reads no more, which shows when more frames are sent than are kept for it: none of them
 * waits for ever. */
Test(net_stream, peer_stops_reading)
{
	start_driver(V1 | NET_F_STATUS);
	memset(gmem_ptr(&b->ram, BUFFERS_AT(TX), NET_HDR_SIZE), 0, NET_HDR_SIZE);
	desc(TX, 0, BUFFERS_AT(TX), NET_HDR_SIZE, NEXT);
	desc(TX, 1, RAM_LOW, RAM_HIGH - 1, 0);
	shutdown(host, SHUT_RD);
	config_write(b, 4, config_read(b, 4, 2) & ~4u, 2); /* seen together */
	for (unsigned i = 0; i < 3; i++)
		submit(TX, 0);
	config_write(b, 4, config_read(b, 4, 2) | 4, 2);
	wait_count(TX, 3);
	expect_property("link", "down");
}

Test(net_stream, peer_sends_nonsense)
{
	enable_interrupts(b);
	start_driver(V1 | NET_F_STATUS);
	offer_buffers(0, 1, 1600);
	cr_assert_eq(send(host, "GET / HTTP/1.1\r\n", 16, 0), 16);
	expect_lost();
}
