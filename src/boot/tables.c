// SPDX-License-Identifier: Apache-2.0
/* The descriptor and page tables the boot processor starts on (Intel SDM volume 3, 3.4.5 and 4.5),
 * and the one piece of firmware: the way to a reset. */
#include <abi/layout.h>
#include <assert.h>

#include "boot/kernel.h"

#define PTE_PRESENT 0x01
#define PTE_WRITE   0x02
#define PTE_LARGE   0x80
#define LARGE_PAGE  (2 * MIB)
#define ENTRIES     512
#define TABLE_SIZE  (ENTRIES * sizeof(uint64_t))
#define DIRECTORIES 4 /* 1 GiB each */

static_assert(LAYOUT_PAGE_TABLE + (2 + DIRECTORIES) * TABLE_SIZE <= LAYOUT_CMDLINE,
	"page tables outgrew their place");

void descriptors_write(const struct gmem *mem)
{
	/* flat, base 0, limit 4 GiB, accessed */
	static const uint64_t gdt[BOOT_GDT_SIZE / 8] = {
		[BOOT_CODE32_SELECTOR / 8] = 0x00cf9b000000ffff,
		[BOOT_CODE64_SELECTOR / 8] = 0x00af9b000000ffff,
		[BOOT_DATA_SELECTOR / 8] = 0x00cf93000000ffff,
	};
	uint8_t bytes[sizeof(gdt)];
	for (size_t i = 0; i < ARRAY_SIZE(gdt); i++)
		store_le64(bytes + i * 8, gdt[i]);
	gmem_write(mem, LAYOUT_GDT, bytes, sizeof(bytes));
}

/*
 * Linux takes a hardware-reduced machine for one with EFI and, where there is none, restarts it the
 * way of a BIOS: in real mode, by a jump to F000:FFF0.
 */
void reset_entry_write(const struct gmem *mem)
{
	static const uint8_t code[] = {
		0xba, LAYOUT_PORT_RESET & 0xff, LAYOUT_PORT_RESET >> 8, /* mov $port, %dx */
		0xb0, 0x06,                                             /* mov $reset, %al */
		0xee,                                                   /* out %al, %dx */
		0xf4,                                                   /* hlt */
	};
	gmem_write(mem, LAYOUT_RESET_ENTRY, code, sizeof(code));
}

void page_tables_write(const struct gmem *mem)
{
	const gpa_t pml4 = LAYOUT_PAGE_TABLE, pdpt = pml4 + TABLE_SIZE, pd = pdpt + TABLE_SIZE;
	uint8_t table[TABLE_SIZE] = { 0 };

	store_le64(table, pdpt | PTE_PRESENT | PTE_WRITE);
	gmem_write(mem, pml4, table, sizeof(table));
	for (size_t i = 0; i < DIRECTORIES; i++)
		store_le64(table + i * 8, (pd + i * TABLE_SIZE) | PTE_PRESENT | PTE_WRITE);
	gmem_write(mem, pdpt, table, sizeof(table));
	for (size_t i = 0; i < DIRECTORIES; i++) {
		for (size_t j = 0; j < ENTRIES; j++)
			store_le64(table + j * 8, (i * ENTRIES + j) * LARGE_PAGE | PTE_PRESENT |
							  PTE_WRITE | PTE_LARGE);
		gmem_write(mem, pd + i * TABLE_SIZE, table, sizeof(table));
	}
}
