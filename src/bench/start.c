// SPDX-License-Identifier: Apache-2.0
/*
 * `lacuna bench start`: from the start to the guest's first instruction, which writes to the exit
 * port, beside the floor and QEMU. A round starts each kind once, in an order of its own; ratios
 * are taken within rounds.
 */
#include <abi/layout.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/child.h"
#include "bench/floor.h"
#include "bench/many.h"
#include "bench/payload.h"
#include "bench/result.h"
#include "bench/start_plot.h"

#define MIB        (UINT64_C(1024) * 1024)
#define TIMEOUT_NS (30 * SECOND_NS)

enum kind { LIBRARY, EXEC, FLOOR, FLOOR_NAIVE, QEMU, QEMU_KERNEL, KINDS };

static const char *const kind_names[] = { "library", "exec", "floor", "floor-naive", "qemu",
	"qemu-kernel", NULL };

static struct {
	uint64_t count, memory_mib, repeat;
	struct list kinds, vms;
	const char *program;
} asked = {
	.count = 50,
	.memory_mib = 256,
	.repeat = ROUNDS_FEW,
	.kinds = { 6, { 0, 1, 2, 3, 4, 5 } },
	.vms = { 5, { 1, 10, 50, 100, 200 } },
};

static const struct opt opts[] = {
	{ "count", "N", "50", .help = "starts of each kind" },
	{ "kinds", "LIST|none", "all",
		.help = "what is started: library, exec, floor, floor-naive, qemu, qemu-kernel" },
	{ "memory", "MIB", "256", .help = "guest RAM, 32 to 3072" },
	{ "program", "FILE", "this one", .help = "what exec runs" },
	{ "vms", "LIST|none", "1,10,50,100,200", .help = "machines at once, 1 to 1000" },
	{ "repeat", "N", "6", .help = "how often each number of machines is made" },
	{ 0 },
};

static int set(const char *name, const char *value)
{
	if (!strcmp(name, "count"))
		return option_number(name, value, 1, 100000, &asked.count);
	if (!strcmp(name, "memory"))
		return option_number(name, value, 32, 3072, &asked.memory_mib);
	if (!strcmp(name, "repeat"))
		return option_number(name, value, 1, 1000, &asked.repeat);
	if (!strcmp(name, "program"))
		return option_program(value, &asked.program);
	struct list *list = !strcmp(name, "vms") ? &asked.vms : &asked.kinds;
	if (!strcmp(value, "none")) {
		list->count = 0;
		return STATUS_OK;
	}
	if (list == &asked.vms)
		return option_numbers(name, value, 1, 1000, list);
	return option_words(name, value, kind_names, list);
}

/* --- one start of each kind --- */

struct inputs {
	struct payload elf, firmware;
	char program[PATH_MAX];
};

/* Microseconds from the start on; NAN: not known. */
struct times {
	double process; /* when a program of its own had come so far as to make the VM */
	double created, first;
};

static int start_library(const struct inputs *in, struct times *ret, struct why *why)
{
	struct lacuna_config *config = NULL;
	struct lacuna_vm *vm = NULL;
	struct lacuna_error *err = NULL;
	struct lacuna_stats stats = { .size = sizeof(stats) };
	char memory[32];
	snprintf(memory, sizeof(memory), "%lluM", (unsigned long long)asked.memory_mib);
	int rc = lacuna_config_new(&config, &err);
	if (rc == 0)
		rc = lacuna_config_set(config, "kernel", in->elf.path, &err);
	if (rc == 0)
		rc = lacuna_config_set(config, "memory", memory, &err);
	uint64_t start = now_ns();
	if (rc == 0)
		rc = lacuna_vm_new(config, &vm, &err);
	uint64_t created = now_ns();
	if (rc == 0)
		rc = lacuna_vm_start(vm, &err);
	if (rc == 0)
		rc = lacuna_vm_wait(vm, NULL, NULL, &err);
	if (rc == 0) {
		lacuna_vm_stats(vm, &stats);
		ret->created = (double)(created - start) / 1e3;
		ret->first = (double)stats.end_us;
		if (stats.end_reason != LACUNA_END_EXIT_CODE)
			rc = why_set(why, "the guest went astray: it ended by '%s'",
				lacuna_end_reason_name(stats.end_reason));
	} else {
		why_error(why, err);
	}
	lacuna_vm_free(vm);
	lacuna_config_free(config);
	return rc < 0 ? -1 : 0;
}

static int start_floor(bool naive, struct times *ret, struct why *why)
{
	struct floor_shape shape = {
		.memory = asked.memory_mib * MIB,
		.code = payload_exit,
		.size = payload_exit_size,
		.irqchip_first = naive,
	};
	struct floor_times t;
	uint64_t start = now_ns();
	if (floor_run(&shape, &t, why) < 0)
		return -1;
	ret->created = (double)(t.created - start) / 1e3;
	ret->first = (double)(t.first - start) / 1e3;
	return 0;
}

/* From right before execve(2) in the child to the moments that its statistics tell. */
static int start_program(const struct inputs *in, struct times *ret, struct why *why)
{
	char memory[32];
	snprintf(memory, sizeof(memory), "%lluM", (unsigned long long)asked.memory_mib);
	const char *argv[] = { in->program, "run", "--kernel", in->elf.path, "--memory", memory,
		"--serial", "off", "--stats-file", "-", NULL };
	struct child_spec spec = { .argv = argv };
	struct child c;
	int rc = child_run(&c, &spec, TIMEOUT_NS, why);
	if (rc == 0) {
		json_t *stats = json_loads(c.output ? c.output : "", 0, NULL);
		const json_t *origin = result_get(stats, "time_us.origin");
		double before = json_number_value(origin) - (double)c.exec_ns / 1e3;
		ret->process = before;
		ret->created = before + json_number_value(result_get(stats, "time_us.created"));
		ret->first = before + json_number_value(result_get(stats, "time_us.end"));
		if (!json_is_number(origin))
			rc = why_set(why, "'%s' told no times: is it lacuna %s?", in->program,
				lacuna_version());
		json_decref(stats);
	}
	child_end(&c);
	return rc;
}

static void note_first(void *opaque, const char *data, size_t size, uint64_t when)
{
	uint64_t *first = opaque;
	if (!*first)
		*first = when;
}

/* Its debug console passes the byte on at once, by a pipe. */
static int start_qemu(const struct inputs *in, bool kernel, struct times *ret, struct why *why)
{
	char memory[32];
	uint64_t first = 0;
	snprintf(memory, sizeof(memory), "%lluM", (unsigned long long)asked.memory_mib);
	const char *argv[] = { "qemu-system-x86_64", "-M", "microvm,accel=kvm", "-cpu", "host",
		"-m", memory, "-smp", "1", "-nodefaults", "-no-user-config", "-display", "none",
		"-no-reboot", kernel ? "-kernel" : "-bios",
		kernel ? in->elf.path : in->firmware.path, "-chardev", "stdio,id=c,signal=off",
		"-device", "isa-debugcon,iobase=0xf4,chardev=c", NULL };
	struct child_spec spec = { .argv = argv, .on_output = note_first, .opaque = &first };
	struct child c;
	if (child_start(&c, &spec, why) < 0)
		return -1;
	uint64_t until = now_ns() + TIMEOUT_NS;
	int over = 0;
	while (!first && !over)
		over = child_serve_some(&c, until);
	ret->first = (double)(first - c.exec_ns) / 1e3;
	if (!first && over < 0)
		why_set(why, "qemu-system-x86_64 ended: %s", child_said(&c));
	else if (!first)
		why_set(why, "the guest did not reach its first instruction within %llu s",
			(unsigned long long)(TIMEOUT_NS / SECOND_NS));
	child_end(&c);
	return first ? 0 : -1;
}

static int start_once(enum kind kind, const struct inputs *in, struct times *ret, struct why *why)
{
	switch (kind) {
	case LIBRARY:
		return start_library(in, ret, why);
	case EXEC:
		return start_program(in, ret, why);
	case FLOOR:
	case FLOOR_NAIVE:
		return start_floor(kind == FLOOR_NAIVE, ret, why);
	default:
		return start_qemu(in, kind == QEMU_KERNEL, ret, why);
	}
}

/* --- rounds --- */

struct measured {
	struct series process, created, first;
	bool failed;
	struct why why;
};

static int open_inputs(struct inputs *in, struct why *why)
{
	in->elf.fd = in->firmware.fd = -1;
	if (payload_elf(&in->elf, payload_exit, payload_exit_size, why) < 0 ||
		payload_firmware(&in->firmware, payload_exit, payload_exit_size, why) < 0)
		return -1;
	return child_lacuna(asked.program, in->program, why);
}

/* The first round counts for nothing: it fills caches. */
static void measure(const struct inputs *in, struct measured m[KINDS])
{
	size_t kinds = asked.kinds.count;
	for (uint64_t round = 0; kinds && round <= asked.count; round++) {
		progress("start: round %llu of %llu", (unsigned long long)round,
			(unsigned long long)asked.count);
		size_t order[KINDS];
		round_order(round, kinds, order);
		for (size_t i = 0; i < kinds; i++) {
			enum kind k = (enum kind)asked.kinds.value[order[i]];
			struct times t = { NAN, NAN, NAN };
			if (!m[k].failed)
				m[k].failed = start_once(k, in, &t, &m[k].why) < 0;
			if (round) {
				series_add(&m[k].process, t.process);
				series_add(&m[k].created, t.created);
				series_add(&m[k].first, t.first);
			}
		}
	}
}

static void add_rows(json_t *document, const struct measured m[KINDS])
{
	bool floor = list_has(&asked.kinds, FLOOR) && !m[FLOOR].failed;
	for (size_t i = 0; i < asked.kinds.count; i++) {
		enum kind k = (enum kind)asked.kinds.value[i];
		json_t *row = json_pack("{s:s, s:s}", "part", "start", "what", kind_names[k]);
		if (m[k].failed) {
			result_add_unavailable(document, row, &m[k].why);
			continue;
		}
		json_object_set_new(row, "process_us", result_summary(&m[k].process));
		json_object_set_new(row, "created_us", result_summary(&m[k].created));
		json_object_set_new(row, "first_us", result_summary(&m[k].first));
		if (floor && k != FLOOR)
			json_object_set_new(
				row, "to_floor", result_ratio(&m[k].first, &m[FLOOR].first));
		result_add(document, row);
	}
}

static struct estimate to_floor(const struct measured m[KINDS], enum kind kind)
{
	return series_ratio(&m[kind].first, &m[FLOOR].first);
}

static void add_figures(json_t *document, const struct measured m[KINDS])
{
	if (list_has(&asked.kinds, LIBRARY) && list_has(&asked.kinds, FLOOR))
		result_figure(document, "library to the floor", to_floor(m, LIBRARY), "times",
			false, 1.3);
	if (list_has(&asked.kinds, EXEC) && list_has(&asked.kinds, FLOOR))
		result_figure(
			document, "exec to the floor", to_floor(m, EXEC), "times", false, 1.5);
}

/* --- the command --- */

/* Whether a program is linked statically: no segment asks for an interpreter. NULL: no ELF64. */
static json_t *is_static(const char *path)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && pread(fd, &eh, sizeof(eh), 0) == sizeof(eh) &&
		  !memcmp(eh.e_ident, ELFMAG, SELFMAG) && eh.e_ident[EI_CLASS] == ELFCLASS64;
	bool interpreted = false;
	for (unsigned i = 0; ok && i < eh.e_phnum; i++) {
		off_t at = (off_t)(eh.e_phoff + (uint64_t)i * sizeof(ph));
		ok = pread(fd, &ph, sizeof(ph), at) == sizeof(ph);
		interpreted |= ok && ph.p_type == PT_INTERP;
	}
	if (fd >= 0)
		close(fd);
	return ok ? json_boolean(!interpreted) : json_null();
}

static json_t *settings(const struct inputs *in)
{
	return json_pack("{s:I, s:o, s:I, s:I, s:o, s:I, s:o}", "count", (json_int_t)asked.count,
		"kinds", list_json(&asked.kinds, kind_names), "memory_mib",
		(json_int_t)asked.memory_mib, "vcpus", (json_int_t)1, "vms",
		list_json(&asked.vms, NULL), "repeat", (json_int_t)asked.repeat,
		"program_is_static", is_static(in->program));
}

static int run(json_t **ret)
{
	struct inputs in;
	struct measured m[KINDS] = { 0 };
	struct why why;
	int status = STATUS_OK;
	if (open_inputs(&in, &why) < 0) {
		status = fail("bench start: %s", why.text);
	} else {
		json_t *document = result_new("start", settings(&in));
		measure(&in, m);
		add_rows(document, m);
		add_figures(document, m);
		many_measure(document, &asked.vms, asked.memory_mib, asked.repeat);
		*ret = document;
	}
	for (int k = 0; k < KINDS; k++) {
		series_free(&m[k].process);
		series_free(&m[k].created);
		series_free(&m[k].first);
	}
	payload_close(&in.elf);
	payload_close(&in.firmware);
	return status;
}

static const struct table tables[] = {
	{ "start", "From the start to the guest's first instruction",
		(const struct column[]){
			{ "what", "", NULL, COLUMN_KEY, 0, 0 },
			{ "first_us", "p50", "ms", COLUMN_TIME, 2, 1e-3 },
			{ "first_us.min", "min", "ms", COLUMN_INFO, 2, 1e-3 },
			{ "first_us.p90", "p90", "ms", COLUMN_INFO, 2, 1e-3 },
			{ "first_us.p99", "p99", "ms", COLUMN_INFO, 2, 1e-3 },
			{ "first_us.max", "max", "ms", COLUMN_INFO, 2, 1e-3 },
			{ "process_us", "process", "ms", COLUMN_INFO, 2, 1e-3 },
			{ "created_us", "created", "ms", COLUMN_INFO, 2, 1e-3 },
			{ "to_floor", "to the floor", "times", COLUMN_RATIO, 2, 0 },
			{ 0 },
		} },
	{ "many", "Machines at once, in one process",
		(const struct column[]){
			{ "vms", "VMs", NULL, COLUMN_KEY, 0, 0 },
			{ "started_us", "all started", "ms", COLUMN_INFO, 1, 1e-3 },
			{ "started_us_per_vm", "each", "ms", COLUMN_TIME, 2, 1e-3 },
			{ "start_cpu_us_per_vm", "CPU", "ms", COLUMN_TIME, 2, 1e-3 },
			{ "probed_us_per_vm", "each, probing", "ms", COLUMN_TIME, 2, 1e-3 },
			{ "probe_cpu_us_per_vm", "CPU", "ms", COLUMN_TIME, 2, 1e-3 },
			{ "resident_kib_per_vm", "resident", "KiB/VM", COLUMN_TIME, 0, 0 },
			{ "pss_kib_per_vm", "PSS", "KiB/VM", COLUMN_TIME, 0, 0 },
			{ "ram_kib_per_vm", "guest RAM", "KiB/VM", COLUMN_INFO, 0, 0 },
			{ "fds_per_vm", "fds", "/VM", COLUMN_COUNT, 2, 0 },
			{ "threads_per_vm", "threads", "/VM", COLUMN_COUNT, 2, 0 },
			{ 0 },
		} },
	{ 0 },
};

const struct bench_command bench_start = {
	.name = "start",
	.help = "Times starts, to the guest's first instruction, and weighs machines",
	.opts = opts,
	.table = tables,
	.set = set,
	.run = run,
	.plot = start_plot,
};
