// SPDX-License-Identifier: Apache-2.0
/* Building documents, and finding things in them. */
#include "bench/result.h"

#include <lacuna/version.h>
#include <math.h>
#include <string.h>

#include "bench/host.h"

#ifndef LACUNA_COMMIT
#define LACUNA_COMMIT "" /* the Makefile knows */
#endif

json_t *result_new(const char *command, json_t *settings)
{
	const char *commit = LACUNA_COMMIT;
	return json_pack("{s:s, s:s, s:s, s:s?, s:o, s:o, s:[], s:[]}", "schema", RESULT_SCHEMA,
		"command", command, "lacuna", lacuna_version(), "commit", *commit ? commit : NULL,
		"host", host_describe(), "settings", settings, "rows", "figures");
}

void result_add(json_t *document, json_t *row)
{
	json_array_append_new(json_object_get(document, "rows"), row);
}

void result_add_unavailable(json_t *document, json_t *row, const struct why *why)
{
	json_object_set_new(row, "not_available", json_string(why->text));
	result_add(document, row);
}

/* @rounds: the name of their number. */
static json_t *interval_json(const struct estimate *e, const char *rounds)
{
	return json_pack("{s:I, s:o, s:o, s:f}", rounds, (json_int_t)e->rounds, "low",
		result_number(e->low), "high", result_number(e->high), "confidence", e->confidence);
}

void result_figure(json_t *document, const char *name, struct estimate found, const char *unit,
	bool at_least, double goal)
{
	enum verdict verdict = estimate_verdict(&found, at_least, goal);
	json_t *figure = json_pack("{s:s, s:o, s:s, s:f, s:s, s:s, s:o}", "name", name, "value",
		result_number(found.median), "unit", unit, "goal", goal, "goal_is",
		at_least ? "at_least" : "at_most", "verdict", verdict_name(verdict), "interval",
		found.exact ? json_null() : interval_json(&found, "rounds"));
	json_array_append_new(json_object_get(document, "figures"), figure);
}

json_t *result_number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

json_t *result_summary(const struct series *s)
{
	struct summary r = series_summary(s);
	return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "count",
		(json_int_t)r.count, "min", result_number(r.min), "p50", result_number(r.p50),
		"p90", result_number(r.p90), "p99", result_number(r.p99), "max",
		result_number(r.max), "mean", result_number(r.mean), "mad", result_number(r.mad),
		"iqr", result_number(r.iqr), "noise", noise_name(r.noise));
}

json_t *result_ratio(const struct series *a, const struct series *b)
{
	struct estimate r = series_ratio(a, b);
	json_t *ratio = interval_json(&r, "pairs");
	json_object_set_new(ratio, "median", result_number(r.median));
	return ratio;
}

json_t *result_get(const json_t *object, const char *path)
{
	char key[64];
	while (object) {
		size_t len = strcspn(path, ".");
		if (len >= sizeof(key))
			return NULL;
		memcpy(key, path, len);
		key[len] = '\0';
		json_t *found = json_object_get(object, key);
		if (!path[len])
			return found;
		object = found;
		path += len + 1;
	}
	return NULL;
}

double result_number_at(const json_t *object, const char *path)
{
	return json_number_value(result_get(object, path));
}
