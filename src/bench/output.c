// SPDX-License-Identifier: Apache-2.0
/* Tables, CSV and JSON. */
#include "bench/output.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/host.h"
#include "bench/reasons.h"
#include "bench/result.h"

#define COLUMNS_MAX 24
#define CELL_MAX    64

bool output_colour(FILE *f)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	return isatty(fileno(f)) && (!no || !*no) && (!term || strcmp(term, "dumb") != 0);
}

/* --- tables --- */

struct style {
	const char *bold, *dim, *good, *bad, *plain;
};

static struct style style_of(FILE *f)
{
	static const struct style on = { "\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m" };
	static const struct style off = { "", "", "", "", "" };
	return output_colour(f) ? on : off;
}

static double scaled(const struct column *c, const json_t *v)
{
	return json_number_value(v) * (c->scale != 0 ? c->scale : 1);
}

static void format_cell(const struct column *c, const json_t *row, char cell[CELL_MAX])
{
	const json_t *v = result_get(row, c->path);
	if (json_object_get(v, "p50"))
		v = json_object_get(v, "p50");
	const json_t *median = json_object_get(v, "median");
	if (c->kind == COLUMN_RATIO && json_is_number(median))
		snprintf(cell, CELL_MAX, "%.*f (%.*f-%.*f)", c->digits, scaled(c, median),
			c->digits, scaled(c, json_object_get(v, "low")), c->digits,
			scaled(c, json_object_get(v, "high")));
	else if (c->kind == COLUMN_MOST && json_object_size(v))
		reasons_text(v, cell, CELL_MAX);
	else if (json_is_string(v))
		snprintf(cell, CELL_MAX, "%s", json_string_value(v));
	else if (json_is_number(v))
		snprintf(cell, CELL_MAX, "%.*f", c->digits, scaled(c, v));
	else if (json_is_boolean(v))
		snprintf(cell, CELL_MAX, "%s", json_is_true(v) ? "yes" : "no");
	else
		snprintf(cell, CELL_MAX, "-");
}

bool output_is_of(const json_t *row, const struct table *t)
{
	const char *part = json_string_value(json_object_get(row, "part"));
	return part && !strcmp(part, t->part);
}

/* Columns with words stand on the left, those with numbers on the right. */
static bool is_text(const struct column *c, const json_t *rows, const struct table *t)
{
	size_t i;
	json_t *row;
	json_array_foreach(rows, i, row)
	{
		if (output_is_of(row, t) && json_is_string(result_get(row, c->path)))
			return true;
	}
	return c->kind == COLUMN_MOST;
}

struct line {
	char text[1024];
	size_t len;
};

static void put_cell(struct line *l, const char *cell, int width, bool left)
{
	int n = snprintf(l->text + l->len, sizeof(l->text) - l->len, left ? "%s%-*s" : "%s%*s",
		l->len ? "  " : "", width, cell);
	if (n > 0 && (size_t)n < sizeof(l->text) - l->len)
		l->len += (size_t)n;
}

/* No blanks at its end. */
static void print_line(FILE *f, struct line *l)
{
	while (l->len && l->text[l->len - 1] == ' ')
		l->len--;
	fprintf(f, "%.*s\n", (int)l->len, l->text);
	l->len = 0;
}

static void widen(int *width, const char *text)
{
	int len = (int)strlen(text);
	if (len > *width)
		*width = len;
}

static void print_row(FILE *f, const struct table *t, const json_t *row, const int *width,
	const bool *left, const struct style *s)
{
	char cell[CELL_MAX];
	const char *why = json_string_value(json_object_get(row, "not_available"));
	size_t keys = 0;
	while (t->column[keys].path && t->column[keys].kind == COLUMN_KEY)
		keys++;
	struct line l = { .len = 0 };
	for (size_t i = 0; t->column[i].path && (!why || i < keys); i++) {
		format_cell(&t->column[i], row, cell);
		put_cell(&l, cell, width[i], left[i]);
	}
	if (why)
		fprintf(f, "%.*s  %snot available: %s%s\n", (int)l.len, l.text, s->dim, why,
			s->plain);
	else
		print_line(f, &l);
}

static void print_table(FILE *f, const json_t *rows, const struct table *t, const struct style *s)
{
	int width[COLUMNS_MAX] = { 0 };
	bool left[COLUMNS_MAX], units = false;
	char cell[CELL_MAX];
	size_t n = 0, i;
	json_t *row;
	for (; n < COLUMNS_MAX && t->column[n].path; n++) {
		const struct column *c = &t->column[n];
		left[n] = is_text(c, rows, t);
		units |= c->unit != NULL;
		widen(&width[n], c->head);
		widen(&width[n], c->unit ? c->unit : "");
		json_array_foreach(rows, i, row)
		{
			bool shown =
				output_is_of(row, t) &&
				(c->kind == COLUMN_KEY || !json_object_get(row, "not_available"));
			format_cell(c, row, cell);
			widen(&width[n], shown ? cell : "");
		}
	}
	fprintf(f, "\n%s%s%s\n", s->bold, t->title, s->plain);
	struct line l = { .len = 0 };
	for (i = 0; i < n; i++)
		put_cell(&l, t->column[i].head, width[i], left[i]);
	print_line(f, &l);
	for (i = 0; i < n && units; i++)
		put_cell(&l, t->column[i].unit ? t->column[i].unit : "", width[i], left[i]);
	if (units)
		print_line(f, &l);
	json_array_foreach(rows, i, row)
	{
		if (output_is_of(row, t))
			print_row(f, t, row, width, left, s);
	}
}

void output_row_name(const json_t *row, const struct table *t, char *buf, size_t size)
{
	size_t at = 0;
	char cell[CELL_MAX];
	buf[0] = '\0';
	for (const struct column *c = t->column; c->path && at < size; c++) {
		if (c->kind != COLUMN_KEY)
			continue;
		format_cell(c, row, cell);
		bool word = json_is_string(result_get(row, c->path));
		at += (size_t)snprintf(buf + at, size - at, "%s%s%s%s", at ? ", " : "", cell,
			word ? "" : " ", word ? "" : c->head);
	}
}

static void print_noise(FILE *f, const json_t *rows, const struct table *t, const struct style *s)
{
	size_t i;
	json_t *row;
	char name[160];
	json_array_foreach(rows, i, row)
	{
		for (const struct column *c = t->column; output_is_of(row, t) && c->path; c++) {
			const json_t *v = result_get(row, c->path);
			const char *noise = json_string_value(json_object_get(v, "noise"));
			if (!noise || strcmp(noise, noise_name(NOISE_HIGH)) != 0)
				continue;
			output_row_name(row, t, name, sizeof(name));
			fprintf(f,
				"%snoisy:%s %s: %s: the quartiles are %.0f %% of the median apart\n",
				s->bad, s->plain, name, c->head,
				100 * json_number_value(json_object_get(v, "iqr")) /
					json_number_value(json_object_get(v, "p50")));
		}
	}
}

static void print_figure(FILE *f, const json_t *v, const struct style *s)
{
	const json_t *value = json_object_get(v, "value"), *low = result_get(v, "interval.low");
	const char *is = json_string_value(json_object_get(v, "goal_is"));
	const char *unit = json_string_value(json_object_get(v, "unit"));
	const char *verdict = json_string_value(json_object_get(v, "verdict"));
	fprintf(f, "%s: ", json_string_value(json_object_get(v, "name")));
	if (json_is_number(value))
		fprintf(f, "%.4g", json_number_value(value));
	else
		fprintf(f, "not available");
	if (json_is_number(low))
		fprintf(f, " (%.4g-%.4g)", json_number_value(low),
			result_number_at(v, "interval.high"));
	if (json_is_number(value) && *unit)
		fprintf(f, " %s", unit);
	fprintf(f, " (goal: at %s %g)", !strcmp(is, "at_least") ? "least" : "most",
		json_number_value(json_object_get(v, "goal")));
	if (json_is_number(value))
		fprintf(f, ": %s%s%s",
			!strcmp(verdict, verdict_name(VERDICT_MET))      ? s->good
			: !strcmp(verdict, verdict_name(VERDICT_MISSED)) ? s->bad
									 : s->bold,
			verdict, s->plain);
	if (json_is_number(low) && result_number_at(v, "interval.rounds") < ROUNDS_FEW)
		fprintf(f, "; few rounds: %g, an interval of 95 %% takes %d",
			result_number_at(v, "interval.rounds"), ROUNDS_FEW);
	fprintf(f, "\n");
}

static void print_figures(FILE *f, const json_t *document, const struct style *s)
{
	size_t i;
	json_t *v;
	if (json_array_size(json_object_get(document, "figures")))
		fprintf(f, "\n");
	json_array_foreach(json_object_get(document, "figures"), i, v)
	{
		print_figure(f, v, s);
	}
}

void output_table(FILE *f, const json_t *document, const struct table *tables)
{
	struct style s = style_of(f);
	char line[256];
	const json_t *rows = json_object_get(document, "rows");
	host_line(json_object_get(document, "host"), line, sizeof(line));
	const char *commit = json_string_value(json_object_get(document, "commit"));
	fprintf(f, "lacuna %s%s%s%s bench %s: %s\n",
		json_string_value(json_object_get(document, "lacuna")), commit ? " (" : "",
		commit ? commit : "", commit ? ")" : "",
		json_string_value(json_object_get(document, "command")), line);
	for (const struct table *t = tables; t->part; t++) {
		size_t i;
		json_t *row;
		bool any = false;
		json_array_foreach(rows, i, row)
		{
			any |= output_is_of(row, t);
		}
		if (!any)
			continue;
		print_table(f, rows, t, &s);
		print_noise(f, rows, t, &s);
	}
	print_figures(f, document, &s);
}

/* --- CSV --- */

struct names {
	char **name;
	size_t count;
};

static void names_add(struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (!strcmp(names->name[i], name))
			return;
	names->name = must_realloc(names->name, (names->count + 1) * sizeof(*names->name));
	size_t size = strlen(name) + 1;
	char *copy = must_realloc(NULL, size);
	memcpy(copy, name, size);
	names->name[names->count++] = copy;
}

static void collect(struct names *names, const json_t *object, const char *prefix)
{
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)object, key, v)
	{
		char path[160];
		snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", key);
		if (json_is_object(v))
			collect(names, v, path);
		else
			names_add(names, path);
	}
}

static void csv_text(FILE *f, const char *text)
{
	if (!strpbrk(text, ",\"\r\n")) {
		fprintf(f, "%s", text);
		return;
	}
	fputc('"', f);
	for (; *text; text++)
		fprintf(f, *text == '"' ? "\"\"" : "%c", *text);
	fputc('"', f);
}

static void csv_value(FILE *f, const json_t *v)
{
	if (json_is_string(v))
		csv_text(f, json_string_value(v));
	else if (json_is_integer(v))
		fprintf(f, "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		fprintf(f, "%.17g", json_real_value(v));
	else if (json_is_boolean(v))
		fprintf(f, "%s", json_is_true(v) ? "true" : "false");
}

void output_csv(FILE *f, const json_t *document)
{
	struct names names = { 0 };
	size_t i;
	json_t *row;
	json_array_foreach(json_object_get(document, "rows"), i, row)
	{
		collect(&names, row, "");
	}
	for (i = 0; i < names.count; i++) {
		csv_text(f, names.name[i]);
		fprintf(f, i + 1 < names.count ? "," : "\r\n");
	}
	size_t r;
	json_array_foreach(json_object_get(document, "rows"), r, row) for (i = 0; i < names.count;
									   i++)
	{
		csv_value(f, result_get(row, names.name[i]));
		fprintf(f, i + 1 < names.count ? "," : "\r\n");
	}
	for (i = 0; i < names.count; i++)
		free(names.name[i]);
	free(names.name);
}

void output_json(FILE *f, const json_t *document)
{
	json_dumpf(document, f, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	fprintf(f, "\n");
}
