// SPDX-License-Identifier: Apache-2.0
/*
 * Beats configuration space with whatever the processor can express: any offset, size and
 * alignment, accesses that cross into the next function, reads and writes, ECAM and ports, present
 * functions and absent ones. It proves nothing itself but that absent functions stay absent; the
 * harness compares what is left with the monitor's own view.
 *   seed=N count=N
 */
#include <abi/layout.h>

#include "cmdline.h"
#include "guest.h"
#include "io.h"
#include "pci.h"
#include "print.h"
#include "string.h"

#define PRESENT_MAX 64

static uint64_t state;
static uint16_t present[PRESENT_MAX];
static unsigned present_count;

static uint32_t below(uint32_t n)
{
	return random_next(&state) % n;
}

static uint64_t value(void)
{
	static const uint64_t favourites[] = { 0, UINT64_MAX, 0x06, 0x0406, 0x80000000, 0xc0000000,
		0xfee00000, LAYOUT_ECAM_BASE, LAYOUT_RAM_LOW_END - 4, 0xfffffffffffff000 };
	if (below(2))
		return favourites[below(sizeof(favourites) / sizeof(favourites[0]))];
	return (uint64_t)random_next(&state) << 32 | random_next(&state);
}

static unsigned target(void)
{
	return below(4) ? present[below(present_count)] : below(pci.buses * 256);
}

static unsigned offset(void)
{
	switch (below(8)) {
	case 0:
		return below(4096);
	case 1: /* into the next function */
		return 4096 - 1 - below(8);
	case 2:
		return 256 - 4 + below(8);
	default:
		return below(256);
	}
}

static void ecam_access(void)
{
	uint64_t at = pci_ecam_address(target(), offset());
	unsigned size = 1 << below(4);
	uint64_t last = pci_ecam_address(pci.buses * 256, 0);
	if (at + size > last &&
		pci.buses < 256) /* the end of the window is fair game, its outside not */
		return;
	if (below(2))
		mem_write(at, value(), size);
	else
		mem_read(at, size);
}

static void port_access(void)
{
	uint16_t port = LAYOUT_PORT_PCI_ADDRESS + below(8);
	if (below(2)) /* mostly a sound address */
		out32(LAYOUT_PORT_PCI_ADDRESS, 0x80000000 | target() << 8 | (offset() & 0xff));
	else if (!below(8))
		out32(LAYOUT_PORT_PCI_ADDRESS, value());
	if (port == LAYOUT_PORT_RESET)
		port = LAYOUT_PORT_PCI_DATA;
	switch (below(6)) {
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
		out8(port, value());
		break;
	case 4:
		out16(LAYOUT_PORT_PCI_DATA + below(3), value());
		break;
	default:
		out32(LAYOUT_PORT_PCI_DATA + below(4), value());
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

int guest_main(void)
{
	uint64_t seed = cmdline_number("seed", 1), count = cmdline_number("count", 20000);
	state = seed ? seed : 1;
	pci_init();
	pci_try_type1();
	unsigned end = pci.buses * 256;
	for (unsigned bdf = 0; (bdf = pci_next(PCI_ECAM, bdf, end, 1)) < end; bdf++)
		if (present_count < PRESENT_MAX)
			present[present_count++] = bdf;
	while (count--) {
		if (pci.type1 && below(4) == 0)
			port_access();
		else
			ecam_access();
	}
	return compare();
}
