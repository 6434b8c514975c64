// SPDX-License-Identifier: Apache-2.0
/* Order statistics of known series. */
#include "bench/series.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <float.h>
#include <math.h>

#define N(array) (sizeof(array) / sizeof((array)[0]))

static struct series series_of(const double *v, size_t count)
{
	struct series s = { 0 };
	for (size_t i = 0; i < count; i++)
		series_add(&s, v[i]);
	return s;
}

static bool near(double a, double b)
{
	return (isnan(a) && isnan(b)) || a == b || fabs(a - b) <= 1e-12 * fabs(b);
}

struct summary_case { /* no pointers: rows travel to another process */
	char name[16];
	double v[12];
	size_t count, there;
	double min, p50, p90, p99, max, mean, mad, iqr;
	enum noise noise;
};

ParameterizedTestParameters(bench_series, summary)
{
	static struct summary_case c[] = {
		{ "none", { 0 }, 0, 0, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NOISE_FEW },
		{ "one", { 7 }, 1, 1, 7, 7, 7, 7, 7, 7, 0, 0, NOISE_FEW },
		{ "two", { 3, 1 }, 2, 2, 1, 2, 2.8, 2.98, 3, 2, 1, 1, NOISE_FEW },
		{ "only missing", { NAN, NAN }, 2, 0, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN,
			NOISE_FEW },
		{ "one missing", { 5, NAN, 5, 5, 5, 5 }, 6, 5, 5, 5, 5, 5, 5, 5, 0, 0, NOISE_OK },
		{ "ties", { 4, 4, 4, 4, 4, 4 }, 6, 6, 4, 4, 4, 4, 4, 4, 0, 0, NOISE_OK },
		{ "zeros", { 0, 0, 0, 0, 0 }, 5, 5, 0, 0, 0, 0, 0, 0, 0, 0, NOISE_OK },
		/* R: quantile(c(11,...,1), c(.9, .99)), mad(constant = 1), IQR() */
		{ "eleven", { 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1 }, 11, 11, 1, 6, 10, 10.9, 11, 6, 3,
			5, NOISE_HIGH },
		{ "an outlier", { 100, 101, 102, 103, 104, 1e6 }, 6, 6, 100, 102.5, 500052,
			950005.2, 1e6, 1000510.0 / 6, 1.5, 2.5, NOISE_OK },
		{ "huge", { DBL_MAX, DBL_MAX, DBL_MAX, DBL_MAX, DBL_MAX, DBL_MAX }, 6, 6, DBL_MAX,
			DBL_MAX, DBL_MAX, DBL_MAX, DBL_MAX, DBL_MAX, 0, 0, NOISE_OK },
	};
	return cr_make_param_array(struct summary_case, c, N(c));
}

ParameterizedTest(struct summary_case *c, bench_series, summary)
{
	struct series s = series_of(c->v, c->count);
	struct summary r = series_summary(&s);
	cr_expect_eq(r.count, c->there, "%s: count %zu", c->name, r.count);
	cr_expect(near(r.min, c->min), "%s: min %g", c->name, r.min);
	cr_expect(near(r.p50, c->p50), "%s: p50 %g", c->name, r.p50);
	cr_expect(near(r.p90, c->p90), "%s: p90 %g", c->name, r.p90);
	cr_expect(near(r.p99, c->p99), "%s: p99 %g", c->name, r.p99);
	cr_expect(near(r.max, c->max), "%s: max %g", c->name, r.max);
	cr_expect(near(r.mean, c->mean), "%s: mean %g", c->name, r.mean);
	cr_expect(near(r.mad, c->mad), "%s: mad %g", c->name, r.mad);
	cr_expect(near(r.iqr, c->iqr), "%s: iqr %g", c->name, r.iqr);
	cr_expect_eq(r.noise, c->noise, "%s: noise %s", c->name, noise_name(r.noise));
	series_free(&s);
}

Test(bench_series, keeps_its_order)
{
	static const double v[] = { 3, 1, 2 };
	struct series s = series_of(v, N(v));
	series_summary(&s);
	for (size_t i = 0; i < N(v); i++)
		cr_expect_eq(s.value[i], v[i]);
	series_free(&s);
}

Test(bench_series, ratio_is_judged_pair_by_pair)
{
	/* the second round was ten times as slow for both; the third has lost one of its halves */
	static const double a[] = { 2, 20, NAN, 2.2, 1.8 }, b[] = { 1, 10, 1, 1, 1, 1 };
	struct series sa = series_of(a, N(a)), sb = series_of(b, N(b));
	struct estimate r = series_ratio(&sa, &sb);
	cr_expect_eq(r.rounds, 4);
	cr_expect(near(r.median, 2), "median %g", r.median);
	cr_expect(near(r.low, 1.8) && near(r.high, 2.2), "[%g, %g]", r.low, r.high);
	cr_expect(near(r.confidence, 0.875), "confidence %g", r.confidence);
	series_free(&sa);
	series_free(&sb);
}

Test(bench_series, ratio_of_nothing)
{
	static const double zero[] = { 0, 0 }, two[] = { 1, 2 };
	struct series none = { 0 }, a = series_of(two, 2), b = series_of(zero, 2);
	struct estimate r = series_ratio(&none, &none);
	cr_expect(r.rounds == 0 && isnan(r.median) && isnan(r.low) && isnan(r.high));
	r = series_ratio(&a, &b);
	cr_expect(r.rounds == 0 && isnan(r.median));
	cr_expect_eq(r.confidence, 0);
	series_free(&a);
	series_free(&b);
}

/* Ranks and confidence of the interval for the median: Conover, Practical Nonparametric Statistics,
 * 3.2, and qbinom(0.025, n, 0.5) of R. With ratios 1 to n, bounds are ranks. */
struct interval_case {
	unsigned n, low;
	double confidence;
};

ParameterizedTestParameters(bench_series, interval)
{
	static struct interval_case c[] = {
		{ 1, 1, 0 },
		{ 2, 1, 0.5 },
		{ 5, 1, 0.9375 },
		{ 6, 1, 0.96875 },
		{ 9, 2, 0.9609375 },
		{ 10, 2, 0.978515625 },
		{ 16, 4, 0.978729248046875 },
		{ 100, 40, 0.9647998 },
		{ 10000, 4902, 0.9511671 },
	};
	return cr_make_param_array(struct interval_case, c, N(c));
}

ParameterizedTest(struct interval_case *c, bench_series, interval)
{
	struct series a = { 0 }, b = { 0 };
	for (unsigned i = 1; i <= c->n; i++) {
		series_add(&a, i);
		series_add(&b, 1);
	}
	struct estimate r = series_ratio(&a, &b);
	cr_expect_eq(r.low, c->low, "n = %u: low %g", c->n, r.low);
	cr_expect_eq(r.high, c->n + 1 - c->low, "n = %u: high %g", c->n, r.high);
	cr_expect(fabs(r.confidence - c->confidence) < 1e-6, "n = %u: confidence %.9g", c->n,
		r.confidence);
	series_free(&a);
	series_free(&b);
}

/* --- goals --- */

struct verdict_case {
	char name[24];
	double v[8];
	size_t count;
	bool at_least;
	double goal, median, low, high;
	enum verdict verdict;
};

ParameterizedTestParameters(bench_series, verdict)
{
	static struct verdict_case c[] = {
		{ "none", { 0 }, 0, false, 1, NAN, NAN, NAN, VERDICT_NONE },
		{ "only missing", { NAN }, 1, true, 1, NAN, NAN, NAN, VERDICT_NONE },
		{ "one, below", { 0.5 }, 1, false, 1, 0.5, 0.5, 0.5, VERDICT_OPEN },
		{ "one of two", { NAN, 0.5 }, 2, false, 1, 0.5, 0.5, 0.5, VERDICT_OPEN },
		{ "two, below", { 0.5, 0.7 }, 2, false, 1, 0.6, 0.5, 0.7, VERDICT_MET },
		{ "two, below too few", { 0.5, 0.7 }, 2, true, 1, 0.6, 0.5, 0.7, VERDICT_MISSED },
		{ "median below", { 0.5, 0.9, 1.1 }, 3, false, 1, 0.9, 0.5, 1.1, VERDICT_OPEN },
		{ "median above", { 0.9, 1.1, 1.2 }, 3, false, 1, 1.1, 0.9, 1.2, VERDICT_OPEN },
		{ "up to the goal", { 0.8, 0.9, 1 }, 3, false, 1, 0.9, 0.8, 1, VERDICT_MET },
		{ "from the goal", { 1, 1.1, 1.2 }, 3, false, 1, 1.1, 1, 1.2, VERDICT_OPEN },
		{ "from the goal on", { 1, 1.1, 1.2 }, 3, true, 1, 1.1, 1, 1.2, VERDICT_MET },
		{ "all above", { 1.1, 1.2, 1.3 }, 3, false, 1, 1.2, 1.1, 1.3, VERDICT_MISSED },
		{ "six, one above", { 1, 2, 3, 4, 5, 9 }, 6, false, 8, 3.5, 1, 9, VERDICT_OPEN },
		{ "same each time", { 4, 4, 4, 4, 4, 4 }, 6, false, 4, 4, 4, 4, VERDICT_MET },
	};
	return cr_make_param_array(struct verdict_case, c, N(c));
}

ParameterizedTest(struct verdict_case *c, bench_series, verdict)
{
	struct series s = series_of(c->v, c->count);
	struct estimate e = series_estimate(&s);
	enum verdict v = estimate_verdict(&e, c->at_least, c->goal);
	cr_expect(near(e.median, c->median), "%s: median %g", c->name, e.median);
	cr_expect(near(e.low, c->low) && near(e.high, c->high), "%s: [%g, %g]", c->name, e.low,
		e.high);
	cr_expect_eq(v, c->verdict, "%s: %s", c->name, verdict_name(v));
	cr_expect_not(e.exact);
	series_free(&s);
}

/* From nine rounds on, an outlier no longer makes a goal doubtful. */
Test(bench_series, verdict_without_the_outermost)
{
	static const double v[] = { 1, 1, 1, 1, 1, 1, 1, 1, 100 };
	struct series s = series_of(v, N(v));
	struct estimate e = series_estimate(&s);
	cr_expect_eq(e.high, 1);
	cr_expect_eq(estimate_verdict(&e, false, 2), VERDICT_MET);
	series_free(&s);
}

Test(bench_series, counts_are_exact)
{
	struct estimate e = estimate_exact(140), none = estimate_exact(NAN);
	cr_expect_eq(estimate_verdict(&e, false, 140), VERDICT_MET);
	cr_expect_eq(estimate_verdict(&e, false, 139), VERDICT_MISSED);
	cr_expect_eq(estimate_verdict(&e, true, 140), VERDICT_MET);
	cr_expect_eq(estimate_verdict(&e, true, 141), VERDICT_MISSED);
	cr_expect_eq(estimate_verdict(&none, true, 1), VERDICT_NONE);
}
