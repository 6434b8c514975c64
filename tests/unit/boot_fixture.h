/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of src/boot share: small valid kernels to mangle, files that exist only in memory,
 * and guest RAM. */
#ifndef TESTS_BOOT_FIXTURE_H
#define TESTS_BOOT_FIXTURE_H

#include "boot/boot.h"

#define CASES(table) cr_make_param_array(__typeof__((table)[0]), table, ARRAY_SIZE(table))

/* A bzImage: 5 sectors of setup, 4 KiB of code; needs init_size bytes at pref_address. */
#define BZ_SETUP      (5ul * 512)
#define BZ_CODE       4096ul
#define BZ_SIZE       (BZ_SETUP + BZ_CODE)
#define BZ_PREF       0x1000000u
#define BZ_INIT_SIZE  0x200000u
#define BZ_INITRD_MAX 0x7fffffffu
#define BZ_CMDLINE    64u

/* An ELF64 kernel: PT_NOTE, text at 1 MiB, data with .bss at 2 MiB; virtual addresses are
 * ELF_VIRTUAL higher. */
#define ELF_TEXT     0x100000u
#define ELF_DATA     0x200000u
#define ELF_BSS      0x3000u
#define ELF_VIRTUAL  0xffffffff80000000u
#define ELF_PHDR     64u
#define ELF_NOTE_AT  0x100u
#define ELF_TEXT_AT  0x140u
#define ELF_TEXT_LEN 0x80u
#define ELF_DATA_AT  0x1c0u
#define ELF_DATA_LEN 0x40u
#define ELF_SIZE     (ELF_DATA_AT + ELF_DATA_LEN)

void bz_make(uint8_t image[BZ_SIZE]);
void elf_make(uint8_t image[ELF_SIZE], bool pvh);

struct gmem *ram_new(uint64_t size);

/* A file of @size bytes that begins with @data and continues with zeros; @ret_path opens it while
 * the test runs. */
int file_new(const void *data, size_t len, uint64_t size, char ret_path[32]);

/*
 * boot_load of an image in memory, or of the file @path. The image is copied to a block of exactly
 * its size, so that the address sanitizer sees each byte read too many. The error's text goes to
 * @ret_message, "" if there is none.
 */
int boot_image(struct gmem *mem, const void *image, size_t size, const char *initrd_path,
	const char *cmdline, struct boot_entry *ret, char ret_message[256]);
int boot_file(struct gmem *mem, const char *path, const char *initrd_path, const char *cmdline,
	struct boot_entry *ret, char ret_message[256]);

/* boot_load of a source that lacks a map and ACPI tables, of which the fixture has some. */
int boot_source(
	struct gmem *mem, struct boot_source src, struct boot_entry *ret, char ret_message[256]);

#define TEST_RSDP 0xe0000

#endif
