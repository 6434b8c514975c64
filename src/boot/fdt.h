/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device tree of a machine (Devicetree Specification 0.4), as a blob and as source text: for
 * guests that read no ACPI tables. Linux on x86 takes it from setup_data and knows the interrupt
 * controllers by the names of the first x86 that had one, Intel's CE4100. Our functions are called
 * dtb_..., since fdt_... is libfdt's.
 */
#ifndef BOOT_FDT_H
#define BOOT_FDT_H

#include "boot/e820.h"
#include "util/text.h"

struct dtb_config {
	unsigned cpus;       /* 1 to 254; APIC id of CPU n is n */
	unsigned buses;      /* 1 to 256: PCI buses that exist, all of them in the ECAM window */
	bool serial;         /* COM1 is there */
	uint64_t pci64_base; /* 64-bit PCI memory window; size 0: none */
	uint64_t pci64_size;
	const struct e820 *e820; /* RAM and what is reserved */
	const char *cmdline;
	gpa_t initrd;
	uint64_t initrd_size; /* 0: none */
};

/* Plain memory, free with dtb_done(). */
struct dtb {
	void *data;
	size_t size;
};

/* What setup_data of LAYOUT_FDT_MAX bytes has room for, after its header. */
#define DTB_SETUP_DATA_HEADER 16

/* -ENOMEM, or -E2BIG if the tree outgrows its place in low memory (a bug, not a user's error). */
int dtb_build(const struct dtb_config *config, struct dtb *ret, struct lacuna_error **err);
void dtb_done(struct dtb *dtb);

/*
 * The tree as source that dtc compiles to the same tree: numbers in hexadecimal, strings where a
 * value can be one. @dtb is sound, as dtb_build() makes it.
 */
struct text dtb_source(const struct dtb *dtb);

#endif
