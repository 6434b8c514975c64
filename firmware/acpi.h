/* SPDX-License-Identifier: Apache-2.0 */
/* What the ACPI tables say, as far as a guest without an AML interpreter can tell. */
#ifndef FIRMWARE_ACPI_H
#define FIRMWARE_ACPI_H

#include <stdbool.h>
#include <stdint.h>

/* The table with this signature, checksum verified, or NULL. */
const uint8_t *acpi_find(const char *signature);

struct acpi_mcfg {
	uint64_t base; /* of bus 0 */
	unsigned first_bus, last_bus;
};

/* The first allocation of MCFG (segment 0). False: no MCFG. */
bool acpi_mcfg(struct acpi_mcfg *ret);

/* Stores the APIC ids of enabled processors (MADT types 0 and 9), up to @max; returns how many. */
unsigned acpi_processors(uint32_t *ids, unsigned max);

#endif
