/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI 6.5 tables of a hardware-reduced machine: RSDP, XSDT, FADT, MADT, MCFG, DSDT (acpi/dsdt.asl)
 * and a small SSDT with the values that differ from VM to VM.
 */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include "mem/gmem.h"

struct acpi_config {
	unsigned cpus;  /* 1 to 254; APIC id of CPU n is n */
	unsigned buses; /* 1 to 256: PCI buses that exist; the host bridge's bus range, and MCFG's
			   end bus + 1 */
	bool ecam;      /* MCFG and the PNP0C02 reservation are there */
	bool serial;    /* COM1 is there */
	uint64_t pci64_base; /* 64-bit PCI memory window; size 0: none */
	uint64_t pci64_size;
};

struct acpi_table {
	char name[8]; /* "RSDP", "XSDT", "FACP", ... NUL-terminated */
	gpa_t gpa;
	size_t offset; /* into acpi_tables.image */
	size_t size;
};

#define ACPI_MAX_TABLES 8

/* The tables as one image that belongs at guest address LAYOUT_ACPI_BASE; plain memory, free with
 * acpi_done(). */
struct acpi_tables {
	uint8_t *image;
	size_t size;
	gpa_t rsdp;
	unsigned count;
	struct acpi_table table[ACPI_MAX_TABLES];
};

/* Builds the tables. -ENOMEM, or -E2BIG if they outgrow their area (a bug, not a user's error). */
int acpi_build(
	const struct acpi_config *config, struct acpi_tables *ret, struct lacuna_error **err);
void acpi_done(struct acpi_tables *tables);

#endif
