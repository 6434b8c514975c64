// SPDX-License-Identifier: Apache-2.0
/*
 * The ACPI tables before ACPICA, the implementation that Linux uses: iasl must disassemble each
 * one, and acpiexec must load and run the AML, without a word of complaint.
 */
#include <abi/layout.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "boot/acpi.h"
#include "boot_fixture.h"
#include "util/bytes.h"

struct bench {
	char folder[32];
	struct acpi_tables tables;
	char output[1 << 16]; /* of the last command */
};

static void setup(struct bench *b, const struct acpi_config *config)
{
	snprintf(b->folder, sizeof(b->folder), "/tmp/lacuna-acpi-XXXXXX");
	cr_assert_not_null(mkdtemp(b->folder));
	cr_assert_eq(chdir(b->folder), 0);
	cr_assert_eq(acpi_build(config, &b->tables, NULL), 0);
	for (unsigned i = 0; i < b->tables.count; i++) {
		const struct acpi_table *t = &b->tables.table[i];
		char name[16];
		snprintf(name, sizeof(name), "%s.dat", t->name);
		FILE *f = fopen(name, "w");
		cr_assert_not_null(f);
		cr_assert_eq(fwrite(b->tables.image + t->offset, 1, t->size, f), t->size);
		cr_assert_eq(fclose(f), 0);
	}
}

static void teardown(struct bench *b)
{
	for (unsigned i = 0; i < b->tables.count; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%s.dat", b->tables.table[i].name);
		unlink(name);
		snprintf(name, sizeof(name), "%s.dsl", b->tables.table[i].name);
		unlink(name);
	}
	cr_expect_eq(rmdir(b->folder), 0);
	acpi_done(&b->tables);
}

/* Runs a command and keeps what it says, on either stream. */
__attribute__((format(printf, 2, 3))) static void run(struct bench *b, const char *fmt, ...)
{
	char command[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	FILE *f = popen(command, "r"); /* NOLINT(cert-env33-c): ours, not input */
	cr_assert_not_null(f);
	size_t n = fread(b->output, 1, sizeof(b->output) - 1, f);
	b->output[n] = '\0';
	int status = pclose(f);
	cr_expect_eq(status, 0, "%s: status %d: %s", command, status, b->output);
	static const char *const complaints[] = { "Warning", "Error", "Remark", "ACPI Exception",
		"AE_", "Invalid", "Unknown", "does not contain" };
	for (size_t i = 0; i < ARRAY_SIZE(complaints); i++)
		cr_expect_null(strstr(b->output, complaints[i]), "%s: %s", command, b->output);
}

static void evaluate(struct bench *b, const char *what)
{
	run(b, "acpiexec -b 'evaluate %s' DSDT.dat SSDT.dat 2>&1", what);
}

static void expect_output(const struct bench *b, const char *want)
{
	cr_expect(strstr(b->output, want), "'%s' is not in: %s", want, b->output);
}

struct machine_case {
	unsigned buses;
	bool ecam, serial;
	uint64_t pci64_base, pci64_size;
	/* what acpiexec must print, in its notation */
	char bus_range[56], ecam_size[16], window64[64];
};

ParameterizedTestParameters(acpi_tools, accept)
{
	static struct machine_case c[] = {
		/* clang-format off */
		{ 1, true, true, 0, 0,
			"88 0D 00 02 0C 00 00 00 00 00 00 00 00 00 01 00", "00 00 10 00", "" },
		{ 256, true, true, 0x1000000000, LAYOUT_PCI64_SIZE,
			"88 0D 00 02 0C 00 00 00 00 00 FF 00 00 00 00 01", "00 00 00 10", "FF FF FF FF 1F 00 00 00" },
		{ 3, false, false, 0x1000000000, LAYOUT_PCI64_SIZE,
			"88 0D 00 02 0C 00 00 00 00 00 02 00 00 00 03 00", "", "FF FF FF FF 1F 00 00 00" },
		/* clang-format on */
	};
	return CASES(c);
}

ParameterizedTest(struct machine_case *c, acpi_tools, accept)
{
	static struct bench b;
	struct acpi_config config = {
		.cpus = 3,
		.buses = c->buses,
		.ecam = c->ecam,
		.serial = c->serial,
		.pci64_base = c->pci64_base,
		.pci64_size = c->pci64_size,
	};
	setup(&b, &config);
	for (unsigned i = 0; i < b.tables.count; i++)
		if (strcmp(b.tables.table[i].name, "RSDP")) { /* not a table by iasl's measure */
			const char *name = b.tables.table[i].name;
			run(&b, "iasl -we -d %s.dat 2>&1", name);
			run(&b, "cat %s.dsl", name); /* it marks what it finds odd there */
			expect_output(&b, name);
		}

	evaluate(&b, "\\_SB.PCI0._CRS");
	expect_output(&b, c->bus_range);
	expect_output(&b, c->window64);
	cr_expect_eq(strstr(b.output, "8A 2B 00") != NULL, c->pci64_size != 0, "%s", b.output);
	evaluate(&b, "\\_SB.MRES._STA");
	expect_output(
		&b, c->ecam ? "[Integer] = 000000000000000F" : "[Integer] = 0000000000000000");
	if (c->ecam) {
		evaluate(&b, "\\_SB.MRES._CRS");
		expect_output(&b, "86 09 00 01 00 00 00 E0");
		expect_output(&b, c->ecam_size);
	}
	evaluate(&b, "\\_SB.COM1._STA");
	expect_output(
		&b, c->serial ? "[Integer] = 000000000000000F" : "[Integer] = 0000000000000000");
	teardown(&b);
}

#define UUID_OSC "(5B 4D DB 33 F7 1F 1C 40 96 57 74 41 C0 3D D7 66)"
#define UUID_BAD "(5B 4D DB 33 F7 1F 1C 40 96 57 74 41 C0 3D D7 67)"
#define UUID_DSM "(D0 37 C9 E5 53 35 7A 4D 91 17 EA 4D 19 C3 43 4D)"
#define CAPS     "(01 00 00 00 1F 00 00 00 3D 00 00 00)"

struct method_case {
	char call[160], result[64];
};

ParameterizedTestParameters(acpi_tools, methods)
{
	static struct method_case c[] = {
		/* all that is asked is granted but power management events; an unknown UUID or
		   revision is said so (ACPI 6.5, 6.2.11) */
		{ "\\_SB.PCI0._OSC " UUID_OSC " 1 3 " CAPS,
			"0000: 11 00 00 00 1F 00 00 00 39 00 00 00" },
		{ "\\_SB.PCI0._OSC " UUID_OSC " 1 3 (01 00 00 00 1F 00 00 00 39 00 00 00)",
			"0000: 01 00 00 00 1F 00 00 00 39 00 00 00" },
		{ "\\_SB.PCI0._OSC " UUID_OSC " 2 3 " CAPS,
			"0000: 09 00 00 00 1F 00 00 00 3D 00 00 00" },
		{ "\\_SB.PCI0._OSC " UUID_BAD " 1 3 " CAPS,
			"0000: 05 00 00 00 1F 00 00 00 3D 00 00 00" },
		{ "\\_SB.PCI0._DSM " UUID_DSM " 1 0 [0]", "0000: 21 " },
		{ "\\_SB.PCI0._DSM " UUID_DSM " 1 5 [0]", "[Integer] = 0000000000000000" },
		{ "\\_SB.PCI0._DSM " UUID_DSM " 1 6 [0]", "0000: 00 " },
		{ "\\_SB.PCI0._DSM " UUID_BAD " 1 0 [0]", "0000: 00 " },
		{ "\\_SB.GED0._CRS", "0000: 89 06 00 03 01 09 00 00 00 79 00" },
		{ "\\_SB.GED0._EVT 9", "No object was returned" },
		{ "\\_SB.COM1._CRS", "0000: 47 01 F8 03 F8 03 01 08 89 06 00 03 01 04 00 00" },
		{ "\\_S5", "[Integer] = 0000000000000005" },
	};
	return CASES(c);
}

ParameterizedTest(struct method_case *c, acpi_tools, methods)
{
	static struct bench b;
	static const struct acpi_config config = {
		.cpus = 1, .buses = 1, .ecam = true, .serial = true
	};
	setup(&b, &config);
	evaluate(&b, c->call);
	expect_output(&b, c->result);
	teardown(&b);
}
