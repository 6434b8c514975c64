/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI configuration space by either mechanism: ports 0xCF8-0xCFF ("type 1") and the ECAM window. A
 * function is named by bus << 8 | device << 3 | function.
 */
#ifndef FIRMWARE_PCI_H
#define FIRMWARE_PCI_H

#include <stdbool.h>
#include <stdint.h>

enum pci_mechanism {
	PCI_TYPE1,
	PCI_ECAM,
};

#define PCI_FUNCTIONS 65536
#define PCI_ABSENT    UINT32_MAX

/* Registers of a type 0 header (PCIe 5.0, 7.5.1). */
#define PCI_VENDOR_ID      0x00
#define PCI_COMMAND        0x04
#define PCI_CLASS_REVISION 0x08
#define PCI_HEADER_TYPE    0x0e
#define PCI_BAR0           0x10
#define PCI_CAPABILITIES   0x34

#define PCI_COMMAND_MEMORY   0x0002
#define PCI_COMMAND_MASTER   0x0004
#define PCI_COMMAND_INTX_OFF 0x0400

#define PCI_CAP_VENDOR  0x09
#define PCI_CAP_EXPRESS 0x10
#define PCI_CAP_MSIX    0x11

struct pci_machine {
	bool ecam;          /* MCFG or a device tree tells of it */
	bool mcfg;          /* it was MCFG */
	bool type1;         /* set by pci_try_type1() */
	uint64_t ecam_base; /* of bus 0 */
	unsigned buses;     /* that exist: the last of either + 1; 256 without both */
};

extern struct pci_machine pci;

/* Fills `pci` from MCFG or, without one, from the device tree, which costs no access. */
void pci_init(void);

/* Finds out whether type 1 works, as Linux does (pci_check_type1). */
void pci_try_type1(void);

/* @size is 1, 2 or 4 and @offset a multiple of it; 8 and any offset also work by ECAM. Type 1
 * reaches the first 256 bytes only. Not locked. */
uint32_t pci_read(enum pci_mechanism m, unsigned bdf, unsigned offset, unsigned size);
void pci_write(enum pci_mechanism m, unsigned bdf, unsigned offset, unsigned size, uint32_t value);

static inline uint64_t pci_ecam_address(unsigned bdf, unsigned offset)
{
	return pci.ecam_base + ((uint64_t)bdf << 12) + offset;
}

/* The first of @bdf, @bdf + @step ... below @end whose first dword is not all ones, or @end. One
 * read each, and little else, so that the time it takes is that of the reads. */
unsigned pci_next(enum pci_mechanism m, unsigned bdf, unsigned end, unsigned step);

/* True for what Linux takes as no function (pci_bus_generic_read_dev_vendor_id). */
static inline bool pci_absent(uint32_t id)
{
	return id == PCI_ABSENT || id == 0 || id == 0x0000ffff || id == 0xffff0000;
}

/* The mechanism to use where there is a choice: ECAM if it exists, else type 1. */
enum pci_mechanism pci_preferred(void);

/* The first function with this vendor and device id on bus 0, or -1. */
int pci_find(uint16_t vendor, uint16_t device);

/* Offset of the first capability @id after @after (0: from the start), or 0. */
unsigned pci_find_capability(unsigned bdf, uint8_t id, unsigned after);

struct pci_bar {
	uint64_t base, size; /* size 0: not implemented */
	bool is_io, is_64;
};

/* Sizes BAR @index by writing ones and restores it; memory decoding is off meanwhile. */
struct pci_bar pci_bar_get(unsigned bdf, unsigned index);

/* Like pci_bar_get, and mapped. */
uint64_t pci_bar_map(unsigned bdf, unsigned index);

/* Unmasks MSI-X entry @entry of @bdf, which raises @vector on this processor, and enables MSI-X; or
 * masks the entry. False: there is no MSI-X. */
bool pci_msix_route(unsigned bdf, unsigned entry, uint8_t vector);
void pci_msix_mask(unsigned bdf, unsigned entry);

/* Function Level Reset (PCIe 5.0, 6.6.2); afterwards BARs are where they were, memory space is on
 * and the function is a bus master. */
void pci_function_reset(unsigned bdf);

#endif
