// SPDX-License-Identifier: Apache-2.0
/* Charts of `lacuna bench start`. */
#include "bench/start_plot.h"

#include "bench/plot.h"
#include "bench/result.h"

static int plot_starts(const char *dir, const json_t *document)
{
	struct plot_point point[LIST_MAX];
	struct plot_series series = { .point = point };
	size_t i;
	json_t *row;
	json_array_foreach(json_object_get(document, "rows"), i, row)
	{
		if (!json_is_number(result_get(row, "first_us.p50")) || series.count == LIST_MAX)
			continue;
		struct plot_point *p = &point[series.count++];
		*p = (struct plot_point){
			.y = result_number_at(row, "first_us.p50") / 1e3,
			.low = result_number_at(row, "first_us.min") / 1e3,
			.high = result_number_at(row, "first_us.p90") / 1e3,
		};
		snprintf(p->label, sizeof(p->label), "%s",
			json_string_value(json_object_get(row, "what")));
	}
	const struct plot plot = {
		.name = "start",
		.title = "From the start to the guest's first instruction (median; least to 90th "
			 "percentile)",
		.x_label = "what is started",
		.y_label = "time, ms (logarithmic)",
		.kind = PLOT_BARS,
		.log_y = true,
		.count = 1,
		.series = &series,
	};
	return series.count ? plot_draw(dir, document, &plot) : STATUS_OK;
}

/* Two columns of the table "many" over the number of machines. */
static int plot_many(const char *dir, const json_t *document, struct plot plot,
	const char *const path[2], const char *const name[2], double scale)
{
	struct plot_point point[2][LIST_MAX];
	struct plot_series series[2] = { { .name = name[0], .point = point[0] },
		{ .name = name[1], .point = point[1] } };
	size_t i;
	json_t *row;
	json_array_foreach(json_object_get(document, "rows"), i, row)
	{
		for (int s = 0; s < 2; s++) {
			const json_t *v = result_get(row, path[s]);
			double p50 = json_number_value(json_object_get(v, "p50"));
			if (!v || series[s].count == LIST_MAX)
				continue;
			point[s][series[s].count++] = (struct plot_point){
				.x = json_number_value(json_object_get(row, "vms")),
				.y = p50 * scale,
				.low = json_number_value(json_object_get(v, "min")) * scale,
				.high = json_number_value(json_object_get(v, "max")) * scale,
			};
		}
	}
	plot.x_label = "machines at once in one process (logarithmic)";
	plot.kind = PLOT_LINES;
	plot.log_x = true;
	plot.count = 2;
	plot.series = series;
	return series[0].count ? plot_draw(dir, document, &plot) : STATUS_OK;
}

int start_plot(const char *dir, const json_t *document)
{
	static const char *const times[] = { "started_us_per_vm", "probed_us_per_vm" };
	static const char *const time_names[] = { "to start and halt",
		"to start, scan PCI and end" };
	static const char *const weights[] = { "resident_kib_per_vm", "pss_kib_per_vm" };
	static const char *const weight_names[] = { "resident", "proportional (PSS)" };
	const struct plot time = { .name = "start-many-time",
		.title = "Cost of each machine (median, least to most)",
		.y_label = "time per machine, ms" };
	const struct plot weight = { .name = "start-many-memory",
		.title = "Memory of each further machine, without its RAM",
		.y_label = "memory per machine, KiB" };
	int status = plot_starts(dir, document);
	if (status == STATUS_OK)
		status = plot_many(dir, document, time, times, time_names, 1e-3);
	if (status == STATUS_OK)
		status = plot_many(dir, document, weight, weights, weight_names, 1);
	return status;
}
