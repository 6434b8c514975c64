/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function's configuration space (PCIe 5.0, 7.5) as data: the bytes a guest reads, which bits it
 * may write, and which bits it clears by writing one. Reading has no side effect, so the bytes may
 * be a page that the guest maps (src/pci/ecam.c). Registers that have effects are handled by the
 * owner after the write, by comparing before and after.
 *
 * Not locked: the PCI host's lock covers writers. A guest may read the page at any moment, so every
 * aligned dword changes in one store.
 */
#ifndef PCI_CONFIG_H
#define PCI_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#define PCI_CONFIG_SIZE 4096
#define PCI_CONFIG_MASKED \
	256 /* beyond it nothing is writable: no extended capability here has writable bits */

struct pci_config {
	uint8_t *space; /* PCI_CONFIG_SIZE bytes, dword-aligned */
	bool flush;     /* the guest reads @space uncached: flush changed lines */
	uint8_t wmask[PCI_CONFIG_MASKED];
	uint8_t w1c[PCI_CONFIG_MASKED];
};

/* @size is 1, 2, 4 or 8; bytes at or beyond PCI_CONFIG_SIZE read as ones and ignore writes. */
uint64_t pci_config_read(const struct pci_config *c, unsigned offset, unsigned size);

/* The guest's write: masks apply. */
void pci_config_write(struct pci_config *c, unsigned offset, uint64_t value, unsigned size);

/* The device's own write: no masks. @size is 1, 2 or 4 and @offset a multiple of it. */
void pci_config_set(struct pci_config *c, unsigned offset, uint32_t value, unsigned size);

/* Makes the bits of @mask in the @size bytes at @offset writable by the guest (or write-1-clear).
 */
void pci_config_writable(struct pci_config *c, unsigned offset, uint32_t mask, unsigned size);
void pci_config_write_1_clear(struct pci_config *c, unsigned offset, uint32_t mask, unsigned size);

#endif
