// SPDX-License-Identifier: Apache-2.0
/* Kernels, files and RAM for the tests of src/boot. */
#include "boot_fixture.h"

#include <assert.h>
#include <criterion/criterion.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/bytes.h"

static void pattern(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 7 + 1);
}

void bz_make(uint8_t image[BZ_SIZE])
{
	memset(image, 0, BZ_SETUP);
	pattern(image + BZ_SETUP, BZ_CODE);
	image[0x1f1] = BZ_SETUP / 512 - 1;
	store_le32(image + 0x1f4, BZ_CODE / 16);
	store_le16(image + 0x1fe, 0xaa55);
	store_le16(image + 0x200, 0x6aeb);     /* jmp to 0x26c, the end of the header */
	store_le32(image + 0x202, 0x53726448); /* "HdrS" */
	store_le16(image + 0x206, 0x020f);
	image[0x211] = 1; /* LOADED_HIGH */
	store_le32(image + 0x22c, BZ_INITRD_MAX);
	store_le32(image + 0x230, 0x200000); /* kernel_alignment */
	image[0x234] = 1;                    /* relocatable */
	store_le16(image + 0x236, 1);        /* XLF_KERNEL_64 */
	store_le32(image + 0x238, BZ_CMDLINE);
	store_le32(image + 0x248, 0x300); /* payload */
	store_le32(image + 0x24c, 0x800);
	store_le64(image + 0x258, BZ_PREF);
	store_le32(image + 0x260, BZ_INIT_SIZE);
}

void elf_make(uint8_t image[ELF_SIZE], bool pvh)
{
	Elf64_Ehdr eh = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = ELF_VIRTUAL + ELF_TEXT + 0x10,
		.e_phoff = ELF_PHDR,
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 3,
	};
	Elf64_Phdr ph[3] = {
		{ .p_type = PT_NOTE, .p_offset = ELF_NOTE_AT, .p_filesz = 0x40, .p_align = 4 },
		{
			.p_type = PT_LOAD,
			.p_offset = ELF_TEXT_AT,
			.p_vaddr = ELF_VIRTUAL + ELF_TEXT,
			.p_paddr = ELF_TEXT,
			.p_filesz = ELF_TEXT_LEN,
			.p_memsz = ELF_TEXT_LEN,
		},
		{
			.p_type = PT_LOAD,
			.p_offset = ELF_DATA_AT,
			.p_vaddr = ELF_VIRTUAL + ELF_DATA,
			.p_paddr = ELF_DATA,
			.p_filesz = ELF_DATA_LEN,
			.p_memsz = ELF_DATA_LEN + ELF_BSS,
		},
	};
	static_assert(ELF_PHDR + sizeof(ph) <= ELF_NOTE_AT, "headers overlap the notes");
	pattern(image, ELF_SIZE);
	memcpy(image, &eh, sizeof(eh));
	memcpy(image + ELF_PHDR, ph, sizeof(ph));

	/* Two notes: one of another owner with the same type, whose name and content need padding,
	 * then Xen's. */
	uint8_t *note = image + ELF_NOTE_AT;
	memset(note, 0, 0x40);
	store_le32(note, 6);
	store_le32(note + 4, 5);
	store_le32(note + 8, 18);
	memcpy(note + 12, "Other", 6);
	note += 12 + 8 + 8;
	store_le32(note, 4);
	store_le32(note + 4, 4);
	store_le32(note + 8, pvh ? 18 : 17);
	memcpy(note + 12, "Xen", 4);
	store_le32(note + 16, ELF_TEXT + 0x20);
}

struct gmem *ram_new(uint64_t size)
{
	struct gmem *mem = NULL;
	cr_assert_eq(gmem_new(size, false, &mem, NULL), 0);
	return mem;
}

int file_new(const void *data, size_t len, uint64_t size, char ret_path[32])
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	cr_assert_eq(ftruncate(fd, (off_t)size), 0);
	snprintf(ret_path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

int boot_source(
	struct gmem *mem, struct boot_source src, struct boot_entry *ret, char ret_message[256])
{
	struct lacuna_error *err = NULL;
	struct e820 map;
	e820_build(mem, 0, &map);
	src.e820 = &map;
	src.rsdp = TEST_RSDP;
	int rc = boot_load(&src, mem, ret, &err);
	cr_assert_eq(rc < 0, err != NULL, "an error has a message, and nothing else has");
	snprintf(ret_message, 256, "%s", err ? lacuna_error_message(err) : "");
	lacuna_error_free(err);
	return rc;
}

int boot_image(struct gmem *mem, const void *image, size_t size, const char *initrd_path,
	const char *cmdline, struct boot_entry *ret, char ret_message[256])
{
	uint8_t *copy = malloc(size ? size : 1);
	cr_assert_not_null(copy);
	memcpy(copy, image, size);
	struct boot_source src = {
		.kernel_image = copy,
		.kernel_image_size = size,
		.initrds = &(struct boot_file){ .path = (char *)initrd_path, .fd = -1 },
		.initrd_count = initrd_path != NULL,
		.cmdline = cmdline,
	};
	int rc = boot_source(mem, src, ret, ret_message);
	free(copy);
	return rc;
}

int boot_file(struct gmem *mem, const char *path, const char *initrd_path, const char *cmdline,
	struct boot_entry *ret, char ret_message[256])
{
	struct boot_source src = {
		.kernel = &(struct boot_file){ .path = (char *)path, .fd = -1 },
		.initrds = &(struct boot_file){ .path = (char *)initrd_path, .fd = -1 },
		.initrd_count = initrd_path != NULL,
		.cmdline = cmdline,
	};
	return boot_source(mem, src, ret, ret_message);
}
