// SPDX-License-Identifier: Apache-2.0
/*
 * N machines of the default kind at once. First with guests that say one byte on the serial port
 * and halt: when all have spoken, all run, and the process is weighed. Then with the built-in probe
 * guest, until all have ended.
 *
 * What the first machine brings along (all-ones memory, the allocator's arenas) is its own affair:
 * weights per machine are of the second and later ones, or of the only one.
 */
#include "bench/many.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <math.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/payload.h"
#include "bench/process.h"
#include "bench/result.h"

#define TIMEOUT_NS (120 * SECOND_NS)

struct fleet {
	struct lacuna_config *config;
	struct lacuna_vm **vm;
	unsigned count, made;
	int said[2]; /* a pipe that all serial ports write to */
	int null_fd;
	struct payload guest;
	struct why *why;
};

/* The library's sentence, and what the limit has to do with it. Nothing is opened here: there may
 * be no descriptor left. */
static int explain(struct fleet *f, int rc, struct lacuna_error *err)
{
	struct rlimit limit;
	why_error(f->why, err);
	size_t len = strlen(f->why->text);
	if (rc == -EMFILE && f->made && getrlimit(RLIMIT_NOFILE, &limit) == 0)
		snprintf(f->why->text + len, sizeof(f->why->text) - len,
			"; %u of %u machines have taken what the limit of %llu descriptors allows: "
			"raise it (ulimit -Hn)",
			f->made, f->count, (unsigned long long)limit.rlim_cur);
	return -1;
}

static int configure(struct fleet *f, bool probe, uint64_t memory_mib)
{
	struct lacuna_error *err = NULL;
	char memory[32], serial[64];
	snprintf(memory, sizeof(memory), "%lluM", (unsigned long long)memory_mib);
	snprintf(serial, sizeof(serial), "fd=%d:%d", f->null_fd, f->said[1]);
	int rc = lacuna_config_new(&f->config, &err);
	if (rc == 0)
		rc = lacuna_config_set(f->config, "memory", memory, &err);
	if (rc == 0 && probe)
		rc = lacuna_config_set(f->config, "cmdline", "probe.quiet", &err);
	if (rc == 0 && !probe)
		rc = lacuna_config_set(f->config, "kernel", f->guest.path, &err);
	if (rc == 0 && !probe)
		rc = lacuna_config_set(f->config, "serial", serial, &err);
	return rc < 0 ? explain(f, rc, err) : 0;
}

static int open_fleet(
	struct fleet *f, unsigned count, bool probe, uint64_t memory_mib, struct why *why)
{
	*f = (struct fleet){
		.count = count, .said = { -1, -1 }, .null_fd = -1, .guest.fd = -1, .why = why
	};
	f->vm = must_realloc(NULL, count * sizeof(struct lacuna_vm *));
	f->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (f->null_fd < 0 || pipe2(f->said, O_CLOEXEC) < 0)
		return why_set(why, "open a pipe: %s", strerror(errno));
	if (!probe && payload_elf(&f->guest, payload_halt, payload_halt_size, why) < 0)
		return -1;
	return configure(f, probe, memory_mib);
}

static void close_fleet(struct fleet *f)
{
	int fd[] = { f->said[0], f->said[1], f->null_fd };
	for (unsigned i = 0; i < f->made; i++)
		lacuna_vm_stop(f->vm[i]); /* they end side by side */
	for (unsigned i = 0; i < f->made; i++)
		lacuna_vm_free(f->vm[i]);
	free(f->vm);
	lacuna_config_free(f->config);
	payload_close(&f->guest);
	for (size_t i = 0; i < sizeof(fd) / sizeof(fd[0]); i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

static int start_up_to(struct fleet *f, unsigned count)
{
	while (f->made < count) {
		struct lacuna_error *err = NULL;
		int rc = lacuna_vm_new(f->config, &f->vm[f->made], &err);
		if (rc == 0) {
			f->made++;
			rc = lacuna_vm_start(f->vm[f->made - 1], &err);
		}
		if (rc < 0)
			return explain(f, rc, err);
	}
	return 0;
}

/* Until @count guests have spoken. */
static int hear(struct fleet *f, unsigned count)
{
	char data[256];
	uint64_t until = now_ns() + TIMEOUT_NS;
	while (count) {
		uint64_t now = now_ns();
		struct pollfd p = { f->said[0], POLLIN, 0 };
		if (now >= until || poll(&p, 1, (int)((until - now) / 1000000) + 1) == 0)
			return why_set(f->why, "%u machines did not run within %llu s", count,
				(unsigned long long)(TIMEOUT_NS / SECOND_NS));
		ssize_t n = read(f->said[0], data, count < sizeof(data) ? count : sizeof(data));
		if (n > 0)
			count -= (unsigned)n;
	}
	return 0;
}

struct once {
	double started_us, probed_us;
	double start_cpu_us, probe_cpu_us; /* CPU time of all threads, KVM's own excepted */
	struct process_weight weight;      /* of one machine */
};

static struct process_weight difference(
	const struct process_weight *a, const struct process_weight *b)
{
	return (struct process_weight){
		.resident_kib = a->resident_kib - b->resident_kib,
		.pss_kib = a->pss_kib - b->pss_kib,
		.ram_kib = a->ram_kib - b->ram_kib,
		.fds = a->fds - b->fds,
		.threads = a->threads - b->threads,
	};
}

/* Of this process so far, in the kernel and out of it. */
static double cpu_us(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* The process is weighed without a machine, with one and with all; the clock stands still then. */
static int start_halted(unsigned count, uint64_t memory_mib, struct once *ret, struct why *why)
{
	struct fleet f;
	struct process_weight none, one, all;
	int rc = open_fleet(&f, count, false, memory_mib, why);
	malloc_trim(0);
	bool weighed = process_weigh(&none);
	uint64_t begin = now_ns();
	double cpu = -cpu_us();
	if (rc == 0)
		rc = start_up_to(&f, 1);
	if (rc == 0)
		rc = hear(&f, 1);
	uint64_t spent = now_ns() - begin;
	cpu += cpu_us();
	weighed = weighed && process_weigh(&one);
	begin = now_ns();
	cpu -= cpu_us();
	if (rc == 0)
		rc = start_up_to(&f, count);
	if (rc == 0)
		rc = hear(&f, count - 1);
	spent += now_ns() - begin;
	cpu += cpu_us();
	weighed = weighed && process_weigh(&all);
	close_fleet(&f);
	if (rc < 0)
		return rc;
	if (!weighed)
		return why_set(why, "/proc/self does not tell what this process weighs");
	ret->started_us = (double)spent / 1e3;
	ret->start_cpu_us = cpu;
	ret->weight = count > 1 ? difference(&all, &one) : difference(&one, &none);
	return 0;
}

static int run_probes(unsigned count, uint64_t memory_mib, struct once *ret, struct why *why)
{
	struct fleet f;
	int rc = open_fleet(&f, count, true, memory_mib, why);
	uint64_t begin = now_ns();
	double cpu = cpu_us();
	if (rc == 0)
		rc = start_up_to(&f, count);
	for (unsigned i = 0; i < f.made && rc == 0; i++) {
		enum lacuna_end_reason reason = LACUNA_END_NONE;
		struct lacuna_error *err = NULL;
		rc = lacuna_vm_wait(f.vm[i], &reason, NULL, &err);
		if (rc < 0)
			rc = explain(&f, rc, err);
		else if (reason != LACUNA_END_EXIT_CODE && reason != LACUNA_END_POWEROFF)
			rc = why_set(why, "a probe guest ended by '%s': %s",
				lacuna_end_reason_name(reason), lacuna_vm_end_message(f.vm[i]));
	}
	ret->probed_us = (double)(now_ns() - begin) / 1e3;
	ret->probe_cpu_us = cpu_us() - cpu;
	close_fleet(&f);
	return rc;
}

/* --- series --- */

struct measured {
	unsigned vms;
	struct series started, started_each, start_cpu, probed_each, probe_cpu, resident, pss, ram;
	unsigned fds, threads; /* of all that were counted */
	bool failed;
	struct why why;
};

static void measure_once(struct measured *m, uint64_t memory_mib)
{
	struct once o = { 0 };
	if (start_halted(m->vms, memory_mib, &o, &m->why) < 0 ||
		run_probes(m->vms, memory_mib, &o, &m->why) < 0) {
		m->failed = true;
		return;
	}
	double counted = m->vms > 1 ? m->vms - 1 : 1;
	series_add(&m->started, o.started_us);
	series_add(&m->started_each, o.started_us / m->vms);
	series_add(&m->start_cpu, o.start_cpu_us / m->vms);
	series_add(&m->probed_each, o.probed_us / m->vms);
	series_add(&m->probe_cpu, o.probe_cpu_us / m->vms);
	series_add(&m->resident, o.weight.resident_kib / counted);
	series_add(&m->pss, o.weight.pss_kib / counted);
	series_add(&m->ram, o.weight.ram_kib / counted);
	m->fds = o.weight.fds;
	m->threads = o.weight.threads;
}

static void add_row(json_t *document, const struct measured *m)
{
	double counted = m->vms > 1 ? m->vms - 1 : 1;
	json_t *row = json_pack("{s:s, s:I}", "part", "many", "vms", (json_int_t)m->vms);
	if (m->failed) {
		result_add_unavailable(document, row, &m->why);
		return;
	}
	json_object_set_new(row, "started_us", result_summary(&m->started));
	json_object_set_new(row, "started_us_per_vm", result_summary(&m->started_each));
	json_object_set_new(row, "start_cpu_us_per_vm", result_summary(&m->start_cpu));
	json_object_set_new(row, "probed_us_per_vm", result_summary(&m->probed_each));
	json_object_set_new(row, "probe_cpu_us_per_vm", result_summary(&m->probe_cpu));
	json_object_set_new(row, "resident_kib_per_vm", result_summary(&m->resident));
	json_object_set_new(row, "pss_kib_per_vm", result_summary(&m->pss));
	json_object_set_new(row, "ram_kib_per_vm", result_summary(&m->ram));
	json_object_set_new(row, "fds_per_vm", json_real(m->fds / counted));
	json_object_set_new(row, "threads_per_vm", json_real(m->threads / counted));
	result_add(document, row);
}

/* How many times that of ten machines the cost of each is, round by round, where it is the most; no
 * other number of machines may be beyond the goal either, so the interval's end is the highest. */
static struct estimate growth(const struct measured *m, size_t count, size_t series)
{
	const struct series *ten = NULL;
	struct estimate most = estimate_exact(NAN);
	for (size_t i = 0; i < count; i++)
		if (m[i].vms == 10 && !m[i].failed)
			ten = (const struct series *)((const char *)&m[i] + series);
	for (size_t i = 0; i < count && ten; i++) {
		const struct series *s = (const struct series *)((const char *)&m[i] + series);
		struct estimate ratio = series_ratio(s, ten);
		if (m[i].vms <= 10 || m[i].failed)
			continue;
		double high = most.high > ratio.high ? most.high : ratio.high;
		if (!(most.median > ratio.median))
			most = ratio;
		most.high = high;
	}
	return most;
}

/* Whether ten machines were asked for, and more. */
static bool can_grow(const struct measured *m, size_t count)
{
	bool ten = false, more = false;
	for (size_t i = 0; i < count; i++) {
		ten |= m[i].vms == 10;
		more |= m[i].vms > 10;
	}
	return ten && more;
}

static void add_figures(json_t *document, const struct measured *m, size_t count)
{
	static const struct {
		const char *name;
		size_t series;
	} grown[] = {
		{ "time of each to start, above 10 machines to 10",
			offsetof(struct measured, started_each) },
		{ "CPU time of each to start, above 10 machines to 10",
			offsetof(struct measured, start_cpu) },
		{ "time of each to probe, above 10 machines to 10",
			offsetof(struct measured, probed_each) },
		{ "CPU time of each to probe, above 10 machines to 10",
			offsetof(struct measured, probe_cpu) },
	};
	const struct measured *largest = &m[0];
	for (size_t i = 1; i < count; i++)
		if (m[i].vms > largest->vms)
			largest = &m[i];
	result_figure(document, "resident memory of each further machine",
		largest->vms > 1 && !largest->failed ? series_estimate(&largest->resident)
						     : estimate_exact(NAN),
		"KiB", false, 1024);
	for (size_t i = 0; i < sizeof(grown) / sizeof(grown[0]) && can_grow(m, count); i++)
		result_figure(document, grown[i].name, growth(m, count, grown[i].series), "times",
			false, 1.1);
}

void many_measure(json_t *document, const struct list *vms, uint64_t memory_mib, uint64_t repeat)
{
	struct measured m[LIST_MAX] = { 0 };
	for (size_t i = 0; i < vms->count; i++)
		m[i].vms = (unsigned)vms->value[i];
	for (uint64_t round = 0; round < repeat; round++) {
		for (size_t i = 0; i < vms->count; i++) {
			progress("start: %u machines, round %llu of %llu", m[i].vms,
				(unsigned long long)round + 1, (unsigned long long)repeat);
			if (!m[i].failed)
				measure_once(&m[i], memory_mib);
		}
	}
	for (size_t i = 0; i < vms->count; i++)
		add_row(document, &m[i]);
	if (vms->count)
		add_figures(document, m, vms->count);
	for (size_t i = 0; i < vms->count; i++) {
		struct series *s[] = { &m[i].started, &m[i].started_each, &m[i].start_cpu,
			&m[i].probed_each, &m[i].probe_cpu, &m[i].resident, &m[i].pss, &m[i].ram };
		for (size_t j = 0; j < sizeof(s) / sizeof(s[0]); j++)
			series_free(s[j]);
	}
}
