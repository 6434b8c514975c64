/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document that a run of `lacuna bench` makes (docs/bench.schema.json): schema, command,
 * version, commit, host, settings, rows, figures. jansson's functions pass a NULL on, so when
 * memory is out the document ends up NULL, which bench.c tells.
 */
#ifndef BENCH_RESULT_H
#define BENCH_RESULT_H

#include <jansson.h>
#include <stdbool.h>

#include "bench/bench.h"
#include "bench/series.h"

#define RESULT_SCHEMA "lacuna-bench/2"

/* An empty document about this host. Takes the reference to @settings. */
json_t *result_new(const char *command, json_t *settings);

/* Each takes the reference to @row. */
void result_add(json_t *document, json_t *row);
void result_add_unavailable(json_t *document, json_t *row, const struct why *why);

/* A figure that was promised: what was @found is to be at most (or, with @at_least, at least)
 * @goal. Shown below the tables, as "name: value (low-high) unit (goal: ...): verdict". */
void result_figure(json_t *document, const char *name, struct estimate found, const char *unit,
	bool at_least, double goal);

/* Objects {count, min, p50, p90, p99, max, mean, mad, iqr, noise} and
 * {pairs, median, low, high, confidence}. */
json_t *result_summary(const struct series *s);
json_t *result_ratio(const struct series *a, const struct series *b);

/* null for NAN and the infinite, which JSON has not. */
json_t *result_number(double value);

/* What "a.b.c" leads to from @object, or NULL; borrowed. */
json_t *result_get(const json_t *object, const char *path);
/* The number there; 0 where there is none. */
double result_number_at(const json_t *object, const char *path);

#endif
