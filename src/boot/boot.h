/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest finds at reset: memory map, kernel, initrd, command line and the state in which
 * its first vCPU starts. Nothing here knows KVM or a live device: input is files and guest RAM,
 * output is guest RAM and struct boot_entry.
 */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include "boot/e820.h"
#include "boot/fdt.h"
#include "mem/gmem.h"
#include "util/log.h"

enum boot_mode {
	BOOT_MODE_LONG64, /* Linux 64-bit protocol (Documentation/arch/x86/boot.rst, "64-bit Boot
			     Protocol"), also plain ELF64 */
	BOOT_MODE_PROT32, /* PVH (Xen docs/misc/pvh: 32-bit protected mode, paging off) or multiboot
			     (0.6.96, 3.2: the same) */
};

#define BOOT_MULTIBOOT_MAGIC 0x2badb002 /* Multiboot 0.6.96, 3.2 */

/*
 * The GDT that boot_load writes at LAYOUT_GDT, flat segments. BOOT_MODE_LONG64 starts with CS =
 * BOOT_CODE64_SELECTOR (__BOOT_CS), BOOT_MODE_PROT32 with CS = BOOT_CODE32_SELECTOR; the data
 * segments are BOOT_DATA_SELECTOR (__BOOT_DS) in both.
 */
#define BOOT_CODE32_SELECTOR 0x08
#define BOOT_CODE64_SELECTOR 0x10
#define BOOT_DATA_SELECTOR   0x18
#define BOOT_GDT_SIZE        0x20

/* How the boot processor starts; src/arch/x86/regs.c turns it into registers. */
struct boot_entry {
	enum boot_mode mode;
	bool bzimage; /* a Linux kernel as distributions ship it, which unpacks itself first */
	size_t cmdline_skip; /* bytes at the beginning of boot_source.cmdline that it is not given
			      */
	gpa_t ip;
	gpa_t argument;   /* RSI: boot_params (LONG64); EBX: hvm_start_info or multiboot information
			     (PROT32) */
	uint32_t magic;   /* EAX: BOOT_MULTIBOOT_MAGIC, or 0 */
	gpa_t page_table; /* CR3; BOOT_MODE_LONG64 only: identity map of the first 4 GiB at least */
	gpa_t initrd;     /* where it lies */
	uint64_t initrd_size; /* 0: none */
};

/* A file or directory that the guest is given: by its path, or by an open descriptor. */
struct boot_file {
	char *path; /* NULL: @fd, which stays its owner's and is read from its beginning */
	int fd;
	int number; /* what messages call the descriptor: its number where it was handed in */
};

/* Who unpacks the kernel inside a bzImage. */
enum boot_unpack {
	BOOT_UNPACK_AUTO, /* the host where it can, else the guest */
	BOOT_UNPACK_HOST,
	BOOT_UNPACK_GUEST,
};

struct boot_source {
	const struct boot_file *kernel; /* NULL: kernel_image is used */
	const void *kernel_image;
	size_t kernel_image_size;
	enum boot_unpack unpack;
	const char *kernel_cache;        /* folder of unpacked kernels; NULL: none are kept */
	const struct boot_file *initrds; /* handed over one after the other */
	size_t initrd_count;
	const char *cmdline;  /* never NULL */
	size_t cmdline_linux; /* so many bytes at its beginning are for Linux alone */
	const struct e820 *e820;
	gpa_t rsdp;                   /* 0: no ACPI tables */
	bool no_type1;                /* PCI is reached through MCFG's window alone */
	const struct dtb_config *fdt; /* NULL: no device tree; boot_load fills in command line and
					 initrd */
	struct log log;
};

/*
 * Recognises the kernel by content (bzImage; ELF with PVH note or multiboot header, ELF64 also
 * with neither; any file whose multiboot header has addresses), places it, the initrd, the command
 * line, page tables and the handed-over structures in @mem. Called before any vCPU runs. Errors
 * name the file, what was found in it and what is accepted: -ENOENT..., -ENOEXEC (not a kernel we
 * know, or one that can be given no device tree where that is all there is), -EFBIG (does not fit
 * in RAM), -EINVAL (truncated, corrupt). Initrds that are directories become archives on the way
 * (boot/cpio.h); what is likely a mistake in them, or a kernel that is about to find nothing, is a
 * warning.
 */
int boot_load(const struct boot_source *src, struct gmem *mem, struct boot_entry *ret,
	struct lacuna_error **err);

#endif
