// SPDX-License-Identifier: Apache-2.0
/* Charts of `lacuna bench io`: what the disk and the network reach under each monitor. */
#include "bench/io_plot.h"

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

static bool is_measured(const json_t *row, const char *part, const char *rate)
{
	return !strcmp(word(row, "part"), part) &&
	       json_is_number(json_object_get(json_object_get(row, rate), "p50"));
}

static void add_point(struct plot_series *series, const json_t *row, const char *rate)
{
	const json_t *v = json_object_get(row, rate);
	if (series->count == LIST_MAX)
		return;
	struct plot_point *p = &series->point[series->count++];
	*p = (struct plot_point){
		.y = json_number_value(json_object_get(v, "p50")),
		.low = json_number_value(json_object_get(v, "min")),
		.high = json_number_value(json_object_get(v, "max")),
	};
	snprintf(p->label, sizeof(p->label), "%s", word(row, "workload"));
}

/* Bars beside each other for the monitors; for workloads that one of them lacks there is none. */
static int plot_part(const char *dir, const json_t *document, const char *part, const char *rate,
	struct plot plot)
{
	struct plot_point point[2][LIST_MAX];
	struct plot_series series[2] = { { .name = "lacuna", .point = point[0] },
		{ .name = "QEMU", .point = point[1] } };
	size_t i;
	json_t *row;
	json_array_foreach(json_object_get(document, "rows"), i, row)
	{
		if (is_measured(row, part, rate))
			add_point(&series[!strcmp(word(row, "what"), "qemu")], row, rate);
	}
	plot.kind = PLOT_BARS;
	plot.x_label = "workload";
	plot.count = series[0].count && series[1].count ? 2 : 1;
	plot.series = series[0].count ? series : series + 1;
	return plot.series->count ? plot_draw(dir, document, &plot) : STATUS_OK;
}

int io_plot(const char *dir, const json_t *document)
{
	const struct plot disk = { .name = "io-disk",
		.title = "Reads from a disk by fio (median, least to most)",
		.y_label = "requests a second" };
	const struct plot net = { .name = "io-net",
		.title = "One TCP stream of iperf3 through a tap (median, least to most)",
		.y_label = "rate, Mbit/s" };
	int status = plot_part(dir, document, "disk", "iops", disk);
	return status == STATUS_OK ? plot_part(dir, document, "net", "mbit_s", net) : status;
}
