// SPDX-License-Identifier: Apache-2.0
/*
 * The table of guests: each row runs one guest, says with how many processors, options and seconds,
 * and what must come of it; the functions above the rows look at exits, which are exact.
 */
#include <criterion/criterion.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"

TestSuite(guests, .timeout = TEST_TIMEOUT);

#define FUNCTIONS 65536 /* of 256 buses */
#define PASSES    2     /* of a scan, as the rows say */

/* clang-format off */
#define GUEST(name_, image_, cmdline_, ...) \
	Test(guests, name_) \
	{ \
		guest_check(&(struct guest){ .image = image_, .cmdline = cmdline_, __VA_ARGS__ }); \
	}
#define PROBE(name_, cmdline_, ...) \
	GUEST(name_, NULL, cmdline_, .reason = LACUNA_END_POWEROFF, __VA_ARGS__)
/* clang-format on */

/* --- exits --- */

static uint64_t type1(const struct lacuna_stats *s)
{
	return s->type1_read + s->type1_write;
}

/* Four writes to set the port up, one look at its status for each 16 characters and one at the end:
 * what is left are the characters themselves, which are coalesced. */
static void serial_exits_exact(const struct outcome *o)
{
	cr_expect_eq(o->stats.pio_serial, 4 + (o->output_size + 15) / 16 + 1);
}

/* Nothing but the console and the exit code. */
static void no_config_exits(const struct outcome *o)
{
	const struct lacuna_stats *s = &o->stats;
	cr_expect_eq(s->ecam_read + s->ecam_write + type1(s) + s->absent, 0);
	cr_expect_eq(s->exits_by_reason[KVM_EXIT_MMIO], 0);
	cr_expect_eq(s->mmio_bar + s->mmio_other, 0);
	cr_expect_eq(s->exits_total, s->pio_serial + s->pio_reset);
	serial_exits_exact(o);
}

/* Each read is one exit: every function once, those that exist twice. */
static void each_read_traps(const struct outcome *o)
{
	const struct lacuna_stats *s = &o->stats;
	uint64_t functions = outcome_number(o, "functions ");
	cr_expect_eq(s->ecam_read, PASSES * (FUNCTIONS + functions));
	cr_expect_eq(s->absent, PASSES * (FUNCTIONS - functions));
	cr_expect_eq(s->exits_by_reason[KVM_EXIT_MMIO], s->ecam_read);
	cr_expect_eq(type1(s) + s->ecam_write, 0);
}

/* Likewise, by port; the address writes are coalesced, but for a ring that is full. */
static void each_port_read_traps(const struct outcome *o)
{
	const struct lacuna_stats *s = &o->stats;
	uint64_t functions = outcome_number(o, "functions ");
	cr_expect_eq(s->type1_read, PASSES * (FUNCTIONS + functions));
	cr_expect_eq(s->absent, PASSES * (FUNCTIONS - functions));
	cr_expect_eq(s->ecam_read + s->ecam_write, 0);
}

/* Writes to CONFIG_ADDRESS, whole or in parts, are coalesced: none is an exit, none is counted as
 * one. */
static void address_writes_coalesced(const struct outcome *o)
{
	cr_expect_gt(o->stats.type1_read, 0);
	cr_expect_eq(o->stats.type1_write, 0);
}

/* Each read of the data port comes after a write that selects the register. */
static void address_writes_trap(const struct outcome *o)
{
	cr_expect_gt(o->stats.type1_read, 0);
	cr_expect_geq(o->stats.type1_write, o->stats.type1_read);
}

/* A write leaves the kernel only when the ring of 170 or so is full; none is lost or counted twice.
 */
static void writes_coalesced(const struct outcome *o)
{
	const struct lacuna_stats *s = &o->stats;
	uint64_t writes = outcome_number(o, "writes ");
	cr_expect_eq(s->coalesced_mmio + s->ecam_write, writes);
	cr_expect_lt(s->ecam_write, writes / 100);
	cr_expect_eq(s->ecam_write, s->absent);
	cr_expect_eq(s->exits_by_reason[KVM_EXIT_MMIO], s->ecam_write);
	cr_expect_eq(s->ecam_read, 0);
}

static void each_write_traps(const struct outcome *o)
{
	cr_expect_eq(o->stats.ecam_write, outcome_number(o, "writes "));
	cr_expect_eq(o->stats.coalesced_mmio, 0);
}

/* --- configuration space --- */

GUEST(scan_memory, "config", "test=scan passes=2", .pci = "buses=256,window=memory",
	.output = "buses 256 functions 1 ", .check = no_config_exits)
GUEST(scan_memory_devices, "config", "test=scan passes=2", .pci = "buses=256,window=memory",
	.rng = true, .output = "buses 256 functions 2 ", .check = no_config_exits)
GUEST(scan_memory_one_bus, "config", "test=scan passes=2", .pci = "buses=1,window=memory",
	.output = "buses 1 functions 1 ", .check = no_config_exits)
GUEST(scan_memory_beside_type1, "config", "test=scan passes=2",
	.pci = "config=both,buses=256,window=memory", .output = "buses 256 functions 1 ",
	.check = no_config_exits)
GUEST(scan_memory_fdt, "config", "test=scan passes=2", .pci = "buses=256,window=memory",
	.tables = "fdt", .output = "buses 256 functions 1 ", .check = no_config_exits)
GUEST(scan_trap, "config", "test=scan passes=2", .pci = "buses=256,window=trap", .rng = true,
	.output = "buses 256 functions 2 ", .check = each_read_traps)
GUEST(scan_type1, "config", "test=scan passes=2", .pci = "config=type1,buses=256", .rng = true,
	.output = "functions 2 ", .check = each_port_read_traps)
GUEST(absent_write_memory, "config", "test=absent-write", .pci = "buses=256,window=memory",
	.rng = true, .check = writes_coalesced)
GUEST(absent_write_trap, "config", "test=absent-write", .pci = "buses=256,window=trap", .rng = true,
	.check = each_write_traps)

/* --- the paravirtual bit: bit 31 as it comes, another, none --- */

static void bit_31_only(const struct outcome *o)
{
	uint64_t features = outcome_number(o, "features ");
	cr_expect(features >> 31 & 1);
	cr_expect_not(features >> 30 & 1);
	cr_expect_not(features >> 15 & 1);
}

static void bit_30_only(const struct outcome *o)
{
	uint64_t features = outcome_number(o, "features ");
	cr_expect(features >> 30 & 1);
	cr_expect_not(features >> 31 & 1);
}

static void bit_15_only(const struct outcome *o)
{
	uint64_t features = outcome_number(o, "features ");
	cr_expect(features >> 15 & 1);
	cr_expect_not(features >> 31 & 1);
}

static void no_bit(const struct outcome *o)
{
	uint64_t features = outcome_number(o, "features ");
	cr_expect_not(features >> 31 & 1);
	cr_expect_not(features >> 15 & 1);
}

GUEST(pv_bit_default, "config", "test=pv-bit", .check = bit_31_only)
GUEST(pv_bit_moved, "config", "test=pv-bit", .pci = "pv-bit=30", .check = bit_30_only)
GUEST(pv_bit_legacy, "config", "test=pv-bit", .pci = "pv-bit=15,pv-bit-15=i-understand",
	.check = bit_15_only)
GUEST(pv_bit_off, "config", "test=pv-bit", .pci = "pv-bit=off", .check = no_bit)

/* --- BARs --- */

GUEST(bar_sizes, "bar", "test=sizes", .rng = true, .output = "sizes: ")
GUEST(bar_sizes_trap, "bar", "test=sizes", .pci = "window=trap", .rng = true, .output = "sizes: ")
GUEST(bar_sizes_type1, "bar", "test=sizes", .pci = "config=type1", .rng = true, .output = "sizes: ")
GUEST(bar_hammer_1, "bar", "test=hammer seed=1 count=3000", .rng = true, .output = "works")
GUEST(bar_hammer_2, "bar", "test=hammer seed=2 count=3000", .rng = true, .output = "works")
GUEST(bar_hammer_type1, "bar", "test=hammer seed=3 count=3000", .pci = "config=type1", .rng = true,
	.output = "works")
GUEST(bar_move_trap, "bar", "test=move", .cpus = 2, .pci = "config=both,window=trap", .rng = true,
	.output = "move: 500")
GUEST(bar_move, "bar", "test=move", .cpus = 2, .rng = true, .output = "move: 500")

/* --- the machine --- */

GUEST(cpus_1, "machine", "test=cpus", .output = "cpus: 1 ")
GUEST(cpus_2, "machine", "test=cpus", .cpus = 2, .output = "cpus: 2 ")
GUEST(cpus_8, "machine", "test=cpus", .cpus = 8, .output = "cpus: 8 ")
GUEST(cpus_254, "machine", "test=cpus", .cpus = 254, .timeout_s = 120, .output = "cpus: 254 ")
GUEST(cpus_2_fdt, "machine", "test=cpus", .cpus = 2, .tables = "fdt", .output = "cpus: 2 ")
GUEST(cpus_254_fdt, "machine", "test=cpus", .cpus = 254, .tables = "fdt", .timeout_s = 120,
	.output = "cpus: 254 ")
GUEST(cpuid, "machine", "test=cpuid",
	.output = "cpuid: vmx 0 svm 0 x2apic 1 hypervisor 1 deadline 1\r\nkvm: leaf 0x40000000 ")
GUEST(ram_least, "machine", "test=ram", .memory = "32M", .output = "28 MiB found")
GUEST(ram_low, "machine", "test=ram", .memory = "3G", .output = "3068 MiB found")
GUEST(ram_split, "machine", "test=ram", .memory = "5G", .output = "5116 MiB found")
GUEST(unowned, "machine", "test=unowned", .output = " 0 wrong")

static void output_whole(const struct outcome *o)
{
	serial_exits_exact(o);
	cr_assert_eq(o->output_size, 40000);
	for (size_t i = 0; i < o->output_size; i++) {
		size_t left = o->output_size - i;
		char wanted = left % 64 == 1 ? '\n' : (char)('0' + left % 10);
		cr_assert_eq(o->output[i], wanted, "byte %zu", i);
	}
}

GUEST(serial_output, "machine", "test=output size=40000", .check = output_whole)
GUEST(serial_echo, "machine", "test=echo", .input = "the quick brown fox.",
	.output = "ready\r\nthe quick brown fox.\r\nend\r\n")

/* --- endings --- */

GUEST(poweroff, "endings", "test=poweroff", .reason = LACUNA_END_POWEROFF)
GUEST(reset_cf9, "endings", "test=cf9", .reason = LACUNA_END_RESET)
GUEST(reset_acpi, "endings", "test=acpi-reset", .reason = LACUNA_END_RESET)
GUEST(reset_i8042, "endings", "test=i8042", .reason = LACUNA_END_RESET)
GUEST(triple_fault, "endings", "test=triple-fault", .reason = LACUNA_END_CRASH)
GUEST(timeout, "endings", "test=hang", .timeout_s = 1, .reason = LACUNA_END_TIMEOUT,
	.output = "hang")
GUEST(exit_0, "endings", "test=exit code=0", .code = 0)
GUEST(exit_1, "endings", "test=exit code=1", .code = 1)
GUEST(exit_255, "endings", "test=exit code=255", .code = 255)

/* --- multiboot: a kernel of 32 bits as an ELF file of either class and as neither --- */

static const char *const modules[] = { "endings", "bar" };

static void two_modules(struct lacuna_config *c)
{
	for (unsigned i = 0; i < 2; i++) {
		char path[256];
		guest_path(modules[i], path, sizeof(path));
		cr_assert_eq(lacuna_config_set(c, "initrd", path, NULL), 0);
	}
}

static void one_module(struct lacuna_config *c)
{
	char path[256];
	guest_path(modules[0], path, sizeof(path));
	cr_assert_eq(lacuna_config_set(c, "initrd", path, NULL), 0);
}

/* The guest has added up the bytes that it was given. */
static void expect_module(const struct outcome *o, unsigned i, bool named)
{
	char path[256], name[64] = "", wanted[300];
	unsigned size = 0, sum = 0;
	guest_path(modules[i], path, sizeof(path));
	FILE *f = fopen(path, "r");
	cr_assert_not_null(f);
	for (int c; (c = getc(f)) != EOF; size++)
		sum += (unsigned)c;
	fclose(f);
	if (named)
		snprintf(name, sizeof(name), "'%s.elf' ", modules[i]);
	snprintf(wanted, sizeof(wanted), "module %ssize %u sum %u\n", name, size, sum);
	cr_expect(strstr(o->output, wanted), "no %s in %s", wanted, o->output);
}

static void modules_are_whole(const struct outcome *o)
{
	for (unsigned i = 0; i < 2; i++)
		expect_module(o, i, true);
}

static void module_is_whole(const struct outcome *o)
{
	expect_module(o, 0, false);
}

#define MULTIBOOT_SAYS "multiboot from lacuna\nlower 639 upper 64512\n"
GUEST(multiboot_elf32, "multiboot-elf32", "a  b code=7", .memory = "64M", .code = 7,
	.output = MULTIBOOT_SAYS "command line 'a  b code=7'\nend\n")
GUEST(multiboot_elf64, "multiboot-elf64", "", .memory = "64M",
	.output = MULTIBOOT_SAYS "command line ''\nend\n")
GUEST(multiboot_flat, "multiboot-flat", "code=255", .memory = "64M", .code = 255,
	.output = MULTIBOOT_SAYS "command line 'code=255'\nend\n")
GUEST(multiboot_modules, "multiboot-elf32", "code=1", .memory = "64M", .code = 1,
	.configure = two_modules, .check = modules_are_whole)
GUEST(multiboot_high_memory, "multiboot-elf32", "", .memory = "5G",
	.output = "lower 639 upper 3144704\n")

/* As a payload of kvm-unit-tests is given its own name, and ends: a number as it is. */
GUEST(multiboot_name_first, "multiboot-elf32", "guest.flat code=3 -smp", .memory = "64M", .code = 3,
	.output = "command line 'guest.flat code=3 -smp'\n")

/* --- the same kernel with a PVH note, which goes before its multiboot header --- */

#define PVH_SAYS "PVH version 1\nupper 64512\n"
GUEST(pvh, "pvh-elf32", "a  b code=7", .memory = "64M", .code = 7,
	.output = PVH_SAYS "command line 'a  b code=7'\nend\n")
GUEST(pvh_module, "pvh-elf32", "code=1", .memory = "64M", .code = 1, .configure = one_module,
	.check = module_is_whole)
GUEST(pvh_high_memory, "pvh-elf32", "", .memory = "5G", .output = "upper 3144704\n")

/* --- virtio --- */

GUEST(virtio_rng, "virtio", "test=rng", .rng = true, .output = "rng: ")
GUEST(virtio_bad_chain, "virtio", "test=bad-chain", .rng = true, .output = "bad-chain: ")
GUEST(virtio_bad_setup, "virtio", "test=bad-setup", .rng = true, .output = "bad-setup: ")
GUEST(vsock_packets, "vsock", "test=packets", .vsock = true, .output = "packets: 16")
GUEST(vsock_chains, "vsock", "test=chains", .vsock = true, .output = "chains: 8 refused")
GUEST(vsock_flood, "vsock", "test=flood", .vsock = true, .output = "flood: 1000 answered")
GUEST(console_control, "ports", "test=control", .console = true, .output = "control: 19")
GUEST(console_chains, "ports", "test=chains", .console = true, .output = "chains: 3 refused")
GUEST(console_output, "ports", "test=output", .console = true, .output = "output: done")

/* --- the probe guest --- */

PROBE(probe_ecam, "probe.scan=all", .pci = "buses=256", .rng = true,
	.output =
		"\"mech\":\"ecam\",\"scan\":\"all\",\"pv_bit\":true,\"buses\":256,\"functions\":2,"
		"\"reads\":65538,")
PROBE(probe_both_bit, "", .pci = "config=both,buses=256",
	.output = "type 1 works; pv bit set; using ECAM", .check = address_writes_coalesced)
PROBE(probe_both_no_bit, "", .pci = "config=both,buses=256,pv-bit=off",
	.output = "type 1 works; pv bit clear; using type 1")
PROBE(probe_type1, "", .pci = "config=type1",
	.output = "no MCFG, no device tree; type 1 works; pv bit set; using type 1")
PROBE(probe_not_coalesced, "probe.mech=type1", .pci = "config=both,buses=1,coalesce=off",
	.output = "using type 1", .check = address_writes_trap)
PROBE(probe_bench, "probe.bench", .pci = "buses=1",
	.output = "\"ok\":true,\"cold\":{\"reads\":34,\"ticks\":")
PROBE(probe_fdt, "probe.scan=all", .pci = "buses=256", .tables = "fdt", .rng = true,
	.output =
		"device tree: ECAM at 0xe0000000, 256 buses; type 1 absent; pv bit set; using ECAM")
PROBE(probe_fdt_memory, "", .memory = "5G", .pci = "config=both", .tables = "fdt",
	.output = "device tree: ECAM at 0xe0000000, 1 buses; type 1 works; pv bit set; using ECAM")
PROBE(probe_both_tables, "", .pci = "buses=3", .tables = "both",
	.output = "MCFG: ECAM at 0xe0000000, 3 buses; type 1 absent; pv bit set; using ECAM")
GUEST(probe_refuses, NULL, "probe.mech=ecam", .pci = "config=type1", .code = 1,
	.output = "CONTRADICTION")
