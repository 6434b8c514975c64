// SPDX-License-Identifier: Apache-2.0
/* PCI configuration: PCI 3.0, 3.2.2.3.2 (ports), PCIe 5.0, 7.2.2 (ECAM), 7.5 (registers). */
#include "pci.h"

#include <abi/layout.h>

#include "acpi.h"
#include "apic.h"
#include "fdt.h"
#include "io.h"
#include "paging.h"

#define ADDRESS_ENABLE 0x80000000u

#define MSIX_CONTROL     2 /* PCIe 5.0, 7.7.2 */
#define MSIX_TABLE       4
#define MSIX_CONTROL_ON  0x8000
#define MSI_ADDRESS      0xfee00000
#define MSI_ADDRESS_DEST 12 /* shift */

#define EXPRESS_DEVCTL 8 /* 7.5.3.4 */
#define DEVCTL_FLR     0x8000

struct pci_machine pci;

static void type1_select(unsigned bdf, unsigned offset)
{
	out32(LAYOUT_PORT_PCI_ADDRESS, ADDRESS_ENABLE | bdf << 8 | (offset & 0xfc));
}

uint32_t pci_read(enum pci_mechanism m, unsigned bdf, unsigned offset, unsigned size)
{
	if (m == PCI_ECAM)
		return mem_read(pci_ecam_address(bdf, offset), size);
	type1_select(bdf, offset);
	switch (size) {
	case 1:
		return in8(LAYOUT_PORT_PCI_DATA + (offset & 3));
	case 2:
		return in16(LAYOUT_PORT_PCI_DATA + (offset & 2));
	default:
		return in32(LAYOUT_PORT_PCI_DATA);
	}
}

void pci_write(enum pci_mechanism m, unsigned bdf, unsigned offset, unsigned size, uint32_t value)
{
	if (m == PCI_ECAM) {
		mem_write(pci_ecam_address(bdf, offset), value, size);
		return;
	}
	type1_select(bdf, offset);
	switch (size) {
	case 1:
		out8(LAYOUT_PORT_PCI_DATA + (offset & 3), value);
		break;
	case 2:
		out16(LAYOUT_PORT_PCI_DATA + (offset & 2), value);
		break;
	default:
		out32(LAYOUT_PORT_PCI_DATA, value);
	}
}

unsigned pci_next(enum pci_mechanism m, unsigned bdf, unsigned end, unsigned step)
{
	if (m == PCI_TYPE1) {
		while (bdf < end && pci_read(m, bdf, PCI_VENDOR_ID, 4) == PCI_ABSENT)
			bdf += step;
		return bdf < end ? bdf : end;
	}
	uint64_t at = pci_ecam_address(bdf, 0), stop = pci_ecam_address(end, 0);
	while (at < stop && *(volatile uint32_t *)at == PCI_ABSENT)
		at += (uint64_t)step << 12;
	return at < stop ? (at - pci.ecam_base) >> 12 : end;
}

/* A machine has a host bridge or a VGA adapter on bus 0; without one the ports are not what they
 * seem (Linux arch/x86/pci/direct.c, pci_sanity_check). */
static bool type1_sane(void)
{
	for (unsigned devfn = 0; devfn < 256; devfn++) {
		uint16_t class = pci_read(PCI_TYPE1, devfn, 0x0a, 2);
		if (class == 0x0600 || class == 0x0300)
			return true;
	}
	return false;
}

void pci_try_type1(void)
{
	out8(LAYOUT_PORT_PCI_ADDRESS + 3, 0x01);
	uint32_t saved = in32(LAYOUT_PORT_PCI_ADDRESS);
	out32(LAYOUT_PORT_PCI_ADDRESS, ADDRESS_ENABLE);
	pci.type1 = in32(LAYOUT_PORT_PCI_ADDRESS) == ADDRESS_ENABLE && type1_sane();
	out32(LAYOUT_PORT_PCI_ADDRESS, saved);
}

void pci_init(void)
{
	struct acpi_mcfg mcfg;
	struct fdt_ecam tree;
	pci = (struct pci_machine){ .buses = 256 };
	if (acpi_mcfg(&mcfg)) {
		pci.mcfg = pci.ecam = true;
		pci.buses = mcfg.last_bus + 1;
		pci.ecam_base = mcfg.base;
	} else if (fdt_ecam(&tree)) {
		pci.ecam = true;
		pci.buses = tree.last_bus + 1;
		pci.ecam_base = tree.base;
	}
}

enum pci_mechanism pci_preferred(void)
{
	return pci.ecam ? PCI_ECAM : PCI_TYPE1;
}

int pci_find(uint16_t vendor, uint16_t device)
{
	for (unsigned bdf = 0; bdf < 256; bdf++)
		if (pci_read(pci_preferred(), bdf, PCI_VENDOR_ID, 4) ==
			((uint32_t)device << 16 | vendor))
			return bdf;
	return -1;
}

unsigned pci_find_capability(unsigned bdf, uint8_t id, unsigned after)
{
	enum pci_mechanism m = pci_preferred();
	unsigned at = pci_read(m, bdf, after ? after + 1 : PCI_CAPABILITIES, 1);
	for (unsigned budget = 48; at && budget; budget--) {
		if (pci_read(m, bdf, at, 1) == id)
			return at;
		at = pci_read(m, bdf, at + 1, 1);
	}
	return 0;
}

struct pci_bar pci_bar_get(unsigned bdf, unsigned index)
{
	enum pci_mechanism m = pci_preferred();
	unsigned at = PCI_BAR0 + index * 4;
	uint32_t low = pci_read(m, bdf, at, 4), high = 0;
	struct pci_bar bar = { .is_io = low & 1, .is_64 = (low & 7) == 4 };
	uint16_t command = pci_read(m, bdf, PCI_COMMAND, 2);
	pci_write(m, bdf, PCI_COMMAND, 2, command & ~PCI_COMMAND_MEMORY);
	pci_write(m, bdf, at, 4, UINT32_MAX);
	uint64_t mask = pci_read(m, bdf, at, 4);
	pci_write(m, bdf, at, 4, low);
	if (mask && !bar.is_64)
		mask |= UINT64_C(0xffffffff) << 32;
	if (bar.is_64) {
		high = pci_read(m, bdf, at + 4, 4);
		pci_write(m, bdf, at + 4, 4, UINT32_MAX);
		mask |= (uint64_t)pci_read(m, bdf, at + 4, 4) << 32;
		pci_write(m, bdf, at + 4, 4, high);
	}
	pci_write(m, bdf, PCI_COMMAND, 2, command);
	uint64_t flags = bar.is_io ? 3 : 15;
	bar.base = ((uint64_t)high << 32 | low) & ~flags;
	bar.size = mask & ~flags ? -(mask & ~flags) : 0;
	return bar;
}

uint64_t pci_bar_map(unsigned bdf, unsigned index)
{
	struct pci_bar bar = pci_bar_get(bdf, index);
	paging_map(bar.base, bar.size);
	return bar.base;
}

/* The entry in the table that MSI-X capability @cap leads to. */
static uint64_t msix_entry(unsigned bdf, unsigned cap, unsigned entry)
{
	uint32_t table = pci_read(pci_preferred(), bdf, cap + MSIX_TABLE, 4);
	return pci_bar_map(bdf, table & 7) + (table & ~7u) + (uint64_t)entry * 16;
}

bool pci_msix_route(unsigned bdf, unsigned entry, uint8_t vector)
{
	unsigned cap = pci_find_capability(bdf, PCI_CAP_MSIX, 0);
	if (!cap)
		return false;
	uint64_t at = msix_entry(bdf, cap, entry);
	mem_write(at, MSI_ADDRESS | apic_id() << MSI_ADDRESS_DEST, 4);
	mem_write(at + 4, 0, 4);
	mem_write(at + 8, vector, 4);
	mem_write(at + 12, 0, 4); /* unmasked */
	pci_write(pci_preferred(), bdf, cap + MSIX_CONTROL, 2, MSIX_CONTROL_ON);
	return true;
}

void pci_msix_mask(unsigned bdf, unsigned entry)
{
	mem_write(msix_entry(bdf, pci_find_capability(bdf, PCI_CAP_MSIX, 0), entry) + 12, 1, 4);
}

void pci_function_reset(unsigned bdf)
{
	enum pci_mechanism m = pci_preferred();
	unsigned control = pci_find_capability(bdf, PCI_CAP_EXPRESS, 0) + EXPRESS_DEVCTL;
	uint32_t bar[6];
	for (unsigned i = 0; i < 6; i++)
		bar[i] = pci_read(m, bdf, PCI_BAR0 + 4 * i, 4);
	pci_write(m, bdf, control, 2, pci_read(m, bdf, control, 2) | DEVCTL_FLR);
	for (unsigned i = 0; i < 6; i++)
		pci_write(m, bdf, PCI_BAR0 + 4 * i, 4, bar[i]);
	pci_write(m, bdf, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}
