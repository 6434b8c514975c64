// SPDX-License-Identifier: Apache-2.0
/*
 * Beats configuration space with whatever the processor can express: any offset, size and
 * alignment, accesses that cross into the next function, reads and writes, ECAM and ports, present
 * functions and absent ones. It proves nothing itself but that absent functions stay absent; the
 * harness compares what is left with the monitor's own view.
 *   seed=N count=N   for each processor; all of them beat at the same time
 */
#include <abi/layout.h>

#include "cmdline.h"
#include "guest.h"
#include "io.h"
#include "pci.h"
#include "print.h"
#include "smp.h"
#include "string.h"

#define PRESENT_MAX 512

static uint16_t present[PRESENT_MAX];
static unsigned present_count;

static uint32_t below(uint64_t *state, uint32_t n)
{
	return random_next(state) % n;
}

static uint64_t value(uint64_t *state)
{
	static const uint64_t favourites[] = { 0, UINT64_MAX, 0x06, 0x0406, 0x80000000, 0xc0000000,
		0xfee00000, LAYOUT_ECAM_BASE, LAYOUT_RAM_LOW_END - 4, 0xfffffffffffff000 };
	if (below(state, 2))
		return favourites[below(state, sizeof(favourites) / sizeof(favourites[0]))];
	return (uint64_t)random_next(state) << 32 | random_next(state);
}

static unsigned target(uint64_t *state)
{
	return below(state, 4) ? present[below(state, present_count)]
			       : below(state, pci.buses * 256);
}

static unsigned offset(uint64_t *state)
{
	switch (below(state, 8)) {
	case 0:
		return below(state, 4096);
	case 1: /* into the next function */
		return 4096 - 1 - below(state, 8);
	case 2:
		return 256 - 4 + below(state, 8);
	default:
		return below(state, 256);
	}
}

static void ecam_access(uint64_t *state)
{
	uint64_t at = pci_ecam_address(target(state), offset(state));
	unsigned size = 1 << below(state, 4);
	uint64_t last = pci_ecam_address(pci.buses * 256, 0);
	if (at + size > last &&
		pci.buses < 256) /* the end of the window is fair game, its outside not */
		return;
	if (below(state, 2))
		mem_write(at, value(state), size);
	else
		mem_read(at, size);
}

static void port_access(uint64_t *state)
{
	uint16_t port = LAYOUT_PORT_PCI_ADDRESS + below(state, 8);
	if (below(state, 2)) /* mostly a sound address */
		out32(LAYOUT_PORT_PCI_ADDRESS,
			0x80000000 | target(state) << 8 | (offset(state) & 0xff));
	else if (!below(state, 8))
		out32(LAYOUT_PORT_PCI_ADDRESS, value(state));
	if (port == LAYOUT_PORT_RESET)
		port = LAYOUT_PORT_PCI_DATA;
	switch (below(state, 6)) {
	case 0:
		in8(port);
		break;
	case 1:
		in16(port & ~1);
		break;
	case 2:
		in32(port & ~3);
		break;
	case 3:
		out8(port, value(state));
		break;
	case 4:
		out16(LAYOUT_PORT_PCI_DATA + below(state, 3), value(state));
		break;
	default:
		out32(LAYOUT_PORT_PCI_DATA + below(state, 4), value(state));
	}
}

/* Present functions as both mechanisms show them, the window as absent where it was. */
static int compare(void)
{
	unsigned end = pci.buses * 256, n = 0;
	uint64_t hash = HASH_START;
	for (unsigned bdf = 0; (bdf = pci_next(PCI_ECAM, bdf, end, 1)) < end; bdf++, n++) {
		if (n == present_count || present[n] != bdf) {
			print("FAILED: %04x has come to be\n", bdf);
			return 1;
		}
		for (unsigned at = 0; at < 4096; at += 4) {
			uint32_t seen = pci_read(PCI_ECAM, bdf, at, 4);
			hash = hash_add(hash, seen);
			if (pci.type1 && at < 256 && pci_read(PCI_TYPE1, bdf, at, 4) != seen) {
				print("FAILED: %04x+%03x differs between mechanisms\n", bdf, at);
				return 1;
			}
		}
	}
	if (n != present_count) {
		print("FAILED: a function is gone\n");
		return 1;
	}
	print("hammer: functions %u present 0x%016lx\n", n, hash);
	return 0;
}

static volatile uint32_t ended;

static void beat(unsigned number)
{
	uint64_t state = cmdline_number("seed", 1) + number * UINT64_C(0x9e3779b97f4a7c15);
	for (uint64_t count = cmdline_number("count", 10000); count; count--) {
		if (pci.type1 && below(&state, 4) == 0)
			port_access(&state);
		else
			ecam_access(&state);
	}
	__atomic_add_fetch(&ended, 1, __ATOMIC_SEQ_CST);
}

int guest_main(void)
{
	pci_init();
	pci_try_type1();
	unsigned end = pci.buses * 256;
	for (unsigned bdf = 0; (bdf = pci_next(PCI_ECAM, bdf, end, 1)) < end; bdf++)
		if (present_count < PRESENT_MAX)
			present[present_count++] = bdf;
	unsigned others = smp_start(beat);
	beat(0);
	while (ended != others + 1)
		;
	return compare();
}
