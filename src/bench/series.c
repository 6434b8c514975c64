// SPDX-License-Identifier: Apache-2.0
/* Order statistics. */
#include "bench/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

#define TAIL 0.025 /* of each side */

void series_add(struct series *s, double value)
{
	if (s->count == s->capacity) {
		s->capacity = s->capacity ? 2 * s->capacity : 64;
		s->value = must_realloc(s->value, s->capacity * sizeof(*s->value));
	}
	s->value[s->count++] = value;
}

void series_free(struct series *s)
{
	free(s->value);
	*s = (struct series){ 0 };
}

const char *noise_name(enum noise noise)
{
	static const char *const name[] = {
		[NOISE_OK] = "ok",
		[NOISE_FEW] = "few",
		[NOISE_HIGH] = "noisy",
	};
	return name[noise];
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double quantile(const double *sorted, size_t count, double q)
{
	if (!count)
		return NAN;
	double rank = q * (double)(count - 1);
	size_t below = (size_t)rank;
	if (below + 1 >= count)
		return sorted[count - 1];
	double part = rank - (double)below;
	/* no difference is taken, which could be more than a double holds */
	return sorted[below] * (1 - part) + sorted[below + 1] * part;
}

/* The values that are there, sorted; the caller's. */
static double *sorted_values(const struct series *s, size_t *ret_count)
{
	double *v = must_realloc(NULL, (s->count + 1) * sizeof(*v));
	size_t n = 0;
	for (size_t i = 0; i < s->count; i++)
		if (!isnan(s->value[i]))
			v[n++] = s->value[i];
	qsort(v, n, sizeof(*v), ascending);
	*ret_count = n;
	return v;
}

/* Overwrites @v. */
static double median_distance(double *v, size_t count, double from)
{
	for (size_t i = 0; i < count; i++)
		v[i] = v[i] < from ? from - v[i] : v[i] - from;
	qsort(v, count, sizeof(*v), ascending);
	return quantile(v, count, 0.5);
}

struct summary series_summary(const struct series *s)
{
	struct summary r = { .noise = NOISE_OK };
	double *v = sorted_values(s, &r.count);
	r.min = quantile(v, r.count, 0);
	r.p50 = quantile(v, r.count, 0.5);
	r.p90 = quantile(v, r.count, 0.9);
	r.p99 = quantile(v, r.count, 0.99);
	r.max = quantile(v, r.count, 1);
	r.mean = r.count ? 0 : NAN;
	for (size_t i = 0; i < r.count; i++)
		r.mean += v[i] / (double)r.count;
	r.iqr = quantile(v, r.count, 0.75) - quantile(v, r.count, 0.25);
	r.mad = median_distance(v, r.count, r.p50);
	free(v);
	if (r.count < SERIES_FEW)
		r.noise = NOISE_FEW;
	else if (r.iqr > SERIES_NOISY * fabs(r.p50))
		r.noise = NOISE_HIGH;
	return r;
}

double series_median(const struct series *s)
{
	return series_summary(s).p50;
}

/*
 * How many values of @n may be cut from each end so that what is left still covers the median with
 * at least 1 - 2 TAIL: the largest k with P(X < k) <= TAIL for X of Binomial(n, 1/2). Weights are
 * relative to that of n/2, so that nothing overflows; those that underflow count for nothing.
 */
static size_t cut(size_t n, double *ret_confidence)
{
	size_t middle = n / 2;
	double weight = 1, lower = 0; /* lower: sum of the weights from 0 to middle */
	for (size_t k = middle;; k--) {
		lower += weight;
		if (!k)
			break;
		weight *= (double)k / (double)(n - k + 1);
	}
	double total = n % 2 ? 2 * lower : 2 * lower - 1;
	size_t k = middle + 1;
	double below = lower; /* of all j < k */
	for (weight = 1; k > 1 && below > TAIL * total; k--) {
		below -= weight;
		weight *= (double)(k - 1) / (double)(n - (k - 1) + 1);
	}
	*ret_confidence = 1 - 2 * below / total;
	return k;
}

struct estimate series_estimate(const struct series *s)
{
	struct estimate e = { .median = NAN, .low = NAN, .high = NAN };
	double *v = sorted_values(s, &e.rounds);
	if (e.rounds) {
		size_t k = cut(e.rounds, &e.confidence); /* the interval is [v_(k), v_(n+1-k)] */
		e.median = quantile(v, e.rounds, 0.5);
		e.low = v[k - 1];
		e.high = v[e.rounds - k];
	}
	free(v);
	return e;
}

struct estimate estimate_exact(double value)
{
	return (struct estimate){
		.median = value, .low = value, .high = value, .confidence = 1, .exact = true
	};
}

struct estimate series_ratio(const struct series *a, const struct series *b)
{
	struct series ratios = { 0 };
	for (size_t i = 0; i < a->count && i < b->count; i++)
		if (!isnan(a->value[i]) && b->value[i] > 0)
			series_add(&ratios, a->value[i] / b->value[i]);
	struct estimate e = series_estimate(&ratios);
	series_free(&ratios);
	return e;
}

const char *verdict_name(enum verdict verdict)
{
	static const char *const name[] = {
		[VERDICT_NONE] = "not available",
		[VERDICT_MET] = "met",
		[VERDICT_MISSED] = "missed",
		[VERDICT_OPEN] = "not certain",
	};
	return name[verdict];
}

/* One round's interval is a point, which says nothing of how far the next one would be. */
enum verdict estimate_verdict(const struct estimate *e, bool at_least, double goal)
{
	if (isnan(e->median))
		return VERDICT_NONE;
	if (!e->exact && e->rounds < 2)
		return VERDICT_OPEN;
	if (at_least ? e->low >= goal : e->high <= goal)
		return VERDICT_MET;
	return (at_least ? e->high < goal : e->low > goal) ? VERDICT_MISSED : VERDICT_OPEN;
}
