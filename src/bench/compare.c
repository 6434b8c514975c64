// SPDX-License-Identifier: Apache-2.0
/* --against: what differs from an earlier run. */
#include <math.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/result.h"

#define LEAST 0.05 /* times closer than this are the same, however quiet both runs were */

static bool is_text(const json_t *object, const char *key)
{
	return json_is_string(json_object_get(object, key));
}

/* As far as printing and drawing rely on it; the schema has more. */
static bool is_document(const json_t *d)
{
	const json_t *rows = json_object_get(d, "rows"), *figures = json_object_get(d, "figures");
	size_t i;
	json_t *v;
	bool ok = is_text(d, "schema") && is_text(d, "command") && is_text(d, "lacuna") &&
		  json_is_object(json_object_get(d, "host")) && json_is_array(rows) &&
		  json_is_array(figures);
	json_array_foreach(rows, i, v)
	{
		ok = ok && is_text(v, "part");
	}
	json_array_foreach(figures, i, v)
	{
		ok = ok && is_text(v, "name") && is_text(v, "unit") && is_text(v, "goal_is") &&
		     is_text(v, "verdict");
	}
	return ok;
}

json_t *output_load(const char *option, const char *path, const char *command)
{
	json_error_t error;
	json_t *d = json_load_file(path, 0, &error);
	if (!d && error.line < 0)
		fail("%s: %s", option, error.text);
	else if (!d)
		fail("%s: '%s' is not JSON: line %d: %s", option, path, error.line, error.text);
	if (!d)
		return NULL;
	const char *schema = json_string_value(json_object_get(d, "schema"));
	const char *made_by = json_string_value(json_object_get(d, "command"));
	if (schema && strcmp(schema, RESULT_SCHEMA) != 0)
		fail("%s: '%s' is of schema '%s', not '" RESULT_SCHEMA "': make it anew", option,
			path, schema);
	else if (!is_document(d))
		fail("%s: '%s' is not a result of 'lacuna bench --save'", option, path);
	else if (strcmp(made_by, command) != 0)
		fail("%s: '%s' is a result of 'bench %s', not of 'bench %s'", option, path, made_by,
			command);
	else
		return d;
	json_decref(d);
	return NULL;
}

static bool same_keys(const json_t *a, const json_t *b, const struct table *t)
{
	if (!output_is_of(a, t) || !output_is_of(b, t))
		return false;
	for (const struct column *c = t->column; c->path; c++)
		if (c->kind == COLUMN_KEY &&
			!json_equal(result_get(a, c->path), result_get(b, c->path)))
			return false;
	return true;
}

static json_t *find_row(const json_t *document, const json_t *like, const struct table *t)
{
	size_t i;
	json_t *row;
	json_array_foreach(json_object_get(document, "rows"), i, row)
	{
		if (same_keys(like, row, t))
			return row;
	}
	return NULL;
}

/* The value at the column's path, and how far its quartiles are apart. NAN: there is none. */
static double value_of(const json_t *row, const struct column *c, double *ret_spread)
{
	const json_t *v = result_get(row, c->path);
	const json_t *iqr = json_object_get(v, "iqr");
	*ret_spread = json_is_number(iqr) ? json_number_value(iqr) : 0;
	if (json_is_object(v))
		v = json_object_get(v, "p50");
	return json_is_number(v) ? json_number_value(v) : NAN;
}

enum change { SAME, BETTER, WORSE };

static enum change judge(const struct column *c, const json_t *new, const json_t *old,
	double *ret_new, double *ret_old)
{
	double new_spread, old_spread;
	double a = value_of(new, c, &new_spread), b = value_of(old, c, &old_spread);
	*ret_new = a;
	*ret_old = b;
	if (isnan(a) || isnan(b))
		return isnan(a) == isnan(b) ? SAME : isnan(a) ? WORSE : BETTER;
	if (c->kind == COLUMN_COUNT)
		return a == b ? SAME : WORSE;
	double noise = LEAST * fabs(b);
	if (noise < new_spread)
		noise = new_spread;
	if (noise < old_spread)
		noise = old_spread;
	if (fabs(a - b) <= noise)
		return SAME;
	return (a > b) == (c->kind == COLUMN_TIME) ? WORSE : BETTER;
}

static unsigned compare_rows(FILE *f, const json_t *new, const json_t *old, const struct table *t)
{
	static const char *const word[] = { "same", "better", "worse" };
	static const char *const code[] = { "", "\033[32m", "\033[31m" };
	bool colour = output_colour(f);
	unsigned worse = 0;
	char name[160];
	output_row_name(new, t, name, sizeof(name));
	for (const struct column *c = t->column; c->path; c++) {
		double a, b, scale = c->scale != 0 ? c->scale : 1;
		if (c->kind != COLUMN_COUNT && c->kind != COLUMN_TIME && c->kind != COLUMN_RATE)
			continue;
		enum change v = judge(c, new, old, &a, &b);
		if (v == SAME)
			continue;
		worse += v == WORSE;
		fprintf(f, "%s%s%s: %s: %s: ", colour ? code[v] : "",
			c->kind == COLUMN_COUNT ? "differs" : word[v], colour ? "\033[0m" : "",
			name, c->head);
		if (isnan(a) || isnan(b))
			fprintf(f, "%s available\n", isnan(a) ? "no longer" : "now");
		else
			fprintf(f, "%.*f -> %.*f%s%s\n", c->digits, b * scale, c->digits, a * scale,
				c->unit ? " " : "", c->unit ? c->unit : "");
	}
	return worse;
}

/* What makes the comparison itself doubtful. */
static void compare_hosts(FILE *f, const json_t *new, const json_t *old)
{
	static const char *const path[] = { "host.cpu", "host.cpus", "host.kernel",
		"host.kvm.flavour", "host.governor", "settings" };
	for (size_t i = 0; i < sizeof(path) / sizeof(path[0]); i++) {
		const json_t *a = result_get(new, path[i]), *b = result_get(old, path[i]);
		if (!json_equal(a, b) && (a || b))
			fprintf(f, "the two runs differ in %s\n", path[i]);
	}
}

unsigned output_difference(
	FILE *f, const json_t *document, const json_t *earlier, const struct table *tables)
{
	unsigned worse = 0, compared = 0;
	fprintf(f, "\nAgainst the run of %s:\n",
		json_string_value(result_get(earlier, "host.time")) ?: "an unknown time");
	compare_hosts(f, document, earlier);
	for (const struct table *t = tables; t->part; t++) {
		size_t i;
		json_t *row;
		json_array_foreach(json_object_get(document, "rows"), i, row)
		{
			if (!output_is_of(row, t))
				continue;
			const json_t *old = find_row(earlier, row, t);
			if (!old)
				continue;
			compared++;
			worse += compare_rows(f, row, old, t);
		}
	}
	fprintf(f, "%u of %zu rows compared; %u worse or different\n", compared,
		json_array_size(json_object_get(document, "rows")), worse);
	return worse;
}
