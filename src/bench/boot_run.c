// SPDX-License-Identifier: Apache-2.0
/* Runs a monitor and looks at its guest's console. */
#include "bench/boot_run.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/child.h"
#include "bench/payload.h"
#include "bench/process.h"
#include "bench/result.h"

#define STATS_MAX ((size_t)1024 * 1024)
#define STOP_NS   (10 * SECOND_NS)

struct boot {
	const struct boot_monitor *monitor;
	const struct boot_guest *guest;
	const struct boot_plan *plan;
	struct child child;
	struct boot_log log;
	struct payload stats; /* a file for lacuna's statistics */
	double memory_kib;
	uint64_t paused_ns;
};

/* Stopped meanwhile, or it may be gone before it is looked at. A command's process is a shell. */
static void weigh(void *opaque)
{
	struct boot *b = opaque;
	if (!b->plan->trace || b->monitor->command || b->child.pid <= 0 || b->child.ended)
		return;
	uint64_t start = now_ns();
	kill(-b->child.pid, SIGSTOP);
	b->memory_kib = process_weigh_monitor(b->child.pid, b->guest->memory_mib);
	kill(-b->child.pid, SIGCONT);
	b->paused_ns = now_ns() - start;
}

static void note_output(void *opaque, const char *data, size_t size, uint64_t when)
{
	boot_log_feed(&((struct boot *)opaque)->log, data, size, when);
}

static const char *last_words(struct child *c, char buf[160])
{
	const char *said = child_said(c);
	snprintf(buf, 160, "%s%.150s", *said ? ": " : "", said);
	return buf;
}

static int wait_for_marker(struct boot *b, uint64_t until, struct why *why)
{
	char said[160];
	int over = 0;
	while (!b->log.marker_ns && !over)
		over = child_serve_some(&b->child, until);
	if (b->log.marker_ns)
		return 0;
	if (over > 0)
		return why_set(why, "the guest did not print '%.60s' within %llu s",
			b->plan->marker, (unsigned long long)(b->plan->timeout_ns / SECOND_NS));
	return why_set(why, "ended before the guest had printed '%.60s'%s", b->plan->marker,
		last_words(&b->child, said));
}

/* Its last moments belong to the boot: a guest that powers off costs what that costs. */
static int wait_for_end(struct boot *b, uint64_t until, struct why *why)
{
	char said[160];
	if (b->plan->end_at_marker) {
		if (!b->child.ended)
			kill(-b->child.pid, SIGTERM);
		return child_serve(&b->child, now_ns() + STOP_NS)
			       ? why_set(why, "still ran 10 s after SIGTERM")
			       : 0;
	}
	if (child_serve(&b->child, until))
		return why_set(why,
			"the guest printed the marker, but did not power off within %llu s; with "
			"--until marker it need not",
			(unsigned long long)(b->plan->timeout_ns / SECOND_NS));
	int status = b->child.status;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return why_set(why, "ended with %s %d%s", WIFEXITED(status) ? "status" : "signal",
		WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
		last_words(&b->child, said));
}

/* --- what it tells --- */

static json_t *read_stats(const struct boot *b)
{
	char *text = must_realloc(NULL, STATS_MAX);
	ssize_t n = pread(b->stats.fd, text, STATS_MAX, 0);
	json_t *stats = n > 0 ? json_loadb(text, (size_t)n, 0, NULL) : NULL;
	free(text);
	return stats;
}

static double moment(const json_t *stats, const char *path)
{
	const json_t *v = result_get(stats, path);
	return json_is_number(v) ? json_number_value(v) : NAN;
}

/* kvm-clock begins when the VM is made, which is the first thing after the origin; so the guest's
 * log, which tells how far that was when its own time began, can be put in ours. */
static void take_times(const struct boot *b, const json_t *stats, struct boot_result *ret)
{
	double exec = (double)b->child.exec_ns / 1e3;
	double origin = moment(stats, "time_us.origin") - exec;
	double kernel = origin + b->log.clock_ns / 1e3;
	ret->at = (struct boot_times){
		.process = origin,
		.created = origin + moment(stats, "time_us.created"),
		.first = origin + moment(stats, "time_us.first_entry"),
		.kernel = kernel,
		.init = kernel + b->log.init_us,
		.marker = (double)b->log.marker_ns / 1e3 - exec,
		.end = (double)(b->child.end_ns - b->paused_ns) / 1e3 - exec,
	};
	for (size_t i = 0; i < BOOT_INITCALLS; i++) {
		ret->at.initcall[i] = kernel + b->log.end_us[i];
		ret->took_us[i] = b->log.took_us[i];
	}
	ret->memory_kib = b->memory_kib;
}

static int take_results(const struct boot *b, struct boot_result *ret, struct why *why)
{
	json_t *stats = b->monitor->own ? read_stats(b) : NULL;
	bool known = boot_counts_own(stats, &ret->own);
	take_times(b, stats, ret);
	json_decref(stats);
	if (b->monitor->own && !known)
		return why_set(why, "'%s' wrote no statistics: is it lacuna %s?", b->guest->program,
			lacuna_version());
	ret->not_counted.text[0] = '\0';
	if (b->plan->trace &&
		boot_counts_read(
			b->plan->trace, b->monitor->window, &ret->traced, &ret->not_counted) == 0 &&
		!ret->traced.returns)
		why_set(&ret->not_counted,
			"the tracepoints saw no return of KVM: does it use KVM?");
	return 0;
}

int boot_run(const struct boot_monitor *monitor, const struct boot_guest *guest,
	const struct boot_plan *plan, struct boot_result *ret, struct why *why)
{
	struct boot b = { .monitor = monitor, .guest = guest, .plan = plan, .memory_kib = NAN };
	if (payload_blank(&b.stats, "lacuna-bench-stats", 0, why) < 0)
		return -1;
	if (plan->trace && tracepoints_clear(plan->trace, why) < 0) {
		payload_close(&b.stats);
		return -1;
	}
	char **argv = boot_argv(monitor, guest, b.stats.path, plan->words);
	struct child_spec spec = {
		.argv = (const char *const *)argv, .on_output = note_output, .opaque = &b
	};
	boot_log_init(&b.log, plan->marker);
	b.log.on_marker = weigh;
	b.log.opaque = &b;
	uint64_t until = now_ns() + plan->timeout_ns;
	int rc = child_start(&b.child, &spec, why);
	if (rc == 0) {
		rc = wait_for_marker(&b, until, why);
		if (rc == 0)
			rc = wait_for_end(&b, until, why);
		if (rc == 0)
			rc = take_results(&b, ret, why);
		child_end(&b.child);
	}
	boot_argv_free(argv);
	payload_close(&b.stats);
	return rc;
}
