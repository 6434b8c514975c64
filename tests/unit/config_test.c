// SPDX-License-Identifier: Apache-2.0
/* Every option of a machine: what is accepted and stored, what is refused and how it is said. */
#include "machine/config.h"

#include <abi/pvbit.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <lacuna/vm.h>
#include <string.h>

#include "util/bytes.h"

#define CASES(table) cr_make_param_array(__typeof__((table)[0]), table, ARRAY_SIZE(table))

Test(config, defaults)
{
	struct machine_config c;
	machine_config_init(&c);
	cr_expect_eq(c.cpus, 1);
	cr_expect_eq(c.memory, 256 * MIB);
	cr_expect_eq(c.serial.kind, CHARDEV_OFF);
	cr_expect_eq(c.pci.config, MACHINE_PCI_ECAM);
	cr_expect_eq(c.pci.window, MACHINE_WINDOW_AUTO);
	cr_expect_eq(c.tables, MACHINE_TABLES_ACPI);
	cr_expect_eq(c.pci.buses, 0);
	cr_expect_eq(c.pci.ports, -1);
	cr_expect_eq(c.pci.pv_bit, KVM_FEATURE_PCI_GO_MMCONFIG);
	cr_expect(c.add_cmdline && !c.hugepages && !machine_config_has_kernel(&c) &&
		  !c.timeout_us && !c.device_count);
	cr_expect_eq(machine_config_check(&c, NULL), 0);
	machine_config_done(&c);
}

struct refused_case {
	char key[16], value[48];
	int rc;
	char message[64]; /* part of it */
};

ParameterizedTestParameters(config, refused)
{
	static struct refused_case c[] = {
		{ "cpus", "0", -ERANGE, "cpus: 0 is out of range; give 1 to 254" },
		{ "cpus", "255", -ERANGE, "cpus: 255 is out of range" },
		{ "cpus", "two", -EINVAL, "cpus: 'two' is not a number" },
		{ "memory", "0", -ERANGE, "memory: 0 is too little" },
		{ "memory", "31M", -ERANGE, "at least 32M" },
		{ "memory", "33554433", -EINVAL, "not a multiple of 4K" },
		{ "memory", "4P", -EINVAL, "not a size" },
		{ "memory", "4096T", -ERANGE, "more than" },
		{ "memory", "99999999999T", -ERANGE, "64 bits" },
		{ "memory", "-1", -EINVAL, "not a size" },
		{ "hugepages", "yes", -EINVAL, "neither on nor off" },
		{ "add-cmdline", "1", -EINVAL, "neither on nor off" },
		{ "kernel", "", -EINVAL, "kernel: the file name is empty" },
		{ "initrd", "", -EINVAL, "initrd: the file name is empty" },
		{ "serial", "tty", -EINVAL, "serial: 'tty' is unknown; give stdio" },
		{ "serial", "", -EINVAL, "serial: give stdio, off, pty" },
		{ "serial", "file=", -EINVAL, "file name is empty" },
		{ "serial", "fd=1", -EINVAL, "fd=IN:OUT" },
		{ "serial", "fd=1:", -EINVAL, "not a number" },
		{ "serial", "fd=-1:2", -EINVAL, "not a number" },
		{ "serial", "fd=1:2147483648", -ERANGE, "out of range" },
		{ "serial", "fd=00000000000000000000:1", -EINVAL, "fd=IN:OUT" },
		{ "marker", "", -EINVAL, "1 to 255 bytes" },
		{ "timeout", "0", -ERANGE, "timeout: 0 is out of range" },
		{ "timeout", "soon", -EINVAL, "not a duration" },
		{ "pci", "config=ecma", -EINVAL, "pci: config: 'ecma' is unknown" },
		{ "pci", "window=on", -EINVAL, "auto, memory or trap" },
		{ "pci", "config=type1,window=memory", -EINVAL, "type1 has no window" },
		{ "pci", "large-pages=2M", -EINVAL,
			"large-pages: '2M' is unknown; give on, all or off" },
		{ "pci", "coalesce=yes", -EINVAL, "coalesce: 'yes' is unknown; give on or off" },
		{ "pci", "window=trap,large-pages=off", -EINVAL, "leave it out" },
		{ "pci", "config=type1,large-pages=off", -EINVAL, "leave it out" },
		{ "pci", "window=trap,large-pages=all", -EINVAL,
			"large-pages=all is about a window of memory" },
		{ "pci", "buses=0", -ERANGE, "buses: 0 is out of range; give 1 to 256" },
		{ "pci", "buses=257", -ERANGE, "buses: 257 is out of range" },
		{ "pci", "buses=many", -EINVAL, "buses: 'many' is not a number" },
		{ "pci", "ports=256", -ERANGE, "ports: 256 is out of range; give 0 to 255" },
		{ "pci", "ports=few", -EINVAL, "ports: 'few' is not a number" },
		{ "pci", "ecam", -EINVAL, "unknown key 'ecam'" },
		{ "pci", "bus=1", -EINVAL, "pci: unknown key 'bus'; known are: config" },
		{ "pci", "buses=1,buses=2", -EINVAL, "given twice" },
		{ "tables", "", -EINVAL, "tables: '' is unknown; give acpi, fdt or both" },
		{ "tables", "dtb", -EINVAL, "tables: 'dtb' is unknown; give acpi, fdt or both" },
		{ "pci", "pv-bit=32", -ERANGE, "pv-bit: 32 is out of range" },
		{ "pci", "pv-bit=on", -EINVAL, "not a number" },
		{ "pci", "pv-bit=15", -EINVAL, "MSI_EXT_DEST_ID" },
		{ "pci", "pv-bit=15,pv-bit-15=yes", -EINVAL, "i-understand" },
		{ "pci", "pv-bit=0", -EINVAL, "another meaning in KVM" },
		{ "pci", "pv-bit=17", -EINVAL, "another meaning in KVM" },
		{ "pci", "pv-bit=24", -EINVAL, "another meaning in KVM" },
		{ "vnc", "on", -EINVAL, "unknown option 'vnc'" },
		{ "console", "", -EINVAL, "console: give stdio, off, pty" },
		{ "console", "tty", -EINVAL, "console: 'tty' is unknown; give stdio" },
		{ "console", "pty,socket=a", -EINVAL, "console: more than one end is given" },
		{ "console", "socket=", -EINVAL, "console: the file name is empty" },
		{ "console", "stdio,link=a", -EINVAL, "link=a: only a pty has a link" },
		{ "console", "stdio,color=on", -EINVAL, "console: unknown key 'color'" },
		{ "", "", -EINVAL, "unknown option ''" },
	};
	return CASES(c);
}

/* A refused option leaves no trace: the same key can still be set, and nothing else has changed. */
ParameterizedTest(struct refused_case *t, config, refused)
{
	struct machine_config c, before;
	struct lacuna_error *err = NULL;
	machine_config_init(&c);
	memcpy(&before, &c, sizeof(c));
	int rc = machine_config_set(&c, t->key, t->value, &err);
	cr_expect_eq(rc, t->rc, "%s=%s gave %d", t->key, t->value, rc);
	cr_expect(strstr(lacuna_error_message(err), t->message), "%s=%s: %s", t->key, t->value,
		lacuna_error_message(err));
	cr_expect_eq(lacuna_error_code(err), -t->rc);
	cr_expect_null(strchr(lacuna_error_message(err), '\n'));
	cr_expect_arr_eq(&c, &before, sizeof(c));
	lacuna_error_free(err);
	machine_config_done(&c);
}

Test(config, stores)
{
	static const char *const set[][2] = {
		{ "cpus", "254" },
		{ "memory", "5G" },
		{ "hugepages", "on" },
		{ "kernel", "vmlinuz" },
		{ "cmdline", "" },
		{ "add-cmdline", "off" },
		{ "serial", "fd=3:4" },
		{ "pci", "config=both,window=trap,buses=256,pv-bit=off,ports=12" },
		{ "tables", "both" },
		{ "marker", "up" },
		{ "timeout", "1m" },
	};
	struct machine_config c;
	machine_config_init(&c);
	for (size_t i = 0; i < ARRAY_SIZE(set); i++) {
		struct lacuna_error *err = NULL;
		cr_assert_eq(machine_config_set(&c, set[i][0], set[i][1], &err), 0, "%s",
			lacuna_error_message(err));
		cr_expect_eq(machine_config_set(&c, set[i][0], set[i][1], &err), -EEXIST);
		cr_expect(strstr(lacuna_error_message(err), "given twice"));
		lacuna_error_free(err);
	}
	cr_expect_eq(c.cpus, 254);
	cr_expect_eq(c.memory, 5 * GIB);
	cr_expect(c.hugepages && !c.add_cmdline);
	cr_expect_str_eq(c.kernel.path, "vmlinuz");
	cr_expect_str_eq(c.cmdline, "");
	cr_expect_str_eq(c.marker, "up");
	cr_expect_eq(c.serial.kind, CHARDEV_FD);
	cr_expect(c.serial.in == 3 && c.serial.out == 4);
	cr_expect_eq(c.pci.config, MACHINE_PCI_BOTH);
	cr_expect_eq(c.pci.window, MACHINE_WINDOW_TRAP);
	cr_expect_eq(c.pci.buses, 256);
	cr_expect_eq(c.pci.ports, 12);
	cr_expect_eq(c.pci.pv_bit, -1);
	cr_expect_eq(c.tables, MACHINE_TABLES_BOTH);
	cr_expect_eq(c.timeout_us, 60000000);
	cr_expect_eq(machine_config_check(&c, NULL), 0);
	machine_config_done(&c);
}

Test(config, switches_of_pci)
{
	struct machine_config c;
	machine_config_init(&c);
	cr_expect(c.pci.pages == ECAM_PAGES_LARGE && !c.pci.no_coalesce);
	cr_assert_eq(machine_config_set(&c, "pci", "large-pages=off,coalesce=off", NULL), 0);
	cr_expect(c.pci.pages == ECAM_PAGES_SMALL && c.pci.no_coalesce);
	machine_config_done(&c);
	machine_config_init(&c);
	cr_assert_eq(machine_config_set(&c, "pci", "large-pages=on,coalesce=on", NULL), 0);
	cr_expect(c.pci.pages == ECAM_PAGES_LARGE && !c.pci.no_coalesce);
	machine_config_done(&c);
	machine_config_init(&c);
	cr_assert_eq(machine_config_set(&c, "pci", "large-pages=all", NULL), 0);
	cr_expect(c.pci.pages == ECAM_PAGES_ALL_LARGE);
	machine_config_done(&c);
}

struct pv_case {
	char pci[40];
	int bit;
};

ParameterizedTestParameters(config, pv_bit)
{
	static struct pv_case c[] = {
		{ "config=both", KVM_FEATURE_PCI_GO_MMCONFIG },
		{ "pv-bit=8", 8 },
		{ "pv-bit=0x12", 18 },
		{ "pv-bit=31", 31 },
		{ "pv-bit=off", -1 },
		{ "pv-bit=15,pv-bit-15=i-understand", 15 },
	};
	return CASES(c);
}

ParameterizedTest(struct pv_case *t, config, pv_bit)
{
	struct machine_config c;
	machine_config_init(&c);
	cr_assert_eq(machine_config_set(&c, "pci", t->pci, NULL), 0);
	cr_expect_eq(c.pci.pv_bit, t->bit);
	machine_config_done(&c);
}

/* A device tree can only describe the window. */
Test(config, tables)
{
	static const struct {
		const char *tables, *pci;
		enum machine_tables kind;
		bool fits;
	} cases[] = {
		{ "acpi", "config=type1", MACHINE_TABLES_ACPI, true },
		{ "acpi", "config=ecam", MACHINE_TABLES_ACPI, true },
		{ "fdt", "config=type1", MACHINE_TABLES_FDT, false },
		{ "fdt", "config=both", MACHINE_TABLES_FDT, true },
		{ "fdt", "config=ecam", MACHINE_TABLES_FDT, true },
		{ "both", "config=type1", MACHINE_TABLES_BOTH, false },
		{ "both", "config=ecam", MACHINE_TABLES_BOTH, true },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct machine_config c;
		struct lacuna_error *err = NULL;
		machine_config_init(&c);
		cr_assert_eq(machine_config_set(&c, "tables", cases[i].tables, NULL), 0);
		cr_assert_eq(machine_config_set(&c, "pci", cases[i].pci, NULL), 0);
		cr_expect_eq(c.tables, cases[i].kind);
		cr_expect_eq(machine_config_check(&c, &err), cases[i].fits ? 0 : -EINVAL);
		cr_expect(!err ||
			  strstr(lacuna_error_message(err), "of which pci config=type1 has none"));
		lacuna_error_free(err);
		machine_config_done(&c);
	}
}

Test(config, devices_keep_their_order)
{
	static const char *const set[][2] = { { "disk", "a,readonly=on" }, { "rng", "" },
		{ "disk", "b" } };
	struct machine_config c;
	machine_config_init(&c);
	for (size_t i = 0; i < 3; i++)
		cr_assert_eq(machine_config_set(&c, set[i][0], set[i][1], NULL), 0);
	cr_assert_eq(c.device_count, 3);
	for (size_t i = 0; i < 3; i++) {
		cr_expect_str_eq(c.devices[i].option, set[i][0]);
		cr_expect_str_eq(c.devices[i].text, set[i][1]);
	}
	machine_config_done(&c);
}

Test(config, initrds_keep_their_order)
{
	static const char *const names[] = { "base.img", "./rootfs", "base.img" };
	struct machine_config c;
	machine_config_init(&c);
	cr_assert_eq(machine_config_set(&c, "kernel", "vmlinuz", NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cr_assert_eq(machine_config_set(&c, "initrd", names[i], NULL), 0);
		cr_expect_eq(machine_config_set(&c, "initrd", "", NULL), -EINVAL);
	}
	cr_assert_eq(c.initrd_count, ARRAY_SIZE(names));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cr_expect_str_eq(c.initrds[i].path, names[i]);
		cr_expect_eq(c.initrds[i].fd, -1);
	}
	cr_expect_eq(machine_config_check(&c, NULL), 0);
	machine_config_done(&c);
}

Test(config, serial_kinds)
{
	static const struct {
		const char *text;
		enum chardev_kind kind;
	} c[] = { { "off", CHARDEV_OFF }, { "none", CHARDEV_OFF }, { "stdio", CHARDEV_STDIO },
		{ "file=a,,b", CHARDEV_FILE } };
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct machine_config m;
		machine_config_init(&m);
		cr_assert_eq(machine_config_set(&m, "serial", c[i].text, NULL), 0);
		cr_expect_eq(m.serial.kind, c[i].kind);
		if (m.serial.kind == CHARDEV_FILE)
			cr_expect_str_eq(m.serial.path, "a,b");
		machine_config_done(&m);
	}
}

Test(config, contradictions)
{
	struct machine_config c;
	struct lacuna_error *err = NULL;
	machine_config_init(&c);
	machine_config_set(&c, "initrd", "i", NULL);
	cr_expect_eq(machine_config_check(&c, &err), -EINVAL);
	cr_expect(strstr(lacuna_error_message(err), "initrd: "));
	lacuna_error_free(err);
	err = NULL;
	machine_config_set(&c, "kernel", "k", NULL);
	machine_config_set(&c, "hugepages", "on", NULL);
	machine_config_set(&c, "memory", "33M", NULL);
	cr_expect_eq(machine_config_check(&c, &err), -EINVAL);
	cr_expect(strstr(lacuna_error_message(err), "multiple of 2M"));
	lacuna_error_free(err);
	machine_config_done(&c);
}

Test(config, public_face)
{
	struct lacuna_config *c = NULL;
	struct lacuna_error *err = NULL;
	cr_assert_eq(lacuna_config_new(&c, NULL), 0);
	cr_expect_eq(lacuna_config_set(c, "cpus", "2", &err), 0);
	cr_expect_eq(lacuna_config_set(c, "cpus", "2", NULL), -EEXIST);
	cr_expect_eq(lacuna_config_set(c, NULL, "2", NULL), -EINVAL);
	cr_expect_eq(lacuna_config_set(c, "cpus", NULL, NULL), -EINVAL);
	lacuna_config_free(c);
	lacuna_config_free(NULL);
	cr_expect_str_eq(lacuna_end_reason_name(LACUNA_END_EXIT_CODE), "exit-code");
	cr_expect_str_eq(lacuna_end_reason_name((enum lacuna_end_reason)99), "none");
	cr_expect_str_eq(lacuna_exit_reason_name(2), "io");
	cr_expect_str_eq(lacuna_exit_reason_name(39), "memory_fault");
	cr_expect_str_eq(lacuna_exit_reason_name(13), "other");
	cr_expect_str_eq(lacuna_exit_reason_name(4000000000), "other");
	cr_expect(strchr(lacuna_version(), '.'));
}
