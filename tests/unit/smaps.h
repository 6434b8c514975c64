/* SPDX-License-Identifier: Apache-2.0 */
/* How memory is mapped, by /proc/self/smaps. */
#ifndef TESTS_UNIT_SMAPS_H
#define TESTS_UNIT_SMAPS_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* KiB of the mapping at @at that page tables map by huge pages (proc.rst, smaps). */
static inline unsigned long huge_kib(const void *at)
{
	static const char field[] = "ShmemPmdMapped:";
	char line[512];
	unsigned long kib = 0;
	bool inside = false;
	FILE *f = fopen("/proc/self/smaps", "re");
	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *end;
		unsigned long low = strtoul(line, &end, 16);
		if (*end == '-')
			inside = low == (uintptr_t)at;
		else if (inside && !strncmp(line, field, strlen(field)))
			kib = strtoul(line + strlen(field), NULL, 10);
	}
	fclose(f);
	return kib;
}

#endif
