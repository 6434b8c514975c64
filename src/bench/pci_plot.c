// SPDX-License-Identifier: Apache-2.0
/* The chart of `lacuna bench pci`: what an access costs by each mechanism, in the machine with the
 * most buses that was measured. */
#include "bench/pci_plot.h"

#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/plot.h"
#include "bench/result.h"

static const char *word(const json_t *row, const char *key)
{
	const char *s = json_string_value(json_object_get(row, key));
	return s ? s : "";
}

static bool is_measured(const json_t *row)
{
	return json_is_number(result_get(row, "mean_ns.p50"));
}

static bool same_scan(const json_t *a, const json_t *b)
{
	static const char *const key[] = { "buses", "functions", "scan" };
	for (size_t i = 0; i < sizeof(key) / sizeof(key[0]); i++)
		if (!json_equal(json_object_get(a, key[i]), json_object_get(b, key[i])))
			return false;
	return true;
}

/* The first row about the most buses, or NULL. */
static const json_t *choose(const json_t *rows)
{
	const json_t *best = NULL;
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		if (is_measured(row) &&
			(!best || json_integer_value(json_object_get(row, "buses")) >
					  json_integer_value(json_object_get(best, "buses"))))
			best = row;
	}
	return best;
}

static void add_point(struct plot_series *series, const json_t *row)
{
	if (series->count == LIST_MAX)
		return;
	struct plot_point *p = &series->point[series->count++];
	*p = (struct plot_point){
		.y = result_number_at(row, "mean_ns.p50"),
		.low = result_number_at(row, "mean_ns.min"),
		.high = result_number_at(row, "mean_ns.max"),
	};
	snprintf(p->label, sizeof(p->label), "%s", word(row, "mechanism"));
}

int pci_plot(const char *dir, const json_t *document)
{
	const json_t *rows = json_object_get(document, "rows"), *chosen = choose(rows);
	struct plot_point point[2][LIST_MAX];
	struct plot_series series[2] = { { .name = "cold", .point = point[0] },
		{ .name = "warm", .point = point[1] } };
	char title[160];
	if (!chosen)
		return STATUS_OK;
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		if (is_measured(row) && same_scan(row, chosen))
			add_point(&series[!strcmp(word(row, "pass"), "warm")], row);
	}
	snprintf(title, sizeof(title),
		"One access of a PCI scan: %lld buses, %lld functions, scan %s (median; least to "
		"most)",
		(long long)json_integer_value(json_object_get(chosen, "buses")),
		(long long)json_integer_value(json_object_get(chosen, "functions")),
		word(chosen, "scan"));
	const struct plot plot = {
		.name = "pci",
		.title = title,
		.x_label = "mechanism",
		.y_label = "time per access, ns (logarithmic)",
		.kind = PLOT_BARS,
		.log_y = true,
		.count = series[0].count && series[1].count ? 2 : 1,
		.series = series[0].count ? series : series + 1,
	};
	return plot_draw(dir, document, &plot);
}
