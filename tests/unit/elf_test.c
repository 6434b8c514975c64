// SPDX-License-Identifier: Apache-2.0
/* ELF64 kernels with and without a PVH note: placement, what is handed over, and broken ones. */
#include <abi/layout.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>

#include "boot_fixture.h"
#include "util/bytes.h"

static void expect_segments(const struct gmem *mem, const uint8_t image[ELF_SIZE])
{
	uint8_t text[ELF_TEXT_LEN], data[ELF_DATA_LEN + ELF_BSS];
	gmem_read(mem, ELF_TEXT, text, sizeof(text));
	cr_expect_arr_eq(text, image + ELF_TEXT_AT, ELF_TEXT_LEN);
	gmem_read(mem, ELF_DATA, data, sizeof(data));
	cr_expect_arr_eq(data, image + ELF_DATA_AT, ELF_DATA_LEN);
	for (unsigned i = ELF_DATA_LEN; i < sizeof(data); i++)
		cr_assert_eq(data[i], 0, ".bss is not clear at %u", i);
}

Test(elf, plain_gets_boot_params)
{
	uint8_t image[ELF_SIZE], bp[4096], junk[ELF_BSS];
	char message[256], path[32];
	struct boot_entry entry;
	struct gmem *mem = ram_new(32 * MIB);
	elf_make(image, false);
	memset(junk, 0xee, sizeof(junk));
	gmem_write(mem, ELF_DATA + ELF_DATA_LEN, junk, sizeof(junk)); /* as after a reset */
	file_new("070701", 6, 6, path);
	cr_assert_eq(boot_image(mem, image, sizeof(image), path, "a b", &entry, message), 0, "%s",
		message);
	cr_expect_eq(entry.mode, BOOT_MODE_LONG64);
	cr_expect_eq(entry.ip, ELF_TEXT + 0x10, "the entry is virtual in the file");
	cr_expect_eq(entry.argument, LAYOUT_ZERO_PAGE);
	cr_expect_eq(entry.page_table, LAYOUT_PAGE_TABLE);
	expect_segments(mem, image);
	gmem_read(mem, LAYOUT_ZERO_PAGE, bp, sizeof(bp));
	cr_expect_arr_eq(bp + 0x202, "HdrS", 4);
	cr_expect_eq(load_le16(bp + 0x1fe), 0xaa55);
	cr_expect_eq(bp[0x210], 0xff);
	cr_expect_eq(load_le32(bp + 0x218), 32 * MIB - 4096);
	cr_expect_eq(load_le32(bp + 0x21c), 6);
	cr_expect_eq(load_le32(bp + 0x228), LAYOUT_CMDLINE);
	cr_expect_eq(load_le64(bp + 0x70), TEST_RSDP);
	cr_expect_geq(bp[0x1e8], 4);
	gmem_free(mem);
}

Test(elf, physical_entry_of_vmlinux)
{
	uint8_t image[ELF_SIZE];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(32 * MIB);
	elf_make(image, false);
	store_le64(image + offsetof(Elf64_Ehdr, e_entry), ELF_TEXT + 0x30);
	cr_assert_eq(
		boot_image(mem, image, sizeof(image), NULL, "", &entry, message), 0, "%s", message);
	cr_expect_eq(entry.ip, ELF_TEXT + 0x30);
	gmem_free(mem);
}

Test(pvh, gets_start_info)
{
	uint8_t image[ELF_SIZE], info[56], module[32], memmap[E820_MAX * 24];
	char message[256], path[32], text[16];
	struct boot_entry entry;
	struct e820 map;
	struct gmem *mem = ram_new(32 * MIB);
	elf_make(image, true);
	file_new("070701", 6, 4097, path);
	cr_assert_eq(boot_image(mem, image, sizeof(image), path, "quiet", &entry, message), 0, "%s",
		message);
	cr_expect_eq(entry.mode, BOOT_MODE_PROT32);
	cr_expect_eq(entry.ip, ELF_TEXT + 0x20);
	cr_expect_eq(entry.argument, LAYOUT_START_INFO);
	expect_segments(mem, image);

	gmem_read(mem, LAYOUT_START_INFO, info, sizeof(info));
	cr_expect_eq(load_le32(info), 0x336ec578);
	cr_expect_eq(load_le32(info + 4), 1, "version 1 has the memory map");
	cr_expect_eq(load_le32(info + 8), 0);
	cr_expect_eq(load_le32(info + 12), 1);
	cr_expect_eq(load_le64(info + 32), TEST_RSDP);
	cr_assert_eq(gmem_read(mem, load_le64(info + 24), text, 6), 0);
	cr_expect_str_eq(text, "quiet");
	cr_assert_eq(gmem_read(mem, load_le64(info + 16), module, sizeof(module)), 0);
	cr_expect_eq(load_le64(module), 32 * MIB - 8192);
	cr_expect_eq(load_le64(module + 8), 4097);
	cr_expect_eq(load_le64(module + 16), 0);
	e820_build(mem, 0, &map);
	cr_assert_eq(load_le32(info + 48), map.count);
	cr_assert_eq(gmem_read(mem, load_le64(info + 40), memmap, (size_t)map.count * 24), 0);
	for (size_t i = 0; i < map.count; i++) {
		cr_expect_eq(load_le64(memmap + i * 24), map.entry[i].base);
		cr_expect_eq(load_le64(memmap + i * 24 + 8), map.entry[i].size);
		cr_expect_eq(load_le32(memmap + i * 24 + 16), map.entry[i].type);
	}
	gmem_free(mem);
}

Test(pvh, no_initrd_no_module)
{
	uint8_t image[ELF_SIZE], info[56];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(32 * MIB);
	elf_make(image, true);
	cr_assert_eq(
		boot_image(mem, image, sizeof(image), NULL, "", &entry, message), 0, "%s", message);
	gmem_read(mem, LAYOUT_START_INFO, info, sizeof(info));
	cr_expect_eq(load_le32(info + 12), 0);
	cr_expect_eq(load_le64(info + 16), 0);
	gmem_free(mem);
}

#define EHDR(field) offsetof(Elf64_Ehdr, field), sizeof(((Elf64_Ehdr *)0)->field)
#define PHDR(n, field)                                                     \
	ELF_PHDR + (n) * sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, field), \
		sizeof(((Elf64_Phdr *)0)->field)
#define NOTE(offset) ELF_NOTE_AT + 28 + (offset), 4

struct mangle_case {
	unsigned offset, size;
	uint64_t value;
	int rc;
	char message[48];
};

ParameterizedTestParameters(elf, one_bad_field)
{
	static struct mangle_case c[] = {
		{ EI_CLASS, 1, ELFCLASS32, -ENOEXEC, "a 32-bit ELF file" },
		{ EI_CLASS, 1, 3, -EINVAL, "corrupt" },
		{ EI_DATA, 1, ELFDATA2MSB, -ENOEXEC, "a big-endian ELF file" },
		{ EI_VERSION, 1, 0, -EINVAL, "corrupt" },
		{ EHDR(e_machine), EM_AARCH64, -ENOEXEC, "for AArch64 (machine 183)" },
		{ EHDR(e_machine), EM_RISCV, -ENOEXEC, "for RISC-V" },
		{ EHDR(e_machine), 0, -ENOEXEC, "for another machine (machine 0)" },
		{ EHDR(e_type), ET_REL, -ENOEXEC, "a relocatable object" },
		{ EHDR(e_type), ET_DYN, -ENOEXEC, "a shared object" },
		{ EHDR(e_type), ET_CORE, -ENOEXEC, "a core dump" },
		{ EHDR(e_type), 77, -ENOEXEC, "of unknown type" },
		{ EHDR(e_phentsize), 32, -EINVAL, "program headers of 32 bytes" },
		{ EHDR(e_phnum), 0, -EINVAL, "0 program headers" },
		{ EHDR(e_phnum), 65, -EINVAL, "65 program headers" },
		{ EHDR(e_phoff), ELF_SIZE - 56, -EINVAL, "truncated" },
		{ EHDR(e_phnum), 1, -EINVAL, "nothing to load" },
		{ EHDR(e_phoff), ELF_SIZE, -EINVAL, "truncated" },
		{ EHDR(e_phoff), UINT64_MAX, -EINVAL, "truncated" },
		{ EHDR(e_phoff), UINT64_MAX - 60, -EINVAL, "truncated" },
		{ EHDR(e_entry), 0, -EINVAL, "entry 0x0 is in no segment" },
		{ EHDR(e_entry), ELF_TEXT + ELF_TEXT_LEN, -EINVAL, "in no segment" },
		{ EHDR(e_entry), ELF_VIRTUAL + ELF_TEXT + ELF_TEXT_LEN, -EINVAL, "in no segment" },
		{ PHDR(1, p_type), PT_INTERP, -ENOEXEC, "dynamically linked" },
		{ PHDR(1, p_filesz), ELF_TEXT_LEN + 1, -EINVAL, "larger in the file" },
		{ PHDR(1, p_filesz), UINT64_MAX, -EINVAL, "larger in the file" },
		{ PHDR(1, p_offset), ELF_SIZE - ELF_TEXT_LEN + 1, -EINVAL, "truncated" },
		{ PHDR(1, p_offset), UINT64_MAX, -EINVAL, "truncated" },
		{ PHDR(1, p_paddr), 0, -ENOEXEC, "where the boot data lie" },
		{ PHDR(1, p_paddr), ELF_TEXT - 1, -ENOEXEC, "where the boot data lie" },
		{ PHDR(1, p_paddr), 32 * MIB - ELF_TEXT_LEN + 1, -EFBIG, "does not fit" },
		{ PHDR(1, p_paddr), 4 * GIB, -EFBIG, "does not fit" },
		{ PHDR(1, p_paddr), UINT64_MAX, -EFBIG, "does not fit" },
		{ PHDR(1, p_paddr), ELF_DATA - 1, -EINVAL, "segments overlap" },
		{ PHDR(1, p_paddr), ELF_DATA + ELF_DATA_LEN + ELF_BSS - 1, -EINVAL,
			"segments overlap" },
		{ PHDR(1, p_memsz), ELF_DATA - ELF_TEXT + 1, -EINVAL, "segments overlap" },
		{ PHDR(2, p_memsz), 30 * MIB + 1, -EFBIG, "does not fit" },
		{ PHDR(2, p_memsz), UINT64_MAX, -EFBIG, "does not fit" },
		{ PHDR(0, p_filesz), UINT64_MAX, -EINVAL, "bytes of notes" },
		{ PHDR(0, p_filesz), ELF_SIZE, -EINVAL, "note exceeds its segment" },
		{ PHDR(0, p_offset), UINT64_MAX, -EINVAL, "truncated" },
		{ NOTE(0), UINT32_MAX, -EINVAL, "note exceeds its segment" },
		{ NOTE(4), UINT32_MAX, -EINVAL, "note exceeds its segment" },
		/* still good */
		{ PHDR(0, p_filesz), 11, 0, "" },
		{ PHDR(0, p_filesz), 0, 0, "" },
		{ PHDR(1, p_memsz), ELF_DATA - ELF_TEXT, 0, "" },
		{ PHDR(1, p_paddr), 32 * MIB - ELF_TEXT_LEN, 0, "" },
		{ PHDR(2, p_memsz), 30 * MIB, 0, "" },
		{ PHDR(2, p_type), PT_NULL, 0, "" },
		{ PHDR(0, p_align), 0, 0, "" },
	};
	return CASES(c);
}

ParameterizedTest(struct mangle_case *c, elf, one_bad_field)
{
	uint8_t image[ELF_SIZE];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(32 * MIB);
	elf_make(image, false);
	store_le(image + c->offset, c->value, c->size);
	cr_expect_eq(boot_image(mem, image, sizeof(image), NULL, "", &entry, message), c->rc, "%s",
		message);
	cr_expect(strstr(message, c->message), "%s", message);
	gmem_free(mem);
}

ParameterizedTestParameters(pvh, one_bad_field)
{
	static struct mangle_case c[] = {
		{ NOTE(4), 2, -EINVAL, "an entry of 2 bytes" },
		{ NOTE(16), 0, -EINVAL, "entry 0x0 is in no segment" },
		{ NOTE(16), ELF_TEXT + ELF_TEXT_LEN, -EINVAL, "in no segment" },
		{ NOTE(4), 8, 0, "" },
		{ EHDR(e_entry), 0, 0, "" },
	};
	return CASES(c);
}

ParameterizedTest(struct mangle_case *c, pvh, one_bad_field)
{
	uint8_t image[ELF_SIZE];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(32 * MIB);
	elf_make(image, true);
	store_le(image + c->offset, c->value, c->size);
	cr_expect_eq(boot_image(mem, image, sizeof(image), NULL, "", &entry, message), c->rc, "%s",
		message);
	cr_expect(strstr(message, c->message), "%s", message);
	gmem_free(mem);
}

Test(elf, every_truncation_is_an_error)
{
	uint8_t image[ELF_SIZE];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(32 * MIB);
	for (int pvh = 0; pvh < 2; pvh++) {
		elf_make(image, pvh);
		for (size_t size = 0; size < sizeof(image); size++) {
			int rc = boot_image(mem, image, size, NULL, "", &entry, message);
			cr_assert(rc == -EINVAL || rc == -ENOEXEC, "%zu bytes: %d", size, rc);
			if (size >= SELFMAG)
				cr_assert(strstr(message, "truncated"), "%zu bytes: %s", size,
					message);
		}
	}
	gmem_free(mem);
}

Test(elf, random_headers)
{
	uint8_t image[ELF_SIZE];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(32 * MIB);
	uint32_t seed = 1;
	unsigned good = 0;
	for (unsigned i = 0; i < 5000; i++) {
		elf_make(image, i & 1);
		for (unsigned j = 0; j < 3; j++) {
			seed = seed * 1664525 + 1013904223;
			image[EI_CLASS + (seed >> 8) % (ELF_TEXT_AT - EI_CLASS)] ^=
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
