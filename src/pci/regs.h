/* SPDX-License-Identifier: Apache-2.0 */
/* Registers of configuration space that the monitor handles (PCIe 5.0, 7.5, 7.7 and 7.8), under the
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
#define PCI_HEADER_BRIDGE       0x01
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

/* Type 1 header */
#define PCI_PRIMARY_BUS        0x18
#define PCI_SECONDARY_BUS      0x19
#define PCI_SUBORDINATE_BUS    0x1a
#define PCI_SECONDARY_STATUS   0x1e
#define PCI_MEMORY_BASE        0x20
#define PCI_MEMORY_LIMIT       0x22
#define PCI_PREF_BASE          0x24
#define PCI_PREF_LIMIT         0x26
#define PCI_PREF_64            0x0001
#define PCI_PREF_BASE_UPPER    0x28
#define PCI_PREF_LIMIT_UPPER   0x2c
#define PCI_BRIDGE_CONTROL     0x3e
#define PCI_BRIDGE_PARITY      0x0001
#define PCI_BRIDGE_SERR        0x0002
#define PCI_BRIDGE_RESET       0x0040
#define PCI_BRIDGE_WINDOW_MASK 0xfff0u /* of a 16-bit base or limit: address bits 31:20 */
#define PCI_BRIDGE_GRAIN       0x100000u

#define PCI_CAP_ID_MSI     0x05
#define PCI_CAP_ID_VENDOR  0x09
#define PCI_CAP_ID_EXPRESS 0x10
#define PCI_CAP_ID_MSIX    0x11
#define PCI_CAP_ID_EA      0x14

#define MSIX_CONTROL        0x02 /* from the capability */
#define MSIX_CONTROL_ENABLE 0x8000
#define MSIX_CONTROL_MASK   0x4000
#define MSIX_TABLE          0x04
#define MSIX_PBA            0x08
#define MSIX_CAP_SIZE       12

/* PCI Express capability, version 2 */
#define EXPRESS_CAP_SIZE 60
#define EXPRESS_FLAGS    0x02
#define EXPRESS_VERSION  2
#define EXPRESS_TYPE(t)  ((t) << 4)
#define EXPRESS_ENDPOINT 0
#define EXPRESS_PORT     4
#define EXPRESS_RCIEP    9 /* integrated in the root complex: no link */
#define EXPRESS_DEVCAP   0x04
#define EXPRESS_DEVCTL   0x08
#define EXPRESS_DEVSTA   0x0a
#define EXPRESS_LNKCAP   0x0c
#define EXPRESS_LNKCTL   0x10
#define EXPRESS_LNKSTA   0x12
#define EXPRESS_ROOTCTL  0x1c
#define EXPRESS_ROOTSTA  0x20
#define EXPRESS_DEVCAP2  0x24
#define EXPRESS_DEVCTL2  0x28
#define EXPRESS_LNKCAP2  0x2c
#define EXPRESS_LNKCTL2  0x30

#define DEVCAP_ROLE_BASED_ERRORS 0x00008000u
#define DEVCAP_FLR               0x10000000u
#define DEVCTL_DEFAULT           0x2810u /* relaxed ordering, no snoop, 512 bytes a read */
#define DEVCTL_WRITABLE          0x78ffu
#define DEVCTL_FLR               0x8000u
#define DEVSTA_ERRORS            0x000fu
#define LNKCAP_2_5GT_X1          0x00000011u
#define LNKCAP_DL_ACTIVE         0x00100000u /* the port tells whether the link is up */
#define LNKCAP_PORT(n)           ((uint32_t)(n) << 24)
#define LNKCTL_WRITABLE          0x00c8u /* of what has no effect without a real link */
#define LNKSTA_2_5GT_X1          0x0011u
#define LNKSTA_DL_ACTIVE         0x2000u
#define ROOTCTL_WRITABLE         0x000fu
#define ROOTSTA_PME              0x00010000u
#define DEVCAP2_TIMEOUT_DISABLE  0x00000010u
#define LNKCAP2_2_5GT            0x00000002u
#define LNKCTL2_2_5GT            0x0001u

/* Enhanced Allocation, type 1 */
#define EA_CAP_SIZE    8
#define EA_SECONDARY   0x04
#define EA_SUBORDINATE 0x05

/* Extended capabilities: a header of id, version and next, all in one dword */
#define PCI_EXT_CAPS       0x100
#define PCI_EXT_HEADER     4
#define PCI_EXT_NEXT_SHIFT 20
#define PCI_EXT_ID_SERIAL  0x0003
#define SERIAL_SIZE        12
#define PCI_EXT_ID_ACS     0x000d
#define ACS_SIZE           8
#define ACS_CAP            0x04
#define ACS_CTL            0x06
/* source validation, request and completion redirect, upstream forwarding */
#define ACS_FEATURES 0x001du

#endif
