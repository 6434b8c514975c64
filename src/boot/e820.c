// SPDX-License-Identifier: Apache-2.0
/* The memory map told to the guest (ACPI 6.5, 15): RAM as gmem splits it, less what the PC reserves
 * below 1 MiB. */
#include "boot/e820.h"

#include <abi/layout.h>

#include "util/bytes.h"

#define CONVENTIONAL_END 0xa0000 /* where video memory and option ROMs begin on a PC */

static void add(struct e820 *map, gpa_t base, uint64_t size, enum e820_type type)
{
	if (size)
		map->entry[map->count++] = (struct e820_entry){ base, size, type };
}

void e820_build(const struct gmem *mem, uint64_t ecam_size, struct e820 *ret)
{
	const struct gmem_region *low = &mem->region[0];

	*ret = (struct e820){ 0 };
	add(ret, 0, LAYOUT_EBDA, E820_RAM);
	add(ret, LAYOUT_EBDA, CONVENTIONAL_END - LAYOUT_EBDA, E820_RESERVED);
	add(ret, LAYOUT_ACPI_BASE, LAYOUT_ACPI_END - LAYOUT_ACPI_BASE, E820_RESERVED);
	add(ret, LAYOUT_KERNEL, low->size - LAYOUT_KERNEL, E820_RAM);
	/* Linux believes MCFG only if its window is reserved here or in a PNP0C02 _CRS; some
	 * versions ask for both. */
	add(ret, LAYOUT_ECAM_BASE, ecam_size, E820_RESERVED);
	if (mem->region_count > 1)
		add(ret, mem->region[1].gpa, mem->region[1].size, E820_RAM);
}

void e820_store(const struct e820 *map, uint8_t *to, size_t entry_size)
{
	for (unsigned i = 0; i < map->count; i++, to += entry_size) {
		store_le64(to, map->entry[i].base);
		store_le64(to + 8, map->entry[i].size);
		store_le32(to + 16, map->entry[i].type);
	}
}

const char *e820_type_name(enum e820_type type)
{
	switch (type) {
	case E820_RAM:
		return "RAM";
	case E820_RESERVED:
		return "reserved";
	case E820_ACPI:
		return "ACPI data";
	}
	return "unknown";
}
