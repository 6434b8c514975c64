/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between boot_load's steps: a loader places one kind of kernel and says what it needs; then the
 * initrd and the command line are placed, and the structure that hands all of it over is written.
 */
#ifndef BOOT_KERNEL_H
#define BOOT_KERNEL_H

#include "boot/boot.h"
#include "boot/image.h"
#include "util/bytes.h"

/* The setup header of the Linux boot protocol, as it lies in boot_params and in the first sectors
 * of a bzImage. */
#define LINUX_HEADER_OFFSET 0x1f1
#define LINUX_HEADER_END    0x290 /* what follows in boot_params is not the header's */

struct kernel {
	enum boot_mode mode;
	bool bzimage;
	bool packed;       /* unpacks itself: what it is made of is not to be seen in RAM yet */
	bool is_linux;     /* it is to be seen, and it is Linux */
	bool traits_known; /* else they are to be looked for */
	unsigned traits;   /* boot/traits.h */
	bool multiboot;    /* BOOT_MODE_PROT32 only: entered as multiboot says, not by PVH */
	gpa_t entry;
	gpa_t end; /* the kernel needs all RAM from LAYOUT_KERNEL to here before it knows of the
		      initrd */
	uint64_t initrd_end_max; /* the initrd ends at or below this address */
	size_t cmdline_max;      /* bytes, without the final NUL */
	uint8_t header[LINUX_HEADER_END - LINUX_HEADER_OFFSET]; /* BOOT_MODE_LONG64 only */
};

/* Multiboot's name for an initrd that stands alone. */
struct module {
	gpa_t gpa;
	uint64_t size;
};

#define MODULES_MAX 32

struct initrd {
	gpa_t gpa;
	uint64_t size;                     /* 0: none */
	struct module module[MODULES_MAX]; /* struct kernel.multiboot only: each on a page of its
					      own, as many as boot_source.initrds */
};

/* A part of a kernel's file and where it goes. */
struct segment {
	uint32_t type; /* ELF's */
	uint64_t offset, file_size;
	uint64_t virtual, align; /* ELF's */
	gpa_t gpa;
	uint64_t size; /* what the file does not fill is zeros */
};

/* -EINVAL if the file can't have it, -ENOEXEC where boot data lie, -EFBIG if it is not in low RAM.
 * After 0, no sum of its fields wraps. */
int segment_check(const struct segment *s, const struct image *image, const struct gmem *mem,
	struct lacuna_error **err);
/* Of some that were checked and do not overlap. */
int segments_load(const struct segment *s, unsigned count, const struct image *image,
	struct gmem *mem, struct lacuna_error **err);
bool segment_holds(const struct segment *s, gpa_t gpa);

/* A multiboot header. */
struct multiboot {
	uint64_t offset; /* in the file */
	uint32_t flags;
	bool has_addresses; /* the fields that follow */
	uint32_t header, load, load_end, bss_end, entry;
};

/* The first in the file whose checksum is right; false if there is none. */
bool multiboot_find(const struct image *image, struct multiboot *ret);
/* -ENOEXEC if it asks for what is not to be had here. */
int multiboot_check(const struct multiboot *m, struct lacuna_error **err);
/* Loads by its address fields, which it must have, whatever else the file is. */
int multiboot_load(const struct multiboot *m, const struct image *image, struct gmem *mem,
	struct kernel *ret, struct lacuna_error **err);

/* Loaders: -ENOEXEC for a kernel that can't be booted here, -EINVAL for a broken one, -EFBIG if it
 * does not fit in RAM. */
bool linux_probe(const struct image *image);
int linux_load(
	const struct image *image, struct gmem *mem, struct kernel *ret, struct lacuna_error **err);
/* Where the compressed kernel is in a bzImage, inside it; and its header into a kernel that was
 * loaded otherwise. */
int linux_find_payload(const struct image *image, uint64_t *ret_offset, uint64_t *ret_size,
	struct lacuna_error **err);
int linux_read_limits(const struct image *image, struct kernel *k, struct lacuna_error **err);
bool elf_probe(const struct image *image);
/* When a kernel that has a PVH entry is entered there. Linux has two, and only by the other can it
 * be handed a device tree. */
enum pvh_use { PVH_NEVER, PVH_UNLESS_LINUX, PVH_ALWAYS };
struct elf_options {
	enum pvh_use pvh;
	const struct multiboot *multiboot; /* the file's header; NULL: none. PVH goes first */
};
int elf_load(const struct image *image, const struct elf_options *o, struct gmem *mem,
	struct kernel *ret, struct lacuna_error **err);

/* As linux_load(), of what is inside the bzImage. -ENOTSUP if only the guest can unpack it. */
struct unpack_options {
	const char *cache; /* folder of unpacked kernels, see kernel_cache.h; NULL: none */
	const struct log *log;
};
int linux_load_unpacked(const struct image *bzimage, const struct unpack_options *o,
	struct gmem *mem, struct kernel *ret, struct lacuna_error **err);

/*
 * Places the initrds above @kernel, as high as it goes, and reads them to there. Errors of
 * image_open(), tree_read() and cpio_write(); -EFBIG if they do not fit.
 */
int initrd_load(const struct boot_source *src, const struct kernel *kernel, struct gmem *mem,
	struct initrd *ret, struct lacuna_error **err);

/*
 * Looks in the notes at [offset, offset+size) for XEN_ELFNOTE_PHYS32_ENTRY: 1 and the address, 0 if
 * it is not there, -EINVAL if the notes are broken.
 */
int pvh_find_entry(const struct image *image, uint64_t offset, uint64_t size, uint64_t align,
	gpa_t *ret_entry, struct lacuna_error **err);
/* Likewise 1 if one of them is Linux's own, which every vmlinux since 4.19 has. */
int notes_find_linux(const struct image *image, uint64_t offset, uint64_t size, uint64_t align,
	struct lacuna_error **err);

/* Write what the kernel is handed; all of it lies in low memory, which is always RAM. @dtb may be
 * NULL. */
void linux_hand_over(const struct boot_source *src, const struct kernel *kernel,
	const struct initrd *initrd, const struct dtb *dtb, const struct gmem *mem);
void pvh_hand_over(
	const struct boot_source *src, const struct initrd *initrd, const struct gmem *mem);
void multiboot_hand_over(
	const struct boot_source *src, const struct initrd *initrd, const struct gmem *mem);

/* The GDT of boot.h, and for BOOT_MODE_LONG64 an identity map of the first 4 GiB. */
void descriptors_write(const struct gmem *mem);
void page_tables_write(const struct gmem *mem);

/* What a guest finds at F000:FFF0, where a processor starts after a reset: code that asks for one.
 */
void reset_entry_write(const struct gmem *mem);

#endif
