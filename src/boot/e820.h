/* SPDX-License-Identifier: Apache-2.0 */
/* The memory map told to the guest (E820, ACPI 6.5 section 15). Entries are sorted, do not overlap
 * and never wrap. */
#ifndef BOOT_E820_H
#define BOOT_E820_H

#include "mem/gmem.h"

enum e820_type {
	E820_RAM = 1,
	E820_RESERVED = 2,
	E820_ACPI = 3,
};

struct e820_entry {
	gpa_t base;
	uint64_t size;
	enum e820_type type;
};

#define E820_MAX 16

struct e820 {
	unsigned count;
	struct e820_entry entry[E820_MAX];
};

/*
 * The map of a machine with @mem's RAM: conventional memory up to the EBDA, the BIOS area (holding
 * the ACPI tables) reserved, RAM from 1 MiB, the ECAM window of @ecam_size bytes reserved (0:
 * none), RAM above 4 GiB.
 */
void e820_build(const struct gmem *mem, uint64_t ecam_size, struct e820 *ret);

/*
 * Writes the map as Linux's boot_params and PVH's start info both want it: base, size and type,
 * each entry @entry_size bytes (at least 20) after the one before; what lies between is left alone.
 */
void e820_store(const struct e820 *map, uint8_t *to, size_t entry_size);

const char *e820_type_name(enum e820_type type);

#endif
