/* SPDX-License-Identifier: Apache-2.0 */
/* What the device tree says that the boot loader handed over (Linux
 * Documentation/arch/x86/boot.rst, SETUP_DTB). Without one nothing is found. */
#ifndef FIRMWARE_FDT_H
#define FIRMWARE_FDT_H

#include <stdbool.h>
#include <stdint.h>

struct fdt_ecam {
	uint64_t base; /* of bus 0 */
	unsigned first_bus, last_bus;
};

/* The host bridge of the generic binding (pci-host-ecam-generic). False: there is none. */
bool fdt_ecam(struct fdt_ecam *ret);

/* Stores the APIC ids of processors, up to @max; returns how many. */
unsigned fdt_processors(uint32_t *ids, unsigned max);

#endif
