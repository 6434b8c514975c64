/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A root port (PCIe 5.0, 7.5.1.3): a bridge from bus 0 to the one bus behind it. Its bus numbers
 * are wired, because the pages of the ECAM window stay where they are, and the Enhanced Allocation
 * capability says so (7.8.5); its memory windows are registers as anywhere. There is no I/O window,
 * no slot for hot-plug and no interrupt of its own. Caller holds the host's lock.
 */
#ifndef PCI_PORT_H
#define PCI_PORT_H

#include "pci/bar.h"
#include "pci/function.h"

struct pci_port {
	struct pci_function function;
	char name[8];           /* "port1" */
	struct pci_space space; /* what nobody has taken yet of its windows */
};

int pci_port_init(struct pci_port *port, unsigned number, struct lacuna_error **err);
void pci_port_done(struct pci_port *port); /* also on one that was zeroed only */

/* The bus behind it, which has the number of the port. */
unsigned pci_port_bus(const struct pci_port *port);

/* Addresses for all BARs behind @port, and windows of just that size, out of @root. */
int pci_port_assign(struct pci_port *port, struct pci_space *root, struct lacuna_error **err);

/* Whether accesses to [base, base + size) pass, and whether those of devices behind it do. */
bool pci_port_forwards(const struct pci_port *port, uint64_t base, uint64_t size);
bool pci_port_masters(const struct pci_port *port);

/* The effects, on what lies behind, of a guest's write that has reached the bytes already. */
void pci_port_written(
	struct pci_port *port, unsigned offset, unsigned size, uint32_t changed_command);

#endif
