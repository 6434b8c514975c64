// SPDX-License-Identifier: Apache-2.0
/* Rows and figures of `lacuna bench io`. */
#include "bench/io_rows.h"

#include <math.h>

#include "bench/result.h"

/* Each value by the units of its phase. */
static struct series per_unit(const struct series *values, const struct series *units)
{
	struct series each = { 0 };
	for (size_t i = 0; i < values->count && i < units->count; i++)
		series_add(&each, values->value[i] / units->value[i]);
	return each;
}

static bool is_disk(uint64_t w)
{
	return w < IO_DISK_WORKLOADS;
}

/* Why there is nothing of this workload under this monitor; false: there is. */
static bool is_missing(const struct io_results *r, uint64_t k, uint64_t w, struct why *why)
{
	const struct io_guest *g = &r->guest[k];
	const struct io_series *s = &g->result[w];
	if (!is_disk(w) && !r->has_net)
		*why = r->why_net;
	else if (g->failed)
		*why = g->why;
	else if (s->rate.count != r->runs || s->cpu_us.count != r->runs ||
		 s->counted.count != r->runs || !isfinite(series_summary(&s->rate).max) ||
		 !isfinite(series_summary(&s->counted).max))
		why_set(why, "the guest told of %zu phases of %llu, last saying '%s'",
			s->rate.count + s->counted.count, 2 * (unsigned long long)r->runs, g->last);
	else
		return false;
	return true;
}

static json_t *new_row(const char *part, uint64_t w, uint64_t k)
{
	return json_pack("{s:s, s:s, s:s}", "part", part, "workload", io_workload_names[w], "what",
		io_monitor_names[k]);
}

static void add_rate_row(json_t *document, const struct io_results *r, uint64_t w, uint64_t k)
{
	struct why why;
	const struct io_series *s = &r->guest[k].result[w];
	json_t *row = new_row(is_disk(w) ? "disk" : "net", w, k);
	if (is_missing(r, k, w, &why)) {
		result_add_unavailable(document, row, &why);
		return;
	}
	struct series cpu = per_unit(&s->cpu_us, &s->units);
	json_object_set_new(row, is_disk(w) ? "iops" : "mbit_s", result_summary(&s->rate));
	json_object_set_new(row, "cpu_us_each", result_summary(&cpu));
	series_free(&cpu);
	if (k == IO_LACUNA && list_has(r->monitors, IO_QEMU) && !is_missing(r, IO_QEMU, w, &why))
		json_object_set_new(
			row, "to_qemu", result_ratio(&s->rate, &r->guest[IO_QEMU].result[w].rate));
	result_add(document, row);
}

static void add_exits_row(json_t *document, const struct io_results *r, uint64_t w, uint64_t k)
{
	static const char *const names[IO_COUNTS] = { "exits", "returns", "kicks", "interrupts" };
	struct why why;
	const struct io_series *s = &r->guest[k].result[w];
	json_t *row = new_row("exits", w, k);
	bool missing = is_missing(r, k, w, &why);
	if (missing || !r->has_trace) {
		result_add_unavailable(document, row, missing ? &why : &r->why_trace);
		return;
	}
	for (unsigned i = 0; i < IO_COUNTS; i++) {
		struct series each = per_unit(&s->n[i], &s->counted);
		json_object_set_new(row, names[i], result_summary(&each));
		series_free(&each);
	}
	result_add(document, row);
}

static void add_idle_row(json_t *document, const struct io_results *r, uint64_t k)
{
	json_t *row = json_pack("{s:s, s:s}", "part", "idle", "what", io_monitor_names[k]);
	if (r->guest[k].failed) {
		result_add_unavailable(document, row, &r->guest[k].why);
		return;
	}
	json_object_set_new(
		row, "cpu_percent", result_number(series_median(&r->guest[k].idle_percent)));
	json_object_set_new(row, "exits_s", result_number(series_median(&r->guest[k].idle_exits)));
	result_add(document, row);
}

static void add_rows(json_t *document, const struct io_results *r)
{
	void (*const add[])(json_t *, const struct io_results *, uint64_t,
		uint64_t) = { add_rate_row, add_exits_row };
	for (size_t part = 0; part < sizeof(add) / sizeof(add[0]); part++)
		for (size_t w = 0; w < r->workloads->count; w++)
			for (size_t k = 0; k < r->monitors->count; k++)
				add[part](
					document, r, r->workloads->value[w], r->monitors->value[k]);
	for (size_t k = 0; k < r->monitors->count && r->idle; k++)
		add_idle_row(document, r, r->monitors->value[k]);
}

/* lacuna's to QEMU's; NAN where one of them is missing. */
static struct estimate rate_ratio(const struct io_results *r, uint64_t w)
{
	struct why why;
	if (is_missing(r, IO_LACUNA, w, &why) || is_missing(r, IO_QEMU, w, &why))
		return estimate_exact(NAN);
	return series_ratio(&r->guest[IO_LACUNA].result[w].rate, &r->guest[IO_QEMU].result[w].rate);
}

/* A phase's counts are exact, but how many requests share one differs from phase to phase. */
static struct estimate count_ratio(const struct io_results *r, uint64_t w, enum io_count count)
{
	struct series each[IO_MONITORS];
	if (isnan(rate_ratio(r, w).median) || !r->has_trace)
		return estimate_exact(NAN);
	for (unsigned k = 0; k < IO_MONITORS; k++) {
		const struct io_series *s = &r->guest[k].result[w];
		each[k] = per_unit(&s->n[count], &s->counted);
	}
	struct estimate ratio = series_ratio(&each[IO_LACUNA], &each[IO_QEMU]);
	for (unsigned k = 0; k < IO_MONITORS; k++)
		series_free(&each[k]);
	return ratio;
}

static void add_figures(json_t *document, const struct io_results *r)
{
	char name[128];
	bool both = r->monitors->count == IO_MONITORS;
	for (size_t i = 0; i < r->workloads->count && both; i++) {
		uint64_t w = r->workloads->value[i];
		snprintf(name, sizeof(name), "%s: rate to QEMU's", io_workload_names[w]);
		result_figure(
			document, name, rate_ratio(r, w), "times", true, is_disk(w) ? 1.0 : 0.9);
		if (w == IO_RAND1 || w == IO_SEQ)
			continue;
		snprintf(name, sizeof(name), "%s: exits of each to QEMU's", io_workload_names[w]);
		result_figure(document, name, count_ratio(r, w, IO_EXITS), "times", false, 1.0);
		snprintf(name, sizeof(name), "%s: returns to userspace of each to QEMU's",
			io_workload_names[w]);
		result_figure(document, name, count_ratio(r, w, IO_RETURNS), "times", false, 1.0);
	}
	const struct io_guest *lacuna = &r->guest[IO_LACUNA];
	if (r->idle && list_has(r->monitors, IO_LACUNA))
		result_figure(document, "CPU time of lacuna at rest",
			lacuna->failed ? estimate_exact(NAN)
				       : series_estimate(&lacuna->idle_percent),
			"%", false, 0.1);
}

void io_rows_add(json_t *document, const struct io_results *r)
{
	add_rows(document, r);
	add_figures(document, r);
}
