// SPDX-License-Identifier: Apache-2.0
/*
 * The probe guest waits before its passes, between them and after them (probe.hold). While it does,
 * the machine is paused, all counters are read, and it is let go on. The first two times nothing
 * lies between: what waiting itself costs, which is taken off each pass.
 */
#include "bench/scan.h"

#include <errno.h>
#include <lacuna/vm.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bench/result.h"
#include "bench/series.h"

#define TIMEOUT     "600s" /* of a machine */
#define HOLDS_MAX   (2 + SCAN_PASSES)
#define SAMPLES_MAX 262144

struct counters {
	uint64_t user;
	double kernel, faults;
};

struct session {
	struct lacuna_config *config;
	struct lacuna_vm *vm;
	int said_fd;
	pthread_mutex_t lock;
	char text[4096]; /* what the guest has said; it says less */
	size_t size;
	struct counters held[HOLDS_MAX];
	unsigned functions;
	struct why *why;
};

static void on_output(void *opaque, const void *data, size_t size)
{
	struct session *s = opaque;
	uint64_t one = 1;
	pthread_mutex_lock(&s->lock);
	if (size > sizeof(s->text) - 1 - s->size)
		size = sizeof(s->text) - 1 - s->size;
	memcpy(s->text + s->size, data, size);
	s->size += size;
	pthread_mutex_unlock(&s->lock);
	if (write(s->said_fd, &one, sizeof(one)) < 0)
		return; /* it is readable already */
}

/* --- the machine --- */

/* The fewest root ports that hold @devices: eight of them take a slot of bus 0, of which 31 are
 * free, and each gives eight places. lacuna chooses as many by itself; check_machine() holds it to
 * that. */
static unsigned ports_for(unsigned devices)
{
	unsigned ports = 0;
	while (31 - (ports + 7) / 8 + 8 * ports < devices)
		ports++;
	return ports;
}

/* The fewest devices that make @functions of them, their ports and the host bridge. */
static unsigned devices_for(unsigned functions)
{
	unsigned devices = 0;
	while (1 + devices + ports_for(devices) < functions)
		devices++;
	return devices;
}

static int configure(struct session *s, const struct scan *scan, enum scan_mechanism mechanism,
	bool timed, struct lacuna_error **err)
{
	static const char *const options[SCAN_MECHANISMS] = {
		[SCAN_TYPE1] = "config=both,window=trap,coalesce=off",
		[SCAN_TYPE1_COALESCED] = "config=both,window=trap",
		[SCAN_ECAM_TRAP] = "config=ecam,window=trap",
		[SCAN_ECAM_4K] = "config=ecam,window=memory,large-pages=off",
		[SCAN_ECAM_MIXED] = "config=ecam,window=memory",
		[SCAN_ECAM_LARGE] = "config=ecam,window=memory,large-pages=all",
	};
	char pci[80], cmdline[120];
	snprintf(pci, sizeof(pci), "%s,buses=%u", options[mechanism], scan->buses);
	snprintf(cmdline, sizeof(cmdline),
		"probe.quiet probe.hold%s probe.mech=%s probe.scan=%s "
		"probe.passes=%u",
		timed ? " probe.bench" : "", mechanism <= SCAN_TYPE1_COALESCED ? "type1" : "ecam",
		scan->all ? "all" : "linux", scan->passes);
	int rc = lacuna_config_new(&s->config, err);
	if (rc == 0)
		rc = lacuna_config_set(s->config, "memory", SCAN_MEMORY, err);
	if (rc == 0)
		rc = lacuna_config_set(s->config, "timeout", TIMEOUT, err);
	if (rc == 0)
		rc = lacuna_config_set(s->config, "pci", pci, err);
	if (rc == 0)
		rc = lacuna_config_set(s->config, "cmdline", cmdline, err);
	if (rc == 0)
		rc = lacuna_config_set_serial_output(s->config, on_output, s, err);
	for (unsigned n = devices_for(scan->functions); n && rc == 0; n--)
		rc = lacuna_config_set(s->config, "rng", "", err);
	return rc;
}

/* That it is the machine that was asked for. */
static int check_machine(struct session *s, const struct scan *scan, enum scan_mechanism mechanism)
{
	struct lacuna_stats stats = { .size = sizeof(stats) };
	lacuna_vm_stats(s->vm, &stats);
	s->functions = stats.pci_functions;
	if (stats.pci_functions != scan->functions)
		return why_set(s->why, "no machine has %u functions: the next one has %u",
			scan->functions, stats.pci_functions);
	/* Two buses share a large page; ports lead to the buses from 1 on. */
	unsigned last = ports_for(devices_for(scan->functions));
	bool could = mechanism == SCAN_ECAM_MIXED   ? scan->buses > last / 2 * 2 + 2
		     : mechanism == SCAN_ECAM_LARGE ? scan->buses > 1
						    : false;
	if (could && !stats.pci_large_pages)
		return why_set(s->why, "this host has no large page for the window");
	return 0;
}

static int open_session(struct session *s, const struct scan *scan, enum scan_mechanism mechanism,
	bool timed, struct why *why)
{
	*s = (struct session){ .why = why, .lock = PTHREAD_MUTEX_INITIALIZER };
	struct lacuna_error *err = NULL;
	s->said_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->said_fd < 0)
		return why_set(why, "eventfd: %s", strerror(errno));
	int rc = configure(s, scan, mechanism, timed, &err);
	if (rc == 0)
		rc = lacuna_vm_new(s->config, &s->vm, &err);
	if (rc < 0)
		return why_error(why, err);
	if (check_machine(s, scan, mechanism) < 0)
		return -1;
	rc = lacuna_vm_start(s->vm, &err);
	return rc < 0 ? why_error(why, err) : 0;
}

static void close_session(struct session *s)
{
	lacuna_vm_free(s->vm);
	lacuna_config_free(s->config);
	if (s->said_fd >= 0)
		close(s->said_fd);
}

/* --- what the guest says --- */

/* The address in the line "probe: hold ADDRESS" number @n, when all of it has come; else 0. */
static uint64_t find_hold(struct session *s, unsigned n)
{
	static const char mark[] = "probe: hold ";
	uint64_t address = 0;
	pthread_mutex_lock(&s->lock);
	const char *at = strstr(s->text, mark);
	for (; at && n; n--)
		at = strstr(at + 1, mark);
	if (at && strchr(at, '\n'))
		address = strtoull(at + strlen(mark), NULL, 16);
	pthread_mutex_unlock(&s->lock);
	return address;
}

/* How it came that the guest ended before it was to. */
static int ended_early(struct session *s)
{
	enum lacuna_end_reason reason = LACUNA_END_NONE;
	struct lacuna_error *err = NULL;
	if (lacuna_vm_wait(s->vm, &reason, NULL, &err) < 0) /* and until all of its text is here */
		return why_error(s->why, err);
	return why_set(s->why, "the guest ended ahead of time (%s), saying '%.*s'",
		lacuna_end_reason_name(reason), (int)strcspn(s->text, "\n"), s->text);
}

static int await_hold(struct session *s, unsigned n, uint64_t *ret_address)
{
	while (!(*ret_address = find_hold(s, n))) {
		uint64_t count;
		struct pollfd p[] = { { s->said_fd, POLLIN, 0 },
			{ lacuna_vm_end_fd(s->vm), POLLIN, 0 } };
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return why_set(s->why, "poll: %s", strerror(errno));
		if (p[1].revents)
			return ended_early(s);
		if (p[0].revents && read(s->said_fd, &count, sizeof(count)) < 0)
			return why_set(s->why, "eventfd: %s", strerror(errno));
	}
	return 0;
}

/* --- counters --- */

struct kvm_counters {
	double exits, irq_exits, faults;
};

static void note_counter(void *opaque, const char *name, uint64_t value)
{
	struct kvm_counters *k = opaque;
	if (!strcmp(name, "exits"))
		k->exits = (double)value;
	else if (!strcmp(name, "irq_exits"))
		k->irq_exits = (double)value;
	else if (!strcmp(name, "pf_fixed"))
		k->faults = (double)value;
}

/*
 * Of a paused machine. Serial output and the signal that pauses are the harness's own doing, not
 * the scan's. Of KVM's exits, those by interrupts of the host are nobody's doing, and those that
 * went on to userspace are counted there.
 */
static struct counters count(const struct session *s)
{
	struct lacuna_stats stats = { .size = sizeof(stats) };
	struct kvm_counters k = { NAN, 0, NAN };
	lacuna_vm_stats(s->vm, &stats);
	lacuna_vm_kvm_stats(s->vm, note_counter, &k, NULL); /* where it can't, nothing is known */
	uint64_t returns = stats.exits_total;
	for (unsigned i = 0; i < LACUNA_EXIT_REASONS; i++)
		if (!strcmp(lacuna_exit_reason_name(i), "intr"))
			returns -= stats.exits_by_reason[i];
	return (struct counters){
		.user = returns - stats.pio_serial,
		.kernel = k.exits - k.irq_exits - (double)returns,
		.faults = k.faults,
	};
}

static int count_and_go_on(struct session *s, unsigned n, uint64_t address)
{
	struct lacuna_error *err = NULL;
	const uint32_t released = 0;
	int rc = lacuna_vm_pause(s->vm, &err);
	if (rc == 0) {
		s->held[n] = count(s);
		rc = lacuna_vm_write_memory(s->vm, address, &released, sizeof(released), &err);
	}
	if (rc == 0)
		rc = lacuna_vm_resume(s->vm, &err);
	return rc < 0 ? why_error(s->why, err) : 0;
}

/* KVM's counters may be off by what else went on in the host; there is no less than nothing. */
static double at_least_0(double v)
{
	return v < 0 ? 0 : v;
}

static void take_counts(const struct session *s, unsigned n, struct scan_pass *pass)
{
	const struct counters *c = &s->held[n + 1];
	pass->user_exits = (c[1].user - c[0].user) - (s->held[1].user - s->held[0].user);
	pass->kernel_exits =
		at_least_0((c[1].kernel - c[0].kernel) - (s->held[1].kernel - s->held[0].kernel));
	pass->faults =
		at_least_0((c[1].faults - c[0].faults) - (s->held[1].faults - s->held[0].faults));
}

/* --- results --- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* The samples that the guest has left in its memory. */
static int take_samples(const struct session *s, const json_t *told, struct scan_pass *pass)
{
	size_t n = (size_t)json_integer_value(json_object_get(told, "samples"));
	const char *at = json_string_value(json_object_get(told, "at"));
	struct lacuna_error *err = NULL;
	if (!at || !n || n > SAMPLES_MAX)
		return why_set(s->why, "the guest has noted no times");
	uint32_t *ticks = must_realloc(NULL, n * sizeof(*ticks));
	double *each = must_realloc(NULL, n * sizeof(*each));
	int rc = lacuna_vm_read_memory(
		s->vm, strtoull(at, NULL, 16), ticks, n * sizeof(*ticks), &err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		each[i] = ticks[i];
	if (rc == 0) {
		qsort(each, n, sizeof(*each), by_value);
		pass->p50 = quantile(each, n, 0.5);
		pass->p99 = quantile(each, n, 0.99);
		pass->max = each[n - 1];
	} else {
		why_error(s->why, err);
	}
	free(ticks);
	free(each);
	return rc < 0 ? -1 : 0;
}

static int take_timed(
	const struct session *s, const json_t *probe, unsigned passes, struct scan_result *ret)
{
	static const char *const names[SCAN_PASSES] = { "cold", "warm" };
	double khz = json_number_value(json_object_get(probe, "tsc_khz"));
	int rc = 0;
	ret->tsc_khz = khz > 0 ? khz : NAN;
	for (unsigned i = 0; i < SCAN_PASSES && i < passes && rc == 0; i++)
		rc = take_samples(s, json_object_get(probe, names[i]), &ret->pass[i]);
	return rc;
}

static void take_plain(
	const struct session *s, const json_t *probe, unsigned passes, struct scan_result *ret)
{
	static const char *const times[SCAN_PASSES] = { "cold_ns", "warm_ns" };
	for (unsigned i = 0; i < SCAN_PASSES && i < passes; i++) {
		double ns = json_number_value(json_object_get(probe, times[i]));
		take_counts(s, i, &ret->pass[i]);
		ret->pass[i].total_ns = ns > 0 ? ns : NAN;
		ret->pass[i].accesses =
			(uint64_t)json_integer_value(json_object_get(probe, "reads"));
	}
}

/* The guest has ended; what of its last line? */
static enum scan_verdict judge(
	struct session *s, const struct scan *scan, bool timed, struct scan_result *ret)
{
	const char *line = strstr(s->text, "{\"probe\":");
	json_t *said = line ? json_loads(line, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
	const json_t *probe = json_object_get(said, "probe");
	const char *checksum = json_string_value(json_object_get(probe, "checksum"));
	json_int_t found = json_integer_value(json_object_get(probe, "functions"));
	enum scan_verdict verdict = SCAN_OK;
	if (!checksum || !json_is_true(json_object_get(probe, "ok"))) {
		const char *complaint = strstr(s->text, "CONTRADICTION");
		why_set(s->why, "the guest reports no scan: %.*s",
			complaint ? (int)strcspn(complaint, "\n") : 0, complaint ? complaint : "");
		verdict = SCAN_WRONG;
	} else if (found != s->functions) {
		why_set(s->why, "the guest found %lld of %u functions", (long long)found,
			s->functions);
		verdict = SCAN_WRONG;
	} else if (*ret->checksum && strcmp(ret->checksum, checksum) != 0) {
		why_set(s->why, "two scans found different functions: %s, %s", ret->checksum,
			checksum);
		verdict = SCAN_WRONG;
	} else if (timed) {
		verdict = take_timed(s, probe, scan->passes, ret) < 0 ? SCAN_UNAVAILABLE : SCAN_OK;
	} else {
		snprintf(ret->checksum, sizeof(ret->checksum), "%s", checksum);
		take_plain(s, probe, scan->passes, ret);
	}
	json_decref(said);
	return verdict;
}

static int run_to_end(struct session *s, unsigned passes)
{
	struct lacuna_error *err = NULL;
	uint64_t address;
	for (unsigned n = 0; n < 2 + passes; n++)
		if (await_hold(s, n, &address) < 0 || count_and_go_on(s, n, address) < 0)
			return -1;
	if (lacuna_vm_wait(s->vm, NULL, NULL, &err) < 0)
		return why_error(s->why, err);
	return 0;
}

static enum scan_verdict run_once(const struct scan *scan, enum scan_mechanism mechanism,
	bool timed, struct scan_result *ret, struct why *why)
{
	struct session s;
	enum scan_verdict verdict = SCAN_UNAVAILABLE;
	if (open_session(&s, scan, mechanism, timed, why) == 0 && run_to_end(&s, scan->passes) == 0)
		verdict = judge(&s, scan, timed, ret);
	close_session(&s);
	return verdict;
}

enum scan_verdict scan_run(const struct scan *scan, enum scan_mechanism mechanism,
	struct scan_result *ret, struct why *why)
{
	*ret = (struct scan_result){ 0 };
	enum scan_verdict verdict = run_once(scan, mechanism, false, ret, why);
	if (verdict == SCAN_OK)
		verdict = run_once(scan, mechanism, true, ret, why);
	return verdict;
}
