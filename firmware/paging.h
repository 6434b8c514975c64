/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses above the 4 GiB that the boot loader maps. */
#ifndef FIRMWARE_PAGING_H
#define FIRMWARE_PAGING_H

#include <stdint.h>

/* Maps [addr, addr + size) one to one in 2 MiB pages. Ends the guest when page tables run out (each
 * GiB takes one of 64). One processor at a time; others see it. */
void paging_map(uint64_t addr, uint64_t size);

#endif
