// SPDX-License-Identifier: Apache-2.0
/*
 * A network device driven by hand, well and badly; whoever is at its other end sends each frame
 * back. test=echo         frames of many lengths, in and out, in pieces and merged test=bad-frame
 * chains that are no frames: the device asks for a reset and works after it test=mid-reset resets
 * while frames come; nothing is written after the reset test=link         waits until the link goes
 * down, then ends
 */
#include "cmdline.h"
#include "guest.h"
#include "io.h"
#include "pci.h"
#include "print.h"
#include "string.h"
#include "virtio.h"

#define NET_F_MRG_RXBUF (UINT64_C(1) << 15)
#define NET_F_STATUS    (UINT64_C(1) << 16)
#define NET_STATUS      6 /* offset in the configuration */

#define HEADER   12
#define FRAME    9000
#define BUFFERS  32
#define BUFFER   1024
#define ECHO_MAX 60 /* lengths up to here are all tried */

static volatile struct virtq rx_queue, tx_queue;
static struct virtio rx, tx;
static uint8_t out[HEADER + FRAME], in[BUFFERS][BUFFER] __attribute__((aligned(4096)));

static int fail(const char *what)
{
	print("FAILED: %s\n", what);
	return 1;
}

static bool net_find(void)
{
	pci_init();
	return virtio_find(&rx, VIRTIO_ID_NET);
}

static bool net_start(uint64_t features)
{
	if (!virtio_negotiate(&rx, VIRTIO_F_VERSION_1 | features))
		return false;
	tx = rx;
	tx.index = 1;
	virtio_set_queue(&rx, &rx_queue);
	virtio_set_queue(&tx, &tx_queue);
	virtio_add_status(&rx, VIRTIO_STATUS_DRIVER_OK);
	for (unsigned i = 0; i < BUFFERS; i++) {
		virtq_set(&rx_queue, i, (uint64_t)in[i], BUFFER, VIRTQ_WRITE, 0);
		virtio_submit(&rx, i);
	}
	return true;
}

/* Sends a frame of @len bytes, cut in pieces of @cut, and checks what comes back. */
static bool echo(uint32_t len, uint32_t cut, uint8_t seed)
{
	static uint8_t back[HEADER + FRAME + BUFFER];
	uint32_t got = 0, n, i = 0;
	memset(out, 0, HEADER);
	for (uint32_t at = 0; at < len; at++)
		out[HEADER + at] = seed + at * 5;
	for (uint32_t at = 0; at < HEADER + len; at += cut, i++) {
		n = HEADER + len - at < cut ? HEADER + len - at : cut;
		virtq_set(&tx_queue, i, (uint64_t)(out + at), n,
			at + n < HEADER + len ? VIRTQ_NEXT : 0, i + 1);
	}
	virtio_submit(&tx, 0);
	if (!virtio_wait(&tx, &n))
		return false;
	unsigned chains = 1;
	for (i = 0; i < chains; i++) {
		unsigned slot = rx_queue.seen % BUFFERS;
		if (!virtio_wait(&rx, &n) || n > BUFFER || got + n > sizeof(back))
			return false;
		memcpy(back + got, in[slot], n);
		got += n;
		if (i == 0)
			chains = back[10] | back[11] << 8;
		virtio_submit(&rx, slot);
	}
	return got == HEADER + len && memcmp(back + HEADER, out + HEADER, len) == 0;
}

static int test_echo(void)
{
	if (!net_find() || !net_start(NET_F_MRG_RXBUF))
		return fail("no network device");
	for (uint32_t len = 14; len < FRAME; len += len < ECHO_MAX ? 1 : 701)
		if (!echo(len, len < 1000 ? 100 : 500, len)) {
			print("FAILED: a frame of %u bytes\n", len);
			return 1;
		}
	print("echo: all came back\n");
	return 0;
}

static int test_bad_frame(void)
{
	static const struct {
		uint32_t readable, writable;
		bool receive;
	} bad[] = {
		{ HEADER - 1, 0, false },
		{ 1, 0, false },
		{ 0, 64, false },
		{ 64, 0, true },
		{ 0, HEADER - 1, true },
		{ 64, 1, true },
	};
	if (!net_find())
		return fail("no network device");
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint32_t len;
		if (!net_start(NET_F_MRG_RXBUF) || !echo(60, 100, i))
			return fail("no service");
		if (bad[i].receive) { /* a queue that has nothing but these */
			virtio_negotiate(&rx, VIRTIO_F_VERSION_1);
			virtio_set_queue(&rx, &rx_queue);
			virtio_add_status(&rx, VIRTIO_STATUS_DRIVER_OK);
		}
		volatile struct virtq *q = bad[i].receive ? &rx_queue : &tx_queue;
		const struct virtio *v = bad[i].receive ? &rx : &tx;
		virtq_set(
			q, 0, (uint64_t)out, bad[i].readable, bad[i].writable ? VIRTQ_NEXT : 0, 1);
		virtq_set(q, 1, (uint64_t)in, bad[i].writable, VIRTQ_WRITE, 0);
		virtio_submit(v, bad[i].readable ? 0 : 1);
		if (virtio_wait(v, &len)) {
			print("FAILED: chain %u was followed\n", i);
			return 1;
		}
	}
	if (!net_start(0) || !echo(60, 100, 1))
		return fail("no service in the end");
	print("bad-frame: refused\n");
	return 0;
}

static int test_mid_reset(void)
{
	if (!net_find())
		return fail("no network device");
	for (unsigned round = 0; round < 20; round++) {
		if (!net_start(NET_F_MRG_RXBUF))
			return fail("no service");
		memset(out, 0, HEADER);
		for (unsigned i = 0; i < 16; i++) {
			virtq_set(&tx_queue, i, (uint64_t)out, HEADER + 800, 0, 0);
			virtio_submit(&tx, i);
		}
		virtio_reset(&rx);
		memset(in, 0xff, sizeof(in)); /* ours again */
		rx_queue.used.idx = 0;
		for (unsigned i = 0; i < sizeof(in); i++)
			if (((volatile uint8_t *)in)[i] != 0xff || rx_queue.used.idx)
				return fail("the device wrote after its reset");
	}
	print("mid-reset: done\n");
	return 0;
}

static int test_link(void)
{
	if (!net_find() || !net_start(NET_F_STATUS))
		return fail("no network device");
	print("link: %u\n", (unsigned)mem_read(rx.device + NET_STATUS, 2));
	while (mem_read(rx.device + NET_STATUS, 2))
		;
	print("link: down\n");
	return 0;
}

int guest_main(void)
{
	static const struct guest_case cases[] = {
		{ "echo", test_echo },
		{ "bad-frame", test_bad_frame },
		{ "mid-reset", test_mid_reset },
		{ "link", test_link },
	};
	return GUEST_CASES(cases);
}
