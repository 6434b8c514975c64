// SPDX-License-Identifier: Apache-2.0
/* ACPI 6.5, 5.2: RSDP (handed over in boot_params), XSDT, MADT; PCI Firmware 3.3, 4.1.2: MCFG. */
#include "acpi.h"

#include "guest.h"
#include "string.h"

#define BP_ACPI_RSDP_ADDR 0x70
#define HEADER_LENGTH     4 /* offset of the length field of a table */
#define HEADER_SIZE       36

static uint32_t load32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return v;
}

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return v;
}

static bool sum_is_zero(const uint8_t *p, uint32_t len)
{
	uint8_t sum = 0;
	while (len--)
		sum += *p++;
	return !sum;
}

const uint8_t *acpi_find(const char *signature)
{
	const uint8_t *rsdp = (const uint8_t *)load64(guest_boot_params + BP_ACPI_RSDP_ADDR);
	if (!rsdp || memcmp(rsdp, "RSD PTR ", 8) || !sum_is_zero(rsdp, 20))
		return NULL;
	const uint8_t *xsdt = (const uint8_t *)load64(rsdp + 24);
	if (memcmp(xsdt, "XSDT", 4) || !sum_is_zero(xsdt, load32(xsdt + HEADER_LENGTH)))
		return NULL;
	for (uint32_t at = HEADER_SIZE; at + 8 <= load32(xsdt + HEADER_LENGTH); at += 8) {
		const uint8_t *table = (const uint8_t *)load64(xsdt + at);
		if (memcmp(table, signature, 4) == 0 &&
			sum_is_zero(table, load32(table + HEADER_LENGTH)))
			return table;
	}
	return NULL;
}

bool acpi_mcfg(struct acpi_mcfg *ret)
{
	const uint8_t *mcfg = acpi_find("MCFG");
	if (!mcfg || load32(mcfg + HEADER_LENGTH) < HEADER_SIZE + 8 + 16)
		return false;
	const uint8_t *allocation = mcfg + HEADER_SIZE + 8;
	ret->base = load64(allocation);
	ret->first_bus = allocation[10];
	ret->last_bus = allocation[11];
	return true;
}

unsigned acpi_processors(uint32_t *ids, unsigned max)
{
	const uint8_t *madt = acpi_find("APIC");
	unsigned count = 0;
	if (!madt)
		return 0;
	const uint8_t *end = madt + load32(madt + HEADER_LENGTH);
	for (const uint8_t *p = madt + HEADER_SIZE + 8; p + 2 <= end && p[1]; p += p[1]) {
		if (count == max)
			break;
		if (p[0] == 0 && (load32(p + 4) & 1)) /* 5.2.12.2: local APIC */
			ids[count++] = p[3];
		else if (p[0] == 9 && (load32(p + 8) & 1)) /* 5.2.12.12: local x2APIC */
			ids[count++] = load32(p + 4);
	}
	return count;
}
