// SPDX-License-Identifier: Apache-2.0
/* The whole socket device between a driver and programs of the host: turns, limits, resets. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "virtio/vsock.h"
#include "virtio/vsock_packet.h"
#include "virtio_fixture.h"

#define V1  VIRTIO_F_VERSION_1
#define CID 33

/* Places of each queue's rings and buffers, all of it below RAM_LOW. */
#define RING_AT(queue)   (0x1000u + 0x1000u * (queue))
#define AVAIL_OF(queue)  (RING_AT(queue) + 0x400u)
#define USED_OF(queue)   (RING_AT(queue) + 0x800u)
#define BUFFER_AT(queue) (0x8000u + 0x8000u * (queue))
#define BUFFER_SIZE      0x800u /* one for each entry */
#define PAYLOAD_MAX      (BUFFER_SIZE - VSOCK_HEADER_SIZE)

static struct board board, *b = &board;
static char dir[] = "/tmp/lacuna-vsock-XXXXXX", path[64];
static uint16_t avail[VSOCK_QUEUE_COUNT], used[VSOCK_QUEUE_COUNT];
static uint32_t guest_room = 0x40000;

static void set_up(void)
{
	char text[96];
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/v", dir);
	snprintf(text, sizeof(text), "cid=%d,path=%s", CID, path);
	board_init(b);
	board_add(b, &virtio_vsock_class, text);
}

static void tear_down(void)
{
	board_done(b);
	cr_expect_neq(access(path, F_OK), 0, "the socket is removed");
	rmdir(dir);
}

TestSuite(virtio_vsock, .init = set_up, .fini = tear_down, .timeout = 120);

/* --- the driver --- */

static void *at(gpa_t gpa)
{
	return gmem_ptr(&b->ram, gpa, 1);
}

static void make_available(unsigned queue, uint16_t head)
{
	store_le16(at(AVAIL_OF(queue) + 4 + 2 * (avail[queue] % RING_SIZE)), head);
	store_shared(&b->ram, AVAIL_OF(queue) + 2, ++avail[queue]);
}

static void kick_queue(unsigned queue)
{
	bar_set(b, VP_NOTIFY + 4 * (uint64_t)queue, queue, 2);
}

static void place(unsigned queue)
{
	bar_set(b, VP_QUEUE_SELECT, queue, 2);
	bar_set(b, VP_QUEUE_SIZE, RING_SIZE, 2);
	bar_set(b, VP_QUEUE_DESC, RING_AT(queue), 4);
	bar_set(b, VP_QUEUE_DRIVER, AVAIL_OF(queue), 4);
	bar_set(b, VP_QUEUE_DEVICE, USED_OF(queue), 4);
	bar_set(b, VP_QUEUE_ENABLE, 1, 2);
	avail[queue] = used[queue] = 0;
}

static void offer_rx(uint16_t i, uint32_t size)
{
	put_desc(&b->ram, RING_AT(VSOCK_QUEUE_RX) + 16u * i,
		BUFFER_AT(VSOCK_QUEUE_RX) + BUFFER_SIZE * i, size, WRITE, 0);
	make_available(VSOCK_QUEUE_RX, i);
}

/* From reset to DRIVER_OK, with @buffers receive buffers. */
static void start_driver(uint64_t features, unsigned buffers)
{
	reset_device(b);
	memset(at(0x1000), 0, 0x7000);
	negotiate(b, V1 | features);
	for (unsigned q = 0; q < VSOCK_QUEUE_COUNT; q++)
		place(q);
	bar_set(b, VP_STATUS, 15, 1);
	for (unsigned i = 0; i < buffers; i++)
		offer_rx((uint16_t)i, BUFFER_SIZE);
	kick_queue(VSOCK_QUEUE_RX);
}

static void wait_used_of(unsigned queue, uint16_t idx)
{
	while (load_shared(&b->ram, USED_OF(queue) + 2) != idx)
		sched_yield();
}

static void write_header(uint8_t *p, const struct vsock_packet *h)
{
	struct virtq_chain c = { .in_count = 1, .in_size = VSOCK_HEADER_SIZE };
	c.iov[0] = (struct iovec){ p, VSOCK_HEADER_SIZE };
	cr_assert(vsock_packet_write(&c, h));
}

static struct vsock_packet packet(uint16_t op, uint32_t guest_port, uint32_t host_port)
{
	return (struct vsock_packet){
		.src_cid = CID,
		.dst_cid = VSOCK_CID_HOST,
		.src_port = guest_port,
		.dst_port = host_port,
		.type = VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = guest_room,
	};
}

/* Sends without waiting that it is taken. */
static void post(const struct vsock_packet *h, const void *payload)
{
	uint16_t i = avail[VSOCK_QUEUE_TX] % RING_SIZE;
	gpa_t buffer = BUFFER_AT(VSOCK_QUEUE_TX) + BUFFER_SIZE * i;
	write_header(at(buffer), h);
	if (payload)
		memcpy((uint8_t *)at(buffer) + VSOCK_HEADER_SIZE, payload, h->len);
	put_desc(&b->ram, RING_AT(VSOCK_QUEUE_TX) + 16u * i, buffer,
		VSOCK_HEADER_SIZE + (payload ? h->len : 0), 0, 0);
	make_available(VSOCK_QUEUE_TX, i);
}

static void transmit(const struct vsock_packet *h, const void *payload)
{
	post(h, payload);
	kick_queue(VSOCK_QUEUE_TX);
	wait_used_of(VSOCK_QUEUE_TX, avail[VSOCK_QUEUE_TX]);
}

static void send_op(uint16_t op, uint32_t guest_port, uint32_t host_port)
{
	struct vsock_packet p = packet(op, guest_port, host_port);
	transmit(&p, NULL);
}

/* The next packet for the guest, and its buffer made available again. */
static struct vsock_packet receive(uint8_t payload[PAYLOAD_MAX])
{
	struct vsock_packet p;
	uint16_t n = used[VSOCK_QUEUE_RX]++;
	while (load_shared(&b->ram, USED_OF(VSOCK_QUEUE_RX) + 2) == n)
		sched_yield();
	const uint8_t *entry = at(USED_OF(VSOCK_QUEUE_RX) + 4 + 8u * (n % RING_SIZE));
	uint16_t i = (uint16_t)load_le32(entry);
	uint32_t len = load_le32(entry + 4);
	struct virtq_chain c = { .out_count = 1, .out_size = len };
	c.iov[0] = (struct iovec){ at(BUFFER_AT(VSOCK_QUEUE_RX) + BUFFER_SIZE * i), len };
	cr_assert_null(vsock_packet_read(&c, &p));
	cr_assert_eq(len, VSOCK_HEADER_SIZE + p.len);
	cr_assert_eq(p.src_cid, VSOCK_CID_HOST);
	cr_assert_eq(p.dst_cid, CID);
	if (payload)
		virtq_chain_read(&c, VSOCK_HEADER_SIZE, payload, p.len);
	offer_rx(i, BUFFER_SIZE);
	kick_queue(VSOCK_QUEUE_RX);
	return p;
}

static void expect_op(uint16_t op, uint32_t guest_port, uint32_t host_port)
{
	struct vsock_packet p = receive(NULL);
	cr_assert_eq(p.op, op, "operation %u instead of %u", p.op, op);
	cr_assert_eq(p.dst_port, guest_port);
	cr_assert_eq(p.src_port, host_port);
}

/* --- programs of the host --- */

static struct sockaddr_un address(const char *suffix)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof(a.sun_path), "%s%s", path, suffix);
	return a;
}

static int serve(const char *suffix, int backlog)
{
	struct sockaddr_un a = address(suffix);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(listen(fd, backlog), 0);
	return fd;
}

static void end_service(int fd, const char *suffix)
{
	close(fd);
	unlink(address(suffix).sun_path);
}

static int call(const char *line)
{
	struct sockaddr_un a = address("");
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	send(fd, line, strlen(line), MSG_NOSIGNAL); /* may be turned away already */
	return fd;
}

static bool at_end(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0); /* blocks */
	return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* The value that the device tells of itself. */
struct asked {
	const char *key;
	uint64_t value;
};

static void note(void *opaque, const char *key, const char *value)
{
	struct asked *a = opaque;
	if (!strcmp(a->key, key))
		a->value = strtoull(value, NULL, 10);
}

static uint64_t property(const char *key)
{
	struct asked a = { key, UINT64_MAX };
	b->dev->class->get(b->dev, note, &a);
	return a.value;
}

static void wait_connections(uint64_t n)
{
	while (property("connections") != n)
		sched_yield();
}

/* --- tests --- */

Test(virtio_vsock, configuration)
{
	cr_expect_eq(config_read(b, 0, 4), 0x10531af4);
	cr_expect_eq(config_read(b, 0x0b, 1), 7, "communication");
	cr_expect_eq(bar_get(b, VP_DEVICE, 8), CID);
	bar_set(b, VP_DEVICE, 1, 4);
	cr_expect_eq(bar_get(b, VP_DEVICE, 8), CID, "not to be written");
	bar_set(b, VP_DEVICE_FEATURE_SELECT, 0, 4);
	cr_expect_eq(bar_get(b, VP_DEVICE_FEATURE, 4) & 3, VSOCK_F_STREAM, "no seqpacket");
	cr_expect_eq(bar_get(b, VP_NUM_QUEUES, 2), VSOCK_QUEUE_COUNT);
}

Test(virtio_vsock, option_errors)
{
	static const char *const text[] = { "cid=3", "path=/tmp/x", "cid=3,path=", "cid=2,path=x",
		"cid=4294967295,path=x", "cid=0x100000003,path=x", "cid=three,path=x",
		"cid=3,path=/nowhere/x" };
	for (unsigned i = 0; i < ARRAY_SIZE(text); i++) {
		struct keyval *kv;
		struct device *d = NULL;
		struct lacuna_error *err = NULL;
		cr_assert_eq(keyval_parse(text[i], NULL, virtio_vsock_class.keys, &kv, NULL), 0);
		cr_expect_lt(virtio_vsock_class.create(&b->env, kv, &d, &err), 0, "%s", text[i]);
		cr_expect_not_null(err, "%s", text[i]);
		lacuna_error_free(err);
		keyval_free(kv);
	}
}

Test(virtio_vsock, both_directions)
{
	uint8_t payload[PAYLOAD_MAX];
	char buf[16] = "";
	int listener = serve("_52", 8);
	start_driver(VIRTIO_F_EVENT_IDX, 8);

	send_op(VSOCK_OP_REQUEST, 1000, 52);
	expect_op(VSOCK_OP_RESPONSE, 1000, 52);
	int fd = accept(listener, NULL, NULL);
	struct vsock_packet p = packet(VSOCK_OP_RW, 1000, 52);
	p.len = 5;
	transmit(&p, "hello");
	cr_expect_eq(recv(fd, buf, sizeof(buf), 0), 5);
	cr_expect_str_eq(buf, "hello");
	cr_assert_eq(send(fd, "world!", 6, 0), 6);
	p = receive(payload);
	cr_expect_eq(p.op, VSOCK_OP_RW);
	cr_expect_arr_eq(payload, "world!", 6);

	int caller = call("CONNECT 2000\nmore");
	p = receive(NULL);
	cr_expect_eq(p.op, VSOCK_OP_REQUEST);
	cr_expect_eq(p.dst_port, 2000);
	send_op(VSOCK_OP_RESPONSE, 2000, p.src_port);
	p = receive(payload);
	cr_expect_eq(p.len, 4);
	cr_expect_arr_eq(payload, "more", 4);
	char ok[32];
	int len = snprintf(ok, sizeof(ok), "OK %u\n", p.src_port);
	cr_assert_eq(recv(caller, buf, (size_t)len, MSG_WAITALL), len);
	cr_expect_arr_eq(buf, ok, len);

	cr_expect_eq(property("connections"), 2);
	cr_expect_eq(property("rx-bytes"), 10);
	cr_expect_eq(property("tx-bytes"), 5);
	close(caller);
	expect_op(VSOCK_OP_SHUTDOWN, 2000, p.src_port);
	send_op(VSOCK_OP_RST, 2000, p.src_port);
	send_op(VSOCK_OP_RST, 1000, 52);
	cr_expect(at_end(fd));
	wait_connections(0);
	close(fd);
	end_service(listener, "_52");
}

/* More than the listener has places for: the guest's connections wait as a program's would. */
Test(virtio_vsock, listener_without_a_place)
{
	int listener = serve("_52", 0), fd[4];
	start_driver(0, 8);
	for (unsigned i = 0; i < 4; i++)
		send_op(VSOCK_OP_REQUEST, i, 52);
	expect_op(VSOCK_OP_RESPONSE, 0, 52);
	send_op(VSOCK_OP_RST, 2, 52);
	wait_connections(3);
	fd[0] = accept(listener, NULL, NULL);
	expect_op(VSOCK_OP_RESPONSE, 1, 52);
	fd[1] = accept(listener, NULL, NULL);
	expect_op(VSOCK_OP_RESPONSE, 3, 52);
	end_service(listener, "_52");
	for (unsigned i = 0; i < 2; i++)
		close(fd[i]);
}

/* Nobody ever takes them: refused in the end, at once when the listener goes. */
Test(virtio_vsock, listener_that_goes)
{
	int listener = serve("_52", 0);
	start_driver(0, 8);
	send_op(VSOCK_OP_REQUEST, 1, 52);
	expect_op(VSOCK_OP_RESPONSE, 1, 52);
	send_op(VSOCK_OP_REQUEST, 2, 52);
	expect_op(VSOCK_OP_RST, 2, 52);
	send_op(VSOCK_OP_REQUEST, 3, 52);
	end_service(listener, "_52");
	struct vsock_packet p = receive(NULL);
	while (p.dst_port != 3)
		p = receive(NULL);
	cr_expect_eq(p.op, VSOCK_OP_RST);
}

Test(virtio_vsock, refused)
{
	start_driver(0, 8);
	send_op(VSOCK_OP_REQUEST, 1000, 53);
	expect_op(VSOCK_OP_RST, 1000, 53);
	int caller = call("CONNECT 2000\n");
	struct vsock_packet p = receive(NULL);
	cr_expect_eq(p.op, VSOCK_OP_REQUEST);
	send_op(VSOCK_OP_RST, 2000, p.src_port);
	cr_expect(at_end(caller));
	close(caller);
	caller = call("HELP\n");
	cr_expect(at_end(caller));
	close(caller);
	wait_connections(0);
}

/* Who connects before there is a driver, or while it is away, is served when it comes. */
Test(virtio_vsock, early_caller)
{
	int caller = call("CONNECT 2000\n");
	start_driver(0, 4);
	struct vsock_packet p = receive(NULL);
	cr_expect_eq(p.op, VSOCK_OP_REQUEST);
	cr_expect_eq(p.dst_port, 2000);
	reset_device(b);
	cr_expect(at_end(caller));
	close(caller);
	caller = call("CONNECT 2001\n");
	start_driver(0, 4);
	p = receive(NULL);
	cr_expect_eq(p.dst_port, 2001);
	close(caller);
}

/* Packets that belong to no connection are answered by RSTs, but for RSTs; when the guest takes
 * none of them, the device takes no more packets, and loses none. */
Test(virtio_vsock, resets_without_receive_buffers)
{
	const unsigned count = 500;
	unsigned seen = 0;
	start_driver(0, 0);
	for (unsigned sent = 0; sent < count;) {
		uint16_t taken = load_shared(&b->ram, USED_OF(VSOCK_QUEUE_TX) + 2);
		if ((uint16_t)(avail[VSOCK_QUEUE_TX] - taken) == RING_SIZE) {
			/* Stuck, or about to go on. With one buffer more it must go on. */
			offer_rx((uint16_t)(seen % RING_SIZE), BUFFER_SIZE);
			kick_queue(VSOCK_QUEUE_RX);
			struct vsock_packet p = { 0 };
			while (load_shared(&b->ram, USED_OF(VSOCK_QUEUE_RX) + 2) == (uint16_t)seen)
				sched_yield();
			struct virtq_chain c = { .out_count = 1, .out_size = VSOCK_HEADER_SIZE };
			c.iov[0] = (struct iovec){ at(BUFFER_AT(VSOCK_QUEUE_RX) +
							   BUFFER_SIZE * (seen % RING_SIZE)),
				VSOCK_HEADER_SIZE };
			cr_assert_null(vsock_packet_read(&c, &p));
			cr_assert_eq(p.op, VSOCK_OP_RST);
			cr_assert_eq(p.dst_port, seen, "in order");
			seen++;
			continue;
		}
		struct vsock_packet p = packet(VSOCK_OP_RW, sent++, 9);
		post(&p, NULL);
		kick_queue(VSOCK_QUEUE_TX);
	}
	cr_expect_gt(seen, 0, "it was stuck");
	cr_expect_lt(seen, count);
}

struct bad {
	uint32_t size, len;
};

/* A packet that is none, a receive buffer that can hold none: the device needs a reset. */
Test(virtio_vsock, broken_chains)
{
	static const struct bad bad[] = { { 43, 0 }, { 1, 0 }, { 44, 1 }, { 100, 57 },
		{ 44, UINT32_MAX } };
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		start_driver(0, 4);
		struct vsock_packet p = packet(VSOCK_OP_RW, 1, 2);
		p.len = bad[i].len;
		write_header(at(BUFFER_AT(VSOCK_QUEUE_TX)), &p);
		put_desc(&b->ram, RING_AT(VSOCK_QUEUE_TX), BUFFER_AT(VSOCK_QUEUE_TX), bad[i].size,
			0, 0);
		make_available(VSOCK_QUEUE_TX, 0);
		kick_queue(VSOCK_QUEUE_TX);
		while (bar_get(b, VP_STATUS, 1) != (15 | 64))
			sched_yield();
	}
	for (uint32_t size = 43; size <= 44; size++) {
		start_driver(0, 0);
		offer_rx(0, size);
		send_op(VSOCK_OP_REQUEST, 1, 2);
		while (bar_get(b, VP_STATUS, 1) != (15 | 64))
			sched_yield();
	}
	start_driver(0, 4);
	send_op(VSOCK_OP_REQUEST, 1, 2);
	expect_op(VSOCK_OP_RST, 1, 2);
}

/* A hostile guest opens all it can: then it is refused, and what is closed can be opened again. */
Test(virtio_vsock, connections_have_a_limit)
{
	struct rlimit files;
	unsigned opened = 0, refused = 0;
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
	unsigned limit = (unsigned)min_u64(1024, files.rlim_cur / 2);
	int listener = serve("_1", 4096);
	start_driver(0, 8);
	for (unsigned i = 0; i < limit + 10; i++) {
		send_op(VSOCK_OP_REQUEST, i, 1);
		struct vsock_packet p = receive(NULL);
		opened += p.op == VSOCK_OP_RESPONSE;
		refused += p.op == VSOCK_OP_RST;
	}
	cr_expect_eq(opened, limit);
	cr_expect_eq(refused, 10);
	cr_expect_eq(property("connections"), limit);
	int caller = call("CONNECT 2000\n");
	cr_expect(at_end(caller), "no place either");
	close(caller);
	send_op(VSOCK_OP_RST, 3, 1);
	send_op(VSOCK_OP_REQUEST, 3, 1);
	expect_op(VSOCK_OP_RESPONSE, 3, 1);
	reset_device(b);
	cr_expect_eq(property("connections"), 0);
	end_service(listener, "_1");
}

/* More than may wait with half a greeting: the oldest go, the newest is served. */
Test(virtio_vsock, idle_greetings_have_a_limit)
{
	enum { MANY = 300, PLACES = 256 };
	int idle[MANY];
	start_driver(0, 8);
	for (unsigned i = 0; i < MANY; i++)
		idle[i] = call("CONN");
	int caller = call("CONNECT 2000\n");
	struct vsock_packet p = receive(NULL);
	cr_expect_eq(p.op, VSOCK_OP_REQUEST);
	cr_expect_leq(property("connections"), PLACES + 1);
	for (unsigned i = 0; i < MANY - PLACES; i++)
		cr_expect(at_end(idle[i]), "%u", i);
	cr_assert_eq(send(idle[MANY - 1], "ECT 7\n", 6, 0), 6);
	p = receive(NULL);
	cr_expect_eq(p.dst_port, 7);
	for (unsigned i = 0; i < MANY; i++)
		close(idle[i]);
	close(caller);
}

/* Two talkers share the receive buffers packet by packet. */
Test(virtio_vsock, talkers_take_turns)
{
	static uint8_t data[20 * PAYLOAD_MAX];
	unsigned run = 0, longest = 0, before = 0, seen[2] = { 0, 0 };
	int listener = serve("_1", 8), fd[2];
	guest_room = 0x100000;
	start_driver(0, 1);
	for (unsigned i = 0; i < 2; i++) {
		send_op(VSOCK_OP_REQUEST, i, 1);
		expect_op(VSOCK_OP_RESPONSE, i, 1);
		fd[i] = accept(listener, NULL, NULL);
	}
	/* No buffers are offered while both begin, so that both wait. */
	struct vsock_packet p;
	for (unsigned i = 0; i < 2; i++)
		cr_assert_eq(send(fd[i], data, sizeof(data), 0), (ssize_t)sizeof(data));
	while (seen[0] + seen[1] < 40) {
		p = receive(NULL);
		cr_assert_eq(p.op, VSOCK_OP_RW);
		cr_assert_eq(p.len, PAYLOAD_MAX);
		seen[p.dst_port]++;
		run = p.dst_port == before ? run + 1 : 1;
		before = p.dst_port;
		if (seen[0] > 2 && seen[1] > 2 && seen[0] < 19 && seen[1] < 19 && run > longest)
			longest = run;
	}
	cr_expect_eq(longest, 1);
	close(fd[0]);
	close(fd[1]);
	end_service(listener, "_1");
}

/* Reset at any moment: the host's programs see their end, and the next driver starts from nothing.
 */
Test(virtio_vsock, reset_while_busy)
{
	static uint8_t data[PAYLOAD_MAX];
	int listener = serve("_1", 64);
	for (unsigned round = 0; round < 100; round++) {
		int fd[4];
		start_driver(round & 1 ? VIRTIO_F_EVENT_IDX : 0, round % 5);
		for (unsigned i = 0; i < 4; i++) {
			struct vsock_packet p = packet(VSOCK_OP_REQUEST, i, 1);
			transmit(&p, NULL);
			fd[i] = accept(listener, NULL, NULL);
			cr_assert_geq(fd[i], 0);
			cr_assert_eq(send(fd[i], data, sizeof(data), 0), (ssize_t)sizeof(data));
			p = packet(VSOCK_OP_RW, i, 1);
			p.len = sizeof(data);
			post(&p, data);
			kick_queue(VSOCK_QUEUE_TX);
		}
		reset_device(b);
		uint16_t rx_used = load_shared(&b->ram, USED_OF(VSOCK_QUEUE_RX) + 2);
		cr_assert_eq(property("connections"), 0);
		for (unsigned i = 0; i < 4; i++) {
			while (recv(fd[i], data, sizeof(data), 0) > 0)
				;
			cr_assert(at_end(fd[i]));
			close(fd[i]);
		}
		cr_assert_eq(load_shared(&b->ram, USED_OF(VSOCK_QUEUE_RX) + 2), rx_used);
	}
	start_driver(0, 4);
	send_op(VSOCK_OP_REQUEST, 1, 1);
	expect_op(VSOCK_OP_RESPONSE, 1, 1);
	end_service(listener, "_1");
}

/* Bytes in both directions through one connection, more than any buffer holds, compared. */
Test(virtio_vsock, bulk_echo)
{
	static uint8_t data[PAYLOAD_MAX], back[PAYLOAD_MAX];
	const uint32_t rounds = 400;
	uint32_t forwarded = 0;
	int listener = serve("_1", 8);
	guest_room = 4 * PAYLOAD_MAX;
	start_driver(VIRTIO_F_EVENT_IDX, 8);
	send_op(VSOCK_OP_REQUEST, 1, 1);
	expect_op(VSOCK_OP_RESPONSE, 1, 1);
	int fd = accept(listener, NULL, NULL);
	for (uint32_t round = 0; round < rounds; round++) {
		for (uint32_t i = 0; i < PAYLOAD_MAX; i++)
			data[i] = (uint8_t)(i * 3 + round);
		struct vsock_packet p = packet(VSOCK_OP_RW, 1, 1);
		p.len = PAYLOAD_MAX;
		p.fwd_cnt = forwarded;
		transmit(&p, data);
		cr_assert_eq(recv(fd, back, PAYLOAD_MAX, MSG_WAITALL), (ssize_t)PAYLOAD_MAX);
		cr_assert_arr_eq(back, data, PAYLOAD_MAX);
		cr_assert_eq(send(fd, back, PAYLOAD_MAX, 0), (ssize_t)PAYLOAD_MAX);
		for (uint32_t got = 0; got < PAYLOAD_MAX;) {
			p = receive(back + got);
			if (p.op == VSOCK_OP_RW)
				got += p.len;
			else
				cr_assert_eq(p.op, VSOCK_OP_CREDIT_UPDATE);
		}
		forwarded += PAYLOAD_MAX;
		cr_assert_arr_eq(back, data, PAYLOAD_MAX);
	}
	close(fd);
	end_service(listener, "_1");
}
