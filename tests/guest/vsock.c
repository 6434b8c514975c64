// SPDX-License-Identifier: Apache-2.0
/*
 * A driver of the socket device that does what none may do (virtio 1.2, 5.10). Nobody listens in
 * the host, so that a REQUEST is answered by a RST, which shows that the device still works.
 *   test=packets   packets with a wrong address, type or operation, for connections that aren't
 *   test=chains    chains that hold no packet, or can't hold one: the device must ask for a reset
 *   test=flood     packets without end and no receive buffers: the device stops taking them, and
 *                  goes on when there are some
 */
#include "guest.h"
#include "pci.h"
#include "print.h"
#include "string.h"
#include "virtio.h"

#define CID      33 /* as the table of guests has it */
#define HOST     2
#define STREAM   1
#define REQUEST  1
#define RESPONSE 2
#define RST      3
#define SHUTDOWN 4
#define RW       5
#define UPDATE   6

#define HEADER  44
#define BUFFER  256
#define BUFFERS 8

struct header {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
} __attribute__((packed));
_Static_assert(sizeof(struct header) == HEADER, "virtio 1.2, 5.10.6");

static volatile struct virtq rx_queue, tx_queue;
static struct virtio rx, tx;
static uint8_t rx_buffer[BUFFERS][BUFFER];
static struct header out;

static int fail(const char *what)
{
	print("FAILED: %s\n", what);
	return 1;
}

static bool find(void)
{
	pci_init();
	return virtio_find(&rx, VIRTIO_ID_VSOCK);
}

static void offer(unsigned i, uint32_t size)
{
	virtq_set(&rx_queue, i, (uint64_t)rx_buffer[i], size, VIRTQ_WRITE, 0);
	virtio_submit(&rx, i);
}

static bool start(unsigned buffers)
{
	if (!virtio_negotiate(&rx, VIRTIO_F_VERSION_1))
		return false;
	virtio_set_queue(&rx, &rx_queue);
	tx = rx;
	tx.index = 1;
	virtio_set_queue(&tx, &tx_queue);
	virtio_add_status(&rx, VIRTIO_STATUS_DRIVER_OK);
	for (unsigned i = 0; i < buffers; i++)
		offer(i, BUFFER);
	return virtio_status(&rx) & VIRTIO_STATUS_DRIVER_OK;
}

/* The header of @out, in a chain of @size bytes. */
static void submit(uint32_t size)
{
	virtq_set(&tx_queue, 0, (uint64_t)&out, size, 0, 0);
	virtio_submit(&tx, 0);
}

static bool send(uint64_t src, uint64_t dst, uint16_t type, uint16_t op, uint32_t port)
{
	uint32_t len;
	out = (struct header){ src, dst, port, 1, 0, type, op, 0, 4096, 0 };
	submit(HEADER);
	return virtio_wait(&tx, &len);
}

/* A RST for @port comes next. */
static bool reset_comes(uint32_t port)
{
	uint32_t len;
	if (!virtio_wait(&rx, &len) || len != HEADER)
		return false;
	uint32_t id = rx_queue.used.ring[(rx_queue.seen - 1) % VIRTQ_SIZE].id;
	struct header h;
	memcpy(&h, rx_buffer[id], HEADER);
	offer(id, BUFFER);
	return h.op == RST && h.dst_port == port && h.src_port == 1 && h.dst_cid == CID;
}

static bool works(uint32_t port)
{
	return send(CID, HOST, STREAM, REQUEST, port) && reset_comes(port);
}

static int test_packets(void)
{
	static const struct {
		uint64_t src, dst;
		uint16_t type, op;
		bool answered;
	} wrong[] = {
		{ CID, HOST, STREAM, RW, true }, /* no connection */
		{ CID, HOST, STREAM, RESPONSE, true },
		{ CID, HOST, STREAM, SHUTDOWN, true },
		{ CID, HOST, STREAM, UPDATE, true },
		{ CID, HOST, STREAM, 0, true },
		{ CID, HOST, STREAM, 0xffff, true },
		{ CID, HOST, STREAM, RST, false },
		{ CID, HOST, 2, REQUEST, true }, /* seqpacket was not offered */
		{ CID, HOST, 0, REQUEST, true },
		{ CID, HOST, 2, RST, false },
		{ CID, CID, STREAM, REQUEST, true }, /* nobody is there */
		{ CID, 0, STREAM, REQUEST, true },
		{ CID, UINT64_MAX, STREAM, RW, true },
		{ CID + 1, HOST, STREAM, REQUEST, false }, /* not from this guest */
		{ HOST, HOST, STREAM, REQUEST, false },
		{ UINT64_C(1) << 32 | CID, HOST, STREAM, RW, false },
	};
	unsigned count = sizeof(wrong) / sizeof(wrong[0]);
	if (!find() || !start(BUFFERS))
		return fail("no socket device");
	for (unsigned i = 0; i < count; i++) {
		if (!send(wrong[i].src, wrong[i].dst, wrong[i].type, wrong[i].op, i) ||
			(wrong[i].answered && !reset_comes(i)) || !works(1000 + i)) {
			print("FAILED: packet %u\n", i);
			return 1;
		}
	}
	print("packets: %u\n", count);
	return 0;
}

static int test_chains(void)
{
	static const struct {
		uint32_t size, len, rx_size;
	} bad[] = {
		{ HEADER - 1, 0, BUFFER },
		{ 1, 0, BUFFER },
		{ HEADER, 1, BUFFER },
		{ HEADER, UINT32_MAX, BUFFER },
		{ HEADER, 0x80000000, BUFFER },
		{ HEADER, 0, HEADER - 1 },
		{ HEADER, 0, HEADER },
		{ HEADER, 0, 1 },
	};
	unsigned count = sizeof(bad) / sizeof(bad[0]);
	if (!find())
		return fail("no socket device");
	for (unsigned i = 0; i < count; i++) {
		if (!start(0))
			return fail("no service");
		offer(0, bad[i].rx_size);
		out = (struct header){ CID, HOST, i, 1, bad[i].len, STREAM, REQUEST, 0, 4096, 0 };
		submit(bad[i].size);
		while (!(virtio_status(&rx) & VIRTIO_STATUS_NEEDS_RESET))
			if (rx_queue.used.idx) {
				print("FAILED: chain %u was followed\n", i);
				return 1;
			}
	}
	if (!start(BUFFERS) || !works(1))
		return fail("no service in the end");
	print("chains: %u refused\n", count);
	return 0;
}

/* As many packets as the ring has room for, until the device takes no more; then one receive buffer
 * at a time. */
static int test_flood(void)
{
	unsigned total = 1000, sent = 0, answered = 0, stuck = 0;
	if (!find() || !start(0))
		return fail("no socket device");
	out = (struct header){ CID, HOST, 5, 1, 0, STREAM, RW, 0, 4096, 0 };
	while (answered < total) {
		uint16_t waiting = tx_queue.avail.idx - *(volatile uint16_t *)&tx_queue.used.idx;
		if (sent < total && waiting < VIRTQ_SIZE) {
			virtq_set(&tx_queue, sent % VIRTQ_SIZE, (uint64_t)&out, HEADER, 0, 0);
			virtio_submit(&tx, sent++ % VIRTQ_SIZE);
			continue;
		}
		uint32_t len;
		stuck += sent < total;
		offer(answered % BUFFERS, BUFFER);
		if (!virtio_wait(&rx, &len) || len != HEADER)
			return fail("no answer");
		answered++;
	}
	if (!stuck)
		return fail("the device holds any number of answers");
	print("flood: %u answered\n", answered);
	return 0;
}

int guest_main(void)
{
	static const struct guest_case cases[] = {
		{ "packets", test_packets },
		{ "chains", test_chains },
		{ "flood", test_flood },
	};
	return GUEST_CASES(cases);
}
