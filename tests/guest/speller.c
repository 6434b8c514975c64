// SPDX-License-Identifier: Apache-2.0
/*
 * A driver for the device of examples/custom-virtio.c, which tells what it does.
 *   test=spell   texts in capitals and small letters, cut up in all ways, awaited by interrupt
 *   test=many    as many texts at a time as the queue takes
 *   test=bad     texts without room or too long, chains that no device may follow, configuration
 *                that may not be written
 *   test=reset   resets, of the device and of the function, while it is at work
 */
#include <stdbool.h>
#include <stddef.h>

#include "apic.h"
#include "guest.h"
#include "io.h"
#include "pci.h"
#include "print.h"
#include "string.h"
#include "trap.h"
#include "virtio.h"

#define ID_SPELLER 63
#define F_LOWER    1
#define VECTOR     0x52

#define LENGTH_MAX 0 /* fields of the configuration */
#define MODE       4
#define SERVED     8
#define TEXT_MAX   4096

static volatile struct virtq queue;
static struct virtio dev;
static char text[TEXT_MAX + 1], answer[TEXT_MAX + 1];

static int fail(const char *what)
{
	print("FAILED: %s\n", what);
	return 1;
}

static uint32_t config(unsigned field)
{
	return mem_read(dev.device + field, 4);
}

static bool find(void)
{
	pci_init();
	for (unsigned i = 0; i < TEXT_MAX; i++)
		text[i] = (i & 1 ? 'a' : 'A') + i % 26;
	return virtio_find(&dev, ID_SPELLER) && dev.device;
}

static char spelt(char c, bool small)
{
	if (small)
		return c >= 'A' && c <= 'Z' ? c + 32 : c;
	return c >= 'a' && c <= 'z' ? c - 32 : c;
}

static bool is_spelt(unsigned len, bool small)
{
	for (unsigned i = 0; i < len; i++)
		if (answer[i] != spelt(text[i], small))
			return false;
	return answer[len] == 0;
}

/* The text in pieces of @piece bytes, then room for @room bytes in such pieces; returns what was
 * written, or -1 where the device needs a reset. */
static int send(unsigned len, unsigned room, unsigned piece)
{
	unsigned n = 0;
	uint32_t written;
	memset(answer, 0, sizeof(answer));
	for (unsigned at = 0; at < len; at += piece, n++)
		virtq_set(&queue, n, (uint64_t)text + at, len - at < piece ? len - at : piece,
			VIRTQ_NEXT, n + 1);
	for (unsigned at = 0; at < room; at += piece, n++)
		virtq_set(&queue, n, (uint64_t)answer + at, room - at < piece ? room - at : piece,
			VIRTQ_WRITE | VIRTQ_NEXT, n + 1);
	if (n == 0) /* not a single byte, but a buffer */
		virtq_set(&queue, n++, (uint64_t)answer, 0, VIRTQ_WRITE, 0);
	queue.desc[n - 1].flags &= ~VIRTQ_NEXT;
	virtio_submit(&dev, 0);
	return virtio_wait(&dev, &written) ? (int)written : -1;
}

static bool works(uint64_t features)
{
	return virtio_start(&dev, features, &queue) && send(100, 100, 7) == 100 &&
	       is_spelt(100, false);
}

static int test_spell(void)
{
	static const unsigned lengths[] = { 1, 2, 25, 640, 2000, TEXT_MAX };
	if (!find() || !virtio_negotiate(&dev, VIRTIO_F_VERSION_1 | F_LOWER))
		return fail("no device");
	if (config(LENGTH_MAX) != TEXT_MAX || config(SERVED) != 0)
		return fail("its configuration");
	apic_enable();
	virtio_set_queue(&dev, &queue);
	if (!virtio_route(&dev, VECTOR))
		return fail("no MSI-X vector");
	virtio_add_status(&dev, VIRTIO_STATUS_DRIVER_OK);
	virtq_set(&queue, 0, (uint64_t)text, 5, VIRTQ_NEXT, 1);
	virtq_set(&queue, 1, (uint64_t)answer, 5, VIRTQ_WRITE, 0);
	virtio_submit(&dev, 0);
	trap_wait(VECTOR, 0);
	uint32_t len;
	if (!virtio_wait(&dev, &len) || len != 5 || !is_spelt(5, false))
		return fail("the answer to the first");
	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		unsigned n = lengths[i];
		if (send(n, n, n < 200 ? 7 : n / 20) != (int)n || !is_spelt(n, false))
			return fail("an answer in capitals");
	}
	while (config(SERVED) != 1 + sizeof(lengths) / sizeof(lengths[0]))
		;
	mem_write(dev.device + MODE, 1, 4);
	/* It is told of the mode, and of the text, on two ways: the text may be faster. */
	while (send(100, 100, 9) == 100 && !is_spelt(100, true))
		;
	if (!is_spelt(100, true))
		return fail("an answer in small letters");
	virtio_reset(&dev);
	if (config(MODE) != 0)
		return fail("the mode after a reset");
	if (!works(0))
		return fail("no service in the end");
	print("spell: works\n");
	return 0;
}

static int test_many(void)
{
	static char answers[VIRTQ_SIZE / 2][8];
	if (!find() || !virtio_start(&dev, 0, &queue))
		return fail("no device");
	for (unsigned round = 0; round < 50; round++) {
		memset(answers, 0, sizeof(answers));
		for (unsigned i = 0; i < VIRTQ_SIZE; i += 2) {
			virtq_set(&queue, i, (uint64_t)text + i, 8, VIRTQ_NEXT, i + 1);
			virtq_set(&queue, i + 1, (uint64_t)answers[i / 2], 8, VIRTQ_WRITE, 0);
			virtio_submit(&dev, i);
		}
		for (unsigned i = 0; i < VIRTQ_SIZE / 2; i++) {
			uint32_t len;
			if (!virtio_wait(&dev, &len) || len != 8)
				return fail("no answer");
		}
		for (unsigned i = 0; i < VIRTQ_SIZE * 4; i++)
			if (answers[i / 8][i % 8] != spelt(text[i / 8 * 2 + i % 8], false))
				return fail("a wrong answer");
	}
	print("many: answered\n");
	return 0;
}

static int test_bad(void)
{
	static const struct virtq_desc bad[] = {
		{ UINT64_C(0x1000000000000), 16, VIRTQ_WRITE, 0 }, /* no RAM */
		{ UINT64_MAX - 7, 16, 0, 0 },
		{ 0x200000, 16, VIRTQ_NEXT, 0 }, /* a circle */
		{ 0x200000, 16, VIRTQ_NEXT, VIRTQ_SIZE },
		{ 0x200000, 16, VIRTQ_INDIRECT, 0 },
		{ 0x200000, UINT32_MAX, 0, 0 },
	};
	uint32_t len;
	if (!find() || !works(0))
		return fail("no device");
	if (send(10, 9, 16) != 0 || send(10, 0, 16) != 0 || send(0, 10, 16) != 0 ||
		send(0, 0, 16) != 0)
		return fail("texts that find no room, or are none");
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (!works(i % 2 ? F_LOWER : 0))
			return fail("no service");
		virtq_set(&queue, 0, bad[i].addr, bad[i].len, bad[i].flags, bad[i].next);
		virtio_submit(&dev, 0);
		if (virtio_wait(&dev, &len))
			return fail("a bad chain was followed");
	}
	if (!works(0))
		return fail("no service after bad chains");
	uint32_t served = config(SERVED);
	mem_write(dev.device + LENGTH_MAX, 0, 4);
	mem_write(dev.device + SERVED, 0, 4);
	mem_write(dev.device + MODE, 1, 4); /* not negotiated */
	mem_write(dev.device + 12, UINT32_MAX, 4);
	mem_write(dev.device + 255, UINT32_MAX, 1);
	if (config(LENGTH_MAX) != TEXT_MAX || config(SERVED) < served || config(12))
		return fail("configuration that is read-only was written");
	for (unsigned i = 0; i < 10; i++)
		if (send(50, 50, 50) != 50 || !is_spelt(50, false))
			return fail("a mode that was not negotiated");
	if (virtio_negotiate(&dev, VIRTIO_F_VERSION_1 | 2))
		return fail("a feature that was not offered was accepted");
	mem_write(dev.common + VIRTIO_QUEUE_SELECT, 1, 2);
	if (mem_read(dev.common + VIRTIO_QUEUE_SIZE, 2))
		return fail("a second queue");
	if (!works(0))
		return fail("no service in the end");
	print("bad: refused\n");
	return 0;
}

static int test_reset(void)
{
	if (!find())
		return fail("no device");
	for (unsigned round = 0; round < 100; round++) {
		if (!virtio_start(&dev, 0, &queue))
			return fail("it does not start");
		for (unsigned i = 0; i < VIRTQ_SIZE; i += 2) {
			virtq_set(&queue, i, (uint64_t)text, TEXT_MAX, VIRTQ_NEXT, i + 1);
			virtq_set(&queue, i + 1, (uint64_t)answer, TEXT_MAX, VIRTQ_WRITE, 0);
			virtio_submit(&dev, i);
		}
		if (round % 3 == 0)
			pci_function_reset(dev.bdf);
		virtio_reset(&dev);
		memset(answer, 0xee, TEXT_MAX); /* ours again */
		queue.used.idx = 0;
		for (unsigned i = 0; i < TEXT_MAX; i++)
			if ((uint8_t)answer[i] != 0xee)
				return fail("the device wrote after its reset");
		if (queue.used.idx)
			return fail("the device used a ring after its reset");
	}
	if (!works(0))
		return fail("no service in the end");
	print("reset: works\n");
	return 0;
}

int guest_main(void)
{
	static const struct guest_case cases[] = {
		{ "spell", test_spell },
		{ "many", test_many },
		{ "bad", test_bad },
		{ "reset", test_reset },
	};
	return GUEST_CASES(cases);
}
