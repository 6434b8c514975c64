/* SPDX-License-Identifier: Apache-2.0 */
/* Charts, drawn by gnuplot as SVG and PNG. */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct plot_point {
	char label[64];      /* bars: the name below it */
	double x;            /* lines */
	double y, low, high; /* low and high: its spread, drawn if high > low */
};

struct plot_series {
	const char *name; /* in the legend; NULL: none */
	size_t count;
	struct plot_point *point;
};

enum plot_kind { PLOT_BARS, PLOT_LINES };

struct plot {
	const char *name;                      /* of the files: DIR/NAME.svg and DIR/NAME.png */
	const char *title, *x_label, *y_label; /* with units */
	enum plot_kind kind;
	bool log_x, log_y;
	bool stacked; /* bars: of one label they stand before each other, the first one behind */
	size_t count;
	const struct plot_series *series; /* bars: the labels of the first one are everybody's */
};

/* Makes the folder @dir if it is not there, and draws. The host of @document is named below the
 * title. STATUS_OK, or what fail() returned. */
int plot_draw(const char *dir, const json_t *document, const struct plot *plot);

#endif
