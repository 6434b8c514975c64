// SPDX-License-Identifier: Apache-2.0
/*
 * `lacuna bench io`: the same guest with the same disk and network under lacuna and under QEMU.
 * Both are up all the time, and one waits while the other runs a phase, phase by phase, in an order
 * that changes; ratios are taken phase by phase.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/child.h"
#include "bench/io_guest.h"
#include "bench/io_net.h"
#include "bench/io_plot.h"
#include "bench/io_rows.h"
#include "bench/result.h"

#define SETTLE_NS  (2 * SECOND_NS)
#define PHASE_MORE 120 /* seconds that a phase may take beside its own */

static const char *const switch_names[] = { "off", "on", NULL };

static struct {
	struct io_setup setup;
	struct list workloads, monitors;
	uint64_t idle;
	const char *folder, *program;
} asked = {
	.setup = { .cmdline = "console=ttyS0 quiet lacuna.test=bench-io",
		.seconds = 2,
		.runs = ROUNDS_FEW,
		.memory_mib = 512 },
	.workloads = { 5, { 0, 1, 2, 3, 4 } },
	.monitors = { 2, { 0, 1 } },
	.idle = 30,
	.folder = "/var/tmp",
};

static const struct opt opts[] = {
	{ "kernel", "FILE", NULL, .help = "of the guest; must be given" },
	{ "initrd", "FILE", NULL, .help = "whose init measures; must be given" },
	{ "userland", "FILE", "none",
		.help = "image of a file system with fio and iperf3, as a disk with the\n"
			"serial number LACUNA-USERLAND" },
	{ "cmdline", "TEXT", "console=ttyS0 quiet lacuna.test=bench-io",
		.help = "the guest's; what it is to do comes behind it" },
	{ "workloads", "LIST", "all",
		.help = "randread-4k-qd1, randread-4k-qd32, read-128k-qd8: fio on a disk;\n"
			"send, receive: iperf3 through a tap" },
	{ "monitors", "LIST", "all", .help = "lacuna, qemu" },
	{ "program", "FILE", "this one", .help = "what is run as lacuna" },
	{ "repeat", "N", "6", .help = "how often each phase is timed, and counted as well" },
	{ "seconds", "N", "2", .help = "of each phase" },
	{ "idle", "N", "30", .help = "seconds of both guests at rest; 0: none" },
	{ "memory", "MIB", "512", .help = "guest RAM, 64 to 3072" },
	{ "direct", "on|off", "off", .help = "past the host's page cache" },
	{ "folder", "DIR", "/var/tmp", .help = "where the disk's file of 128 MiB is" },
	{ 0 },
};

static int set_file(const char *name, const char *value, int mode, const char **ret)
{
	if (strchr(value, ','))
		return fail("%s: '%s': a name with a comma can't be passed on", name, value);
	if (access(value, mode) < 0)
		return fail("%s: '%s': %s", name, value, strerror(errno));
	*ret = value;
	return STATUS_OK;
}

static int set_switch(const char *name, const char *value, bool *ret)
{
	for (int i = 0; switch_names[i]; i++) {
		if (!strcmp(value, switch_names[i])) {
			*ret = i;
			return STATUS_OK;
		}
	}
	return fail("%s: '%s' is unknown; give on or off", name, value);
}

static int set(const char *name, const char *value)
{
	const struct {
		const char *name;
		int mode;
		const char **ret;
	} file[] = { { "kernel", R_OK, &asked.setup.kernel },
		{ "initrd", R_OK, &asked.setup.initrd },
		{ "userland", R_OK, &asked.setup.userland },
		{ "folder", W_OK | X_OK, &asked.folder } };
	const struct {
		const char *name;
		uint64_t min, max, *ret;
	} number[] = { { "repeat", 1, 1000, &asked.setup.runs },
		{ "seconds", 1, 3600, &asked.setup.seconds }, { "idle", 0, 3600, &asked.idle },
		{ "memory", 64, 3072, &asked.setup.memory_mib } };
	for (size_t i = 0; i < sizeof(file) / sizeof(file[0]); i++)
		if (!strcmp(name, file[i].name))
			return set_file(name, value, file[i].mode, file[i].ret);
	for (size_t i = 0; i < sizeof(number) / sizeof(number[0]); i++)
		if (!strcmp(name, number[i].name))
			return option_number(
				name, value, number[i].min, number[i].max, number[i].ret);
	if (!strcmp(name, "program"))
		return option_program(value, &asked.program);
	if (!strcmp(name, "workloads"))
		return option_words(name, value, io_workload_names, &asked.workloads);
	if (!strcmp(name, "monitors"))
		return option_words(name, value, io_monitor_names, &asked.monitors);
	if (!strcmp(name, "direct"))
		return set_switch(name, value, &asked.setup.direct);
	asked.setup.cmdline = value;
	return STATUS_OK;
}

/* --- the disk --- */

/* What is read must not be found elsewhere in memory, or be zeros that need none. */
static int fill(int fd)
{
	static uint64_t block[131072];
	uint64_t state = 1;
	for (uint64_t at = 0; at < IO_DISK_SIZE; at += sizeof(block)) {
		for (size_t i = 0; i < sizeof(block) / sizeof(block[0]); i++)
			block[i] = random_next(&state);
		ssize_t n = pwrite(fd, block, sizeof(block), (off_t)at);
		if (n >= 0 && (size_t)n < sizeof(block))
			errno = ENOSPC;
		if (n != (ssize_t)sizeof(block))
			return -1;
	}
	return fsync(fd);
}

/* A file without a name, so that none is left; monitors reach it through this process. */
static int open_disk(char path[64], struct why *why)
{
	int fd = open(asked.folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return why_set(why, "make a file in '%s': %s%s", asked.folder, strerror(errno),
			errno == EOPNOTSUPP ? ": choose another --folder" : "");
	progress("io: writing the disk");
	if (fill(fd) < 0) {
		why_set(why, "write 128 MiB in '%s': %s", asked.folder, strerror(errno));
		close(fd);
		return -1;
	}
	snprintf(path, 64, "/proc/%d/fd/%d", (int)getpid(), fd);
	return fd;
}

/* --- the run --- */

struct run {
	struct io_results results;
	struct io_net net;
	struct tracepoints trace;
};

static bool net_is_asked(void)
{
	return list_has(&asked.workloads, IO_SEND) || list_has(&asked.workloads, IO_RECEIVE);
}

/* The guest's own word for what it is to do. */
static void describe_workloads(const struct run *r, char *buf, size_t size)
{
	size_t at = (size_t)snprintf(buf, size, "%s io.workloads=", asked.setup.cmdline);
	const char *comma = "";
	for (size_t i = 0; i < asked.workloads.count && at < size; i++) {
		uint64_t w = asked.workloads.value[i];
		if (w >= IO_DISK_WORKLOADS && !r->results.has_net)
			continue;
		at += (size_t)snprintf(buf + at, size - at, "%s%s", comma, io_workload_names[w]);
		comma = ",";
	}
}

static bool runs(const struct run *r, uint64_t monitor)
{
	return list_has(&asked.monitors, monitor) && !r->results.guest[monitor].failed;
}

/* The phase that is next for the guests that still run. */
static enum io_workload next_phase(const struct run *r)
{
	for (unsigned k = 0; k < IO_MONITORS; k++)
		if (runs(r, k) && io_guest_next(&r->results.guest[k]) != IO_WORKLOADS)
			return io_guest_next(&r->results.guest[k]);
	return IO_WORKLOADS;
}

static void run_phases(struct run *r)
{
	uint64_t phases = 2 * asked.setup.runs * asked.workloads.count,
		 runs_of[IO_WORKLOADS] = { 0 };
	enum io_workload w;
	for (uint64_t phase = 0; phase < phases && (w = next_phase(r)) != IO_WORKLOADS; phase++) {
		size_t order[IO_MONITORS], count = asked.monitors.count;
		round_order(runs_of[w]++ / 2, count, order); /* each is counted, then timed */
		for (size_t i = 0; i < count; i++) {
			uint64_t k = asked.monitors.value[order[i]];
			progress("io: phase %llu of %llu: %s, %s", (unsigned long long)phase + 1,
				(unsigned long long)phases, io_workload_names[w],
				io_monitor_names[k]);
			if (runs(r, k) && io_guest_next(&r->results.guest[k]) == w)
				io_guest_phase(&r->results.guest[k],
					r->results.has_trace ? &r->trace : NULL,
					asked.setup.seconds + PHASE_MORE);
			io_net_serve(&r->net);
		}
	}
}

/* Of all that run, at once. */
static void rest(struct run *r, struct io_guest *any, uint64_t ns)
{
	double cpu[IO_MONITORS], exits[IO_MONITORS];
	uint64_t begin = now_ns();
	for (unsigned k = 0; k < IO_MONITORS; k++) {
		cpu[k] = runs(r, k) ? io_guest_cpu_us(&r->results.guest[k]) : NAN;
		exits[k] = runs(r, k) ? io_guest_exits(&r->results.guest[k]) : NAN;
	}
	child_serve(&any->child, begin + ns);
	for (unsigned k = 0; k < IO_MONITORS; k++) {
		struct io_guest *g = &r->results.guest[k];
		double took = (double)(now_ns() - begin);
		if (!runs(r, k))
			continue;
		series_add(&g->idle_percent, (io_guest_cpu_us(g) - cpu[k]) * 1e5 / took);
		series_add(&g->idle_exits, (io_guest_exits(g) - exits[k]) * 1e9 / took);
	}
}

/* In parts, which say how far it can be relied on. */
static void run_idle(struct run *r)
{
	struct io_guest *any = NULL;
	for (unsigned k = 0; k < IO_MONITORS; k++)
		if (runs(r, k))
			any = &r->results.guest[k];
	if (!asked.idle || !any)
		return;
	progress("io: at rest for %llu s", (unsigned long long)asked.idle);
	child_serve(&any->child, now_ns() + SETTLE_NS);
	for (unsigned part = 0; part < ROUNDS_FEW; part++)
		rest(r, any, asked.idle * SECOND_NS / ROUNDS_FEW);
}

static void measure(struct run *r, const struct io_setup *setup)
{
	for (size_t i = 0; i < asked.monitors.count; i++) {
		enum io_monitor k = (enum io_monitor)asked.monitors.value[i];
		progress("io: starting %s", io_monitor_names[k]);
		io_guest_start(&r->results.guest[k], k, setup,
			r->results.has_net ? &r->net.tap[k] : NULL,
			r->results.has_net ? r->net.net[k] : NULL);
	}
	run_phases(r);
	run_idle(r);
	for (unsigned k = 0; k < IO_MONITORS; k++)
		if (runs(r, k))
			io_guest_finish(&r->results.guest[k]);
}

/* --- the command --- */

static json_t *base_name(const char *path)
{
	char real[PATH_MAX];
	const char *name = realpath(path, real) ? real : path;
	const char *slash = strrchr(name, '/');
	return json_string(slash ? slash + 1 : name);
}

static json_t *settings(void)
{
	return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:s}", "workloads",
		list_json(&asked.workloads, io_workload_names), "monitors",
		list_json(&asked.monitors, io_monitor_names), "repeat",
		(json_int_t)asked.setup.runs, "seconds", (json_int_t)asked.setup.seconds,
		"idle_seconds", (json_int_t)asked.idle, "memory_mib",
		(json_int_t)asked.setup.memory_mib, "vcpus", (json_int_t)1, "direct",
		(int)asked.setup.direct, "kernel", base_name(asked.setup.kernel), "cmdline",
		asked.setup.cmdline);
}

static void close_run(struct run *r)
{
	for (unsigned k = 0; k < IO_MONITORS; k++) {
		io_guest_end(&r->results.guest[k]);
		series_free(&r->results.guest[k].idle_percent);
		series_free(&r->results.guest[k].idle_exits);
		for (unsigned w = 0; w < IO_WORKLOADS; w++) {
			struct io_series *s = &r->results.guest[k].result[w];
			series_free(&s->rate);
			series_free(&s->units);
			series_free(&s->cpu_us);
			series_free(&s->counted);
			for (unsigned i = 0; i < IO_COUNTS; i++)
				series_free(&s->n[i]);
		}
	}
	io_net_close(&r->net);
	tracepoints_close(&r->trace);
}

static int run(json_t **ret)
{
	static struct run r = { .net = { .tap = { -1, -1 } } };
	char program[PATH_MAX], disk[64], cmdline[1024];
	struct why why;
	struct io_setup setup = asked.setup;
	if (!setup.kernel || !setup.initrd)
		return fail("bench io: no %s given; see 'lacuna help bench io'",
			setup.kernel ? "--initrd" : "--kernel");
	if (child_lacuna(asked.program, program, &why) < 0)
		return fail("bench io: %s", why.text);
	int fd = open_disk(disk, &why);
	if (fd < 0)
		return fail("bench io: %s", why.text);
	json_t *document = result_new("io", settings());
	struct io_results *results = &r.results;
	*results = (struct io_results){ .workloads = &asked.workloads,
		.monitors = &asked.monitors,
		.runs = setup.runs,
		.idle = asked.idle };
	results->has_trace = tracepoints_open(&r.trace, io_tracepoints, IO_TRACEPOINTS,
				     &results->why_trace) == 0;
	results->has_net = net_is_asked() && io_net_open(&r.net, &results->why_net) == 0;
	describe_workloads(&r, cmdline, sizeof(cmdline));
	setup.cmdline = cmdline;
	setup.program = program;
	setup.disk = disk;
	measure(&r, &setup);
	io_rows_add(document, &r.results);
	close_run(&r);
	close(fd);
	*ret = document;
	return STATUS_OK;
}

/* In the tables "each" is each request of a disk, each packet of a network. */
static const struct table tables[] = {
	{ "disk", "Disk, read by fio",
		(const struct column[]){
			{ "workload", "", NULL, COLUMN_KEY, 0, 0 },
			{ "what", "", NULL, COLUMN_KEY, 0, 0 },
			{ "iops", "requests", "/s", COLUMN_RATE, 0, 0 },
			{ "iops.min", "min", "/s", COLUMN_INFO, 0, 0 },
			{ "iops.max", "max", "/s", COLUMN_INFO, 0, 0 },
			{ "cpu_us_each", "CPU each", "us", COLUMN_TIME, 1, 0 },
			{ "to_qemu", "to QEMU's", "times", COLUMN_RATIO, 2, 0 },
			{ 0 },
		} },
	{ "net", "Network, by iperf3",
		(const struct column[]){
			{ "workload", "", NULL, COLUMN_KEY, 0, 0 },
			{ "what", "", NULL, COLUMN_KEY, 0, 0 },
			{ "mbit_s", "rate", "Mbit/s", COLUMN_RATE, 0, 0 },
			{ "mbit_s.min", "min", "Mbit/s", COLUMN_INFO, 0, 0 },
			{ "mbit_s.max", "max", "Mbit/s", COLUMN_INFO, 0, 0 },
			{ "cpu_us_each", "CPU each", "us", COLUMN_TIME, 1, 0 },
			{ "to_qemu", "to QEMU's", "times", COLUMN_RATIO, 2, 0 },
			{ 0 },
		} },
	{ "exits", "Exits for each request or packet",
		(const struct column[]){
			{ "workload", "", NULL, COLUMN_KEY, 0, 0 },
			{ "what", "", NULL, COLUMN_KEY, 0, 0 },
			{ "exits", "exits", NULL, COLUMN_TIME, 3, 0 },
			{ "returns", "of those, returns", NULL, COLUMN_TIME, 4, 0 },
			{ "kicks", "kicks", NULL, COLUMN_TIME, 3, 0 },
			{ "interrupts", "interrupts", NULL, COLUMN_TIME, 3, 0 },
			{ 0 },
		} },
	{ "idle", "At rest",
		(const struct column[]){
			{ "what", "", NULL, COLUMN_KEY, 0, 0 },
			{ "cpu_percent", "CPU", "%", COLUMN_INFO, 2, 0 },
			{ "exits_s", "exits", "/s", COLUMN_INFO, 1, 0 },
			{ 0 },
		} },
	{ 0 },
};

const struct bench_command bench_io = {
	.name = "io",
	.help = "Compares disks and networks with QEMU's, by fio and iperf3 in a guest",
	.opts = opts,
	.table = tables,
	.set = set,
	.run = run,
	.plot = io_plot,
};
