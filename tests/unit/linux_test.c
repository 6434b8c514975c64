// SPDX-License-Identifier: Apache-2.0
/* bzImage: what a good one finds in guest RAM, and that no bad one gets further than its error. */
#include <abi/layout.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdlib.h>

#include "boot_fixture.h"
#include "util/bytes.h"

Test(linux, hands_over_boot_params)
{
	uint8_t image[BZ_SIZE], bp[4096], code[BZ_CODE], text[32], initrd[6];
	char path[32], message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(64 * MIB);
	bz_make(image);
	file_new("070701", 6, 5000, path);
	cr_assert_eq(boot_image(mem, image, sizeof(image), path, "console=ttyS0", &entry, message),
		0, "%s", message);

	cr_expect_eq(entry.mode, BOOT_MODE_LONG64);
	cr_expect_eq(entry.ip, BZ_PREF + 0x200);
	cr_expect_eq(entry.argument, LAYOUT_ZERO_PAGE);
	cr_expect_eq(entry.page_table, LAYOUT_PAGE_TABLE);

	gmem_read(mem, BZ_PREF, code, sizeof(code));
	cr_expect_arr_eq(code, image + BZ_SETUP, BZ_CODE);
	gmem_read(mem, LAYOUT_CMDLINE, text, sizeof(text));
	cr_expect_str_eq((char *)text, "console=ttyS0");

	gmem_read(mem, LAYOUT_ZERO_PAGE, bp, sizeof(bp));
	cr_expect_eq(load_le64(bp + 0x70), TEST_RSDP);
	cr_expect_eq(bp[0x1ef], 0, "the sentinel is not zero: Linux would clear fields");
	cr_expect_eq(bp[0x1f1], image[0x1f1]);
	cr_expect_eq(load_le16(bp + 0x206), 0x020f);
	cr_expect_eq(bp[0x210], 0xff);
	cr_expect_eq(load_le32(bp + 0x228), LAYOUT_CMDLINE);
	cr_expect_eq(load_le64(bp + 0x258), BZ_PREF);

	gpa_t initrd_gpa = load_le32(bp + 0x218);
	cr_expect_eq(load_le32(bp + 0x21c), 5000);
	cr_expect_eq(initrd_gpa, 64 * MIB - 8192, "as high as it may be, on a page");
	gmem_read(mem, initrd_gpa, initrd, 6);
	cr_expect_arr_eq(initrd, "070701", 6);

	struct e820 map;
	e820_build(mem, 0, &map);
	cr_assert_eq(bp[0x1e8], map.count);
	for (size_t i = 0; i < map.count; i++) {
		const uint8_t *e = bp + 0x2d0 + i * 20;
		cr_expect_eq(load_le64(e), map.entry[i].base);
		cr_expect_eq(load_le64(e + 8), map.entry[i].size);
		cr_expect_eq(load_le32(e + 16), map.entry[i].type);
	}
	gmem_free(mem);
}

/* As the processor does it: Intel SDM volume 3, 4.5.4 */
static uint64_t translate(const struct gmem *mem, gpa_t table, uint64_t address)
{
	for (unsigned shift = 39; shift >= 21; shift -= 9) {
		uint8_t entry[8];
		cr_assert_eq(gmem_read(mem, table + (address >> shift & 511) * 8, entry, 8), 0);
		uint64_t e = load_le64(entry);
		if (!(e & 1))
			return UINT64_MAX;
		cr_expect(e & 2, "read-only");
		table = e & 0x000ffffffffff000;
		if (e & 0x80)
			return table | (address & ((1ull << shift) - 1));
	}
	cr_expect(false, "a 4 KiB page");
	return UINT64_MAX;
}

Test(linux, starts_on_flat_descriptors_and_an_identity_map)
{
	uint8_t image[BZ_SIZE], gdt[BOOT_GDT_SIZE];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(64 * MIB);
	bz_make(image);
	cr_assert_eq(
		boot_image(mem, image, sizeof(image), NULL, "", &entry, message), 0, "%s", message);
	for (uint64_t a = 0; a < 4 * GIB; a += 1 * MIB + 0x1234)
		cr_assert_eq(translate(mem, entry.page_table, a), a);
	cr_expect_eq(translate(mem, entry.page_table, 4 * GIB - 1), 4 * GIB - 1);
	cr_expect_eq(translate(mem, entry.page_table, 4 * GIB), UINT64_MAX);

	gmem_read(mem, LAYOUT_GDT, gdt, sizeof(gdt));
	cr_expect_eq(load_le64(gdt), 0);
	uint64_t code = load_le64(gdt + BOOT_CODE64_SELECTOR),
		 data = load_le64(gdt + BOOT_DATA_SELECTOR);
	cr_expect_eq(code >> 40 & 0x9a, 0x9a, "present code, readable");
	cr_expect_eq(code >> 53 & 3, 1, "L set, D clear");
	cr_expect_eq(data >> 40 & 0x9a, 0x92, "present data, writable");
	gmem_free(mem);
}

struct mangle_case {
	unsigned offset, size;
	uint64_t value;
	int rc;
	char message[48];
};

ParameterizedTestParameters(linux, one_bad_field)
{
	static struct mangle_case c[] = {
		{ 0x1fe, 2, 0xaa54, -ENOEXEC, "not a kernel" },
		{ 0x202, 4, 0x53726449, -ENOEXEC, "disk image with a boot sector" },
		{ 0x206, 2, 0x020b, -ENOEXEC, "boot protocol 2.11, too old" },
		{ 0x206, 2, 0, -ENOEXEC, "boot protocol 0.00, too old" },
		{ 0x201, 1, 0x65, -EINVAL, "header ends at 0x267" },
		{ 0x201, 1, 0, -EINVAL, "header ends at 0x202" },
		{ 0x211, 1, 0, -ENOEXEC, "zImage" },
		{ 0x236, 2, 2, -ENOEXEC, "32-bit Linux kernel" },
		{ 0x1f1, 1, 5, -EINVAL, "truncated bzImage" },
		{ 0x1f1, 1, 255, -EINVAL, "truncated bzImage" },
		{ 0x1f4, 4, BZ_CODE / 16 + 1, -EINVAL, "truncated bzImage" },
		{ 0x1f4, 4, UINT32_MAX, -EINVAL, "truncated bzImage" },
		{ 0x1f4, 4, 0, -EINVAL, "payload" },
		{ 0x1f4, 4, 0x20, -EINVAL, "payload" },
		{ 0x248, 4, BZ_CODE - 0x7ff, -EINVAL, "payload" },
		{ 0x248, 4, UINT32_MAX, -EINVAL, "payload" },
		{ 0x24c, 4, BZ_CODE - 0x2ff, -EINVAL, "payload" },
		{ 0x24c, 4, UINT32_MAX, -EINVAL, "payload" },
		{ 0x24c, 4, 0, -EINVAL, "payload" },
		{ 0x260, 4, BZ_CODE - 1, -EINVAL, "init_size" },
		{ 0x260, 4, 0, -EINVAL, "init_size" },
		{ 0x260, 4, 48 * MIB + 1, -EFBIG, "does not fit" },
		{ 0x260, 4, UINT32_MAX, -EFBIG, "does not fit" },
		{ 0x230, 4, 0, -EINVAL, "kernel_alignment" },
		{ 0x230, 4, 3, -EINVAL, "kernel_alignment" },
		{ 0x258, 8, 0x1001000, -EINVAL, "pref_address" },
		{ 0x258, 8, 0, -EINVAL, "pref_address" },
		{ 0x258, 8, 64 * MIB, -EFBIG, "does not fit" },
		{ 0x258, 8, 4 * GIB, -EFBIG, "does not fit" },
		{ 0x258, 8, -(2 * MIB), -EFBIG, "does not fit" },
		{ 0x238, 4, 2, -EINVAL, "too long: this kernel takes 2" },
		/* still good */
		{ 0x1f1, 1, 4, 0, "" },
		{ 0x201, 1, 0x66, 0, "" },
		{ 0x201, 1, 0xff, 0, "" },
		{ 0x234, 1, 0, 0, "" },
		{ 0x236, 2, 0xffff, 0, "" },
		{ 0x250, 8, UINT64_MAX, 0, "" },
		{ 0x260, 4, 48 * MIB, 0, "" },
		{ 0x238, 4, UINT32_MAX, 0, "" },
		{ 0x24c, 4, BZ_CODE - 0x300, 0, "" },
	};
	return CASES(c);
}

ParameterizedTest(struct mangle_case *c, linux, one_bad_field)
{
	uint8_t image[BZ_SIZE], setup_data[8];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(64 * MIB);
	bz_make(image);
	store_le(image + c->offset, c->value, c->size);
	cr_expect_eq(boot_image(mem, image, sizeof(image), NULL, "abc", &entry, message), c->rc,
		"%s", message);
	cr_expect(strstr(message, c->message), "%s", message);
	if (c->rc == 0) {
		gmem_read(mem, LAYOUT_ZERO_PAGE + 0x250, setup_data, 8);
		cr_expect_eq(load_le64(setup_data), 0, "the file's setup_data reached the guest");
	}
	gmem_free(mem);
}

/* But for less than the 16 bytes that the header counts in: memtest86+ 6 ends so. */
Test(linux, every_truncation_is_an_error)
{
	uint8_t image[BZ_SIZE];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(64 * MIB);
	bz_make(image);
	for (size_t size = 0; size <= sizeof(image) - 16; size++) {
		int rc = boot_image(mem, image, size, NULL, "", &entry, message);
		cr_assert(rc == -EINVAL || rc == -ENOEXEC, "%zu bytes: %d", size, rc);
		if (size >= 0x206)
			cr_assert(strstr(message, "truncated"), "%zu bytes: %s", size, message);
	}
	for (size_t size = sizeof(image) - 15; size <= sizeof(image); size++) {
		uint8_t code[BZ_CODE];
		memset(code, 0xee, sizeof(code));
		gmem_write(mem, BZ_PREF, code, sizeof(code)); /* as after a reset */
		int rc = boot_image(mem, image, size, NULL, "", &entry, message);
		cr_assert_eq(rc, 0, "%zu bytes: %s", size, message);
		gmem_read(mem, BZ_PREF, code, sizeof(code));
		cr_expect_arr_eq(code, image + BZ_SETUP, size - BZ_SETUP);
		for (size_t i = size - BZ_SETUP; i < sizeof(code); i++)
			cr_assert_eq(code[i], 0);
	}
	gmem_free(mem);
}

/* As of a program that only begins like Linux does. */
Test(linux, no_payload)
{
	uint8_t image[BZ_SIZE];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(64 * MIB);
	bz_make(image);
	store_le64(image + 0x248, 0);
	cr_expect_eq(
		boot_image(mem, image, sizeof(image), NULL, "", &entry, message), 0, "%s", message);
	cr_expect_eq(entry.ip, BZ_PREF + 0x200);
	const struct boot_source host = {
		.kernel_image = image,
		.kernel_image_size = sizeof(image),
		.cmdline = "",
		.unpack = BOOT_UNPACK_HOST,
	};
	cr_expect_eq(boot_source(mem, host, &entry, message), -ENOTSUP);
	cr_expect(strstr(message, "take kernel-unpack=guest"), "%s", message);
	gmem_free(mem);
}

/* Any header: an error, or an entry inside RAM. The seed is fixed, so a failure comes again. */
Test(linux, random_headers)
{
	uint8_t image[BZ_SIZE];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(64 * MIB);
	uint32_t seed = 1;
	unsigned good = 0;
	for (unsigned i = 0; i < 5000; i++) {
		bz_make(image);
		for (unsigned j = 0; j < 3; j++) {
			seed = seed * 1664525 + 1013904223;
			image[0x206 + (seed >> 8) % (0x264 - 0x206)] ^=
				(uint8_t)(1 << (seed >> 29));
		}
		if (boot_image(mem, image, sizeof(image), NULL, "", &entry, message) == 0) {
			good++;
			cr_assert_not_null(gmem_ptr(mem, entry.ip, 1));
		}
	}
	cr_expect(good > 100 && good < 4900, "%u", good);
	gmem_free(mem);
}

struct initrd_case {
	uint64_t ram, size;
	uint32_t initrd_max;
	gpa_t gpa; /* 0: does not fit */
};

ParameterizedTestParameters(linux, initrd_place)
{
	const uint32_t max = BZ_INITRD_MAX;
	const uint64_t end = BZ_PREF + BZ_INIT_SIZE;
	static struct initrd_case c[12];
	unsigned n = 0;
	c[n++] = (struct initrd_case){ 64 * MIB, 1, max, 64 * MIB - 4096 };
	c[n++] = (struct initrd_case){ 64 * MIB, 4096, max, 64 * MIB - 4096 };
	c[n++] = (struct initrd_case){ 64 * MIB, 4097, max, 64 * MIB - 8192 };
	c[n++] = (struct initrd_case){ 64 * MIB, 64 * MIB - end, max, end };
	c[n++] = (struct initrd_case){ 64 * MIB, 64 * MIB - end + 1, max, 0 };
	c[n++] = (struct initrd_case){ 64 * MIB, 64 * MIB + 1, max, 0 };
	c[n++] = (struct initrd_case){ 64 * MIB, 5 * GIB, max, 0 };
	c[n++] = (struct initrd_case){ 5 * GIB, 1 * MIB, max, 2047 * MIB };
	c[n++] = (struct initrd_case){ 5 * GIB, 1 * MIB, UINT32_MAX, 3 * GIB - 1 * MIB };
	c[n++] = (struct initrd_case){ 64 * MIB, 8192, 32 * MIB - 2, 32 * MIB - 12288 };
	c[n++] = (struct initrd_case){ 64 * MIB, 1, 8 * MIB, 0 };
	c[n++] = (struct initrd_case){ 64 * MIB, 1, 0, 0 };
	return cr_make_param_array(struct initrd_case, c, n);
}

ParameterizedTest(struct initrd_case *c, linux, initrd_place)
{
	uint8_t image[BZ_SIZE], field[8];
	char path[32], message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(c->ram);
	bz_make(image);
	store_le32(image + 0x22c, c->initrd_max);
	file_new("", 0, c->size, path);
	int rc = boot_image(mem, image, sizeof(image), path, "", &entry, message);
	if (c->gpa) {
		cr_assert_eq(rc, 0, "%s", message);
		gmem_read(mem, LAYOUT_ZERO_PAGE + 0x218, field, 8);
		cr_expect_eq(load_le32(field), c->gpa, "0x%x", load_le32(field));
		cr_expect_eq(load_le32(field + 4), c->size);
	} else {
		cr_expect_eq(rc, -EFBIG);
		cr_expect(strstr(message, "does not fit"), "%s", message);
		cr_expect(strstr(message, path), "%s", message);
		cr_expect_null(strstr(message, "kernel '"), "%s", message);
	}
	gmem_free(mem);
}

Test(linux, command_line_limit)
{
	uint8_t image[BZ_SIZE];
	char cmdline[BZ_CMDLINE + 2], read[BZ_CMDLINE + 1], message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(64 * MIB);
	bz_make(image);
	memset(cmdline, 'x', sizeof(cmdline));
	cmdline[BZ_CMDLINE + 1] = '\0';
	cr_expect_eq(
		boot_image(mem, image, sizeof(image), NULL, cmdline, &entry, message), -EINVAL);
	cr_expect(strstr(message, "command line of 65 bytes is too long"), "%s", message);
	cmdline[BZ_CMDLINE] = '\0';
	cr_expect_eq(boot_image(mem, image, sizeof(image), NULL, cmdline, &entry, message), 0, "%s",
		message);
	gmem_read(mem, LAYOUT_CMDLINE, read, sizeof(read));
	cr_expect_str_eq(read, cmdline);
	gmem_free(mem);
}
