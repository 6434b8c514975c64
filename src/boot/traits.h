/* SPDX-License-Identifier: Apache-2.0 */
/* What a Linux kernel was built to do, as far as it can be seen from texts in it. */
#ifndef BOOT_TRAITS_H
#define BOOT_TRAITS_H

#include <stddef.h>

enum {
	TRAIT_FDT = 1 << 0,  /* reads what SETUP_DTB brings: CONFIG_OF_EARLY_FLATTREE */
	TRAIT_MCFG = 1 << 1, /* reads MCFG: CONFIG_PCI_MMCONFIG */
	TRAITS = TRAIT_FDT | TRAIT_MCFG,
};

/* Those of @wanted that the unpacked kernel has. It takes a pass over the kernel for each that it
 * has not. */
unsigned traits_find(const void *kernel, size_t size, unsigned wanted);

#endif
