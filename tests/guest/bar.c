// SPDX-License-Identifier: Apache-2.0
/*
 * BARs of the entropy device.
 *   test=sizes      sizing, decode off and on, what is left when a BAR is put back
 *   test=hammer     seed=N count=N accesses of any size and alignment to all of the BAR, and to the
 *                   function's command register; the device must work afterwards
 *   test=move       moves the BAR to and fro, count=N times, while the second processor uses it
 */
#include <stdbool.h>

#include "cmdline.h"
#include "guest.h"
#include "io.h"
#include "paging.h"
#include "pci.h"
#include "print.h"
#include "smp.h"
#include "string.h"
#include "virtio.h"

#define DISTANCE UINT64_C(0x4000000) /* between the two places; beyond every BAR of the machine */

static struct virtio dev;
static unsigned at; /* the register of the BAR that holds the common configuration */
static struct pci_bar bar;
static uint64_t reg; /* offset in the BAR of a register that reads the same for ever */
static uint16_t expected;

static int fail(const char *what)
{
	print("FAILED: %s\n", what);
	return 1;
}

static bool init(void)
{
	pci_init();
	if (!virtio_find(&dev, VIRTIO_ID_RNG))
		return false;
	for (unsigned i = 0; i < 6; i += bar.is_64 ? 2 : 1) {
		bar = pci_bar_get(dev.bdf, i);
		at = PCI_BAR0 + i * 4;
		if (bar.size && dev.common >= bar.base && dev.common - bar.base < bar.size)
			break;
	}
	paging_map(bar.base + DISTANCE, bar.size);
	reg = dev.common + VIRTIO_NUM_QUEUES - bar.base;
	expected = mem_read(bar.base + reg, 2);
	return expected != 0 && expected != 0xffff;
}

static void place(uint64_t base)
{
	pci_write(pci_preferred(), dev.bdf, at, 4, base);
	if (bar.is_64)
		pci_write(pci_preferred(), dev.bdf, at + 4, 4, base >> 32);
}

static void decode(bool on)
{
	pci_write(pci_preferred(), dev.bdf, PCI_COMMAND, 2,
		on ? PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER : 0);
}

static bool answers(uint64_t base)
{
	return mem_read(base + reg, 2) == expected;
}

static bool silent(uint64_t base)
{
	return mem_read(base + reg, 2) == 0xffff;
}

static int test_sizes(void)
{
	if (!init())
		return fail("no entropy device");
	if (bar.size & (bar.size - 1) || bar.size < 4096 || bar.base & (bar.size - 1))
		return fail("size or place");
	if (!answers(bar.base) || !silent(bar.base + DISTANCE))
		return fail("before anything was touched");
	decode(false);
	if (!silent(bar.base))
		return fail("answers with decode off");
	place(bar.base + DISTANCE);
	if (!silent(bar.base + DISTANCE))
		return fail("answers elsewhere with decode off");
	decode(true);
	if (!answers(bar.base + DISTANCE) || !silent(bar.base))
		return fail("after the move");
	place(UINT64_MAX); /* as if to be sized with decode on */
	if (!silent(bar.base) || !silent(bar.base + DISTANCE))
		return fail("while it is sized");
	place(bar.base);
	if (!answers(bar.base) || !silent(bar.base + DISTANCE))
		return fail("after the return");
	struct pci_bar again = pci_bar_get(dev.bdf, (at - PCI_BAR0) / 4);
	if (again.base != bar.base || again.size != bar.size)
		return fail("sized differently");
	print("sizes: 0x%lx\n", bar.size);
	return 0;
}

static volatile bool stop, wrong;
static volatile uint32_t uses, ended;

/* The other processor: the register reads either as it is or as nothing. */
static void use(unsigned number)
{
	while (!stop) {
		for (unsigned i = 0; i < 2; i++) {
			uint64_t base = bar.base + i * DISTANCE;
			uint16_t seen = mem_read(base + reg, 2);
			if (seen != expected && seen != 0xffff)
				wrong = true;
			mem_write(dev.common - bar.base + base + VIRTIO_DEVICE_FEATURE_SELECT, uses,
				4);
		}
		uses++;
	}
	ended = 1;
}

static int test_move(void)
{
	uint64_t count = cmdline_number("count", 500), i;
	if (!init())
		return fail("no entropy device");
	if (smp_start(use) != 1)
		return fail("two processors are needed");
	while (!uses)
		;
	for (i = 0; i < count; i++) {
		uint64_t to = bar.base + (i & 1 ? 0 : DISTANCE);
		uint64_t from = bar.base + (i & 1 ? DISTANCE : 0);
		if (i % 3 == 0)
			decode(false);
		place(to);
		decode(true);
		if (!answers(to) || !silent(from))
			return fail("the BAR is not where it was put");
	}
	uint32_t before = uses;
	while (uses == before) /* the other one gets through as well */
		;
	stop = true;
	while (!ended)
		;
	if (wrong)
		return fail("the other processor saw something else");
	print("move: %lu\n", count);
	return 0;
}

static volatile struct virtq queue;
static uint8_t buffer[16];

static void request(void)
{
	virtq_set(&queue, 0, (uint64_t)buffer, sizeof(buffer), VIRTQ_WRITE, 0);
	virtio_submit(&dev, 0);
}

/* One random access. The device must not be led to write over this guest: what is written to a ring
 * address is not in RAM. Interrupts stay off, so any message will do. */
static void beat(uint64_t *state)
{
	unsigned size = 1 << random_next(state) % 4;
	uint64_t offset = random_next(state) % (bar.size - 8);
	uint64_t value = (uint64_t)random_next(state) << 32 | random_next(state);
	if (random_next(state) % 2) /* more often where the registers are */
		offset = dev.common - bar.base + offset % 0x40;
	if (random_next(state) % 2)
		offset &= -(uint64_t)size;
	if (random_next(state) % 2)
		mem_read(bar.base + offset, size);
	else
		mem_write(bar.base + offset, value | UINT64_C(0x8000010080000100), size);
}

static int test_hammer(void)
{
	uint64_t state = cmdline_number("seed", 1), count = cmdline_number("count", 10000);
	uint32_t len;
	if (!init())
		return fail("no entropy device");
	for (uint64_t i = 0; i < count; i++) {
		if (i % 64 == 0) { /* from here on it is at work */
			decode(true);
			if (!virtio_start(&dev, 0, &queue))
				return fail("the device does not start");
		}
		if (i % 64 == 60)
			decode(false);
		if (i % 8 == 0)
			request();
		beat(&state);
	}
	decode(true);
	if (!virtio_start(&dev, 0, &queue))
		return fail("the device does not start in the end");
	request();
	if (!virtio_wait(&dev, &len) || len != sizeof(buffer))
		return fail("the device does not work in the end");
	print("bar-hammer: works\n");
	return 0;
}

int guest_main(void)
{
	static const struct guest_case cases[] = {
		{ "sizes", test_sizes },
		{ "move", test_move },
		{ "hammer", test_hammer },
	};
	return GUEST_CASES(cases);
}
