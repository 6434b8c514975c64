/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function's configuration space (PCIe 5.0, 7.5) as data: the bytes a guest reads, which bits it
 * may write, and which bits it clears by writing one. Reading has no side effect, so the bytes may
 * be a page that the guest maps (src/pci/ecam.c). Registers that have effects are handled by the
 * owner after the write, by comparing before and after. Few of the 1,024 dwords can be written at
 * all, so those are a list, with what they hold after a reset.
 *
 * Writers are serialised here, under a lock that is held for the bytes only: the guest's, who hold
 * the PCI host's lock, and devices that change registers of their own. Readers take none: a guest
 * may read the page at any moment, so every aligned dword changes in one store. What the guest may
 * write is settled, and pci_config_move() over, before the first vCPU runs.
 */
#ifndef PCI_CONFIG_H
#define PCI_CONFIG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define PCI_CONFIG_SIZE 4096

/* A dword with bits that the guest can change. */
struct pci_register {
	uint16_t offset;
	uint32_t writable, write_1_clear;
	uint32_t reset; /* what it held when its bits were made writable */
};

struct pci_config {
	pthread_mutex_t lock; /* innermost */
	uint8_t *space;       /* PCI_CONFIG_SIZE bytes, dword-aligned */
	bool flush;           /* the guest reads @space uncached: flush changed lines */
	bool failed;          /* memory was out when a register was to be made writable */
	struct pci_register *reg;
	unsigned reg_count, reg_capacity;
};

void pci_config_init(struct pci_config *c, uint8_t *space); /* zeroed bytes */
/* @space stays the caller's. Also on one that was zeroed only. */
void pci_config_done(struct pci_config *c);

/* @size is 1, 2, 4 or 8; bytes at or beyond PCI_CONFIG_SIZE read as ones and ignore writes. */
uint64_t pci_config_read(const struct pci_config *c, unsigned offset, unsigned size);

/* The guest's write: masks apply. */
void pci_config_write(struct pci_config *c, unsigned offset, uint64_t value, unsigned size);

/* Whether the guest may change any bit of these bytes. */
bool pci_config_may_write(const struct pci_config *c, unsigned offset, unsigned size);

/* The device's own write: no masks. @size is 1, 2 or 4 and @offset a multiple of it. */
void pci_config_set(struct pci_config *c, unsigned offset, uint32_t value, unsigned size);

/* Makes the bits of @mask in the @size bytes at @offset, which lie in one dword, writable by the
 * guest (or write-1-clear). What the dword holds now is what a reset brings back. */
void pci_config_writable(struct pci_config *c, unsigned offset, uint32_t mask, unsigned size);
void pci_config_write_1_clear(struct pci_config *c, unsigned offset, uint32_t mask, unsigned size);

/* Gives all bits that the guest can change their values of the time of reset. */
void pci_config_reset(struct pci_config *c);

/* Copies the bytes to @to, where they are kept from now on. */
void pci_config_move(struct pci_config *c, uint8_t *to, bool flush);

#endif
