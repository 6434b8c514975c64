// SPDX-License-Identifier: Apache-2.0
/* The ACPI tables: structure byte by byte here; what ACPICA thinks of them is in acpi_tools_test.c.
 */
#include "boot/acpi.h"

#include <abi/layout.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>

#include "boot_fixture.h"
#include "util/bytes.h"

static const struct acpi_config ordinary = {
	.cpus = 2,
	.buses = 1,
	.ecam = true,
	.serial = true,
	.pci64_base = 64 * GIB,
	.pci64_size = 64 * GIB,
};

static struct acpi_tables build(const struct acpi_config *config)
{
	struct acpi_tables t;
	struct lacuna_error *err = NULL;
	cr_assert_eq(acpi_build(config, &t, &err), 0, "%s", lacuna_error_message(err));
	return t;
}

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;
	for (size_t i = 0; i < len; i++)
		s = (uint8_t)(s + p[i]);
	return s;
}

/* The table of that name as a guest finds it, by its address; NULL if there is none. */
static const uint8_t *find(const struct acpi_tables *t, const char *name)
{
	for (unsigned i = 0; i < t->count; i++)
		if (!strcmp(t->table[i].name, name))
			return t->image + (t->table[i].gpa - LAYOUT_ACPI_BASE);
	return NULL;
}

struct shape_case {
	unsigned cpus, buses;
	bool ecam, serial;
	uint64_t pci64_size;
};

ParameterizedTestParameters(acpi, shape)
{
	static struct shape_case c[] = {
		{ 1, 1, true, true, 0 },
		{ 2, 256, true, false, 64 * GIB },
		{ 8, 3, false, true, 64 * GIB },
		{ 254, 256, true, true, 64 * GIB },
	};
	return CASES(c);
}

/* What a guest does: RSDP, XSDT, FADT and on to the DSDT; every table where it is said to be, and
 * sound. */
ParameterizedTest(struct shape_case *c, acpi, shape)
{
	struct acpi_config config = {
		.cpus = c->cpus,
		.buses = c->buses,
		.ecam = c->ecam,
		.serial = c->serial,
		.pci64_base = c->pci64_size,
		.pci64_size = c->pci64_size,
	};
	struct acpi_tables t = build(&config);
	const uint8_t *rsdp = t.image + (t.rsdp - LAYOUT_ACPI_BASE);
	cr_assert_leq(t.size, (size_t)(LAYOUT_RESET_ENTRY - LAYOUT_ACPI_BASE));
	cr_expect_eq(t.rsdp % 16, 0);
	cr_expect_arr_eq(rsdp, "RSD PTR ", 8);
	cr_expect_eq(rsdp[15], 2);
	cr_expect_eq(load_le32(rsdp + 16), 0, "no RSDT");
	cr_expect_eq(load_le32(rsdp + 20), 36);
	cr_expect_eq(sum(rsdp, 20), 0);
	cr_expect_eq(sum(rsdp, 36), 0);

	for (unsigned i = 0; i < t.count; i++) {
		const uint8_t *p = t.image + t.table[i].offset;
		cr_expect_eq(t.table[i].gpa, LAYOUT_ACPI_BASE + t.table[i].offset);
		cr_assert_leq(t.table[i].offset + t.table[i].size, t.size);
		if (i)
			cr_expect_geq(
				t.table[i].offset, t.table[i - 1].offset + t.table[i - 1].size);
		if (!strcmp(t.table[i].name, "RSDP"))
			continue;
		cr_expect_arr_eq(p, t.table[i].name, 4);
		cr_expect_eq(load_le32(p + 4), t.table[i].size, "%s", t.table[i].name);
		cr_expect_eq(sum(p, t.table[i].size), 0, "%s", t.table[i].name);
		cr_expect_arr_eq(p + 10, "LACUNALACUNAVM", 14);
	}

	const uint8_t *xsdt = find(&t, "XSDT");
	cr_assert_not_null(xsdt);
	cr_expect_eq(load_le64(rsdp + 24), LAYOUT_ACPI_BASE + (uint64_t)(xsdt - t.image));
	static const char *const order[] = { "FACP", "APIC", "MCFG", "SSDT" };
	size_t entries = 0;
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		const uint8_t *p = find(&t, order[i]);
		cr_assert_eq(p != NULL, c->ecam || strcmp(order[i], "MCFG") != 0, "%s", order[i]);
		if (p)
			cr_expect_eq(load_le64(xsdt + 36 + 8 * entries++),
				LAYOUT_ACPI_BASE + (uint64_t)(p - t.image), "%s", order[i]);
	}
	cr_expect_eq(load_le32(xsdt + 4), 36 + 8 * entries);

	const uint8_t *fadt = find(&t, "FACP"), *dsdt = find(&t, "DSDT");
	cr_assert(dsdt && !memcmp(dsdt, "DSDT", 4));
	cr_expect_eq(load_le64(fadt + 140), LAYOUT_ACPI_BASE + (uint64_t)(dsdt - t.image));
	cr_expect_eq(load_le32(fadt + 40), load_le64(fadt + 140), "the two must agree");
	acpi_done(&t);
	cr_expect_null(t.image);
}

/* ACPI 6.5, table 5.9 */
Test(acpi, fadt)
{
	struct acpi_tables t = build(&ordinary);
	const uint8_t *fadt = find(&t, "FACP");
	cr_assert_eq(load_le32(fadt + 4), 276);
	cr_expect_eq(fadt[8], 6);
	cr_expect_eq(fadt[131], 5);
	uint32_t flags = load_le32(fadt + 112);
	cr_expect(flags & 1 << 20, "HW_REDUCED_ACPI");
	cr_expect(flags & 1 << 10, "RESET_REG_SUP");
	cr_expect(flags & 1 << 4, "the power button is not a fixed feature");
	cr_expect(flags & 1 << 0, "WBINVD");
	uint16_t boot = load_le16(fadt + 109);
	cr_expect_eq(boot & 0x3, 0, "no legacy devices, no 8042");
	cr_expect_eq(boot & 0x24, 0x24, "no VGA, no RTC");
	cr_expect_eq(boot & 0x18, 0, "MSI and ASPM are not forbidden");
	static const struct {
		unsigned offset;
		uint16_t port;
	} registers[] = { { 116, 0xcf9 }, { 244, LAYOUT_PORT_SLEEP_CTRL },
		{ 256, LAYOUT_PORT_SLEEP_STS } };
	for (size_t i = 0; i < ARRAY_SIZE(registers); i++) {
		const uint8_t *gas = fadt + registers[i].offset;
		cr_expect_eq(gas[0], 1, "system I/O");
		cr_expect_eq(gas[1], 8);
		cr_expect_eq(gas[2], 0);
		cr_expect_eq(load_le64(gas + 4), registers[i].port);
	}
	cr_expect_eq(fadt[128], 6);
	/* the fixed hardware that a reduced machine has not: ports and their lengths */
	for (unsigned i = 46; i < 109; i++)
		cr_expect_eq(fadt[i], 0, "%u", i);
	for (unsigned i = 148; i < 244; i++)
		cr_expect_eq(fadt[i], 0, "%u", i);
	acpi_done(&t);
}

/* ACPI 6.5, 5.2.12 */
ParameterizedTestParameters(acpi, madt)
{
	static unsigned cpus[] = { 1, 2, 64, 254 };
	return CASES(cpus);
}

ParameterizedTest(unsigned *cpus, acpi, madt)
{
	struct acpi_config config = ordinary;
	config.cpus = *cpus;
	struct acpi_tables t = build(&config);
	const uint8_t *madt = find(&t, "APIC");
	cr_expect_eq(load_le32(madt + 36), LAYOUT_LAPIC_BASE);
	cr_expect_eq(load_le32(madt + 40) & 1, 0, "PCAT_COMPAT without an 8259");
	unsigned lapics = 0, ioapics = 0;
	for (unsigned at = 44; at < load_le32(madt + 4); at += madt[at + 1]) {
		const uint8_t *e = madt + at;
		cr_assert_geq(e[1], 8);
		if (e[0] == 0) {
			cr_expect_eq(e[2], lapics);
			cr_expect_eq(e[3], lapics);
			cr_expect_eq(load_le32(e + 4), 1);
			lapics++;
		} else {
			cr_expect_eq(e[0], 1);
			cr_expect_eq(e[1], 12);
			cr_expect_eq(load_le32(e + 4), LAYOUT_IOAPIC_BASE);
			cr_expect_eq(load_le32(e + 8), 0);
			ioapics++;
		}
	}
	cr_expect_eq(lapics, *cpus);
	cr_expect_eq(ioapics, 1);
	acpi_done(&t);
}

ParameterizedTestParameters(acpi, mcfg)
{
	static unsigned buses[] = { 1, 2, 128, 255, 256 };
	return CASES(buses);
}

ParameterizedTest(unsigned *buses, acpi, mcfg)
{
	struct acpi_config config = ordinary;
	config.buses = *buses;
	struct acpi_tables t = build(&config);
	const uint8_t *mcfg = find(&t, "MCFG");
	cr_expect_eq(load_le32(mcfg + 4), 60);
	cr_expect_eq(load_le64(mcfg + 44), LAYOUT_ECAM_BASE);
	cr_expect_eq(load_le16(mcfg + 52), 0);
	cr_expect_eq(mcfg[54], 0);
	cr_expect_eq(mcfg[55], *buses - 1);
	acpi_done(&t);
}

/* More than MADT's area holds is an error of ours, and no write past the image. */
Test(acpi, overflow)
{
	struct acpi_config config = ordinary;
	struct acpi_tables t = { 0 };
	struct lacuna_error *err = NULL;
	config.cpus = 20000;
	cr_assert_eq(acpi_build(&config, &t, &err), -E2BIG);
	cr_expect(strstr(lacuna_error_message(err), "20000 processors"), "%s",
		lacuna_error_message(err));
	cr_expect_null(t.image);
	lacuna_error_free(err);
}
