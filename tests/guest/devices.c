// SPDX-License-Identifier: Apache-2.0
/*
 * Devices of the embedder's own, which are tests/direct/devices_test.c's. Its PCI functions have
 * registers in BAR 0, 64 bits each, 1 MiB of nothing in BAR 2, and a capability; its virtio device
 * tells in its configuration how many chains it has.
 *   test=scan      finds them on all buses, reads all of their configuration space, and which
 *                  instance each is; no configuration register is written
 *   test=instance  counts in a register up to count=N; the exit code is the instance
 *   test=hammer    seed=N count=N accesses of any size and alignment to BARs, to capabilities and
 *                  to the command register
 *   test=dma       with and without bus mastering, the function's and that of the port above it
 *   test=held      rounds=N resets of the virtio device while it has all chains
 *   test=race      rounds=N resets while threads of the embedder's take and return chains
 *   test=stuck     a reset of a device that never returns its chain
 */
#include <stdbool.h>

#include "apic.h"
#include "cmdline.h"
#include "guest.h"
#include "io.h"
#include "paging.h"
#include "pci.h"
#include "print.h"
#include "string.h"
#include "trap.h"
#include "virtio.h"

#define VENDOR 0x1234
#define DEVICE 0xcafeu
#define VECTOR 0x53

#define REG_INSTANCE 0x00
#define REG_COUNTER  0x08
#define REG_ADDRESS  0x10
#define REG_DOORBELL 0x18 /* its value is stored at ADDRESS */
#define REG_RESULT   0x20 /* an error number */

#define CAP_MAGIC   4 /* in the capability */
#define CAP_SCRATCH 8 /* may be written */
#define MAGIC       0x4c614375

#define E_PERM  1
#define E_FAULT 14

#define MAX_FUNCTIONS 64

static int fail(const char *what)
{
	print("FAILED: %s\n", what);
	return 1;
}

static bool is_ours(unsigned bdf)
{
	return pci_read(pci_preferred(), bdf, PCI_VENDOR_ID, 4) == (DEVICE << 16 | VENDOR);
}

/* The next from @bdf on, on any bus, or PCI_FUNCTIONS. */
static unsigned next(unsigned bdf)
{
	unsigned end = pci.buses << 8;
	while ((bdf = pci_next(pci_preferred(), bdf, end, 1)) < end && !is_ours(bdf))
		bdf++;
	return bdf < end ? bdf : PCI_FUNCTIONS;
}

/* BAR 0 as it is at power-on, without sizing it. */
static uint64_t registers(unsigned bdf)
{
	uint64_t base = pci_read(pci_preferred(), bdf, PCI_BAR0, 4) & ~0xfu;
	paging_map(base, 4096);
	return base;
}

static int test_scan(void)
{
	static bool seen[MAX_FUNCTIONS];
	unsigned count = 0, bars = 0;
	uint64_t hash = HASH_START;
	pci_init();
	for (unsigned bdf = 0; (bdf = next(bdf)) < PCI_FUNCTIONS; bdf++, count++) {
		for (unsigned at = 0; at < 4096; at += 4)
			hash = hash_add(hash, pci_read(pci_preferred(), bdf, at, 4));
		unsigned cap = pci_find_capability(bdf, PCI_CAP_VENDOR, 0);
		if (!cap || pci_read(pci_preferred(), bdf, cap + CAP_MAGIC, 4) != MAGIC)
			return fail("its capability");
		uint64_t instance = mem_read(registers(bdf) + REG_INSTANCE, 8);
		bars++;
		if (instance >= MAX_FUNCTIONS || seen[instance])
			return fail("an instance twice");
		seen[instance] = true;
	}
	print("scan: found %u reads %u hash 0x%lx\n", count, bars, hash);
	return 0;
}

static int test_instance(void)
{
	uint64_t count = cmdline_number("count", 1000);
	pci_init();
	unsigned bdf = next(0);
	if (bdf == PCI_FUNCTIONS)
		return 250;
	uint64_t base = registers(bdf);
	for (uint64_t i = 0; i < count; i++) {
		if (mem_read(base + REG_COUNTER, 8) != i)
			return 251;
		mem_write(base + REG_COUNTER, i + 1, 8);
	}
	return mem_read(base + REG_INSTANCE, 8);
}

static int test_hammer(void)
{
	uint64_t state = cmdline_number("seed", 1), count = cmdline_number("count", 10000);
	pci_init();
	unsigned bdf = next(0);
	if (bdf == PCI_FUNCTIONS)
		return fail("no function");
	enum pci_mechanism m = pci_preferred();
	unsigned cap = pci_find_capability(bdf, PCI_CAP_VENDOR, 0);
	struct pci_bar bar[3] = { pci_bar_get(bdf, 0), pci_bar_get(bdf, 2), pci_bar_get(bdf, 4) };
	for (unsigned i = 0; i < 3; i++)
		paging_map(bar[i].base, bar[i].size);
	for (uint64_t i = 0; i < count; i++) {
		uint32_t r = random_next(&state);
		uint64_t value = (uint64_t)random_next(&state) << 32 | random_next(&state);
		unsigned size = 1 << r % 4;
		const struct pci_bar *b = &bar[(r >> 2) % 3];
		uint64_t at = b->base + (r >> 8) % (b->size - 8);
		if (r & 0x10)
			at = b->base + (r >> 8) % 64;
		if (r & 0x20 && at - b->base - REG_ADDRESS >= 8) /* it must not write over us */
			mem_write(at, value, size);
		else
			mem_read(at, size);
		if ((r & 0xc0) == 0xc0)
			pci_write(m, bdf, cap + value % 32, size > 4 ? 4 : size, value >> 8);
		if (i % 100 == 99)
			pci_function_reset(bdf);
		pci_write(m, bdf, PCI_COMMAND, 2,
			PCI_COMMAND_MEMORY | (r >> 31 ? PCI_COMMAND_MASTER : 0));
	}
	pci_function_reset(bdf);
	if (pci_read(m, bdf, cap + CAP_MAGIC, 4) != MAGIC ||
		pci_read(m, bdf, cap + CAP_SCRATCH, 4) != 0)
		return fail("the capability in the end");
	if (mem_read(bar[0].base + REG_INSTANCE, 8) != 0 ||
		mem_read(bar[0].base + REG_COUNTER, 8) != 0)
		return fail("the registers in the end");
	print("hammer: works\n");
	return 0;
}

static volatile uint64_t word;

static uint64_t store(uint64_t base, uint64_t address, uint64_t value)
{
	word = 0;
	mem_write(base + REG_ADDRESS, address, 8);
	mem_write(base + REG_DOORBELL, value, 8);
	return mem_read(base + REG_RESULT, 8);
}

/* The port that leads to bus @bus. */
static unsigned port_of(unsigned bus)
{
	enum pci_mechanism m = pci_preferred();
	for (unsigned bdf = 0; bdf < 256; bdf++)
		if (!pci_absent(pci_read(m, bdf, PCI_VENDOR_ID, 4)) &&
			(pci_read(m, bdf, PCI_HEADER_TYPE, 1) & 0x7f) == 1 &&
			pci_read(m, bdf, 0x19, 1) == bus)
			return bdf;
	return 0;
}

static int test_dma(void)
{
	static const uint64_t places[] = { UINT64_C(0xe0000000), UINT64_C(0xc0000000),
		UINT64_MAX - 7, UINT64_MAX, UINT64_C(0x7ffffffffffffff9) };
	pci_init();
	apic_enable();
	enum pci_mechanism m = pci_preferred();
	unsigned bdf = next(256), here = (unsigned)(uint64_t)&word;
	if (bdf == PCI_FUNCTIONS || !pci_msix_route(bdf, 0, VECTOR))
		return fail("no function behind a port");
	unsigned port = port_of(bdf >> 8);
	uint64_t base = registers(bdf);
	pci_write(m, bdf, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	if (store(base, here, 1) != E_PERM || word)
		return fail("without bus mastering");
	pci_write(m, bdf, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	if (store(base, here, 2) != 0 || word != 2)
		return fail("with bus mastering");
	pci_write(m, port, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	if (store(base, here, 3) != E_PERM || word)
		return fail("without the port's");
	pci_write(m, port, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	uint32_t seen = trap_count[VECTOR];
	if (store(base, here, 4) != 0 || word != 4)
		return fail("with both");
	trap_wait(VECTOR, seen);
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (store(base, places[i], 5) != E_FAULT)
			return fail("what is no RAM");
	print("dma: works\n");
	return 0;
}

/* --- virtio --- */

#define ID      62
#define HELD    0 /* in its configuration */
#define CHAINS  16
#define PATTERN 0xee

static volatile struct virtq queue;
static struct virtio dev;
static uint8_t room[CHAINS][64];

static bool find(void)
{
	pci_init();
	return virtio_find(&dev, ID);
}

static bool submit(unsigned chains)
{
	if (!virtio_start(&dev, 0, &queue))
		return false;
	for (unsigned i = 0; i < chains; i++) {
		virtq_set(&queue, i, (uint64_t)room[i], sizeof(room[i]), VIRTQ_WRITE, 0);
		virtio_submit(&dev, i);
	}
	return true;
}

/* After a reset: what it is told is free belongs to us alone. */
static bool untouched(void)
{
	memset(room, PATTERN, sizeof(room));
	queue.used.idx = 0;
	for (unsigned i = 0; i < sizeof(room); i++)
		if (((volatile uint8_t *)room)[i] != PATTERN)
			return false;
	return queue.used.idx == 0;
}

static bool answers(void)
{
	uint32_t len;
	if (!submit(1))
		return false;
	return virtio_wait(&dev, &len) && len == sizeof(room[0]);
}

static int test_held(void)
{
	uint64_t rounds = cmdline_number("rounds", 20);
	if (!find())
		return fail("no device");
	for (uint64_t i = 0; i < rounds; i++) {
		if (!submit(CHAINS))
			return fail("it does not start");
		while (mem_read(dev.device + HELD, 4) != CHAINS)
			;
		if (queue.used.idx)
			return fail("a chain came back early");
		if (i % 2)
			pci_function_reset(dev.bdf);
		virtio_reset(&dev);
		if (mem_read(dev.device + HELD, 4) != 0)
			return fail("the reset was over before the last chain was back");
		if (!untouched())
			return fail("the device wrote after its reset");
	}
	print("held: %lu resets\n", rounds);
	return 0;
}

static int test_race(void)
{
	uint64_t rounds = cmdline_number("rounds", 200), state = 1;
	if (!find())
		return fail("no device");
	for (uint64_t i = 0; i < rounds; i++) {
		if (!submit(CHAINS))
			return fail("it does not start");
		for (unsigned n = random_next(&state) % 300; n; n--)
			virtio_status(&dev);
		virtio_reset(&dev);
		if (!untouched())
			return fail("the device wrote after its reset");
	}
	if (!answers())
		return fail("no service in the end");
	print("race: works\n");
	return 0;
}

static int test_stuck(void)
{
	if (!find() || !submit(1))
		return fail("no device");
	while (mem_read(dev.device + HELD, 4) != 1)
		;
	print("submitted\n");
	virtio_reset(&dev);
	return fail("the reset was over before the last chain was back");
}

int guest_main(void)
{
	static const struct guest_case cases[] = {
		{ "scan", test_scan },
		{ "instance", test_instance },
		{ "hammer", test_hammer },
		{ "dma", test_dma },
		{ "held", test_held },
		{ "race", test_race },
		{ "stuck", test_stuck },
	};
	return GUEST_CASES(cases);
}
