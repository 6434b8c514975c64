// SPDX-License-Identifier: Apache-2.0
/* lacuna bench boot: counts, command lines, rows and figures. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/boot_rows.h"
#include "bench/result.h"

/* --- counts --- */

#define END "\nTotals:\n    Dropped: 0\n"

/* As KVM tells them of returns for ports 2, for MMIO 6, for a system event 24. */
static const char returns[] = "{ reason: 2 } hitcount: 100\n{ reason: 6 } hitcount: 40\n"
			      "{ reason: 24 } hitcount: 1\n" END;
static const char ports[] = "{ port: 3320, rw: 1 } hitcount: 30\n" /* CONFIG_ADDRESS */
			    "{ port: 3323, rw: 1 } hitcount: 1\n"
			    "{ port: 3324, rw: 0 } hitcount: 20\n"
			    "{ port: 3326, rw: 1 } hitcount: 4\n"
			    "{ port: 1016, rw: 1 } hitcount: 25\n" /* the serial port */
			    "{ port: 1021, rw: 0 } hitcount: 5\n"
			    "{ port: 112, rw: 1 } hitcount: 2\n"
			    "{ port: 113, rw: 0 } hitcount: 2\n"
			    "{ port: 128, rw: 1 } hitcount: 11\n" END;
static const char mmio[] = "{ gpa: 3758096384, type: 0 } hitcount: 7\n"  /* 0xe0000000, a read */
			   "{ gpa: 3758096384, type: 1 } hitcount: 7\n"  /* its answer */
			   "{ gpa: 4026531839, type: 2 } hitcount: 3\n"  /* 0xefffffff, a write */
			   "{ gpa: 4026531840, type: 2 } hitcount: 50\n" /* 0xf0000000 */
			   "{ gpa: 3758096383, type: 2 } hitcount: 60\n" /* 0xdfffffff */ END;

static const char exits[] = "{ exit_reason: 123, isa: 2 } hitcount: 110\n"
			    "{ exit_reason: 1024, isa: 2 } hitcount: 70\n"
			    "{ exit_reason: 4294967295, isa: 2 } hitcount: 1\n"
			    "{ exit_reason: 48, isa: 1 } hitcount: 3\n"
			    "{ exit_reason: 300, isa: 2 } hitcount: 2\n"
			    "{ exit_reason: 300, isa: 7 } hitcount: 4\n" END;

static struct boot_counts count(const char *const text[BOOT_TRACEPOINTS], uint64_t window)
{
	struct boot_tally tally = { .window = window };
	struct why why;
	for (size_t i = 0; i < BOOT_TRACEPOINTS; i++)
		cr_assert_eq(tracepoint_parse(text[i], boot_tracepoints[i].keys, boot_tally_add[i],
				     &tally, &why),
			0, "%s", why.text);
	boot_tally_end(&tally);
	return tally.counts;
}

Test(bench_boot, counts)
{
	const char *const text[] = { returns, ports, mmio, exits };
	struct boot_counts c = count(text, 0xe0000000);
	cr_expect_eq(c.returns, 141);
	cr_expect_eq(c.io, 100);
	cr_expect_eq(c.mmio, 40);
	cr_expect_eq(c.config_read, 20);
	cr_expect_eq(c.config_write, 35, "all of them returned: %d", (int)c.config_write);
	cr_expect_eq(c.window_read, 7);
	cr_expect_eq(c.window_write, 3);
	cr_expect_eq(c.serial, 30);
	cr_expect_eq(c.cmos, 4);
	cr_expect_eq(boot_counts_pci(&c), 65);
}

Test(bench_boot, counts_without_a_window)
{
	const char *const text[] = { returns, ports, mmio, exits };
	struct boot_counts c = count(text, 0);
	cr_expect_eq(c.window_read + c.window_write, 0);
}

/* 100 accesses to ports, of which KVM kept some: nobody knows which, and writes to the address port
 * are what it can have kept of PCI's. What it serves itself was never to return. */
Test(bench_boot, counts_of_gathered_writes)
{
	static const char few[] = "{ reason: 2 } hitcount: 90\n" END;
	static const char fewer[] = "{ reason: 2 } hitcount: 10\n" END;
	static const char more[] = "{ port: 3320, rw: 1 } hitcount: 30\n"
				   "{ port: 3324, rw: 1 } hitcount: 5\n"
				   "{ port: 1016, rw: 1 } hitcount: 65\n"
				   "{ port: 32, rw: 1 } hitcount: 1000\n"
				   "{ port: 161, rw: 1 } hitcount: 1000\n"
				   "{ port: 67, rw: 1 } hitcount: 1000\n"
				   "{ port: 97, rw: 0 } hitcount: 1000\n"
				   "{ port: 1233, rw: 0 } hitcount: 1000\n" END;
	const char *const ten[] = { few, more, END, END };
	const char *const all[] = { fewer, more, END, END };
	cr_expect_eq(count(ten, 0).config_write, 25);
	cr_expect_eq(count(all, 0).config_write, 5, "writes to the data port can't be gathered");
}

static uint64_t hits(const struct reasons *r, const char *name)
{
	for (size_t i = 0; i < r->count; i++)
		if (!strcmp(r->of[i].name, name))
			return r->of[i].hits;
	return 0;
}

Test(bench_boot, counts_by_reason)
{
	const char *const text[] = { returns, ports, mmio, exits };
	struct boot_counts c = count(text, 0), own;
	cr_expect_eq(c.by_reason.count, 3);
	cr_expect_eq(hits(&c.by_reason, "io"), 100);
	cr_expect_eq(hits(&c.by_reason, "mmio"), 40);
	cr_expect_eq(hits(&c.by_reason, "system_event"), 1);
	cr_expect_eq(c.exits.count, 6);
	cr_expect_eq(hits(&c.exits, "io"), 110, "0x7b of SVM");
	cr_expect_eq(hits(&c.exits, "npf"), 70, "0x400");
	cr_expect_eq(hits(&c.exits, "invalid_guest_state"), 1, "-1");
	cr_expect_eq(hits(&c.exits, "EPT_VIOLATION"), 3, "48 of VMX");
	cr_expect_eq(hits(&c.exits, "svm_0x12c"), 2);
	cr_expect_eq(hits(&c.exits, "cpu_0x12c"), 4);
	json_t *s = json_pack("{s:{s:i, s:{s:i, s:i, s:i}}}", "exits", "total", 9, "by_reason",
		"hlt", 5, "other", 4, "nmi", 0);
	cr_expect(boot_counts_own(s, &own));
	cr_expect_eq(own.by_reason.count, 2);
	cr_expect_eq(hits(&own.by_reason, "hlt"), 5);
	cr_expect_eq(hits(&own.by_reason, "other"), 4);
	json_decref(s);
}

/* More reasons than there is room for are added up, so that none is lost. */
Test(bench_boot, reasons_without_room)
{
	struct reasons r = { 0 };
	for (unsigned i = 0; i < 2 * REASONS_MAX; i++) {
		char name[REASON_NAME];
		reason_of_cpu(7, i, name);
		reasons_add(&r, name, 1);
		reasons_add(&r, name, 1);
	}
	cr_expect_eq(r.count, REASONS_MAX);
	cr_expect_eq(reasons_sum(&r), 4 * REASONS_MAX);
	cr_expect_eq(hits(&r, "cpu_0x1"), 2);
}

/* Medians, by name; what a boot does not have counts as 0. */
Test(bench_boot, reasons_of_rounds)
{
	struct reason_rounds rounds = { 0 };
	for (unsigned i = 0; i < 3; i++) {
		struct reasons r = { 0 };
		reasons_add(&r, "io", 10 + i);
		if (i == 1)
			reasons_add(&r, "hlt", 7);
		if (i)
			reasons_add(&r, "npf", 11);
		reason_rounds_add(&rounds, &r);
	}
	json_t *o = reason_rounds_json(&rounds);
	cr_expect_eq(json_object_size(o), 3);
	cr_expect_eq(json_integer_value(json_object_get(o, "io")), 11);
	cr_expect_eq(json_integer_value(json_object_get(o, "hlt")), 0);
	cr_expect_eq(json_integer_value(json_object_get(o, "npf")), 11);
	char text[24];
	reasons_text(o, text, sizeof(text));
	cr_expect_str_eq(text, "io 11, npf 11, hlt 0");
	reasons_text(o, text, 14);
	cr_expect_str_eq(text, "io 11, npf 11", "all that fits");
	reasons_text(o, text, 13);
	cr_expect_str_eq(text, "io 11");
	json_decref(o);
	reason_rounds_free(&rounds);
}

static json_t *stats(void)
{
	return json_pack("{s:{s:i, s:{s:i, s:i}, s:{s:i, s:i, s:i, s:i, s:i}, s:{s:i, s:i}}}",
		"exits", "total", 141, "by_reason", "io", 100, "mmio", 40, "pci_config",
		"type1_read", 20, "type1_write", 3, "ecam_read", 7, "ecam_write", 3, "absent", 2,
		"pio", "serial", 30, "cmos", 4);
}

Test(bench_boot, counts_of_lacuna)
{
	const char *const text[] = { returns, ports, mmio, exits };
	struct boot_counts traced = count(text, 0xe0000000), own;
	json_t *s = stats();
	cr_expect(boot_counts_own(s, &own));
	cr_expect_eq(own.returns, 141);
	cr_expect_eq(boot_counts_pci(&own), 33);
	cr_expect_eq(own.absent, 2);
	cr_expect(boot_counts_agree(&traced, &own), "writes to ports apart, which KVM gathers");
	traced.returns++;
	cr_expect_not(boot_counts_agree(&traced, &own));
	traced.returns--;
	own.window_read++;
	cr_expect_not(boot_counts_agree(&traced, &own));
	json_decref(s);
}

struct text { /* no pointers: rows travel to another process */
	char text[120];
};

ParameterizedTestParameters(bench_boot, strange_statistics)
{
	static struct text c[] = { { "{}" }, { "[]" }, { "{\"exits\": 1}" },
		{ "{\"exits\": {\"total\": \"1\"}}" }, { "{\"exits\": {\"total\": 1.5}}" },
		{ "{\"exits\": {\"total\": null, \"by_reason\": [1]}}" } };
	return cr_make_param_array(struct text, c, sizeof(c) / sizeof(c[0]));
}

ParameterizedTest(struct text *c, bench_boot, strange_statistics)
{
	struct boot_counts own;
	json_t *s = json_loads(c->text, 0, NULL);
	cr_assert(s, "%s", c->text);
	cr_expect_not(boot_counts_own(s, &own), "%s", c->text);
	cr_expect_eq(own.returns, 0, "%s", c->text);
	json_decref(s);
}

Test(bench_boot, no_statistics)
{
	struct boot_counts own;
	cr_expect_not(boot_counts_own(NULL, &own));
}

/* --- command lines --- */

static bool has(char *const *argv, const char *first, const char *second)
{
	for (; *argv; argv++)
		if (!strcmp(argv[0], first) && (!second || (argv[1] && !strcmp(argv[1], second))))
			return true;
	return false;
}

static const struct boot_guest guest = {
	.program = "/bin/lacuna",
	.kernel = "k",
	.initrd = "i",
	.cmdline = "quiet",
	.disk = "a,b",
	.disk_readonly = true,
	.tap = "t0",
	.memory_mib = 64,
	.cpus = 2,
};

Test(bench_boot, command_of_lacuna)
{
	char **argv = boot_argv(&boot_variants[4], &guest, "/stats", "more");
	cr_expect_str_eq(argv[0], "/bin/lacuna");
	cr_expect_str_eq(argv[1], "run");
	cr_expect(has(argv, "--kernel", "k"));
	cr_expect(has(argv, "--initrd=i", NULL));
	cr_expect(has(argv, "--disk=path=a,,b,readonly=on", NULL));
	cr_expect(has(argv, "--net=tap=t0", NULL));
	cr_expect(has(argv, "--pci=window=trap,buses=1", NULL));
	cr_expect(has(argv, "--memory", "64M"));
	cr_expect(has(argv, "--cpus=2", NULL));
	cr_expect(has(argv, "--stats-file", "/stats"));
	cr_expect(has(argv, "--cmdline", "quiet more"));
	boot_argv_free(argv);
}

Test(bench_boot, command_of_qemu)
{
	char **argv = boot_argv(&boot_rivals[4], &guest, "/stats", "");
	cr_expect_str_eq(argv[0], "qemu-system-x86_64");
	cr_expect(has(argv, "-M", "microvm,accel=kvm,acpi=on,pcie=on"));
	cr_expect(has(argv, "-drive", "if=none,file=a,,b,format=raw,id=d,readonly=on"));
	cr_expect(has(argv, "-netdev", "tap,id=n,ifname=t0,script=no,downscript=no,vhost=off"));
	cr_expect(has(argv, "-m", "64"));
	cr_expect(has(argv, "-smp", "2"));
	cr_expect(has(argv, "-append", "quiet pci=lastbus=0"));
	boot_argv_free(argv);
}

Test(bench_boot, names_are_those_of_the_monitors)
{
	for (size_t i = 0; i < BOOT_VARIANTS; i++)
		cr_expect_str_eq(boot_variant_names[i], boot_variants[i].name);
	for (size_t i = 0; i < BOOT_RIVALS; i++)
		cr_expect_str_eq(boot_rival_names[i], boot_rivals[i].name);
}

struct command { /* likewise */
	char value[80];
	int status;
	char name[32];
	uint64_t window;
	char command[40];
};

ParameterizedTestParameters(bench_boot, command)
{
	static struct command c[] = {
		{ "mine=run me", STATUS_OK, "mine", 0, "run me" },
		{ "a-1.2=x=y", STATUS_OK, "a-1.2", 0, "x=y" },
		{ "mine@0xe0000000=x", STATUS_OK, "mine", 0xe0000000, "x" },
		{ "mine@b0000000=x@y", STATUS_OK, "mine", 0xb0000000, "x@y" },
		{ "mine", STATUS_FAILED, "", 0, "" },
		{ "=x", STATUS_FAILED, "", 0, "" },
		{ "mine=", STATUS_FAILED, "", 0, "" },
		{ "Mine=x", STATUS_FAILED, "", 0, "" },
		{ "my own=x", STATUS_FAILED, "", 0, "" },
		{ "mine@=x", STATUS_FAILED, "", 0, "" },
		{ "mine@-1=x", STATUS_FAILED, "", 0, "" },
		{ "mine@12 =x", STATUS_FAILED, "", 0, "" },
		{ "mine@xyz=x", STATUS_FAILED, "", 0, "" },
		{ "mine@11112222333344445=x", STATUS_FAILED, "", 0, "" },
		{ "a123456789012345678901234567890=x", STATUS_OK, "a123456789012345678901234567890",
			0, "x" },
		{ "a1234567890123456789012345678901=x", STATUS_FAILED, "", 0, "" },
		{ "", STATUS_FAILED, "", 0, "" },
	};
	return cr_make_param_array(struct command, c, sizeof(c) / sizeof(c[0]));
}

ParameterizedTest(struct command *c, bench_boot, command)
{
	struct boot_monitor m;
	char name[32] = "";
	cr_assert_eq(boot_command_parse(c->value, name, &m), c->status, "'%s'", c->value);
	if (c->status != STATUS_OK)
		return;
	cr_expect_str_eq(m.name, c->name);
	cr_expect_eq(m.window, c->window, "'%s'", c->value);
	cr_expect_str_eq(m.command, c->command);
}

/* --- rows and figures --- */

static struct boot_result result(double marker, uint64_t all, uint64_t pci)
{
	struct boot_counts c = { .returns = all, .io = all, .config_read = pci };
	reasons_add(&c.by_reason, "io", all);
	reasons_add(&c.exits, "io", all);
	return (struct boot_result){
		.at = { .marker = marker, .end = marker + 1 },
		.own = c,
		.traced = c,
		.memory_kib = 3000,
	};
}

static json_t *find(const json_t *document, const char *list, const char *key, const char *name)
{
	size_t i;
	json_t *v;
	json_array_foreach(json_object_get(document, list), i, v)
	{
		if (!strcmp(json_string_value(json_object_get(v, key)) ?: "", name))
			return v;
	}
	return NULL;
}

Test(bench_boot, figures)
{
	struct boot_measured m[2] = { { .monitor = &boot_variants[0] },
		{ .monitor = &boot_rivals[0] } };
	struct boot_result r[2] = { result(500, 100, 10), result(1000, 2000, 600) };
	for (int i = 0; i < 2; i++) {
		boot_add_times(&m[i], &r[i].at);
		boot_add_counts(&m[i], &r[i], true);
	}
	json_t *d = json_pack("{s:[], s:[]}", "rows", "figures");
	boot_add_rows(d, m, 2);
	boot_add_figures(d, m, 2);
	cr_expect_eq(json_array_size(json_object_get(d, "figures")), 3);
	const json_t *pci = find(d, "figures", "name", "returns for PCI, lacuna to qemu-q35");
	const json_t *time = find(d, "figures", "name", "time to the marker, lacuna to qemu-q35");
	cr_assert(pci && time);
	cr_expect(fabs(json_number_value(json_object_get(pci, "value")) - 10.0 / 600) < 1e-9);
	cr_expect_str_eq(json_string_value(json_object_get(pci, "verdict")), "met");
	cr_expect(json_is_null(json_object_get(pci, "interval")), "a count has none");
	cr_expect_str_eq(
		json_string_value(json_object_get(time, "verdict")), "not certain", "of one round");
	cr_expect_eq(json_number_value(result_get(time, "interval.rounds")), 1);
	cr_expect(fabs(json_number_value(json_object_get(time, "value")) - 0.5) < 1e-9);
	cr_expect_eq(json_array_size(json_object_get(d, "rows")), 6 + 1,
		"boot, returns and exits of both, phases of lacuna");
	json_decref(d);
	boot_measured_free(&m[0]);
	boot_measured_free(&m[1]);
}

/* A monitor that failed has its reason in every row; figures that need it are not available. */
Test(bench_boot, one_failed)
{
	struct boot_measured m[2] = { { .monitor = &boot_variants[0] },
		{ .monitor = &boot_rivals[2], .failed = true, .why = { "no such thing" } } };
	struct boot_result r = result(500, 100, 10);
	boot_add_times(&m[0], &r.at);
	boot_add_counts(&m[0], &r, false);
	m[0].not_counted = (struct why){ "not asked for" };
	json_t *d = json_pack("{s:[], s:[]}", "rows", "figures");
	boot_add_rows(d, m, 2);
	boot_add_figures(d, m, 2);
	size_t i, told = 0;
	json_t *v;
	json_array_foreach(json_object_get(d, "rows"), i, v)
	{
		told += json_object_get(v, "not_available") != NULL;
	}
	cr_expect_eq(told, 4, "of the one all, of the other its exits, which nobody counted");
	json_array_foreach(json_object_get(d, "figures"), i, v)
	{
		cr_expect(json_is_null(json_object_get(v, "value")), "%s",
			json_string_value(json_object_get(v, "name")));
	}
	cr_expect_eq(i, 3);
	json_decref(d);
	boot_measured_free(&m[0]);
}

/* Of lacuna the two ways to count are compared; what is told is its own. */
Test(bench_boot, tracepoints_are_compared)
{
	for (int differ = 0; differ < 2; differ++) {
		struct boot_measured m = { .monitor = &boot_variants[0] };
		struct boot_result r = result(500, 100, 10);
		boot_add_times(&m, &r.at);
		boot_add_counts(&m, &r, true);
		r.traced.returns += (unsigned)differ;
		boot_add_counts(&m, &r, true);
		json_t *d = json_pack("{s:[], s:[]}", "rows", "figures");
		boot_add_rows(d, &m, 1);
		const json_t *row = find(d, "rows", "part", "returns");
		cr_expect_eq(json_is_true(json_object_get(row, "tracepoints_agree")), !differ);
		cr_expect_eq(json_number_value(result_get(row, "returns.max")), 100);
		json_decref(d);
		boot_measured_free(&m);
	}
}
