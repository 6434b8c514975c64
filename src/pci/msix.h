/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI-X (PCIe 5.0, 7.7.2): a table of messages and a pending-bit array inside one of the function's
 * BARs. Each vector is an eventfd that the machine's interrupt controller turns into the message; a
 * route is made when the vector is first unmasked and remade only when the message really changed,
 * never while it is masked.
 */
#ifndef PCI_MSIX_H
#define PCI_MSIX_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus/irq.h"

struct msix;
struct pci_function;

#define MSIX_ENTRY_SIZE 16
#define MSIX_MAX        2048

/*
 * Gives @f the capability: @count vectors (1 to MSIX_MAX), table and PBA at the given offsets
 * (multiples of 8) of BAR @bar. The BAR's handlers pass accesses in [table_offset, table_offset +
 * 16 * count) and [pba_offset, + 8 * ceil(count / 64)) to msix_read and msix_write. Freed by
 * pci_function_done().
 */
int msix_init(struct pci_function *f, unsigned count, unsigned bar, uint32_t table_offset,
	uint32_t pba_offset, struct lacuna_error **err);
void msix_free(struct msix *msix);

/* Its vectors; 0 for NULL. */
unsigned msix_count(const struct msix *msix);

/* True when @offset of the BAR belongs to MSI-X. Any vCPU thread. */
bool msix_owns(const struct msix *msix, uint64_t offset);
uint64_t msix_read(struct msix *msix, uint64_t offset, unsigned size);
void msix_write(struct msix *msix, uint64_t offset, uint64_t value, unsigned size);

/* Raises @vector, or sets its pending bit while it or the function is masked or may not master the
 * bus. Out-of-range vectors are ignored. Any thread. */
void msix_notify(struct msix *msix, unsigned vector);

/* True when MSI-X is enabled by the guest. */
bool msix_enabled(const struct msix *msix);

/* For pci/host.c: whether a config write touched message control, and what follows from it. Host's
 * lock held. */
bool msix_control_touched(const struct msix *msix, unsigned offset, unsigned size);
void msix_control_written(struct msix *msix);

/* The function may master the bus, and so send messages (PCIe 5.0, 7.5.1.1.3), or no more. Host's
 * lock held. */
void msix_bus_master(struct msix *msix, bool enabled);

/* The function was reset, and its registers are as at power-on: the table follows. Host's lock
 * held. */
void msix_reset(struct msix *msix);

#endif
