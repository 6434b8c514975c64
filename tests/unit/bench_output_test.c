// SPDX-License-Identifier: Apache-2.0
/* Results of lacuna bench as text, the comparison of two, and values of options. */
#include "bench/output.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/result.h"

static const struct table tables[] = {
	{ "scan", "Scans",
		(const struct column[]){
			{ "how", "how", NULL, COLUMN_KEY, 0, 0 },
			{ "buses", "buses", NULL, COLUMN_KEY, 0, 0 },
			{ "time_us", "time", "ms", COLUMN_TIME, 1, 1e-3 },
			{ "rate", "rate", "/s", COLUMN_RATE, 0, 0 },
			{ "exits", "exits", NULL, COLUMN_COUNT, 0, 0 },
			{ "ratio", "ratio", NULL, COLUMN_RATIO, 2, 0 },
			{ 0 },
		} },
	{ "other", "Others",
		(const struct column[]){ { "name", "name", NULL, COLUMN_KEY, 0, 0 }, { 0 } } },
	{ 0 },
};

static json_t *row(const char *how, int buses, double p50, double iqr, double rate, int exits)
{
	return json_pack("{s:s, s:s, s:i, s:{s:f, s:f}, s:f, s:i, s:{s:f, s:f, s:f}}", "part",
		"scan", "how", how, "buses", buses, "time_us", "p50", p50, "iqr", iqr, "rate", rate,
		"exits", exits, "ratio", "median", 1.5, "low", 1.25, "high", 2.0);
}

static json_t *document(json_t *rows)
{
	return json_pack("{s:s, s:s, s:s, s:{s:s, s:i, s:s, s:s}, s:{}, s:o, s:[]}", "schema",
		RESULT_SCHEMA, "command", "pci", "lacuna", "1.2.3", "host", "cpu", "Abacus", "cpus",
		2, "kernel", "6.1", "time", "2026-01-01T00:00:00Z", "settings", "rows", rows,
		"figures");
}

/* What @print writes; the caller's. */
static char *text_of(void (*print)(FILE *f, const json_t *d), json_t *d)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	print(f, d);
	fclose(f);
	json_decref(d);
	return text;
}

static void print_table(FILE *f, const json_t *d)
{
	output_table(f, d, tables);
}

static void expect_text(const char *found, const char *expected)
{
	cr_expect_str_eq(found, expected, "found:\n%s\nexpected:\n%s", found, expected);
}

Test(bench_output, table)
{
	struct why why = { "no such thing" };
	json_t *rows = json_pack(
		"[o, o]", row("trap", 256, 12345, 10, 7.6, 100), row("memory", 1, 6.5, 0, 1e6, 0));
	json_t *d = document(rows);
	result_add_unavailable(
		d, json_pack("{s:s, s:s, s:i}", "part", "scan", "how", "magic", "buses", 16), &why);
	static const struct estimate six = { 6, 0.5, 0.25, 1.5, 0.96875, false };
	static const struct estimate two = { 2, 0.5, 0.25, 0.75, 0.5, false };
	result_figure(d, "scan", six, "times", false, 1);
	result_figure(d, "quick scan", two, "times", false, 1);
	result_figure(d, "exits", estimate_exact(99), "", true, 100);
	result_figure(d, "none", estimate_exact(NAN), "KiB", false, 5);
	char *text = text_of(print_table, d);
	expect_text(text, "lacuna 1.2.3 bench pci: Abacus, 2 CPUs, Linux 6.1, no KVM\n"
			  "\n"
			  "Scans\n"
			  "how     buses  time     rate  exits             ratio\n"
			  "                 ms       /s\n"
			  "trap      256  12.3        8    100  1.50 (1.25-2.00)\n"
			  "memory      1   0.0  1000000      0  1.50 (1.25-2.00)\n"
			  "magic      16  not available: no such thing\n"
			  "\n"
			  "scan: 0.5 (0.25-1.5) times (goal: at most 1): not certain\n"
			  "quick scan: 0.5 (0.25-0.75) times (goal: at most 1): met; few rounds: "
			  "2, an interval of 95 % takes 6\n"
			  "exits: 99 (goal: at least 100): missed\n"
			  "none: not available (goal: at most 5)\n");
	free(text);
}

Test(bench_output, noise_is_told)
{
	json_t *r = json_pack("{s:s, s:s, s:i, s:{s:f, s:f, s:s}}", "part", "scan", "how", "trap",
		"buses", 1, "time_us", "p50", 100.0, "iqr", 40.0, "noise", "noisy");
	char *text = text_of(print_table, document(json_pack("[o]", r)));
	cr_expect(strstr(text, "noisy: trap, 1 buses: time: the quartiles are 40 % of the median "
			       "apart\n"),
		"%s", text);
	free(text);
}

Test(bench_output, csv)
{
	json_t *rows = json_pack("[{s:s, s:{s:i, s:{s:f}}, s:b, s:n}, {s:s, s:s}]", "name",
		"a,b \"c\"\nd", "x", "y", 1, "z", "deep", 0.1, "flag", 1, "nothing", "name",
		"plain", "why", "x");
	char *text = text_of(output_csv, document(rows));
	expect_text(text, "name,x.y,x.z.deep,flag,nothing,why\r\n"
			  "\"a,b \"\"c\"\"\nd\",1,0.10000000000000001,true,,\r\n"
			  "plain,,,,,x\r\n");
	free(text);
}

Test(bench_output, csv_of_nothing)
{
	char *text = text_of(output_csv, document(json_array()));
	expect_text(text, "");
	free(text);
}

/* --- the comparison of two runs --- */

struct change { /* no pointers: rows travel to another process */
	char name[32];
	double p50, iqr, rate;
	int exits;
	unsigned worse;
	char says[64]; /* "": nothing of this row */
};

/* Against 100 us with quartiles 8 apart, 1000 a second, 5 exits. */
ParameterizedTestParameters(bench_output, difference)
{
	static struct change c[] = {
		{ "the same", 100, 8, 1000, 5, 0, "" },
		{ "within the old noise", 108, 0, 1000, 5, 0, "" },
		{ "within the new noise", 118, 18, 1000, 5, 0, "" },
		{ "slower", 109, 8, 1000, 5, 1, "worse: trap, 1 buses: time: 0.1 -> 0.1 ms" },
		{ "faster", 91, 8, 1000, 5, 0, "better: trap, 1 buses: time: " },
		{ "rate within 5 %", 100, 8, 951, 5, 0, "" },
		{ "lower rate", 100, 8, 900, 5, 1, "worse: trap, 1 buses: rate: 1000 -> 900 /s" },
		{ "higher rate", 100, 8, 1100, 5, 0, "better: trap, 1 buses: rate: " },
		{ "more exits", 100, 8, 1000, 6, 1, "differs: trap, 1 buses: exits: 5 -> 6" },
		{ "fewer exits", 100, 8, 1000, 4, 1, "differs: trap, 1 buses: exits: 5 -> 4" },
		{ "all at once", 200, 8, 10, 7, 3, "differs" },
	};
	return cr_make_param_array(struct change, c, sizeof(c) / sizeof(c[0]));
}

static unsigned compare(json_t *now, json_t *earlier, char **ret_text)
{
	size_t size = 0;
	*ret_text = NULL;
	FILE *f = open_memstream(ret_text, &size);
	unsigned worse = output_difference(f, now, earlier, tables);
	fclose(f);
	json_decref(now);
	json_decref(earlier);
	return worse;
}

ParameterizedTest(struct change *c, bench_output, difference)
{
	char *text;
	unsigned worse = compare(
		document(json_pack("[o]", row("trap", 1, c->p50, c->iqr, c->rate, c->exits))),
		document(json_pack(
			"[o, o]", row("trap", 256, 1, 1, 1, 1), row("trap", 1, 100, 8, 1000, 5))),
		&text);
	cr_expect_eq(worse, c->worse, "%s: %u worse\n%s", c->name, worse, text);
	if (*c->says)
		cr_expect(strstr(text, c->says), "%s:\n%s", c->name, text);
	else
		cr_expect_null(strstr(text, "trap"), "%s:\n%s", c->name, text);
	cr_expect(strstr(text, "1 of 1 rows compared"), "%s:\n%s", c->name, text);
	free(text);
}

Test(bench_output, difference_of_what_could_not_be_had)
{
	char *text;
	json_t *gone = json_pack("{s:s, s:s, s:i, s:s}", "part", "scan", "how", "trap", "buses", 1,
		"not_available", "why");
	unsigned worse = compare(document(json_pack("[O]", gone)),
		document(json_pack("[o]", row("trap", 1, 100, 8, 1000, 5))), &text);
	cr_expect_eq(worse, 3, "%u\n%s", worse, text);
	cr_expect(strstr(text, "worse: trap, 1 buses: time: no longer available"), "%s", text);
	free(text);
	worse = compare(document(json_pack("[o]", row("trap", 1, 100, 8, 1000, 5))),
		document(json_pack("[o]", gone)), &text);
	cr_expect_eq(worse, 0, "%u\n%s", worse, text);
	cr_expect(strstr(text, "better: trap, 1 buses: time: now available"), "%s", text);
	free(text);
}

/* --- values of options --- */

struct list_case {
	char text[32];
	int status;
	size_t count;
	uint64_t value[4];
};

static const char *const words[] = { "one", "oneself", "two", NULL };

ParameterizedTestParameters(bench_args, words)
{
	static struct list_case c[] = {
		{ "one", STATUS_OK, 1, { 0 } },
		{ "two,oneself", STATUS_OK, 2, { 2, 1 } },
		{ "all", STATUS_OK, 3, { 0, 1, 2 } },
		{ "", STATUS_FAILED, 0, { 0 } },
		{ "on", STATUS_FAILED, 0, { 0 } },
		{ "one,", STATUS_FAILED, 0, { 0 } },
		{ "one,one", STATUS_FAILED, 0, { 0 } },
		{ "one,all", STATUS_FAILED, 0, { 0 } },
	};
	return cr_make_param_array(struct list_case, c, sizeof(c) / sizeof(c[0]));
}

ParameterizedTest(struct list_case *c, bench_args, words)
{
	struct list l;
	cr_assert_eq(option_words("option", c->text, words, &l), c->status, "'%s'", c->text);
	if (c->status != STATUS_OK)
		return;
	cr_expect_eq(l.count, c->count, "'%s': %zu", c->text, l.count);
	for (size_t i = 0; i < c->count; i++)
		cr_expect_eq(l.value[i], c->value[i], "'%s'", c->text);
}

ParameterizedTestParameters(bench_args, numbers)
{
	static struct list_case c[] = {
		{ "1", STATUS_OK, 1, { 1 } },
		{ "256,16,1", STATUS_OK, 3, { 256, 16, 1 } },
		{ "007", STATUS_OK, 1, { 7 } },
		{ "0", STATUS_FAILED, 0, { 0 } },
		{ "257", STATUS_FAILED, 0, { 0 } },
		{ "18446744073709551617", STATUS_FAILED, 0, { 0 } },
		{ "1,,2", STATUS_FAILED, 0, { 0 } },
		{ "-1", STATUS_FAILED, 0, { 0 } },
		{ " 1", STATUS_FAILED, 0, { 0 } },
		{ "0x10", STATUS_FAILED, 0, { 0 } },
		{ "16,016", STATUS_FAILED, 0, { 0 } },
	};
	return cr_make_param_array(struct list_case, c, sizeof(c) / sizeof(c[0]));
}

ParameterizedTest(struct list_case *c, bench_args, numbers)
{
	struct list l;
	cr_assert_eq(option_numbers("option", c->text, 1, 256, &l), c->status, "'%s'", c->text);
	if (c->status != STATUS_OK)
		return;
	cr_expect_eq(l.count, c->count, "'%s': %zu", c->text, l.count);
	for (size_t i = 0; i < c->count; i++)
		cr_expect_eq(l.value[i], c->value[i], "'%s'", c->text);
}

/* --- rounds --- */

/* Every order has each thing once; and over many rounds each follows each of the others about as
 * often: 4 * 3,750 pairs are 750 for each of the 20, give or take 4 standard deviations. */
Test(bench_args, rounds_have_orders_of_their_own)
{
	enum { THINGS = 5, ROUNDS = 3750 };
	size_t order[THINGS];
	unsigned follows[THINGS][THINGS] = { 0 };
	for (uint64_t round = 0; round < ROUNDS; round++) {
		unsigned seen = 0;
		round_order(round, THINGS, order);
		for (size_t i = 0; i < THINGS; i++) {
			cr_assert_lt(order[i], THINGS);
			seen |= 1u << order[i];
			if (i)
				follows[order[i]][order[i - 1]]++;
		}
		cr_assert_eq(seen, (1u << THINGS) - 1);
	}
	for (size_t a = 0; a < THINGS; a++)
		for (size_t b = 0; b < THINGS; b++)
			if (a != b)
				cr_expect(follows[a][b] > 640 && follows[a][b] < 860,
					"%zu follows %zu %u times", a, b, follows[a][b]);
}
