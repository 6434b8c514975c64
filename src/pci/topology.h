/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which buses there are and which device goes where, decided before anything is made. Bus 0 has 32
 * slots; the host bridge has the first. Behind a root port lies one bus with one slot, since
 * nothing but device 0 can be at the other end of a link (PCIe 5.0, 7.3.1). Port n leads to bus n.
 *
 * A device on bus 0 has a slot of its own; behind a port eight devices share the slot as its
 * functions, and so do eight ports on bus 0. Ports take the last slots, so that what is on bus 0
 * stays where it is when ports are added. Pure.
 */
#ifndef PCI_TOPOLOGY_H
#define PCI_TOPOLOGY_H

#include <lacuna/error.h>

#define PCI_PORTS_MAX 255
#define PCI_ANY       (-1)

struct pci_topology {
	unsigned ports; /* 0 to PCI_PORTS_MAX */
	unsigned buses; /* 1 to 256, more than @ports */
};

/*
 * Plans for @count devices: @bus[i] says where device i is wanted (PCI_ANY: anywhere) and, on
 * success, where it goes: free slots of bus 0 first, then behind the ports. @asked ports and @buses
 * are what was asked for; PCI_ANY and 0 mean as few as will do. -ENOSPC, -ENODEV or -EINVAL where
 * that can't be had.
 */
int pci_topology_plan(int asked, unsigned buses, int bus[], unsigned count,
	struct pci_topology *ret, struct lacuna_error **err);

/* Device and function number, on bus 0, of port @port (from 1) of @ports. */
unsigned pci_topology_port_devfn(unsigned ports, unsigned port);

#endif
