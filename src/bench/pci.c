// SPDX-License-Identifier: Apache-2.0
/*
 * `lacuna bench pci`: scans of PCI by the probe guest, in every combination asked for. A round
 * scans one machine by each mechanism, each round in an order of its own, so that what disturbs
 * a round disturbs all; ratios are taken within rounds.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/child.h"
#include "bench/pci_plot.h"
#include "bench/result.h"
#include "bench/scan.h"

#define REPEAT_MAX 1000

static const char *const mechanism_names[] = { "type1", "type1-coalesced", "ecam-trap", "ecam-4k",
	"ecam-mixed", "ecam-large", NULL };
static_assert(sizeof(mechanism_names) / sizeof(mechanism_names[0]) == SCAN_MECHANISMS + 1,
	"a name for each");

enum { COLD, WARM };
static const char *const pass_names[] = { "cold", "warm", NULL };

enum { ALL, LINUX_ORDER };
static const char *const scan_names[] = { "all", "linux", NULL };

static struct {
	struct list mechanisms, buses, functions, passes, scans;
	uint64_t repeat;
} asked = {
	.mechanisms = { 6, { 0, 1, 2, 3, 4, 5 } },
	.buses = { 1, { 16 } },
	.functions = { 1, { 8 } },
	.passes = { 2, { COLD, WARM } },
	.scans = { 2, { ALL, LINUX_ORDER } },
	.repeat = ROUNDS_FEW,
};

static const struct opt opts[] = {
	{ "mechanism", "LIST", "all",
		.help = "how configuration space is reached: type1, type1-coalesced, ecam-trap,\n"
			"ecam-4k, ecam-mixed, ecam-large" },
	{ "buses", "LIST", "16", .help = "buses of the machine, 1 to 256" },
	{ "functions", "LIST", "8",
		.help = "functions of the machine, the host bridge included, 1 to 2000" },
	{ "pass", "LIST", "all", .help = "cold: the first scan; warm: the one after it" },
	{ "scan", "LIST", "all,linux",
		.help = "all: every function of every bus; linux: in the order that Linux uses" },
	{ "repeat", "N", "6", .help = "rounds" },
	{ 0 },
};

static int set(const char *name, const char *value)
{
	if (!strcmp(name, "mechanism"))
		return option_words(name, value, mechanism_names, &asked.mechanisms);
	if (!strcmp(name, "buses"))
		return option_numbers(name, value, 1, 256, &asked.buses);
	if (!strcmp(name, "functions"))
		return option_numbers(name, value, 1, 2000, &asked.functions);
	if (!strcmp(name, "pass"))
		return option_words(name, value, pass_names, &asked.passes);
	if (!strcmp(name, "scan"))
		return option_words(name, value, scan_names, &asked.scans);
	return option_number(name, value, 1, REPEAT_MAX, &asked.repeat);
}

/* --- rounds --- */

/* One pass by one mechanism, over all rounds. */
struct measured_pass {
	struct series total, mean, p50, p99, max, kernel, faults;
	uint64_t accesses, user_exits;
};

struct measured {
	struct measured_pass pass[SCAN_PASSES];
	char checksum[24];
	double tsc_khz;
	bool failed;
	struct why why;
};

static void free_measured(struct measured m[SCAN_MECHANISMS])
{
	for (size_t i = 0; i < SCAN_MECHANISMS; i++) {
		for (size_t k = 0; k < SCAN_PASSES; k++) {
			struct measured_pass *p = &m[i].pass[k];
			struct series *all[] = { &p->total, &p->mean, &p->p50, &p->p99, &p->max,
				&p->kernel, &p->faults };
			for (size_t j = 0; j < sizeof(all) / sizeof(all[0]); j++)
				series_free(all[j]);
		}
	}
}

static void add_pass(struct measured_pass *m, const struct scan_pass *p)
{
	series_add(&m->total, p->total_ns);
	series_add(&m->mean, p->total_ns / (double)p->accesses);
	series_add(&m->p50, p->p50);
	series_add(&m->p99, p->p99);
	series_add(&m->max, p->max);
	series_add(&m->kernel, p->kernel_exits);
	series_add(&m->faults, p->faults);
	m->accesses = p->accesses;
	if (m->user_exits < p->user_exits)
		m->user_exits = p->user_exits;
}

/* -1 after why_set() where rounds contradict each other. */
static int add_scan(
	struct measured *m, const struct scan *scan, enum scan_mechanism mechanism, struct why *why)
{
	struct scan_result r;
	switch (scan_run(scan, mechanism, &r, &m->why)) {
	case SCAN_UNAVAILABLE:
		m->failed = true;
		return 0;
	case SCAN_WRONG:
		return why_set(why, "%s: %.200s", mechanism_names[mechanism], m->why.text);
	case SCAN_OK:
		break;
	}
	if (*m->checksum && strcmp(m->checksum, r.checksum) != 0)
		return why_set(why, "%s: two rounds found different functions: checksums %s, %s",
			mechanism_names[mechanism], m->checksum, r.checksum);
	memcpy(m->checksum, r.checksum, sizeof(m->checksum));
	m->tsc_khz = r.tsc_khz;
	for (unsigned i = 0; i < scan->passes; i++)
		add_pass(&m->pass[i], &r.pass[i]);
	return 0;
}

static int measure(const struct scan *scan, struct measured m[SCAN_MECHANISMS], struct why *why)
{
	size_t count = asked.mechanisms.count;
	for (uint64_t round = 0; round < asked.repeat; round++) {
		size_t order[SCAN_MECHANISMS];
		round_order(round, count, order);
		for (size_t i = 0; i < count; i++) {
			uint64_t k = asked.mechanisms.value[order[i]];
			progress("pci: %u buses, %u functions, %s: round %llu of %llu, %s",
				scan->buses, scan->functions, scan->all ? "all" : "linux",
				(unsigned long long)round + 1, (unsigned long long)asked.repeat,
				mechanism_names[k]);
			if (!m[k].failed && add_scan(&m[k], scan, (enum scan_mechanism)k, why) < 0)
				return -1;
		}
	}
	return 0;
}

/* --- the document --- */

/* null where KVM does not tell */
static json_t *rounded(const struct series *s)
{
	double v = series_median(s);
	return isfinite(v) ? json_integer((json_int_t)(v + 0.5)) : json_null();
}

/* Of an access, as its ticks times @scale: medians of the rounds', and the most of all. */
static json_t *quantiles(const struct measured_pass *p, double scale)
{
	return json_pack("{s:o, s:o, s:o}", "p50", result_number(series_median(&p->p50) * scale),
		"p99", result_number(series_median(&p->p99) * scale), "max",
		result_number(series_summary(&p->max).max * scale));
}

static void add_row(json_t *document, const struct scan *scan, uint64_t mechanism, uint64_t pass,
	const struct measured m[SCAN_MECHANISMS])
{
	const struct measured *own = &m[mechanism], *trap = &m[SCAN_ECAM_TRAP];
	const struct measured_pass *p = &own->pass[pass];
	json_t *row = json_pack("{s:s, s:s, s:I, s:I, s:s, s:s}", "part", "pci", "mechanism",
		mechanism_names[mechanism], "buses", (json_int_t)scan->buses, "functions",
		(json_int_t)scan->functions, "pass", pass_names[pass], "scan",
		scan_names[scan->all ? ALL : LINUX_ORDER]);
	if (own->failed) {
		result_add_unavailable(document, row, &own->why);
		return;
	}
	json_object_set_new(row, "accesses", json_integer((json_int_t)p->accesses));
	json_object_set_new(row, "user_exits", json_integer((json_int_t)p->user_exits));
	json_object_set_new(row, "kernel_exits", rounded(&p->kernel));
	json_object_set_new(row, "faults", rounded(&p->faults));
	json_object_set_new(row, "cycles_per_access", quantiles(p, 1));
	json_object_set_new(row, "ns_per_access", quantiles(p, 1e6 / own->tsc_khz));
	json_object_set_new(row, "mean_ns", result_summary(&p->mean));
	json_object_set_new(row, "total_ns", result_summary(&p->total));
	if (mechanism != SCAN_ECAM_TRAP && list_has(&asked.mechanisms, SCAN_ECAM_TRAP) &&
		!trap->failed)
		json_object_set_new(
			row, "faster_than_trap", result_ratio(&trap->pass[pass].total, &p->total));
	json_object_set_new(row, "checksum", json_string(own->checksum));
	result_add(document, row);
}

static void add_rows(
	json_t *document, const struct scan *scan, const struct measured m[SCAN_MECHANISMS])
{
	for (size_t k = 0; k < asked.passes.count; k++)
		for (size_t i = 0; i < asked.mechanisms.count; i++)
			add_row(document, scan, asked.mechanisms.value[i], asked.passes.value[k],
				m);
}

/* How many times faster @fast is than @slow, where both and the pass were asked for. */
static void add_speed(json_t *document, const struct scan *scan,
	const struct measured m[SCAN_MECHANISMS], uint64_t fast, uint64_t slow, uint64_t pass,
	double goal)
{
	char name[128];
	if (!list_has(&asked.mechanisms, fast) || !list_has(&asked.mechanisms, slow) ||
		!list_has(&asked.passes, pass))
		return;
	snprintf(name, sizeof(name), "%u buses, scan %s, %s: %s faster than %s", scan->buses,
		scan_names[scan->all ? ALL : LINUX_ORDER], pass_names[pass], mechanism_names[fast],
		mechanism_names[slow]);
	/* of one that failed there are fewer rounds than of the other, or none */
	struct estimate found =
		m[fast].failed || m[slow].failed
			? estimate_exact(NAN)
			: series_ratio(&m[slow].pass[pass].total, &m[fast].pass[pass].total);
	result_figure(document, name, found, "times", true, goal);
}

static void add_figures(
	json_t *document, const struct scan *scan, const struct measured m[SCAN_MECHANISMS])
{
	char name[128];
	const char *order = scan_names[scan->all ? ALL : LINUX_ORDER];
	add_speed(document, scan, m, SCAN_ECAM_LARGE, SCAN_ECAM_TRAP, COLD, 100);
	add_speed(document, scan, m, SCAN_ECAM_LARGE, SCAN_TYPE1, COLD, 200);
	add_speed(document, scan, m, SCAN_ECAM_4K, SCAN_ECAM_TRAP, WARM, 100);
	const struct measured *large = &m[SCAN_ECAM_LARGE];
	if (!list_has(&asked.mechanisms, SCAN_ECAM_LARGE) || !list_has(&asked.passes, COLD))
		return;
	snprintf(name, sizeof(name), "%u buses, scan %s, cold: ecam-large, returns to userspace",
		scan->buses, order);
	result_figure(document, name,
		estimate_exact(large->failed ? NAN : (double)large->pass[COLD].user_exits), "",
		false, 0);
	snprintf(name, sizeof(name), "256 buses, scan %s, cold: ecam-large, faults", order);
	if (scan->buses == 256)
		result_figure(document, name,
			estimate_exact(large->failed
					       ? NAN
					       : series_summary(&large->pass[COLD].faults).max),
			"", false, 140);
}

static json_t *settings(void)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:s}", "mechanism",
		list_json(&asked.mechanisms, mechanism_names), "buses",
		list_json(&asked.buses, NULL), "functions", list_json(&asked.functions, NULL),
		"pass", list_json(&asked.passes, pass_names), "scan",
		list_json(&asked.scans, scan_names), "repeat", (json_int_t)asked.repeat, "memory",
		SCAN_MEMORY);
}

/* --- the command --- */

/* The goals are about many buses and few functions; both orders are held to them. A bus is 256
 * accesses where every function is read and 32 in the order of Linux, by which its share of a fault
 * is divided. */
static bool has_figures(const struct scan *scan)
{
	uint64_t most = 0;
	for (size_t i = 0; i < asked.buses.count; i++)
		if (most < asked.buses.value[i])
			most = asked.buses.value[i];
	return scan->buses == most && scan->functions == asked.functions.value[0];
}

static int measure_one(
	json_t *document, uint64_t buses, uint64_t functions, uint64_t order, struct why *why)
{
	const struct scan scan = {
		.buses = (unsigned)buses,
		.functions = (unsigned)functions,
		.all = order == ALL,
		.passes = list_has(&asked.passes, WARM) ? 2 : 1,
	};
	struct measured m[SCAN_MECHANISMS] = { 0 };
	int rc = measure(&scan, m, why);
	if (rc == 0) {
		add_rows(document, &scan, m);
		if (has_figures(&scan))
			add_figures(document, &scan, m);
	}
	free_measured(m);
	return rc;
}

static int measure_all(json_t *document, struct why *why)
{
	for (size_t b = 0; b < asked.buses.count; b++)
		for (size_t f = 0; f < asked.functions.count; f++)
			for (size_t o = 0; o < asked.scans.count; o++)
				if (measure_one(document, asked.buses.value[b],
					    asked.functions.value[f], asked.scans.value[o],
					    why) < 0)
					return -1;
	return scan_rows_agree(json_object_get(document, "rows"), why);
}

static int run(json_t **ret)
{
	struct why why;
	json_t *document = result_new("pci", settings());
	if (measure_all(document, &why) < 0) {
		json_decref(document);
		progress_clear();
		return fail("bench pci: %s", why.text);
	}
	*ret = document;
	return STATUS_OK;
}

static const struct table tables[] = {
	{ "pci", "Scans of PCI",
		(const struct column[]){
			{ "mechanism", "", NULL, COLUMN_KEY, 0, 0 },
			{ "buses", "buses", NULL, COLUMN_KEY, 0, 0 },
			{ "functions", "functions", NULL, COLUMN_KEY, 0, 0 },
			{ "scan", "scan", NULL, COLUMN_KEY, 0, 0 },
			{ "pass", "pass", NULL, COLUMN_KEY, 0, 0 },
			{ "accesses", "accesses", NULL, COLUMN_COUNT, 0, 0 },
			{ "user_exits", "user exits", NULL, COLUMN_COUNT, 0, 0 },
			{ "kernel_exits", "KVM exits", NULL, COLUMN_INFO, 0, 0 },
			{ "faults", "faults", NULL, COLUMN_INFO, 0, 0 },
			{ "total_ns", "total", "ms", COLUMN_TIME, 3, 1e-6 },
			{ "mean_ns.p50", "each", "ns", COLUMN_INFO, 0, 0 },
			{ "cycles_per_access.p50", "p50", "cycles", COLUMN_INFO, 0, 0 },
			{ "ns_per_access.p50", "p50", "ns", COLUMN_INFO, 0, 0 },
			{ "ns_per_access.p99", "p99", "ns", COLUMN_INFO, 0, 0 },
			{ "ns_per_access.max", "max", "ns", COLUMN_INFO, 0, 0 },
			{ "faster_than_trap", "faster than ecam-trap", "times", COLUMN_RATIO, 2,
				0 },
			{ 0 },
		} },
	{ 0 },
};

const struct bench_command bench_pci = {
	.name = "pci",
	.help = "Scans PCI by each mechanism, and tells what an access costs",
	.opts = opts,
	.table = tables,
	.set = set,
	.run = run,
	.plot = pci_plot,
};
