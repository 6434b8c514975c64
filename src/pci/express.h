/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes a function a PCI Express one: the PCI Express capability (PCIe 5.0, 7.5.3) and the
 * serial number of the device it is part of (7.9.3). There is no real link, so every link is up at
 * 2.5 GT/s and x1, and what software sets for it has no effect. Caller holds the host's lock, or no
 * vCPU runs yet.
 */
#ifndef PCI_EXPRESS_H
#define PCI_EXPRESS_H

#include "pci/function.h"

/*
 * Gives @f the capabilities; -ENOSPC. A function with a type 0 header becomes an endpoint behind a
 * port or one that is integrated in the root complex, without link registers, when it is placed.
 * Both can be reset alone (Function Level Reset, 6.6.2).
 */
int pci_express_add(struct pci_function *f, struct lacuna_error **err);
/* The same for root port number @port (1 to 255), and Access Control Services (7.7.8). */
int pci_express_add_port(struct pci_function *f, unsigned port, struct lacuna_error **err);

/* Fills in what depends on @f's place. */
void pci_express_placed(struct pci_function *f);

/* True if the guest has just asked for a reset of @f; once for each request. */
bool pci_express_take_reset(struct pci_function *f);

#endif
