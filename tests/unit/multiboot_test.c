// SPDX-License-Identifier: Apache-2.0
/* Multiboot kernels: the header's promises, good and bad; what is handed over; which way in is
 * taken. */
#include <abi/layout.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "boot_fixture.h"
#include "util/bytes.h"

#define MAGIC     0x1badb002u
#define ADDRESSES (1u << 16)
#define HEADER_AT ELF_TEXT_AT /* in the fixture's ELF file, which has 32 bytes and more there */

/* A file with a header and nothing else that says what it is. */
#define FLAT_SIZE   0x1000u
#define FLAT_HEADER 0x100u
#define FLAT_LOAD   0x200000u
#define FLAT_FROM   0x80u /* of the file goes there */
#define FLAT_ENTRY  (FLAT_LOAD + 0x10)
#define FLAT_BSS    0x2000u

static void put_header(uint8_t *p, uint32_t flags)
{
	store_le32(p, MAGIC);
	store_le32(p + 4, flags);
	store_le32(p + 8, -(MAGIC + flags));
}

static void flat_make(uint8_t image[FLAT_SIZE])
{
	for (unsigned i = 0; i < FLAT_SIZE; i++)
		image[i] = (uint8_t)(i * 5 + 3);
	uint8_t *p = image + FLAT_HEADER;
	put_header(p, ADDRESSES);
	store_le32(p + 12, FLAT_LOAD + FLAT_HEADER - FLAT_FROM);
	store_le32(p + 16, FLAT_LOAD);
	store_le32(p + 20, FLAT_LOAD + FLAT_SIZE - FLAT_FROM);
	store_le32(p + 24, FLAT_LOAD + FLAT_SIZE - FLAT_FROM + FLAT_BSS);
	store_le32(p + 28, FLAT_ENTRY);
}

/* The fixture's ELF64 file as one of 32 bits. */
static size_t elf32_make(uint8_t image[ELF_SIZE])
{
	uint8_t wide[ELF_SIZE];
	elf_make(wide, false);
	memcpy(image, wide, ELF_SIZE);
	const Elf32_Ehdr eh = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB,
			EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_version = EV_CURRENT,
		.e_entry = ELF_TEXT + 0x10,
		.e_phoff = ELF_PHDR,
		.e_ehsize = sizeof(Elf32_Ehdr),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 3,
	};
	memcpy(image, &eh, sizeof(eh));
	for (unsigned i = 0; i < 3; i++) {
		Elf64_Phdr from;
		memcpy(&from, wide + ELF_PHDR + i * sizeof(from), sizeof(from));
		const Elf32_Phdr to = {
			.p_type = from.p_type,
			.p_offset = (Elf32_Off)from.p_offset,
			.p_vaddr = (Elf32_Addr)from.p_paddr,
			.p_paddr = (Elf32_Addr)from.p_paddr,
			.p_filesz = (Elf32_Word)from.p_filesz,
			.p_memsz = (Elf32_Word)from.p_memsz,
			.p_align = (Elf32_Word)from.p_align,
		};
		memcpy(image + ELF_PHDR + i * sizeof(to), &to, sizeof(to));
	}
	return ELF_SIZE;
}

static void set_note(uint8_t image[ELF_SIZE], bool pvh)
{
	store_le32(image + ELF_NOTE_AT + 28 + 8, pvh ? 18 : 17);
}

/* --- the way in --- */

enum form { WIDE, NARROW };

struct way_case {
	enum form form;
	bool pvh, multiboot;
	uint32_t flags;
	int rc;
	enum boot_mode mode;
	uint32_t magic; /* EAX */
	gpa_t entry;
	char message[64];
};

ParameterizedTestParameters(multiboot, way_in)
{
	static struct way_case c[] = {
		{ WIDE, false, false, 0, 0, BOOT_MODE_LONG64, 0, ELF_TEXT + 0x10, "" },
		{ WIDE, true, false, 0, 0, BOOT_MODE_PROT32, 0, ELF_TEXT + 0x20, "" },
		{ WIDE, false, true, 0, 0, BOOT_MODE_PROT32, 0x2badb002, ELF_TEXT + 0x10, "" },
		{ WIDE, true, true, 0, 0, BOOT_MODE_PROT32, 0, ELF_TEXT + 0x20, "" },
		{ NARROW, false, false, 0, -ENOEXEC, 0, 0, 0,
			"32-bit ELF file with neither a PVH note nor a multiboot header" },
		{ NARROW, true, false, 0, 0, BOOT_MODE_PROT32, 0, ELF_TEXT + 0x20, "" },
		{ NARROW, false, true, 3, 0, BOOT_MODE_PROT32, 0x2badb002, ELF_TEXT + 0x10, "" },
		{ NARROW, true, true, 3, 0, BOOT_MODE_PROT32, 0, ELF_TEXT + 0x20, "" },
		/* what it asks for counts only where it is the way in */
		{ NARROW, false, true, 4, -ENOEXEC, 0, 0, 0, "asks for a video mode" },
		{ NARROW, false, true, 7, -ENOEXEC, 0, 0, 0, "asks for a video mode" },
		{ NARROW, true, true, 4, 0, BOOT_MODE_PROT32, 0, ELF_TEXT + 0x20, "" },
		{ NARROW, false, true, 0x8, -ENOEXEC, 0, 0, 0, "of which 0x8 are unknown" },
		{ WIDE, false, true, 0x8001, -ENOEXEC, 0, 0, 0, "of which 0x8000 are unknown" },
		/* bits from 16 up may be ignored */
		{ NARROW, false, true, 0x80020000, 0, BOOT_MODE_PROT32, 0x2badb002, ELF_TEXT + 0x10,
			"" },
	};
	return CASES(c);
}

ParameterizedTest(struct way_case *c, multiboot, way_in)
{
	uint8_t image[ELF_SIZE];
	char message[256];
	struct boot_entry entry = { 0 };
	struct gmem *mem = ram_new(32 * MIB);
	if (c->form == WIDE)
		elf_make(image, c->pvh);
	else
		elf32_make(image);
	set_note(image, c->pvh);
	if (c->multiboot)
		put_header(image + HEADER_AT, c->flags);
	cr_expect_eq(boot_image(mem, image, sizeof(image), NULL, "", &entry, message), c->rc, "%s",
		message);
	cr_expect(strstr(message, c->message), "%s", message);
	if (c->rc == 0) {
		cr_expect_eq(entry.mode, c->mode);
		cr_expect_eq(entry.magic, c->magic);
		cr_expect_eq(entry.ip, c->entry);
		uint8_t text[ELF_TEXT_LEN];
		gmem_read(mem, ELF_TEXT, text, sizeof(text));
		cr_expect_arr_eq(text, image + ELF_TEXT_AT, sizeof(text));
	}
	gmem_free(mem);
}

Test(multiboot, a_tree_can_not_be_handed_over)
{
	uint8_t image[ELF_SIZE];
	struct gmem *mem = ram_new(32 * MIB);
	struct boot_entry entry;
	struct e820 map;
	struct lacuna_error *err = NULL;
	e820_build(mem, 0, &map);
	size_t size = elf32_make(image);
	put_header(image + HEADER_AT, 0);
	const struct boot_source src = {
		.kernel_image = image,
		.kernel_image_size = size,
		.cmdline = "",
		.e820 = &map,
		.fdt = &(struct dtb_config){ .cpus = 1, .buses = 1, .e820 = &map },
	};
	cr_expect_eq(boot_load(&src, mem, &entry, &err), -ENOEXEC);
	cr_expect(
		strstr(lacuna_error_message(err), "by multiboot, which hands over no device tree"));
	lacuna_error_free(err);
	gmem_free(mem);
}

/* --- where a header may be --- */

struct place_case {
	uint32_t at;
	bool found;
};

ParameterizedTestParameters(multiboot, header_place)
{
	static struct place_case c[] = {
		{ 0, true },
		{ 4, true },
		{ 2, false }, /* on no multiple of four */
		{ 8192 - 32, true },
		{ 8192 - 28, false }, /* not wholly in the first 8 KiB */
		{ 8192, false },
	};
	return CASES(c);
}

ParameterizedTest(struct place_case *c, multiboot, header_place)
{
	static uint8_t image[3 * FLAT_SIZE];
	uint8_t flat[FLAT_SIZE];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(32 * MIB);
	flat_make(flat);
	memset(image, 0xcc, sizeof(image));
	memcpy(image + c->at, flat + FLAT_HEADER, 32);
	store_le32(image + c->at + 12, FLAT_LOAD + c->at);
	store_le32(image + c->at + 20, 0);
	store_le32(image + c->at + 24, 0);
	int rc = boot_image(mem, image, sizeof(image), NULL, "", &entry, message);
	cr_expect_eq(rc, c->found ? 0 : -ENOEXEC, "%s", message);
	gmem_free(mem);
}

/* --- address fields --- */

Test(multiboot, goes_where_the_header_says)
{
	uint8_t image[FLAT_SIZE], loaded[FLAT_SIZE - FLAT_FROM + FLAT_BSS], junk[FLAT_BSS];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(32 * MIB);
	flat_make(image);
	memset(junk, 0xee, sizeof(junk));
	gmem_write(
		mem, FLAT_LOAD + FLAT_SIZE - FLAT_FROM, junk, sizeof(junk)); /* as after a reset */
	cr_assert_eq(
		boot_image(mem, image, sizeof(image), NULL, "", &entry, message), 0, "%s", message);
	cr_expect_eq(entry.ip, FLAT_ENTRY);
	cr_expect_eq(entry.magic, 0x2badb002);
	gmem_read(mem, FLAT_LOAD, loaded, sizeof(loaded));
	cr_expect_arr_eq(loaded, image + FLAT_FROM, FLAT_SIZE - FLAT_FROM);
	for (size_t i = FLAT_SIZE - FLAT_FROM; i < sizeof(loaded); i++)
		cr_assert_eq(loaded[i], 0, ".bss is not clear at %zu", i);
	gmem_free(mem);
}

struct address_case {
	unsigned field; /* its offset in the header */
	uint32_t value;
	int rc;
	char message[48];
};

ParameterizedTestParameters(multiboot, one_bad_address)
{
	enum { HEADER = 12, LOAD = 16, LOAD_END = 20, BSS_END = 24, ENTRY = 28 };
	static struct address_case c[] = {
		{ HEADER, FLAT_LOAD - 4, -EINVAL, "its multiboot header at 256" },
		{ HEADER, 0, -EINVAL, "its multiboot header at 256" },
		{ HEADER, FLAT_LOAD + FLAT_HEADER + 4, -EINVAL, "its multiboot header at 256" },
		{ HEADER, UINT32_MAX, -EINVAL, "its multiboot header at 256" },
		{ LOAD, 0, -EINVAL, "its multiboot header at 256" },
		{ LOAD, FLAT_LOAD + FLAT_HEADER, -EINVAL, "its multiboot header at 256" },
		{ LOAD, UINT32_MAX, -EINVAL, "its multiboot header at 256" },
		{ LOAD_END, FLAT_LOAD, -EINVAL, "ends at 0x200000" },
		{ LOAD_END, 1, -EINVAL, "ends at 0x1" },
		{ LOAD_END, FLAT_LOAD + FLAT_SIZE - FLAT_FROM + 1, -EINVAL, "truncated" },
		{ LOAD_END, UINT32_MAX, -EINVAL, "with .bss at" },
		{ BSS_END, FLAT_LOAD + 8, -EINVAL, "with .bss at 0x200008" },
		{ BSS_END, 32 * MIB + 1, -EFBIG, "does not fit" },
		{ BSS_END, UINT32_MAX, -EFBIG, "does not fit" },
		{ ENTRY, 0, -EINVAL, "the entry 0x0" },
		{ ENTRY, FLAT_LOAD - 1, -EINVAL, "outside of what is loaded" },
		{ ENTRY, FLAT_LOAD + FLAT_SIZE - FLAT_FROM + FLAT_BSS, -EINVAL, "outside" },
		{ ENTRY, UINT32_MAX, -EINVAL, "outside of what is loaded" },
		/* still good */
		{ HEADER, FLAT_LOAD, 0, "" },
		{ LOAD_END, 0, 0, "" },
		{ LOAD_END, FLAT_LOAD + 4, 0, "" },
		{ BSS_END, 0, 0, "" },
		{ BSS_END, 32 * MIB, 0, "" },
		{ ENTRY, FLAT_LOAD, 0, "" },
	};
	return CASES(c);
}

ParameterizedTest(struct address_case *c, multiboot, one_bad_address)
{
	uint8_t image[FLAT_SIZE];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(32 * MIB);
	flat_make(image);
	store_le32(image + FLAT_HEADER + c->field, c->value);
	if (c->field == 12 && c->rc == 0) /* the file has less after its header than before */
		store_le32(image + FLAT_HEADER + 20, 0);
	cr_expect_eq(boot_image(mem, image, sizeof(image), NULL, "", &entry, message), c->rc, "%s",
		message);
	cr_expect(strstr(message, c->message), "%s", message);
	gmem_free(mem);
}

/* All of it one lower, so that it begins where our own structures are. */
Test(multiboot, never_over_the_boot_data)
{
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(32 * MIB);
	for (uint32_t load = 0; load < LAYOUT_KERNEL; load += load < 0x8000 ? 0x100 : 0x8100) {
		uint8_t image[FLAT_SIZE], before[0x1000], after[0x1000];
		flat_make(image);
		for (unsigned field = 12; field <= 28; field += 4) {
			uint8_t *p = image + FLAT_HEADER + field;
			store_le32(p, load_le32(p) - FLAT_LOAD + load);
		}
		gmem_read(mem, LAYOUT_START_INFO, before, sizeof(before));
		cr_expect_eq(boot_image(mem, image, sizeof(image), NULL, "", &entry, message),
			-ENOEXEC, "0x%x: %s", load, message);
		cr_expect(strstr(message, "where the boot data lie"), "%s", message);
		gmem_read(mem, LAYOUT_START_INFO, after, sizeof(after));
		cr_expect_arr_eq(before, after, sizeof(before));
	}
	gmem_free(mem);
}

Test(multiboot, random_headers)
{
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(32 * MIB);
	uint32_t seed = 1;
	unsigned good = 0;
	for (unsigned i = 0; i < 5000; i++) {
		uint8_t image[FLAT_SIZE];
		flat_make(image);
		uint8_t *p = image + FLAT_HEADER;
		for (unsigned j = 0; j < 2; j++) {
			seed = seed * 1664525 + 1013904223;
			p[12 + (seed >> 8) % 20] ^= (uint8_t)(1 << (seed >> 29));
		}
		if (boot_image(mem, image, sizeof(image), NULL, "", &entry, message) == 0) {
			good++;
			cr_assert_not_null(gmem_ptr(mem, entry.ip, 1));
			cr_assert_geq(entry.ip, LAYOUT_KERNEL);
		}
	}
	cr_expect(good > 100 && good < 4900, "%u", good);
	gmem_free(mem);
}

/* --- what is handed over --- */

#define INITRD_SIZE 4097u

Test(multiboot, information)
{
	uint8_t image[ELF_SIZE], info[116], map[E820_MAX * 24], modules[2 * 16];
	char message[256], path[2][32], text[32];
	struct boot_entry entry;
	struct e820 e820;
	struct gmem *mem = ram_new(32 * MIB);
	size_t size = elf32_make(image);
	put_header(image + HEADER_AT, 3);
	file_new("first", 5, INITRD_SIZE, path[0]);
	file_new("second", 6, 6, path[1]);
	const struct boot_file initrds[] = { { .path = path[0], .fd = -1 },
		{ .path = path[1], .fd = -1 } };
	const struct boot_source src = {
		.kernel_image = image,
		.kernel_image_size = size,
		.initrds = initrds,
		.initrd_count = 2,
		.cmdline = "pci=noearly a b",
		.cmdline_linux = 12,
	};
	cr_assert_eq(boot_source(mem, src, &entry, message), 0, "%s", message);
	cr_expect_eq(entry.argument, LAYOUT_START_INFO);
	cr_expect_eq(entry.cmdline_skip, 12);
	gmem_read(mem, entry.argument, info, sizeof(info));
	cr_expect_eq(load_le32(info), 0x24d);
	cr_expect_eq(load_le32(info + 4), 639);
	cr_expect_eq(load_le32(info + 8), 31 * 1024);
	gmem_read(mem, 0x40e, text, 7);
	cr_expect_eq(load_le16(text), 0x9fc0, "the segment of the EBDA");
	cr_expect_eq(load_le16(text + 5), 639, "the BIOS's word for mem_lower");
	gmem_read(mem, load_le32(info + 16), text, sizeof(text));
	cr_expect_str_eq(text, "a b", "words for Linux are for Linux");
	gmem_read(mem, load_le32(info + 64), text, sizeof(text));
	cr_expect_str_eq(text, "lacuna");

	cr_assert_eq(load_le32(info + 20), 2);
	gmem_read(mem, load_le32(info + 24), modules, sizeof(modules));
	const char *const content[] = { "first", "second" };
	const uint32_t sizes[] = { INITRD_SIZE, 6 };
	for (unsigned i = 0; i < 2; i++) {
		const uint8_t *m = modules + (size_t)16 * i;
		cr_expect_eq(load_le32(m) % 4096, 0);
		cr_expect_eq(load_le32(m + 4) - load_le32(m), sizes[i]);
		cr_expect_leq(load_le32(m + 4), 32 * MIB);
		cr_expect_eq(load_le32(m + 12), 0);
		gmem_read(mem, load_le32(m), text, sizeof(text));
		cr_expect_arr_eq(text, content[i], strlen(content[i]));
		gmem_read(mem, load_le32(m + 8), text, sizeof(text));
		cr_expect_str_eq(text, strrchr(path[i], '/') + 1);
	}

	e820_build(mem, 0, &e820);
	cr_assert_eq(load_le32(info + 44), e820.count * 24);
	gmem_read(mem, load_le32(info + 48), map, sizeof(map));
	for (unsigned i = 0; i < e820.count; i++) {
		const uint8_t *m = map + 24ul * i;
		cr_expect_eq(load_le32(m), 20);
		cr_expect_eq(load_le64(m + 4), e820.entry[i].base);
		cr_expect_eq(load_le64(m + 12), e820.entry[i].size);
		cr_expect_eq(load_le32(m + 20), (uint32_t)e820.entry[i].type);
	}
	gmem_free(mem);
}

/* The tables end where the next structure begins: as many as fit, with names that don't. */
Test(multiboot, most_modules)
{
	uint8_t image[ELF_SIZE], zero_page[4096], clean[4096] = { 0 }, info[116], last[16];
	char message[256], path[400], name[128];
	struct boot_entry entry;
	struct gmem *mem = ram_new(32 * MIB);
	size_t size = elf32_make(image);
	put_header(image + HEADER_AT, 1);
	snprintf(path, sizeof(path), "/tmp/%0200d", getpid());
	FILE *f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs("x", f);
	fclose(f);
	struct boot_file initrds[33];
	for (unsigned i = 0; i < ARRAY_SIZE(initrds); i++)
		initrds[i] = (struct boot_file){ .path = path, .fd = -1 };
	struct boot_source src = {
		.kernel_image = image,
		.kernel_image_size = size,
		.initrds = initrds,
		.initrd_count = 32,
		.cmdline = "",
	};
	cr_expect_eq(boot_source(mem, src, &entry, message), 0, "%s", message);
	gmem_read(mem, LAYOUT_ZERO_PAGE, zero_page, sizeof(zero_page));
	cr_expect_arr_eq(zero_page, clean, sizeof(clean), "what follows is overwritten");
	gmem_read(mem, entry.argument, info, sizeof(info));
	gmem_read(mem, load_le32(info + 24) + 31 * 16, last, sizeof(last));
	gmem_read(mem, load_le32(last + 8), name, sizeof(name));
	cr_expect_eq(strlen(name), 95, "a long name is cut");

	src.initrd_count = 33;
	cr_expect_eq(boot_source(mem, src, &entry, message), -E2BIG);
	cr_expect(strstr(message, "33 are too many"), "%s", message);
	unlink(path);
	gmem_free(mem);
}
