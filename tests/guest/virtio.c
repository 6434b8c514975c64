// SPDX-License-Identifier: Apache-2.0
/*
 * Virtio devices driven by hand, well and badly.
 *   test=rng          random bytes, one request awaited by MSI-X interrupt
 *   test=blk          identity, write, flush, read back, requests that must fail with a status
 *   test=bad-chain    what no device may follow: it must ask for a reset, and work after it
 *   test=bad-setup    queues and features that no device may accept
 *   test=bad-request  chains that are no block requests
 *   test=race         one processor kicks and moves the available index, the other resets
 *   test=mid-reset    resets while a large read is under way; nothing is written after the reset
 */
#include "virtio.h"

#include <stddef.h>

#include "apic.h"
#include "cmdline.h"
#include "guest.h"
#include "io.h"
#include "pci.h"
#include "print.h"
#include "smp.h"
#include "string.h"
#include "trap.h"

#define VECTOR 0x50
#define SECTOR 512

#define BLK_IN        0
#define BLK_OUT       1
#define BLK_FLUSH     4
#define BLK_GET_ID    8
#define BLK_F_FLUSH   (UINT64_C(1) << 9)
#define BLK_OK        0
#define BLK_IOERR     1
#define BLK_UNSUPP    2
#define BLK_NO_STATUS 0xee /* never written by a device */

static volatile struct virtq queue;
static struct virtio dev;
static uint8_t buffer[256 << 10] __attribute__((aligned(4096)));

static struct {
	uint32_t type, reserved;
	uint64_t sector;
} header;
static volatile uint8_t status;

static int fail(const char *what)
{
	print("FAILED: %s\n", what);
	return 1;
}

static bool blk_find(void)
{
	pci_init();
	return virtio_find(&dev, VIRTIO_ID_BLK);
}

static bool rng_find(void)
{
	pci_init();
	return virtio_find(&dev, VIRTIO_ID_RNG);
}

/* --- requests that are right --- */

static int test_rng(void)
{
	uint32_t len = 0, zeros = 0;
	if (!rng_find() || !virtio_negotiate(&dev, VIRTIO_F_VERSION_1))
		return fail("no entropy device");
	apic_enable();
	virtio_set_queue(&dev, &queue);
	if (!virtio_route(&dev, VECTOR))
		return fail("no MSI-X vector");
	virtio_add_status(&dev, VIRTIO_STATUS_DRIVER_OK);
	virtq_set(&queue, 0, (uint64_t)buffer, 64, VIRTQ_WRITE, 0);
	virtio_submit(&dev, 0);
	trap_wait(VECTOR, 0);
	if (!virtio_wait(&dev, &len) || len == 0 || len > 64)
		return fail("wrong length");
	for (uint32_t i = 0; i < len; i++)
		zeros += !buffer[i];
	if (zeros == len)
		return fail("not random");
	memcpy(buffer + 64, buffer, 64);
	virtio_submit(&dev, 0);
	if (!virtio_wait(&dev, &len) || memcmp(buffer, buffer + 64, len) == 0)
		return fail("the same again");
	print("rng: interrupt seen\n");
	return 0;
}

/* One request with one data buffer; returns its status, or BLK_NO_STATUS if the device broke. */
static uint8_t blk_do(uint32_t type, uint64_t sector, void *data, uint32_t len)
{
	uint32_t written;
	header.type = type;
	header.sector = sector;
	status = BLK_NO_STATUS;
	virtq_set(&queue, 0, (uint64_t)&header, sizeof(header), VIRTQ_NEXT, len ? 1 : 2);
	virtq_set(&queue, 1, (uint64_t)data, len, VIRTQ_NEXT | (type == BLK_OUT ? 0 : VIRTQ_WRITE),
		2);
	virtq_set(&queue, 2, (uint64_t)&status, 1, VIRTQ_WRITE, 0);
	virtio_submit(&dev, 0);
	return virtio_wait(&dev, &written) ? status : BLK_NO_STATUS;
}

static int test_blk(void)
{
	static uint8_t pattern[2 * SECTOR];
	char id[21] = "";
	if (!blk_find() || !virtio_start(&dev, BLK_F_FLUSH, &queue))
		return fail("no disk");
	uint64_t capacity = mem_read(dev.device, 4) | mem_read(dev.device + 4, 4) << 32;
	if (blk_do(BLK_GET_ID, 0, id, 20) != BLK_OK)
		return fail("no identity");
	for (unsigned i = 0; i < sizeof(pattern); i++)
		pattern[i] = 'a' + i % 26;
	if (blk_do(BLK_OUT, 3, pattern, sizeof(pattern)) != BLK_OK)
		return fail("write");
	if (blk_do(BLK_FLUSH, 0, NULL, 0) != BLK_OK)
		return fail("flush");
	if (blk_do(BLK_IN, 2, buffer, 4 * SECTOR) != BLK_OK)
		return fail("read");
	if (memcmp(buffer + SECTOR, pattern, sizeof(pattern)))
		return fail("read back something else");
	if (blk_do(BLK_IN, capacity, buffer, SECTOR) != BLK_IOERR ||
		blk_do(BLK_IN, capacity - 1, buffer, 2 * SECTOR) != BLK_IOERR ||
		blk_do(BLK_IN, UINT64_MAX, buffer, SECTOR) != BLK_IOERR ||
		blk_do(BLK_OUT, capacity, pattern, SECTOR) != BLK_IOERR)
		return fail("an access beyond the end");
	if (blk_do(BLK_OUT, 0, pattern, SECTOR - 1) != BLK_IOERR)
		return fail("a part of a sector");
	if (blk_do(0x7777, 0, NULL, 0) != BLK_UNSUPP)
		return fail("an unknown request");
	print("blk: capacity %lu id %s\n", capacity, id);
	return 0;
}

/* --- requests that are wrong --- */

#define PLACE_NONE UINT64_C(0xfed00000) /* neither RAM nor a device */
#define PLACE_ECAM UINT64_C(0xe0000000) /* config space is no RAM to a device */
#define PLACE_WRAP UINT64_C(0xfffffffffffffff8)

/* Sound as it is, so that each test of indirect tables has one thing wrong. */
static struct virtq_desc table[2];

static void reset_table(void)
{
	table[0] = table[1] = (struct virtq_desc){ (uint64_t)buffer, 16, VIRTQ_WRITE, 0 };
}

static void bad_loop(void)
{
	virtq_set(&queue, 0, (uint64_t)buffer, 16, VIRTQ_NEXT | VIRTQ_WRITE, 1);
	virtq_set(&queue, 1, (uint64_t)buffer, 16, VIRTQ_NEXT | VIRTQ_WRITE, 0);
	virtio_submit(&dev, 0);
}

static void bad_self_loop_empty(void)
{
	virtq_set(&queue, 5, (uint64_t)buffer, 0, VIRTQ_NEXT | VIRTQ_WRITE, 5);
	virtio_submit(&dev, 5);
}

static void bad_next(void)
{
	virtq_set(&queue, 0, (uint64_t)buffer, 16, VIRTQ_NEXT | VIRTQ_WRITE, VIRTQ_SIZE);
	virtio_submit(&dev, 0);
}

static void bad_head(void)
{
	virtio_submit(&dev, 0xffff);
}

static void bad_index_jump(void)
{
	queue.avail.idx += VIRTQ_SIZE + 1;
	virtio_kick(&dev);
}

static void bad_order(void)
{
	virtq_set(&queue, 0, (uint64_t)buffer, 16, VIRTQ_NEXT | VIRTQ_WRITE, 1);
	virtq_set(&queue, 1, (uint64_t)buffer, 16, 0, 0);
	virtio_submit(&dev, 0);
}

static void submit_one(uint64_t addr, uint32_t len)
{
	virtq_set(&queue, 0, addr, len, VIRTQ_WRITE, 0);
	virtio_submit(&dev, 0);
}

static void bad_place(void)
{
	submit_one(PLACE_NONE, 16);
}

static void bad_place_ecam(void)
{
	submit_one(PLACE_ECAM, 4096);
}

static void bad_wrap(void)
{
	submit_one(PLACE_WRAP, 16);
}

static void bad_length(void)
{
	submit_one((uint64_t)buffer, 0xffffffff);
}

static void bad_total(void) /* 4 GiB and more in all */
{
	for (unsigned i = 0; i < 3; i++)
		virtq_set(&queue, i, (uint64_t)buffer, 0x80000000,
			VIRTQ_WRITE | (i < 2 ? VIRTQ_NEXT : 0), i + 1);
	virtio_submit(&dev, 0);
}

static void submit_indirect(uint64_t addr, uint32_t len, uint16_t flags)
{
	virtq_set(&queue, 0, addr, len, VIRTQ_INDIRECT | flags, 1);
	virtq_set(&queue, 1, (uint64_t)buffer, 16, VIRTQ_WRITE, 0);
	virtio_submit(&dev, 0);
}

static void bad_indirect_unasked(void)
{
	submit_indirect((uint64_t)table, 16, 0);
}

static void bad_indirect_nested(void)
{
	table[0] = (struct virtq_desc){ (uint64_t)(table + 1), 16, VIRTQ_INDIRECT, 0 };
	submit_indirect((uint64_t)table, 16, 0);
}

static void bad_indirect_place(void)
{
	submit_indirect(PLACE_NONE, 16, 0);
}

static void bad_indirect_length(void)
{
	submit_indirect((uint64_t)table, 17, 0);
}

static void bad_indirect_empty(void)
{
	submit_indirect((uint64_t)table, 0, 0);
}

static void bad_indirect_next(void)
{
	submit_indirect((uint64_t)table, 16, VIRTQ_NEXT);
}

static void bad_indirect_huge(void) /* a table that would reach beyond RAM */
{
	submit_indirect((uint64_t)table, 0xfffffff0, 0);
}

static void bad_indirect_loop(void)
{
	table[0] = (struct virtq_desc){ (uint64_t)buffer, 16, VIRTQ_WRITE | VIRTQ_NEXT, 1 };
	table[1] = (struct virtq_desc){ (uint64_t)buffer, 16, VIRTQ_WRITE | VIRTQ_NEXT, 0 };
	submit_indirect((uint64_t)table, 2 * 16, 0);
}

static const struct bad_chain {
	const char *name;
	uint64_t features;
	void (*submit)(void);
} bad_chains[] = {
	{ "loop", 0, bad_loop },
	{ "self-loop-empty", 0, bad_self_loop_empty },
	{ "next", 0, bad_next },
	{ "head", 0, bad_head },
	{ "index-jump", 0, bad_index_jump },
	{ "order", 0, bad_order },
	{ "place", 0, bad_place },
	{ "place-ecam", 0, bad_place_ecam },
	{ "wrap", 0, bad_wrap },
	{ "length", 0, bad_length },
	{ "total", 0, bad_total },
	{ "indirect-unasked", 0, bad_indirect_unasked },
	{ "indirect-place", VIRTIO_F_INDIRECT, bad_indirect_place },
	{ "indirect-length", VIRTIO_F_INDIRECT, bad_indirect_length },
	{ "indirect-empty", VIRTIO_F_INDIRECT, bad_indirect_empty },
	{ "indirect-next", VIRTIO_F_INDIRECT, bad_indirect_next },
	{ "indirect-huge", VIRTIO_F_INDIRECT, bad_indirect_huge },
	{ "indirect-nested", VIRTIO_F_INDIRECT, bad_indirect_nested },
	{ "indirect-loop", VIRTIO_F_INDIRECT, bad_indirect_loop },
};

static bool rng_works(uint64_t features)
{
	uint32_t len;
	if (!virtio_start(&dev, features, &queue))
		return false;
	virtq_set(&queue, 0, (uint64_t)buffer, 16, VIRTQ_WRITE, 0);
	virtio_submit(&dev, 0);
	return virtio_wait(&dev, &len) && len;
}

static int test_bad_chain(void)
{
	unsigned count = sizeof(bad_chains) / sizeof(bad_chains[0]);
	if (!rng_find())
		return fail("no entropy device");
	for (unsigned i = 0; i < count; i++) {
		const struct bad_chain *bad = &bad_chains[i];
		uint32_t len;
		if (!rng_works(bad->features)) {
			print("FAILED: before %s: no service\n", bad->name);
			return 1;
		}
		reset_table();
		bad->submit();
		if (virtio_wait(&dev, &len)) {
			print("FAILED: %s was followed\n", bad->name);
			return 1;
		}
	}
	if (!rng_works(0))
		return fail("no service in the end");
	print("bad-chain: %u refused\n", count);
	return 0;
}

static void set_ring(unsigned reg, uint64_t addr, uint16_t size)
{
	virtio_negotiate(&dev, VIRTIO_F_VERSION_1);
	mem_write(dev.common + VIRTIO_QUEUE_SELECT, 0, 2);
	mem_write(dev.common + VIRTIO_QUEUE_SIZE, size, 2);
	mem_write(dev.common + VIRTIO_QUEUE_DESC, (uint64_t)&queue.desc, 4);
	mem_write(dev.common + VIRTIO_QUEUE_DRIVER, (uint64_t)&queue.avail, 4);
	mem_write(dev.common + VIRTIO_QUEUE_DEVICE, (uint64_t)&queue.used, 4);
	mem_write(dev.common + reg, (uint32_t)addr, 4);
	mem_write(dev.common + reg + 4, addr >> 32, 4);
	mem_write(dev.common + VIRTIO_QUEUE_ENABLE, 1, 2);
	virtio_add_status(&dev, VIRTIO_STATUS_DRIVER_OK);
	virtio_kick(&dev);
}

static int test_bad_setup(void)
{
	static const struct {
		uint64_t addr;
		unsigned reg;
		uint16_t size;
	} bad[] = {
		{ PLACE_NONE, VIRTIO_QUEUE_DESC, 8 },
		{ PLACE_NONE, VIRTIO_QUEUE_DRIVER, 8 },
		{ PLACE_NONE, VIRTIO_QUEUE_DEVICE, 8 },
		{ PLACE_WRAP & ~UINT64_C(15), VIRTIO_QUEUE_DESC, 8 },
		{ PLACE_ECAM, VIRTIO_QUEUE_DEVICE, 8 },
		{ 0x200001, VIRTIO_QUEUE_DESC, 8 }, /* alignment */
		{ 0x200001, VIRTIO_QUEUE_DRIVER, 8 },
		{ 0x200002, VIRTIO_QUEUE_DEVICE, 8 },
		{ 0x200000, VIRTIO_QUEUE_DESC, 0 },
		{ 0x200000, VIRTIO_QUEUE_DESC, 7 },
		{ 0x200000, VIRTIO_QUEUE_DESC, 0x8000 },
	};
	if (!rng_find())
		return fail("no entropy device");
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		set_ring(bad[i].reg, bad[i].addr, bad[i].size);
		if (!(virtio_status(&dev) & VIRTIO_STATUS_NEEDS_RESET)) {
			print("FAILED: setup %u was accepted\n", i);
			return 1;
		}
	}
	if (virtio_negotiate(&dev, 0)) /* VERSION_1 is not optional */
		return fail("legacy features were accepted");
	if (virtio_negotiate(&dev, VIRTIO_F_VERSION_1 | UINT64_C(1) << 63))
		return fail("a feature that was not offered was accepted");
	virtio_add_status(&dev, VIRTIO_STATUS_DRIVER_OK);
	virtio_kick(&dev);
	virtio_reset(&dev);
	virtio_kick(&dev);
	if (!rng_works(0))
		return fail("no service in the end");
	print("bad-setup: refused\n");
	return 0;
}

static int test_mid_reset(void)
{
	uint32_t parts = 32, part = sizeof(buffer) / parts;
	if (!blk_find())
		return fail("no disk");
	for (unsigned round = 0; round < 20; round++) {
		if (!virtio_start(&dev, 0, &queue))
			return fail("no service");
		header.type = BLK_IN;
		header.sector = 0;
		virtq_set(&queue, 0, (uint64_t)&header, sizeof(header), VIRTQ_NEXT, 1);
		for (unsigned i = 1; i <= parts; i++)
			virtq_set(&queue, i, (uint64_t)(buffer + (size_t)part * (i - 1)), part,
				VIRTQ_NEXT | VIRTQ_WRITE, i + 1);
		virtq_set(&queue, parts + 1, (uint64_t)&status, 1, VIRTQ_WRITE, 0);
		virtio_submit(&dev, 0);
		virtio_reset(&dev);
		memset(buffer, 0xff, sizeof(buffer)); /* ours again */
		queue.used.idx = 0;
		if (count_ones((void *)buffer, sizeof(buffer) / 4) != sizeof(buffer) / 4 ||
			queue.used.idx)
			return fail("the device wrote after its reset");
	}
	if (!virtio_start(&dev, 0, &queue) || blk_do(BLK_IN, 0, buffer, SECTOR) != BLK_OK)
		return fail("no service in the end");
	print("mid-reset: done\n");
	return 0;
}

static void submit_request(uint32_t out, uint32_t in)
{
	header.type = BLK_IN;
	header.sector = 0;
	if (out)
		virtq_set(&queue, 0, (uint64_t)&header, out, in ? VIRTQ_NEXT : 0, 1);
	virtq_set(&queue, 1, (uint64_t)buffer, in, VIRTQ_WRITE, 0);
	virtio_submit(&dev, out ? 0 : 1);
}

static int test_bad_request(void)
{
	static const struct {
		uint32_t out, in;
	} bad[] = {
		{ 0, SECTOR + 1 },         /* no header */
		{ sizeof(header) - 1, 1 }, /* less than one */
		{ sizeof(header), 0 },     /* no room for the status */
		{ 0, 1 },
	};
	uint32_t len;
	if (!blk_find())
		return fail("no disk");
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (!virtio_start(&dev, 0, &queue) || blk_do(BLK_IN, 0, buffer, SECTOR) != BLK_OK)
			return fail("no service");
		submit_request(bad[i].out, bad[i].in);
		if (virtio_wait(&dev, &len)) {
			print("FAILED: request %u was followed\n", i);
			return 1;
		}
	}
	print("bad-request: refused\n");
	return 0;
}

static volatile uint32_t stop, ended, kicks;

static void kick_and_jump(unsigned number)
{
	while (!stop) {
		queue.avail.idx++;
		mem_write(dev.notify, 0, 2);
		queue.desc[kicks % VIRTQ_SIZE].next = kicks * 7;
		kicks++;
	}
	ended = 1;
}

static int test_race(void)
{
	if (!blk_find())
		return fail("no disk");
	if (!virtio_start(&dev, 0, &queue) || smp_start(kick_and_jump) != 1)
		return fail("two processors are needed");
	while (!kicks)
		;
	for (unsigned round = 0; round < 20; round++) {
		virtio_start(&dev, 0, &queue);
		for (unsigned i = 0; i < VIRTQ_SIZE; i++)
			virtq_set(&queue, i, (uint64_t)buffer, SECTOR,
				VIRTQ_NEXT | (i % 4 == 3 ? VIRTQ_WRITE : 0), i + 1);
		uint32_t before = kicks;
		while (kicks == before)
			;
	}
	stop = 1;
	while (!ended)
		;
	if (!virtio_start(&dev, 0, &queue) || blk_do(BLK_IN, 0, buffer, SECTOR) != BLK_OK)
		return fail("no service in the end");
	print("race: works\n");
	return 0;
}

int guest_main(void)
{
	static const struct guest_case cases[] = {
		{ "rng", test_rng },
		{ "blk", test_blk },
		{ "bad-chain", test_bad_chain },
		{ "bad-setup", test_bad_setup },
		{ "bad-request", test_bad_request },
		{ "race", test_race },
		{ "mid-reset", test_mid_reset },
	};
	return GUEST_CASES(cases);
}
