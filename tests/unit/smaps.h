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
#include <unistd.h>

/* The entry of the mapping that has @at: calls @line with each of its lines. */
static inline void smaps_entry(
	const void *at, void (*line)(const char *text, void *opaque), void *opaque)
{
	char text[512];
	bool inside = false;
	FILE *f = fopen("/proc/self/smaps", "re");
	cr_assert_not_null(f);
	while (fgets(text, sizeof(text), f)) {
		char *end;
		unsigned long low = strtoul(text, &end, 16);
		if (*end == '-')
			inside = low <= (uintptr_t)at && (uintptr_t)at < strtoul(end + 1, NULL, 16);
		else if (inside)
			line(text, opaque);
	}
	fclose(f);
}

static inline void smaps_add_huge(const char *text, void *kib)
{
	static const char *const field[] = { "AnonHugePages:", "ShmemPmdMapped:" };
	for (unsigned i = 0; i < 2; i++)
		if (!strncmp(text, field[i], strlen(field[i])))
			*(unsigned long *)kib += strtoul(text + strlen(field[i]), NULL, 10);
}

/* KiB of the mapping that has @at that page tables map by huge pages (proc.rst, smaps). */
static inline unsigned long huge_kib(const void *at)
{
	unsigned long kib = 0;
	smaps_entry(at, smaps_add_huge, &kib);
	return kib;
}

static inline void smaps_take_advice(const char *text, void *advice)
{
	if (strncmp(text, "VmFlags:", strlen("VmFlags:")) != 0)
		return;
	*(int *)advice = strstr(text, " hg") ? 1 : strstr(text, " nh") ? -1 : 0;
}

/* Where the host's kernel has none, it takes no advice about them. */
static inline bool huge_if_there_are(void)
{
	return access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0;
}

/* Whether the mapping that has @at may come in transparent huge pages; somebody must have said. */
static inline bool huge_wanted(const void *at)
{
	int advice = 0;
	smaps_entry(at, smaps_take_advice, &advice);
	if (huge_if_there_are())
		cr_expect_neq(advice, 0, "nobody has said so");
	return advice > 0;
}

#endif
