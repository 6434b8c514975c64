// SPDX-License-Identifier: Apache-2.0
/* The ACPI tables of a hardware-reduced machine (ACPI 6.5, 4.1 and 5.2). */
#include "boot/acpi.h"

#include <abi/layout.h>
#include <assert.h>
#include <stdlib.h>

#include "boot/acpi_writer.h"
#include "boot/blobs.h"
#include "util/bytes.h"
#include "util/err.h"

#define RSDP_V1_SIZE           20
#define RSDP_V1_CHECKSUM       8
#define RSDP_EXTENDED_CHECKSUM 32
#define RSDP_SIZE              36
#define RSDP_XSDT              24
#define SDT_CHECKSUM           9

/* 5.2.9, table 5.9 */
#define FADT_WBINVD        0x000001
#define FADT_PROC_C1       0x000004
#define FADT_PWR_BUTTON    0x000010 /* not a fixed feature: a device in the DSDT */
#define FADT_SLP_BUTTON    0x000020
#define FADT_FIX_RTC       0x000040 /* no RTC wake-up in fixed registers */
#define FADT_RESET_REG_SUP 0x000400
#define FADT_HW_REDUCED    0x100000
#define RESET_VALUE        0x06 /* hard reset through port 0xCF9 */
/*
 * 5.2.9.3. Linux probes what is not declared absent: it would poll the RTC's CMOS for the time and
 * look for a VGA text screen. Bits that stay 0: LEGACY_DEVICES and 8042 (nothing there), MSI Not
 * Supported, and PCIe ASPM Controls, with which Linux asks for no PCIe feature at all in _OSC.
 */
#define IAPC_VGA_NOT_PRESENT      0x0004
#define IAPC_CMOS_RTC_NOT_PRESENT 0x0020

/* 5.2.12 */
#define MADT_LOCAL_APIC 0
#define MADT_IOAPIC     1
#define MADT_ENABLED    1

#define STA_PRESENT 0x0f /* 6.3.7: present, enabled, shown, working */

static_assert(LAYOUT_PCI32_BASE + (uint64_t)LAYOUT_PCI32_SIZE - 1 == LAYOUT_PCI32_LAST,
	"LAYOUT_PCI32_LAST");

static unsigned put_rsdp(struct acpi_writer *w)
{
	unsigned index = acpi_begin(w, "RSDP");
	acpi_put_bytes(w, "RSD PTR ", 8);
	acpi_put(w, 0, 1); /* checksum */
	acpi_put_bytes(w, "LACUNA", 6);
	acpi_put(w, 2, 1); /* revision */
	acpi_put(w, 0, 4); /* no RSDT */
	acpi_put(w, RSDP_SIZE, 4);
	acpi_put(w, 0, 8); /* XSDT */
	acpi_put(w, 0, 4); /* extended checksum, reserved */
	acpi_end(w, index);
	return index;
}

static void put_fadt(struct acpi_writer *w, gpa_t dsdt)
{
	unsigned index = acpi_begin_sdt(w, "FACP", 6);
	acpi_put(w, 0, 4); /* FIRMWARE_CTRL: no FACS is needed */
	acpi_put(w, dsdt, 4);
	acpi_put(w, 0, 1);
	acpi_put(w, 0, 1); /* Preferred_PM_Profile: unspecified */
	acpi_put_zeros(
		w, 109 - 46); /* SCI_INT to CENTURY: fixed hardware, of which there is none */
	acpi_put(w, IAPC_VGA_NOT_PRESENT | IAPC_CMOS_RTC_NOT_PRESENT, 2);
	acpi_put(w, 0, 1);
	acpi_put(w,
		FADT_WBINVD | FADT_PROC_C1 | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_FIX_RTC |
			FADT_RESET_REG_SUP | FADT_HW_REDUCED,
		4);
	acpi_put_gas_port(w, LAYOUT_PORT_RESET);
	acpi_put(w, RESET_VALUE, 1);
	acpi_put(w, 0, 2); /* ARM_BOOT_ARCH */
	acpi_put(w, 5, 1); /* minor version: ACPI 6.5 */
	acpi_put(w, 0, 8); /* X_FIRMWARE_CTRL */
	acpi_put(w, dsdt, 8);
	acpi_put_zeros(w, 244 - 148); /* X_PM1a_EVT_BLK to X_GPE1_BLK */
	acpi_put_gas_port(w, LAYOUT_PORT_SLEEP_CTRL);
	acpi_put_gas_port(w, LAYOUT_PORT_SLEEP_STS);
	acpi_put_bytes(w, "LACUNA\0", 8); /* hypervisor vendor identity */
	acpi_end_sdt(w, index);
}

static void put_madt(struct acpi_writer *w, unsigned cpus)
{
	unsigned index = acpi_begin_sdt(w, "APIC", 6);
	acpi_put(w, LAYOUT_LAPIC_BASE, 4);
	acpi_put(w, 0, 4); /* flags: no PCAT_COMPAT, there is no 8259 to mask */
	for (unsigned i = 0; i < cpus; i++) {
		acpi_put(w, MADT_LOCAL_APIC, 1);
		acpi_put(w, 8, 1); /* length */
		acpi_put(w, i, 1); /* processor UID */
		acpi_put(w, i, 1); /* APIC id */
		acpi_put(w, MADT_ENABLED, 4);
	}
	acpi_put(w, MADT_IOAPIC, 1);
	acpi_put(w, 12, 1); /* length */
	acpi_put(w, 0, 1);  /* id, as KVM's IOAPIC has it */
	acpi_put(w, 0, 1);
	acpi_put(w, LAYOUT_IOAPIC_BASE, 4);
	acpi_put(w, 0, 4); /* first GSI */
	acpi_end_sdt(w, index);
}

/* PCI Firmware 3.3, 4.1.2 */
static void put_mcfg(struct acpi_writer *w, unsigned buses)
{
	unsigned index = acpi_begin_sdt(w, "MCFG", 1);
	acpi_put(w, 0, 8);
	acpi_put(w, LAYOUT_ECAM_BASE, 8);
	acpi_put(w, 0, 2);         /* segment */
	acpi_put(w, 0, 1);         /* first bus */
	acpi_put(w, buses - 1, 1); /* last bus */
	acpi_put(w, 0, 4);
	acpi_end_sdt(w, index);
}

/* The integers that acpi/dsdt.asl calls External */
static void put_ssdt(struct acpi_writer *w, const struct acpi_config *config)
{
	unsigned index = acpi_begin_sdt(w, "SSDT", 2);
	acpi_put_aml_integer(w, "LBUS", config->buses - 1);
	acpi_put_aml_integer(w, "LECM", config->ecam ? STA_PRESENT : 0);
	acpi_put_aml_integer(w, "LSER", config->serial ? STA_PRESENT : 0);
	acpi_put_aml_integer(w, "LM6B", config->pci64_base);
	acpi_put_aml_integer(w, "LM6S", config->pci64_size);
	acpi_end_sdt(w, index);
}

static gpa_t put_dsdt(struct acpi_writer *w)
{
	unsigned index = acpi_begin(w, "DSDT");
	acpi_put_bytes(w, boot_dsdt_start,
		(size_t)(boot_dsdt_end - boot_dsdt_start)); /* iasl made header and checksum */
	acpi_end(w, index);
	return w->tables->table[index].gpa;
}

/* Points to all tables from @first up to the last one */
static gpa_t put_xsdt(struct acpi_writer *w, unsigned first)
{
	unsigned last = w->tables->count;
	unsigned index = acpi_begin_sdt(w, "XSDT", 1);
	for (unsigned i = first; i < last; i++)
		acpi_put(w, w->tables->table[i].gpa, 8);
	acpi_end_sdt(w, index);
	return w->tables->table[index].gpa;
}

int acpi_build(const struct acpi_config *config, struct acpi_tables *ret, struct lacuna_error **err)
{
	struct acpi_tables tables = { .rsdp = LAYOUT_ACPI_BASE };
	struct acpi_writer w = { .tables = &tables,
		.capacity = LAYOUT_RESET_ENTRY - LAYOUT_ACPI_BASE };

	/* every byte that counts is written: what is not touched costs nothing */
	tables.image = malloc(w.capacity);
	if (!tables.image)
		return err_nomem(err);
	unsigned rsdp = put_rsdp(&w); /* first, so that it lies at LAYOUT_ACPI_BASE */
	gpa_t dsdt = put_dsdt(&w);
	unsigned first = tables.count;
	put_fadt(&w, dsdt);
	put_madt(&w, config->cpus);
	if (config->ecam)
		put_mcfg(&w, config->buses);
	put_ssdt(&w, config);
	gpa_t xsdt = put_xsdt(&w, first);
	if (w.overflow) {
		acpi_done(&tables);
		return err_set(err, E2BIG,
			"ACPI tables for %u processors outgrew their area of %zu bytes",
			config->cpus, w.capacity);
	}
	acpi_patch(&w, rsdp, RSDP_XSDT, xsdt, 8);
	acpi_checksum(&w, rsdp, RSDP_V1_CHECKSUM, RSDP_V1_SIZE);
	acpi_checksum(&w, rsdp, RSDP_EXTENDED_CHECKSUM, RSDP_SIZE);
	for (unsigned i = rsdp + 1; i < tables.count; i++)
		acpi_checksum(&w, i, SDT_CHECKSUM, tables.table[i].size);
	uint8_t *fitting = realloc(tables.image, tables.size); /* it is kept as long as the VM */
	if (!fitting) {
		acpi_done(&tables);
		return err_nomem(err);
	}
	tables.image = fitting;
	*ret = tables;
	return 0;
}

void acpi_done(struct acpi_tables *tables)
{
	free(tables->image);
	*tables = (struct acpi_tables){ 0 };
}
