// SPDX-License-Identifier: Apache-2.0
/*
 * `lacuna bench boot`: a kernel to its marker under lacuna, variants of it and other monitors, in
 * turns. Boots that are counted by tracepoints come first and are not timed, since counting takes
 * longer the more there is to count; boots that tell their phases come last, since a guest that
 * tells much is slower.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/boot_plot.h"
#include "bench/boot_rows.h"
#include "bench/child.h"
#include "bench/payload.h"
#include "bench/result.h"

#define MIB          (UINT64_C(1024) * 1024)
#define COMMANDS_MAX 8
#define MONITORS_MAX (BOOT_VARIANTS + BOOT_RIVALS + COMMANDS_MAX)

enum initcalls { NONE, CONSOLE, LOG };
static const char *const initcalls_names[] = { "none", "console", "log" };

static struct {
	struct boot_guest guest;
	const char *disk, *program, *marker;
	uint64_t repeat, count, timeout;
	struct list variants, compare;
	bool end_at_marker;
	enum initcalls initcalls;
	struct boot_monitor command[COMMANDS_MAX];
	char command_name[COMMANDS_MAX][32];
	size_t commands;
} asked = {
	.guest = { .cmdline = "console=ttyS0 quiet", .memory_mib = 512, .cpus = 1 },
	.marker = "LACUNA-GUEST-READY",
	.repeat = ROUNDS_FEW,
	.count = 1,
	.timeout = 300,
	.variants = { 2, { 0, 4 } },
};

static const struct opt opts[] = {
	{ "kernel", "FILE", NULL, .help = "what is booted" },
	{ "initrd", "FILE", "none", .help = "its initial RAM disk" },
	{ "cmdline", "TEXT", "console=ttyS0 quiet", .help = "its command line" },
	{ "disk", "FILE", "64 MiB of zeroes",
		.help = "an image for its virtio disk, which it can't write to; but a command of\n"
			"--compare-cmd can, and is to leave it as it was" },
	{ "net", "tap=NAME", "none",
		.help = "a tap interface that is there, for a virtio network" },
	{ "memory", "MIB", "512", .help = "guest RAM, 32 to 65536" },
	{ "cpus", "N", "1", .help = "virtual CPUs, 1 to 254" },
	{ "marker", "TEXT", "LACUNA-GUEST-READY", .help = "what the guest prints when it is up" },
	{ "until", "end|marker", "end",
		.help = "who ends the machine: the guest, or bench at the marker" },
	{ "repeat", "N", "6", .help = "boots of each that are timed" },
	{ "count", "N", "1", .help = "boots of each that are counted by the tracepoints of KVM" },
	{ "variants", "LIST", "lacuna,lacuna-trap-1bus",
		.help = "lacuna itself: lacuna, lacuna-1bus, lacuna-256bus, lacuna-type1,\n"
			"lacuna-trap-1bus, lacuna-trap-256bus, lacuna-unpack-guest" },
	{ "compare", "LIST|none", "none",
		.help = "beside it: qemu-q35, qemu-q35-onebus, qemu-microvm,\n"
			"qemu-microvm-rtc, qemu-microvm-onebus" },
	{ "compare-cmd", "NAME[@ADDRESS]=COMMAND", "none",
		.help = "beside it: a command for /bin/sh, which finds the guest in the variables\n"
			"LACUNA_BOOT_KERNEL, _INITRD, _CMDLINE, _DISK, _TAP, _MEMORY (MiB), _CPUS;\n"
			"ADDRESS: of the window of PCI's configuration space",
		.many = true },
	{ "initcalls", "none|console|log", "none",
		.help = "phases within the guest, of boots of their own: its initcall_debug lines,\n"
			"which it writes to its console, or prints from its log before it ends" },
	{ "timeout", "SECONDS", "300", .help = "for each boot, 1 to 86400" },
	{ "program", "FILE", "this one", .help = "the lacuna that is run" },
	{ 0 },
};

/* --- options --- */

static int set_file(const char *name, const char *value, const char **ret)
{
	*ret = value;
	return access(value, R_OK) == 0 ? STATUS_OK
					: fail("%s: '%s': %s", name, value, strerror(errno));
}

static int set_word(
	const char *name, const char *value, const char *const *words, int count, int *ret)
{
	char known[128] = "";
	size_t at = 0;
	for (int i = 0; i < count; i++) {
		at += (size_t)snprintf(
			known + at, sizeof(known) - at, "%s%s", i ? ", " : "", words[i]);
		*ret = i;
		if (!strcmp(value, words[i]))
			return STATUS_OK;
	}
	return fail("%s: '%s' is none of: %s", name, value, known);
}

static int set_marker(const char *value)
{
	asked.marker = value;
	if (!*value || strlen(value) > BOOT_MARKER_MAX || strchr(value, '\n'))
		return fail(
			"marker: a text of 1 to %d bytes on one line is needed", BOOT_MARKER_MAX);
	return STATUS_OK;
}

static int set_net(const char *value)
{
	size_t len = strlen(value);
	if (strncmp(value, "tap=", 4) != 0 || len < 5 || len > 4 + 15 || strchr(value, ','))
		return fail("net: '%s' is not tap=NAME, the one network that all monitors share",
			value);
	asked.guest.tap = value + 4;
	return STATUS_OK;
}

static int set_command(const char *value)
{
	if (asked.commands == COMMANDS_MAX)
		return fail("compare-cmd: more than %d", COMMANDS_MAX);
	char *name = asked.command_name[asked.commands];
	int status = boot_command_parse(value, name, &asked.command[asked.commands]);
	bool taken = false;
	for (size_t i = 0; i < BOOT_VARIANTS; i++)
		taken |= !strcmp(name, boot_variants[i].name);
	for (size_t i = 0; i < BOOT_RIVALS; i++)
		taken |= !strcmp(name, boot_rivals[i].name);
	for (size_t i = 0; i < asked.commands; i++)
		taken |= !strcmp(name, asked.command_name[i]);
	if (status == STATUS_OK && taken)
		return fail("compare-cmd: the name '%s' is taken", name);
	asked.commands += status == STATUS_OK;
	return status;
}

static int set_number(const char *name, const char *value)
{
	const struct {
		const char *name;
		uint64_t min, max, *to;
	} number[] = {
		{ "memory", 32, 65536, &asked.guest.memory_mib },
		{ "cpus", 1, 254, &asked.guest.cpus },
		{ "repeat", 1, 1000, &asked.repeat },
		{ "count", 0, 1000, &asked.count },
		{ "timeout", 1, 86400, &asked.timeout },
	};
	size_t i = 0;
	while (strcmp(number[i].name, name) != 0)
		i++;
	return option_number(name, value, number[i].min, number[i].max, number[i].to);
}

static int set(const char *name, const char *value)
{
	static const char *const until[] = { "end", "marker" };
	int word = 0, status;
	if (!strcmp(name, "kernel"))
		return set_file(name, value, &asked.guest.kernel);
	if (!strcmp(name, "initrd"))
		return set_file(name, value, &asked.guest.initrd);
	if (!strcmp(name, "disk"))
		return set_file(name, value, &asked.disk);
	if (!strcmp(name, "program"))
		return option_program(value, &asked.program);
	if (!strcmp(name, "cmdline")) {
		asked.guest.cmdline = value;
		return STATUS_OK;
	}
	if (!strcmp(name, "net"))
		return set_net(value);
	if (!strcmp(name, "marker"))
		return set_marker(value);
	if (!strcmp(name, "compare-cmd"))
		return set_command(value);
	if (!strcmp(name, "variants"))
		return option_words(name, value, boot_variant_names, &asked.variants);
	if (!strcmp(name, "compare")) {
		asked.compare.count = 0;
		return strcmp(value, "none")
			       ? option_words(name, value, boot_rival_names, &asked.compare)
			       : STATUS_OK;
	}
	if (!strcmp(name, "until")) {
		status = set_word(name, value, until, 2, &word);
		asked.end_at_marker = word;
		return status;
	}
	if (!strcmp(name, "initcalls")) {
		status = set_word(name, value, initcalls_names, 3, &word);
		asked.initcalls = (enum initcalls)word;
		return status;
	}
	return set_number(name, value);
}

/* --- rounds --- */

enum round { COUNTED, TIMED, TOLD };
static const char *const round_names[] = { "counted", "timed", "with its phases" };

static void add_result(struct boot_measured *m, enum round round, const struct boot_result *r)
{
	if (round == TIMED)
		boot_add_times(m, &r->at);
	if (round == (asked.initcalls == NONE ? TIMED : TOLD))
		boot_add_phases(m, r);
	if (round != TOLD)
		boot_add_counts(m, r, round == COUNTED);
}

/* What a boot that failed leaves a gap in, so that those of one round stay side by side. */
static const struct boot_times nothing = { NAN, NAN, NAN, NAN, { NAN, NAN, NAN }, NAN, NAN, NAN };

static void measure_round(struct boot_measured *m, size_t count, uint64_t number, uint64_t rounds,
	enum round round, struct tracepoints *trace)
{
	static const char *const words[] = { [CONSOLE] = "initcall_debug printk.time=1 "
							 "ignore_loglevel",
		[LOG] = "initcall_debug printk.time=1 log_buf_len=1M" };
	const struct boot_plan plan = {
		.marker = asked.marker,
		.end_at_marker = asked.end_at_marker,
		.timeout_ns = asked.timeout * SECOND_NS,
		.trace = round == COUNTED ? trace : NULL,
		.words = round == TOLD ? words[asked.initcalls] : "",
	};
	size_t order[MONITORS_MAX];
	round_order(number, count, order);
	boot_export(&asked.guest, plan.words);
	for (size_t i = 0; i < count; i++) {
		struct boot_measured *at = &m[order[i]];
		struct boot_result r;
		assert(at->monitor);
		progress("boot: round %llu of %llu, %s: %s", (unsigned long long)number + 1,
			(unsigned long long)rounds, round_names[round], at->monitor->name);
		if (!at->failed)
			at->failed = boot_run(at->monitor, &asked.guest, &plan, &r, &at->why) < 0;
		if (!at->failed)
			add_result(at, round, &r);
		else if (round == TIMED)
			boot_add_times(at, &nothing);
	}
}

/* The instance is gone before boots are timed: it counts while it is there. */
static uint64_t measure_counted(struct boot_measured *m, size_t count, uint64_t rounds)
{
	struct tracepoints trace = { .open = false };
	struct why why;
	uint64_t counted = asked.count;
	if (!counted)
		why_set(&why, "not asked for: --count 0");
	else if (tracepoints_open(&trace, boot_tracepoints, BOOT_TRACEPOINTS, &why) < 0 ||
		 tracepoints_follow(&trace, getpid(), &why) < 0)
		counted = 0;
	for (size_t i = 0; i < count && !counted; i++)
		m[i].not_counted = why;
	for (uint64_t i = 0; i < counted; i++)
		measure_round(m, count, i, rounds, COUNTED, &trace);
	tracepoints_close(&trace);
	return counted;
}

static void measure(struct boot_measured *m, size_t count)
{
	uint64_t told = asked.initcalls == NONE ? 0 : 1;
	uint64_t rounds = asked.count + asked.repeat + told;
	uint64_t done = measure_counted(m, count, rounds);
	rounds -= asked.count - done;
	for (uint64_t i = done; i < rounds; i++)
		measure_round(m, count, i, rounds, i < rounds - told ? TIMED : TOLD, NULL);
}

/* --- the document --- */

/* Files by their names alone: that they lie elsewhere makes no other run. */
static json_t *name_of(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	return path ? json_string(slash ? slash + 1 : path) : json_null();
}

static json_t *commands_json(void)
{
	json_t *o = json_object();
	for (size_t i = 0; i < asked.commands; i++)
		json_object_set_new(
			o, asked.command_name[i], json_string(asked.command[i].command));
	return o;
}

static json_t *settings(void)
{
	const struct boot_guest *g = &asked.guest;
	return json_pack(
		"{s:o, s:o, s:s, s:o, s:b, s:I, s:I, s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:s}",
		"kernel", name_of(g->kernel), "initrd", name_of(g->initrd), "cmdline", g->cmdline,
		"disk", name_of(asked.disk), "net", g->tap != NULL, "memory_mib",
		(json_int_t)g->memory_mib, "cpus", (json_int_t)g->cpus, "marker", asked.marker,
		"until", asked.end_at_marker ? "marker" : "end", "repeat", (json_int_t)asked.repeat,
		"count", (json_int_t)asked.count, "variants",
		list_json(&asked.variants, boot_variant_names), "compare",
		list_json(&asked.compare, boot_rival_names), "compare_cmd", commands_json(),
		"initcalls", initcalls_names[asked.initcalls]);
}

/* --- the command --- */

static size_t list_monitors(struct boot_measured *m)
{
	size_t count = 0;
	for (size_t i = 0; i < asked.variants.count; i++)
		m[count++].monitor = &boot_variants[asked.variants.value[i]];
	for (size_t i = 0; i < asked.compare.count; i++)
		m[count++].monitor = &boot_rivals[asked.compare.value[i]];
	for (size_t i = 0; i < asked.commands; i++)
		m[count++].monitor = &asked.command[i];
	return count;
}

/* So that no monitor reads them from slower places than the others. */
static void read_all(const char *path)
{
	static char data[65536];
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	while (fd >= 0 && read(fd, data, sizeof(data)) > 0)
		;
	if (fd >= 0)
		close(fd);
}

static int run(json_t **ret)
{
	char program[PATH_MAX];
	struct payload disk = { .fd = -1 };
	struct boot_measured m[MONITORS_MAX] = { 0 };
	struct why why;
	if (!asked.guest.kernel)
		return fail("bench boot: --kernel is missing: what is to be booted?");
	if (child_lacuna(asked.program, program, &why) < 0 ||
		(!asked.disk && payload_blank(&disk, "lacuna-bench-disk", 64 * MIB, &why) < 0))
		return fail("bench boot: %s", why.text);
	asked.guest.program = program;
	asked.guest.disk = asked.disk ? asked.disk : disk.path;
	asked.guest.disk_readonly = asked.disk;
	read_all(asked.guest.kernel);
	read_all(asked.guest.initrd);
	size_t count = list_monitors(m);
	json_t *document = result_new("boot", settings());
	measure(m, count);
	boot_add_rows(document, m, count);
	boot_add_figures(document, m, count);
	for (size_t i = 0; i < count; i++)
		boot_measured_free(&m[i]);
	payload_close(&disk);
	*ret = document;
	return STATUS_OK;
}

const struct bench_command bench_boot = {
	.name = "boot",
	.help = "Times and counts boots of a kernel, beside other monitors",
	.opts = opts,
	.table = boot_tables,
	.set = set,
	.run = run,
	.plot = boot_plot,
};
