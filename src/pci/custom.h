/* SPDX-License-Identifier: Apache-2.0 */
/* A PCI function of the embedder's own, after a description (include/lacuna/device.h). */
#ifndef PCI_CUSTOM_H
#define PCI_CUSTOM_H

#include "dev/device.h"

extern const struct device_class pci_custom_class;

/* What is left for capabilities of the description's beside those of the library, in bytes; each
 * begins at a multiple of 4. */
unsigned pci_custom_caps_room(bool msix);
unsigned pci_custom_ext_caps_room(void);

#endif
