/* SPDX-License-Identifier: Apache-2.0 */
/* Where BARs answer: decoding follows the BAR registers and the memory space enable bit. Caller
 * holds the host's lock. */
#ifndef PCI_BAR_H
#define PCI_BAR_H

#include "pci/function.h"

/* Addresses that nobody has taken yet, below 4 GiB and anywhere. */
struct pci_space {
	uint64_t next32, end32;
	uint64_t next64,
		end64; /* for prefetchable BARs of 64 bits, as far as ports are concerned */
};

/* Gives every BAR of @f its first address out of @space and has them decoded; -ENOSPC, and then
 * nothing is taken. Before the first vCPU runs. */
int pci_bar_assign(struct pci_function *f, struct pci_space *space, struct lacuna_error **err);

/* Brings the bus in line with the registers, after a write to a BAR or to the command register. */
void pci_bar_update(struct pci_function *f);

/* Takes all BARs off the bus, for good: @f is no longer among the host's functions. */
void pci_bar_unmap(struct pci_function *f);

#endif
