/* SPDX-License-Identifier: Apache-2.0 */
/* Registers of configuration space that the monitor handles (PCIe 5.0, 7.5.1 and 7.7.2), under the
 * specification's names. */
#ifndef PCI_REGS_H
#define PCI_REGS_H

#define PCI_VENDOR_ID           0x00
#define PCI_DEVICE_ID           0x02
#define PCI_COMMAND             0x04
#define PCI_COMMAND_IO          0x0001
#define PCI_COMMAND_MEMORY      0x0002
#define PCI_COMMAND_MASTER      0x0004
#define PCI_COMMAND_PARITY      0x0040
#define PCI_COMMAND_SERR        0x0100
#define PCI_COMMAND_INTX_OFF    0x0400
#define PCI_STATUS              0x06
#define PCI_STATUS_CAP_LIST     0x0010
#define PCI_STATUS_ERRORS       0xf900 /* write 1 to clear */
#define PCI_REVISION_ID         0x08
#define PCI_CLASS_PROG          0x09
#define PCI_CACHE_LINE_SIZE     0x0c
#define PCI_HEADER_TYPE         0x0e
#define PCI_HEADER_MULTI        0x80
#define PCI_BAR0                0x10
#define PCI_BAR_MEM_64          0x04
#define PCI_BAR_MEM_PREFETCH    0x08
#define PCI_SUBSYSTEM_VENDOR_ID 0x2c
#define PCI_SUBSYSTEM_ID        0x2e
#define PCI_CAPABILITY_LIST     0x34
#define PCI_INTERRUPT_LINE      0x3c
#define PCI_HEADER_END          0x40
#define PCI_CAPS_END            0x100

#define PCI_CAP_ID_VENDOR 0x09
#define PCI_CAP_ID_MSIX   0x11

#define MSIX_CONTROL        0x02 /* from the capability */
#define MSIX_CONTROL_ENABLE 0x8000
#define MSIX_CONTROL_MASK   0x4000
#define MSIX_TABLE          0x04
#define MSIX_PBA            0x08
#define MSIX_CAP_SIZE       12

#endif
