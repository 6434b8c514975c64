// SPDX-License-Identifier: Apache-2.0
/* Which kernels are handed a device tree, how, and what is said of the others; and of those that
 * will find no PCI for want of ports. */
#include <abi/layout.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <libfdt.h>
#include <stdio.h>

#include "boot_fixture.h"
#include "util/bytes.h"

struct taken {
	struct lacuna_error *err;
	char warning[320]; /* the only one; "" if there was none */
	struct boot_entry entry;
};

static void note_warning(
	void *opaque, enum lacuna_log_level level, const char *component, const char *message)
{
	struct taken *taken = opaque;
	cr_expect_eq(level, LACUNA_LOG_WARNING);
	cr_expect_str_eq(component, "kernel");
	cr_expect_str_empty(taken->warning, "a second warning: %s", message);
	snprintf(taken->warning, sizeof(taken->warning), "%s", message);
}

static int load(struct gmem *mem, const void *image, size_t size, gpa_t rsdp, bool fdt,
	bool no_type1, struct taken *ret)
{
	struct e820 map;
	struct boot_file initrd = { .fd = -1 };
	char path[32];
	e820_build(mem, MIB, &map);
	file_new("070701", 6, 6, path);
	initrd.path = path;
	struct dtb_config config = { .cpus = 2, .buses = 1, .serial = true, .e820 = &map };
	*ret = (struct taken){ 0 };
	struct boot_source src = {
		.kernel_image = image,
		.kernel_image_size = size,
		.initrds = &initrd,
		.initrd_count = 1,
		.cmdline = "a b",
		.e820 = &map,
		.rsdp = rsdp,
		.no_type1 = no_type1,
		.fdt = fdt ? &config : NULL,
		.log = { note_warning, ret, LACUNA_LOG_WARNING },
	};
	int rc = boot_load(&src, mem, &ret->entry, &ret->err);
	cr_assert_eq(rc < 0, ret->err != NULL);
	return rc;
}

/* boot_params leads to the tree, which tells of command line and initrd as boot_params does. */
static void expect_tree(const struct gmem *mem, const struct taken *t, gpa_t rsdp)
{
	uint8_t bp[4096], header[DTB_SETUP_DATA_HEADER];
	int size;
	gmem_read(mem, LAYOUT_ZERO_PAGE, bp, sizeof(bp));
	cr_expect_eq(t->entry.mode, BOOT_MODE_LONG64);
	cr_expect_eq(load_le64(bp + 0x70), rsdp);
	cr_assert_eq(load_le64(bp + 0x250), LAYOUT_FDT);
	cr_expect_geq(load_le16(bp + 0x206), 0x209, "setup_data came with 2.09");
	gmem_read(mem, LAYOUT_FDT, header, sizeof(header));
	cr_expect_eq(load_le64(header), 0, "a next one");
	cr_expect_eq(load_le32(header + 8), 2, "SETUP_DTB");
	const void *fdt = gmem_ptr(mem, LAYOUT_FDT + 16, load_le32(header + 12));
	cr_assert_not_null(fdt);
	cr_expect_eq(fdt_check_full(fdt, load_le32(header + 12)), 0);
	int chosen = fdt_path_offset(fdt, "/chosen");
	cr_expect_str_eq((const char *)fdt_getprop(fdt, chosen, "bootargs", &size), "a b");
	const fdt32_t *start = fdt_getprop(fdt, chosen, "linux,initrd-start", &size);
	const fdt32_t *end = fdt_getprop(fdt, chosen, "linux,initrd-end", &size);
	cr_assert(start && end);
	cr_expect_eq(fdt32_ld(start), load_le32(bp + 0x218));
	cr_expect_eq(fdt32_ld(end) - fdt32_ld(start), load_le32(bp + 0x21c));
	cr_expect_eq(t->entry.initrd, fdt32_ld(start));
	cr_expect_eq(t->entry.initrd_size, 6);
}

static void expect_no_tree(const struct gmem *mem)
{
	uint8_t place[DTB_SETUP_DATA_HEADER], nothing[sizeof(place)] = { 0 };
	gmem_read(mem, LAYOUT_FDT, place, sizeof(place));
	cr_expect_arr_eq(place, nothing, sizeof(place));
}

/* Notes of @image: the first, of nobody, becomes Linux's own. */
static void make_linux(uint8_t image[ELF_SIZE], bool reads_fdt)
{
	static const char names[] = "intel,ce4100-lapic\0linux,usable-memory-range";
	memcpy(image + ELF_NOTE_AT + 12, "Linux", 6);
	if (reads_fdt)
		memcpy(image + ELF_TEXT_AT + 0x40, names, sizeof(names));
}

enum kernel_kind { BZIMAGE, ELF_PLAIN, ELF_PVH, LINUX_PLAIN, LINUX_PVH, LINUX_FDT, LINUX_FDT_PVH };

struct hand_over_case {
	enum kernel_kind kernel;
	bool acpi, fdt;
	bool tree; /* is handed over */
	int rc;
	char message[64]; /* part of the warning or error */
};

ParameterizedTestParameters(boot_fdt, hand_over)
{
	static struct hand_over_case c[] = {
		{ BZIMAGE, true, false, false, 0, "" },
		{ BZIMAGE, true, true, true, 0, "" },
		{ BZIMAGE, false, true, true, 0, "is packed, so it can't be seen" },
		{ ELF_PLAIN, true, false, false, 0, "" },
		{ ELF_PLAIN, true, true, true, 0, "" },
		{ ELF_PLAIN, false, true, true, 0, "" },
		{ ELF_PVH, true, false, false, 0, "" },
		{ ELF_PVH, true, true, false, 0,
			"is entered by PVH, which hands over no device tree: it" },
		{ ELF_PVH, false, true, false, -ENOEXEC,
			"by PVH, which hands over no device tree: give" },
		{ LINUX_PLAIN, true, true, true, 0, "" },
		{ LINUX_PLAIN, false, true, true, 0, "is built without CONFIG_OF_EARLY_FLATTREE" },
		{ LINUX_PVH, true, false, false, 0, "" },
		{ LINUX_PVH, true, true, true, 0, "" },
		{ LINUX_PVH, false, true, true, 0, "is built without CONFIG_OF_EARLY_FLATTREE" },
		{ LINUX_FDT, false, true, true, 0, "" },
		{ LINUX_FDT_PVH, false, true, true, 0, "" },
		{ LINUX_FDT_PVH, true, true, true, 0, "" },
	};
	return CASES(c);
}

ParameterizedTest(struct hand_over_case *c, boot_fdt, hand_over)
{
	static uint8_t image[BZ_SIZE > ELF_SIZE ? BZ_SIZE : ELF_SIZE];
	const bool elf = c->kernel != BZIMAGE, linux_elf = c->kernel >= LINUX_PLAIN;
	const bool pvh =
		c->kernel == ELF_PVH || c->kernel == LINUX_PVH || c->kernel == LINUX_FDT_PVH;
	struct gmem *mem = ram_new(64 * MIB);
	struct taken t;
	if (elf)
		elf_make(image, pvh);
	else
		bz_make(image);
	if (linux_elf)
		make_linux(image, c->kernel >= LINUX_FDT);
	gpa_t rsdp = c->acpi ? TEST_RSDP : 0;
	int rc = load(mem, image, elf ? ELF_SIZE : BZ_SIZE, rsdp, c->fdt, false, &t);
	const char *said = t.err ? lacuna_error_message(t.err) : t.warning;
	cr_expect_eq(rc, c->rc, "%s", said);
	cr_expect(strstr(said, c->message), "%s", said);
	cr_expect(*c->message || !*said, "%s", said);
	if (c->tree) {
		expect_tree(mem, &t, rsdp);
		cr_expect(!elf || t.entry.ip == ELF_TEXT + 0x10, "not the entry of the header");
	} else {
		expect_no_tree(mem);
		cr_expect_eq(rc == 0 && pvh, t.entry.mode == BOOT_MODE_PROT32);
	}
	lacuna_error_free(t.err);
	gmem_free(mem);
}

struct mcfg_case {
	char text[32]; /* in the kernel */
	bool is_linux, no_type1, acpi;
	bool warns;
};

ParameterizedTestParameters(boot_mcfg, warning)
{
	static struct mcfg_case c[] = {
		{ "", true, true, true, true }, { "AMD MMCONFIG area", true, true, true, true },
		{ "PCI MMCONFIG %04x [bus", true, true, true, false },
		{ "PCI ECAM %04x [bus", true, true, true, false }, { "", true, false, true, false },
		{ "", true, true, false, false }, /* goes by the tree, if it can */
		{ "", false, true, true, false }, /* who knows what others call it */
	};
	return CASES(c);
}

ParameterizedTest(struct mcfg_case *c, boot_mcfg, warning)
{
	uint8_t image[ELF_SIZE];
	struct gmem *mem = ram_new(64 * MIB);
	struct taken t;
	elf_make(image, false);
	if (c->is_linux)
		make_linux(image, !c->acpi);
	memcpy(image + ELF_TEXT_AT, c->text, sizeof(c->text));
	int rc = load(mem, image, ELF_SIZE, c->acpi ? TEST_RSDP : 0, !c->acpi, c->no_type1, &t);
	cr_expect_eq(rc, 0);
	cr_expect_eq(strstr(t.warning, "without CONFIG_PCI_MMCONFIG and will find no PCI") != NULL,
		c->warns, "%s", t.warning);
	cr_expect(c->warns || !*t.warning, "%s", t.warning);
	gmem_free(mem);
}
