// SPDX-License-Identifier: Apache-2.0
/* 4-level page tables (Intel SDM volume 3, 4.5), grown from those that the boot loader made. */
#include "paging.h"

#include "guest.h"
#include "print.h"

#define PAGE_PRESENT_WRITE 0x03
#define PAGE_LARGE         0x80
#define PAGE_ADDRESS       UINT64_C(0x000ffffffffff000)
#define LARGE_SIZE         UINT64_C(0x200000)

static uint64_t tables[64][512] __attribute__((aligned(4096)));
static unsigned used;

static uint64_t *next_level(uint64_t *entry)
{
	if (!(*entry & 1)) {
		if (used == sizeof(tables) / sizeof(tables[0])) {
			print("out of page tables\n");
			guest_exit(GUEST_EXIT_TRAP);
		}
		*entry = (uint64_t)tables[used++] | PAGE_PRESENT_WRITE;
	}
	return (uint64_t *)(*entry & PAGE_ADDRESS);
}

void paging_map(uint64_t addr, uint64_t size)
{
	uint64_t cr3;
	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	for (uint64_t at = addr & -LARGE_SIZE; at < addr + size; at += LARGE_SIZE) {
		uint64_t *pdpt = next_level((uint64_t *)(cr3 & PAGE_ADDRESS) + (at >> 39 & 511));
		uint64_t *pd = next_level(pdpt + (at >> 30 & 511));
		uint64_t *entry = pd + (at >> 21 & 511);
		if (!(*entry & 1))
			*entry = at | PAGE_LARGE | PAGE_PRESENT_WRITE;
	}
}
