// SPDX-License-Identifier: Apache-2.0
/* The device tree: every node and property, read back with libfdt; what dtc and the schemas think
 * of it is in tests/cli/fdt.sh. */
#include "boot/fdt.h"

#include <abi/layout.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>

#include "boot_fixture.h"
#include "util/bytes.h"

struct shape {
	char name[16];
	unsigned cpus, buses;
	uint64_t memory;
	bool serial;
	uint64_t pci64; /* base and size */
	gpa_t initrd;
	uint64_t initrd_size;
	char cmdline[32];
};

ParameterizedTestParameters(fdt, shape)
{
	static struct shape c[] = {
		{ "ordinary", 2, 1, 256 * MIB, true, 64 * GIB, 0xf000000, 0x100001, "quiet a=b" },
		{ "least", 1, 1, 32 * MIB, false, 0, 0, 0, "" },
		{ "all", 254, 256, 5 * GIB, true, 64 * GIB, 0xbf000000, 0xffffff, "x" },
		{ "all, mute", 254, 256, 3 * GIB, false, 64 * GIB, 0, 0, "" },
		{ "window small", 3, 17, 4 * GIB, true, 8 * GIB, 0x2000000, 1, "\"\\\t" },
	};
	return CASES(c);
}

/* A tree under test, and how much of it has been looked at: nothing may be left. */
struct tree {
	struct dtb dtb;
	unsigned nodes, properties;
};

static int node(struct tree *t, const char *path)
{
	int offset = fdt_path_offset(t->dtb.data, path);
	cr_assert_geq(offset, 0, "%s: %s", path, fdt_strerror(offset));
	t->nodes++;
	return offset;
}

static void has(struct tree *t, int node, const char *name, const void *value, size_t size)
{
	int found;
	const void *p = fdt_getprop(t->dtb.data, node, name, &found);
	cr_assert_not_null(p, "%s: %s", name, fdt_strerror(found));
	cr_expect_eq((size_t)found, size, "%s: %d bytes, not %zu", name, found, size);
	cr_expect((size_t)found == size && !memcmp(p, value, size), "%s differs", name);
	t->properties++;
}

static void has_text(struct tree *t, int node, const char *name, const char *value)
{
	has(t, node, name, value, strlen(value) + 1);
}

static void has_flag(struct tree *t, int node, const char *name)
{
	has(t, node, name, "", 0);
}

static void has_cells(
	struct tree *t, int node, const char *name, const uint32_t *wanted, size_t count)
{
	fdt32_t cells[16];
	cr_assert_leq(count, ARRAY_SIZE(cells));
	for (size_t i = 0; i < count; i++)
		cells[i] = cpu_to_fdt32(wanted[i]);
	has(t, node, name, cells, count * sizeof(cells[0]));
}

#define HAS_CELLS(t, node, name, ...)                               \
	has_cells(t, node, name, (const uint32_t[]){ __VA_ARGS__ }, \
		sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

#define HIGH(value) (uint32_t)((uint64_t)(value) >> 32)
#define LOW(value)  (uint32_t)(value)

static void has_addressing(struct tree *t, int node, uint32_t address, uint32_t size)
{
	HAS_CELLS(t, node, "#address-cells", address);
	HAS_CELLS(t, node, "#size-cells", size);
}

static void check_chosen(struct tree *t, const struct shape *c)
{
	int n = node(t, "/chosen");
	HAS_CELLS(t, n, "linux,pci-probe-only", 1);
	if (*c->cmdline)
		has_text(t, n, "bootargs", c->cmdline);
	if (c->initrd_size) {
		HAS_CELLS(t, n, "linux,initrd-start", LOW(c->initrd));
		HAS_CELLS(t, n, "linux,initrd-end", LOW(c->initrd + c->initrd_size));
	}
	if (!c->serial)
		return;
	has_text(t, n, "stdout-path", "/soc/isa@0/serial@3f8:115200n8");
	has_text(t, node(t, "/aliases"), "serial0", "/soc/isa@0/serial@3f8");
}

static void check_memory(struct tree *t, const struct shape *c)
{
	uint64_t low = min_u64(c->memory, 3 * GIB), high = c->memory - low;
	int n = node(t, "/memory@0");
	has_text(t, n, "device_type", "memory");
	if (high)
		HAS_CELLS(t, n, "reg", 0, 0, 0, 0x9fc00, 0, MIB, 0, LOW(low - MIB), 1, 0,
			HIGH(high), LOW(high));
	else
		HAS_CELLS(t, n, "reg", 0, 0, 0, 0x9fc00, 0, MIB, 0, LOW(low - MIB));

	n = node(t, "/reserved-memory");
	has_addressing(t, n, 2, 2);
	has_flag(t, n, "ranges");
	n = node(t, "/reserved-memory/firmware@9fc00");
	HAS_CELLS(t, n, "reg", 0, 0x9fc00, 0, 0x400);
	has_flag(t, n, "no-map");
	n = node(t, "/reserved-memory/firmware@e0000");
	HAS_CELLS(t, n, "reg", 0, 0xe0000, 0, 0x20000);
	has_flag(t, n, "no-map");
	n = node(t, "/reserved-memory/ecam@e0000000");
	HAS_CELLS(t, n, "reg", 0, 0xe0000000, 0, c->buses * MIB);
	has_flag(t, n, "no-map");
}

static void check_cpus(struct tree *t, const struct shape *c)
{
	int n = node(t, "/cpus");
	has_addressing(t, n, 1, 0);
	for (unsigned i = 0; i < c->cpus; i++) {
		char path[24];
		snprintf(path, sizeof(path), "/cpus/cpu@%x", i);
		n = node(t, path);
		has_text(t, n, "device_type", "cpu");
		has_text(t, n, "compatible", "intel,ce4100");
		HAS_CELLS(t, n, "reg", i);
	}
}

static void check_interrupts(struct tree *t)
{
	int n = node(t, "/msi-controller");
	has_text(t, n, "compatible", "lacuna,x86-msi");
	has_flag(t, n, "msi-controller");
	HAS_CELLS(t, n, "#msi-cells", 1);
	HAS_CELLS(t, n, "phandle", 2);

	n = node(t, "/soc/interrupt-controller@fec00000");
	has_text(t, n, "compatible", "intel,ce4100-ioapic");
	HAS_CELLS(t, n, "reg", 0, 0xfec00000, 0, 0x1000);
	has_flag(t, n, "interrupt-controller");
	HAS_CELLS(t, n, "#interrupt-cells", 2);
	HAS_CELLS(t, n, "#address-cells", 0);
	HAS_CELLS(t, n, "phandle", 1);

	n = node(t, "/soc/interrupt-controller@fee00000");
	has_text(t, n, "compatible", "intel,ce4100-lapic");
	HAS_CELLS(t, n, "reg", 0, 0xfee00000, 0, 0x1000);
	has_flag(t, n, "interrupt-controller");
	HAS_CELLS(t, n, "#interrupt-cells", 2);
	HAS_CELLS(t, n, "#address-cells", 0);
	has_flag(t, n, "intel,virtual-wire-mode");
}

static void check_serial(struct tree *t)
{
	int n = node(t, "/soc/isa@0");
	has_text(t, n, "compatible", "isa");
	has_text(t, n, "device_type", "isa");
	has_addressing(t, n, 2, 1);
	HAS_CELLS(t, n, "ranges", 1, 0, 0, 0, 0x10000);

	n = node(t, "/soc/isa@0/serial@3f8");
	has_text(t, n, "compatible", "ns16550a");
	HAS_CELLS(t, n, "reg", 1, 0x3f8, 8);
	HAS_CELLS(t, n, "interrupts", 4, 3);
	HAS_CELLS(t, n, "clock-frequency", 1843200);
	HAS_CELLS(t, n, "current-speed", 115200);
}

static void check_pci(struct tree *t, const struct shape *c)
{
	int n = node(t, "/soc/pcie@e0000000");
	has_text(t, n, "compatible", "pci-host-ecam-generic");
	has_text(t, n, "device_type", "pci");
	has_addressing(t, n, 3, 2);
	HAS_CELLS(t, n, "bus-range", 0, c->buses - 1);
	HAS_CELLS(t, n, "reg", 0, 0xe0000000, 0, c->buses * MIB);
	if (c->pci64)
		HAS_CELLS(t, n, "ranges", 0x02000000, 0, 0xc0000000, 0, 0xc0000000, 0, 0x20000000,
			0x03000000, HIGH(c->pci64), LOW(c->pci64), HIGH(c->pci64), LOW(c->pci64),
			HIGH(c->pci64), LOW(c->pci64));
	else
		HAS_CELLS(t, n, "ranges", 0x02000000, 0, 0xc0000000, 0, 0xc0000000, 0, 0x20000000);
	HAS_CELLS(t, n, "msi-map", 0, 2, 0, 0x10000);
	has_flag(t, n, "dma-coherent");
}

/* Of all the tree, so that each is known to have been looked at. */
static void count(const struct dtb *dtb, unsigned *nodes, unsigned *properties)
{
	int at, depth = 0;
	*nodes = *properties = 0;
	for (int n = 0; n >= 0 && depth >= 0; n = fdt_next_node(dtb->data, n, &depth)) {
		*nodes += 1;
		fdt_for_each_property_offset(at, dtb->data, n)
		{
			*properties += 1;
		}
	}
}

static void build(const struct shape *c, const char *cmdline, struct dtb *ret)
{
	struct lacuna_error *err = NULL;
	struct e820 map;
	struct gmem *mem = ram_new(c->memory);
	e820_build(mem, c->buses * MIB, &map);
	struct dtb_config config = {
		.cpus = c->cpus,
		.buses = c->buses,
		.serial = c->serial,
		.pci64_base = c->pci64,
		.pci64_size = c->pci64,
		.e820 = &map,
		.cmdline = cmdline,
		.initrd = c->initrd,
		.initrd_size = c->initrd_size,
	};
	cr_assert_eq(dtb_build(&config, ret, &err), 0, "%s", lacuna_error_message(err));
	gmem_free(mem);
}

ParameterizedTest(struct shape *c, fdt, shape)
{
	struct tree t = { 0 };
	unsigned nodes, properties;
	build(c, c->cmdline, &t.dtb);
	cr_expect_eq(fdt_check_full(t.dtb.data, t.dtb.size), 0);
	cr_expect_eq(t.dtb.size, fdt_totalsize(t.dtb.data));
	cr_expect_leq(t.dtb.size + DTB_SETUP_DATA_HEADER, (size_t)LAYOUT_FDT_MAX);
	cr_expect_eq(fdt_version(t.dtb.data), 17);
	cr_expect_eq(fdt_boot_cpuid_phys(t.dtb.data), 0);
	cr_expect_eq(fdt_num_mem_rsv(t.dtb.data), 0);

	int root = node(&t, "/");
	has_text(&t, root, "compatible", "lacuna,vm");
	has_text(&t, root, "model", "lacuna");
	has_addressing(&t, root, 2, 2);
	check_chosen(&t, c);
	check_memory(&t, c);
	check_cpus(&t, c);
	check_interrupts(&t);
	int soc = node(&t, "/soc");
	has(&t, soc, "compatible", "intel,ce4100-cp\0simple-bus", 27);
	has_addressing(&t, soc, 2, 2);
	HAS_CELLS(&t, soc, "interrupt-parent", 1);
	has_flag(&t, soc, "ranges");
	if (c->serial)
		check_serial(&t);
	check_pci(&t, c);

	count(&t.dtb, &nodes, &properties);
	cr_expect_eq(t.nodes, nodes, "%u nodes, of which %u are known", nodes, t.nodes);
	cr_expect_eq(t.properties, properties, "%u properties, of which %u are known", properties,
		t.properties);
	dtb_done(&t.dtb);
}

static const struct shape large = { .cpus = 254, .buses = 256, .memory = 5 * GIB, .serial = true };

Test(fdt, longest_command_line_fits)
{
	static char cmdline[LAYOUT_CMDLINE_MAX];
	struct dtb dtb;
	int size;
	memset(cmdline, 'x', sizeof(cmdline) - 1);
	build(&large, cmdline, &dtb);
	cr_expect_leq(dtb.size + DTB_SETUP_DATA_HEADER, (size_t)LAYOUT_FDT_MAX);
	fdt_getprop(dtb.data, fdt_path_offset(dtb.data, "/chosen"), "bootargs", &size);
	cr_expect_eq(size, LAYOUT_CMDLINE_MAX);
	dtb_done(&dtb);
}

Test(fdt, one_that_outgrows_its_place_is_an_error)
{
	static char cmdline[LAYOUT_FDT_MAX];
	static const struct e820 map = { 1, { { 0, 32 * MIB, E820_RAM } } };
	struct lacuna_error *err = NULL;
	struct dtb dtb;
	memset(cmdline, 'x', sizeof(cmdline) - 1);
	struct dtb_config config = { .cpus = 3, .buses = 1, .e820 = &map, .cmdline = cmdline };
	cr_assert_eq(dtb_build(&config, &dtb, &err), -E2BIG);
	cr_expect_str_eq(
		lacuna_error_message(err), "the device tree for 3 processors: FDT_ERR_NOSPACE");
	lacuna_error_free(err);
}

/* --- source text --- */

Test(dts, values_of_every_form)
{
	static uint8_t buf[4096];
	fdt_create(buf, sizeof(buf));
	fdt_finish_reservemap(buf);
	fdt_begin_node(buf, "");
	fdt_property(buf, "flag", NULL, 0);
	fdt_property_string(buf, "text", "a \"b\" \\c\t\n\x80\xff");
	fdt_property(buf, "texts", "one\0two", 8);
	fdt_property_string(buf, "empty", "");
	fdt_property(buf, "gap", "a\0\0b", 5);
	fdt_property(buf, "gap-cells", "a\0\0b\0\0\0", 8);
	fdt_property(buf, "open", "abc", 3);
	fdt_property_u32(buf, "cell", 0x1234);
	fdt_property_u64(buf, "cells", 0xfffffffe00000000);
	fdt_property(buf, "bytes", "\x01\xff", 2);
	fdt_begin_node(buf, "outer@1");
	fdt_begin_node(buf, "inner");
	fdt_end_node(buf);
	fdt_property_u32(buf, "late", 0);
	fdt_end_node(buf);
	fdt_begin_node(buf, "last");
	fdt_end_node(buf);
	fdt_end_node(buf);
	cr_assert_eq(fdt_finish(buf), 0);
	struct text text = dtb_source(&(struct dtb){ buf, fdt_totalsize(buf) });
	cr_expect_not(text.failed);
	cr_expect_eq(text.size, strlen(text.data));
	cr_expect_str_eq(text.data, "/dts-v1/;\n"
				    "\n/ {\n"
				    "\tflag;\n"
				    "\ttext = \"a \\\"b\\\" \\\\c\\x09\\x0a\\x80\\xff\";\n"
				    "\ttexts = \"one\", \"two\";\n"
				    "\tempty = \"\";\n"
				    "\tgap = [61 00 00 62 00];\n"
				    "\tgap-cells = <0x61000062 0x0>;\n"
				    "\topen = [61 62 63];\n"
				    "\tcell = <0x1234>;\n"
				    "\tcells = <0xfffffffe 0x0>;\n"
				    "\tbytes = [01 ff];\n"
				    "\n\touter@1 {\n"
				    "\n\t\tinner {\n"
				    "\t\t};\n"
				    "\t};\n"
				    "\n\tlast {\n"
				    "\t};\n"
				    "};\n");
	free(text.data);
}
