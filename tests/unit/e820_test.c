// SPDX-License-Identifier: Apache-2.0
/* The split of RAM around the 32-bit hole, the bounds of guest memory and the map made of both. */
#include "boot/e820.h"

#include <abi/layout.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>

#include "boot_fixture.h"
#include "util/bytes.h"

struct split_case {
	uint64_t size, low, high;
};

static struct split_case split_cases[] = {
	{ 32 * MIB, 32 * MIB, 0 },
	{ 128 * MIB + 4096, 128 * MIB + 4096, 0 },
	{ 3 * GIB - 4096, 3 * GIB - 4096, 0 },
	{ 3 * GIB, 3 * GIB, 0 },
	{ 3 * GIB + 4096, 3 * GIB, 4096 },
	{ 3 * GIB + 2 * MIB, 3 * GIB, 2 * MIB },
	{ 4 * GIB, 3 * GIB, 1 * GIB },
	{ 5 * GIB, 3 * GIB, 2 * GIB },
	{ 1024 * GIB, 3 * GIB, 1021 * GIB },
};

ParameterizedTestParameters(gmem, split)
{
	return CASES(split_cases);
}

ParameterizedTest(struct split_case *c, gmem, split)
{
	struct gmem_region region[2];
	unsigned count = gmem_split(c->size, region);
	cr_assert_eq(count, c->high ? 2 : 1);
	cr_expect_eq(region[0].gpa, 0);
	cr_expect_eq(region[0].size, c->low);
	if (count == 2) {
		cr_expect_eq(region[1].gpa, 4 * GIB);
		cr_expect_eq(region[1].size, c->high);
	}
}

struct bounds_case {
	gpa_t gpa;
	size_t len;
	bool ok;
};

ParameterizedTestParameters(gmem, bounds)
{
	static struct bounds_case c[] = {
		{ 0, 0, true },
		{ 0, 1, true },
		{ 0, 3 * GIB, true },
		{ 0, 3 * GIB + 1, false },
		{ 3 * GIB - 1, 1, true },
		{ 3 * GIB - 1, 2, false },
		{ 3 * GIB, 0, false },
		{ 3 * GIB, 1, false },
		{ 4 * GIB - 1, 2, false },
		{ 4 * GIB, 2 * GIB, true },
		{ 4 * GIB, 2 * GIB + 1, false },
		{ 6 * GIB - 8, 8, true },
		{ 6 * GIB - 8, 9, false },
		{ 6 * GIB, 1, false },
		{ 4096, SIZE_MAX, false },
		{ UINT64_MAX, 1, false },
		{ UINT64_MAX - 7, 16, false },
	};
	return CASES(c);
}

/* 5 GiB, of which not a byte is touched */
ParameterizedTest(struct bounds_case *c, gmem, bounds)
{
	struct gmem *mem = ram_new(5 * GIB);
	cr_expect_eq(gmem_ptr(mem, c->gpa, c->len) != NULL, c->ok, "0x%lx, 0x%zx", c->gpa, c->len);
	gmem_free(mem);
}

Test(gmem, copies_are_all_or_nothing)
{
	struct gmem *mem = ram_new(32 * MIB);
	uint8_t out[16], in[16];
	memset(in, 0x5a, sizeof(in));
	cr_expect_eq(gmem_write(mem, 32 * MIB - 8, in, 16), -EFAULT);
	cr_expect_eq(gmem_read(mem, 32 * MIB - 8, out, 8), 0);
	cr_expect_eq(load_le64(out), 0, "part of a refused write was done");
	memset(out, 0x11, sizeof(out));
	cr_expect_eq(gmem_read(mem, 32 * MIB - 8, out, 16), -EFAULT);
	cr_expect_eq(out[0], 0x11);
	cr_expect_eq(gmem_write(mem, 32 * MIB - 16, in, 16), 0);
	cr_expect_eq(gmem_read(mem, 32 * MIB - 16, out, 16), 0);
	cr_expect_arr_eq(out, in, 16);
	gmem_free(mem);
	gmem_free(NULL);
}

struct size_case {
	uint64_t size;
	bool hugepages;
	char message[24];
};

ParameterizedTestParameters(gmem, refused_sizes)
{
	static struct size_case c[] = {
		{ 0, false, "too small" },
		{ 32 * MIB - 4096, false, "too small" },
		{ 64 * MIB + 1, false, "multiple of 4K" },
		{ 64 * MIB + 4096, true, "multiple of 2M" },
		{ UINT64_MAX - 4095, false, "more than any host" },
	};
	return CASES(c);
}

ParameterizedTest(struct size_case *c, gmem, refused_sizes)
{
	struct lacuna_error *err = NULL;
	struct gmem *mem = NULL;
	cr_assert_eq(gmem_new(c->size, c->hugepages, &mem, &err), -EINVAL);
	cr_expect(strstr(lacuna_error_message(err), c->message), "%s", lacuna_error_message(err));
	lacuna_error_free(err);
}

ParameterizedTestParameters(e820, map)
{
	return CASES(split_cases);
}

static bool covered(const struct e820 *map, gpa_t base, uint64_t size, enum e820_type type)
{
	for (unsigned i = 0; i < map->count; i++)
		if (map->entry[i].type == type && map->entry[i].base <= base &&
			base + size <= map->entry[i].base + map->entry[i].size)
			return true;
	return false;
}

ParameterizedTest(struct split_case *c, e820, map)
{
	struct gmem mem = { .size = c->size };
	struct e820 map;
	uint64_t ram = 0;
	mem.region_count = gmem_split(c->size, mem.region);
	e820_build(&mem, 256 * MIB, &map);
	cr_assert_leq(map.count, E820_MAX);
	for (unsigned i = 0; i < map.count; i++) {
		const struct e820_entry *e = &map.entry[i];
		cr_expect_gt(e->size, 0);
		cr_expect_gt(e->base + e->size, e->base, "entry %u wraps", i);
		if (i)
			cr_expect_geq(e->base, e[-1].base + e[-1].size, "entry %u overlaps", i);
		if (e->type == E820_RAM) {
			ram += e->size;
			cr_expect(e->base + e->size <= c->low ||
				  (e->base >= 4 * GIB && e->base + e->size <= 4 * GIB + c->high));
		}
	}
	/* all RAM but the EBDA and what a PC has no RAM at */
	cr_expect_eq(ram, c->size - (LAYOUT_KERNEL - LAYOUT_EBDA));
	cr_expect(covered(&map, LAYOUT_KERNEL, c->low - LAYOUT_KERNEL, E820_RAM));
	cr_expect(!c->high || covered(&map, 4 * GIB, c->high, E820_RAM));
	cr_expect(
		covered(&map, LAYOUT_ACPI_BASE, LAYOUT_ACPI_END - LAYOUT_ACPI_BASE, E820_RESERVED));
	cr_expect(covered(&map, LAYOUT_ECAM_BASE, 256 * MIB, E820_RESERVED));
}

Test(e820, no_window_no_entry)
{
	struct gmem mem = { .size = 64 * MIB };
	struct e820 map;
	mem.region_count = gmem_split(mem.size, mem.region);
	e820_build(&mem, 0, &map);
	for (unsigned i = 0; i < map.count; i++)
		cr_expect_lt(map.entry[i].base, 64 * MIB);
	e820_build(&mem, 1 * MIB, &map);
	cr_expect(covered(&map, LAYOUT_ECAM_BASE, 1 * MIB, E820_RESERVED));
	cr_expect(!covered(&map, LAYOUT_ECAM_BASE, 1 * MIB + 1, E820_RESERVED));
	cr_expect_str_eq(e820_type_name(E820_RAM), "RAM");
	cr_expect_str_eq(e820_type_name(E820_RESERVED), "reserved");
	cr_expect_str_eq(e820_type_name(E820_ACPI), "ACPI data");
}
