/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest-physical memory map of an x86-64 lacuna machine, and the ports and GSIs it uses. Shared
 * by the monitor, the freestanding guests in firmware/ and the ACPI source in acpi/ (through the C
 * preprocessor, with __ASL__ defined), so it holds nothing but #defines of plain integers.
 * Addresses and sizes are bytes.
 */
#ifndef LACUNA_ABI_LAYOUT_H
#define LACUNA_ABI_LAYOUT_H

/* RAM: [0, LAYOUT_RAM_LOW_END) and, for what does not fit, from LAYOUT_RAM_HIGH_BASE up. */
#define LAYOUT_RAM_LOW_END   0xC0000000
#define LAYOUT_RAM_HIGH_BASE 0x100000000

/* 32-bit PCI memory, outside the ECAM window as the host bridge's _CRS demands. */
#define LAYOUT_PCI32_BASE 0xC0000000
#define LAYOUT_PCI32_SIZE 0x20000000
#define LAYOUT_PCI32_LAST 0xDFFFFFFF /* last byte; ASL has no arithmetic where it is needed */

/* ECAM (PCIe 5.0, 7.2.2): 1 MiB a bus, up to 256 buses. */
#define LAYOUT_ECAM_BASE     0xE0000000
#define LAYOUT_ECAM_MAX_SIZE 0x10000000
#define LAYOUT_ECAM_BUS_SIZE 0x100000

#define LAYOUT_IOAPIC_BASE  0xFEC00000
#define LAYOUT_LAPIC_BASE   0xFEE00000
#define LAYOUT_IDENTITY_MAP 0xFFFBC000 /* KVM: one page */
#define LAYOUT_TSS          0xFFFBD000 /* KVM: three pages */

/* Size of the 64-bit PCI memory window, which begins above RAM at a multiple of its own size. */
#define LAYOUT_PCI64_SIZE 0x1000000000

/* Low memory as the boot loaders fill it. Nothing of it is in use once the guest kernel runs, but
 * the ACPI tables. */
#define LAYOUT_BDA_EBDA    0x40e /* BIOS data, for multiboot alone: segment of the EBDA */
#define LAYOUT_BDA_MEMORY  0x413 /* likewise: KiB of conventional memory */
#define LAYOUT_GDT         0x500
#define LAYOUT_START_INFO  0x6000 /* hvm_start_info (PVH) or multiboot information, and tables */
#define LAYOUT_ZERO_PAGE   0x7000 /* boot_params (Linux) */
#define LAYOUT_STACK_TOP   0x8ff0
#define LAYOUT_PAGE_TABLE  0x9000 /* PML4, PDPT, four PDs: six pages */
#define LAYOUT_CMDLINE     0x20000
#define LAYOUT_CMDLINE_MAX 0x10000 /* with the final NUL */
#define LAYOUT_FDT         0x40000 /* setup_data with the device tree */
#define LAYOUT_FDT_MAX     0x40000 /* Linux maps 64 pages at most so early: NR_FIX_BTMAPS */
#define LAYOUT_EBDA        0x9fc00 /* end of conventional memory */
#define LAYOUT_ACPI_BASE   0xe0000
#define LAYOUT_ACPI_END    0x100000
#define LAYOUT_RESET_ENTRY 0xffff0 /* F000:FFF0, code that resets the machine; 16 bytes */
#define LAYOUT_KERNEL      0x100000

/* I/O ports */
#define LAYOUT_PORT_CMOS        0x70 /* two ports */
#define LAYOUT_PORT_I8042       0x64
#define LAYOUT_PORT_EXIT_CODE   0xf4  /* four ports, of which the first takes the code */
#define LAYOUT_PORT_SERIAL      0x3f8 /* eight ports */
#define LAYOUT_PORT_SLEEP_CTRL  0x600 /* ACPI 6.5, 4.8.3.7 */
#define LAYOUT_PORT_SLEEP_STS   0x601
#define LAYOUT_PORT_GED         0x602 /* one byte: pending events, see below; write 1 to clear */
#define LAYOUT_PORT_PCI_ADDRESS 0xcf8
#define LAYOUT_PORT_RESET       0xcf9
#define LAYOUT_PORT_PCI_DATA    0xcfc

#define LAYOUT_GED_POWER_BUTTON 0x01
#define LAYOUT_SLEEP_TYPE_S5    5 /* SLP_TYP that \_S5 names */

/* GSIs below 24 belong to the IOAPIC; MSI routes are given numbers from 24 up. */
#define LAYOUT_GSI_SERIAL 4
#define LAYOUT_GSI_GED    9
#define LAYOUT_GSI_MSI    24
#define LAYOUT_GSI_END    4096

#endif
