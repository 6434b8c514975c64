// SPDX-License-Identifier: Apache-2.0
#include "boot/traits.h"

#include <stdbool.h>
#include <string.h>

static bool holds(const void *kernel, size_t size, const char *text, size_t text_size)
{
	return memmem(kernel, size, text, text_size) != NULL;
}

/* By two names that it looks for, one in arch/x86/kernel/devicetree.c, one in drivers/of/fdt.c. */
static bool reads_fdt(const void *kernel, size_t size)
{
	static const char lapic[] = "intel,ce4100-lapic", range[] = "linux,usable-memory-range";
	return holds(kernel, size, lapic, sizeof(lapic)) &&
	       holds(kernel, size, range, sizeof(range));
}

/* By the name that it gives the window's resource, with the new word since Linux 6.13. */
static bool reads_mcfg(const void *kernel, size_t size)
{
	return holds(kernel, size, "PCI MMCONFIG ", 13) || holds(kernel, size, "PCI ECAM ", 9);
}

unsigned traits_find(const void *kernel, size_t size, unsigned wanted)
{
	unsigned found = 0;
	if (wanted & TRAIT_FDT && reads_fdt(kernel, size))
		found |= TRAIT_FDT;
	if (wanted & TRAIT_MCFG && reads_mcfg(kernel, size))
		found |= TRAIT_MCFG;
	return found;
}
