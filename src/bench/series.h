/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Series of measured values and what can be said of them without assuming a distribution.
 *
 * Quantiles are interpolated between the two nearest ranks (Hyndman and Fan, type 7), so the median
 * of an even number of values is the mean of the middle two.
 */
#ifndef BENCH_SERIES_H
#define BENCH_SERIES_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed is empty. A value that could not be had is NAN: it keeps its place among the pairs and
 * counts for nothing. */
struct series {
	double *value;
	size_t count, capacity;
};

void series_add(struct series *s, double value);
void series_free(struct series *s); /* leaves it empty */

enum noise {
	NOISE_OK,
	NOISE_FEW,  /* fewer than SERIES_FEW values: nothing can be said */
	NOISE_HIGH, /* the quartiles are further apart than SERIES_NOISY times the median */
};

#define SERIES_FEW   5
#define SERIES_NOISY 0.25

/* "ok", "few", "noisy" */
const char *noise_name(enum noise noise);

/* NAN where there is no value; a single value is every quantile, with a spread of 0. */
struct summary {
	size_t count;
	double min, p50, p90, p99, max, mean;
	double mad; /* median distance from the median */
	double iqr; /* distance between the quartiles */
	enum noise noise;
};

struct summary series_summary(const struct series *s);
/* Its p50 alone. */
double series_median(const struct series *s);

/* Of sorted values; @q from 0 to 1. NAN for none. */
double quantile(const double *sorted, size_t count, double q);

/*
 * What is known of a true median from so many rounds: [low, high] covers it with at least 95 %
 * (order statistics, by the binomial distribution of the sign test), or with fewer than ROUNDS_FEW
 * rounds is all values, which covers it with less: @confidence says.
 */
struct estimate {
	size_t rounds;
	double median, low, high, confidence;
	bool exact; /* a count: there is no interval, and no rounds are needed */
};

#define ROUNDS_FEW 6

struct estimate series_estimate(const struct series *s);
struct estimate estimate_exact(double value); /* NAN: it could not be had */

/* How many times @b the values of @a are, judged pair by pair: value i of both was measured in the
 * same round, so what disturbs a round disturbs both. */
struct estimate series_ratio(const struct series *a, const struct series *b);

enum verdict {
	VERDICT_NONE,   /* there is no value */
	VERDICT_MET,    /* all of the interval, or the count, meets the goal */
	VERDICT_MISSED, /* none of it does */
	VERDICT_OPEN,   /* the goal is within the interval, or it is only one round's */
};

/* "not available", "met", "missed", "not certain" */
const char *verdict_name(enum verdict verdict);

/* Of the true median, which is to be at least, or at most, @goal. */
enum verdict estimate_verdict(const struct estimate *e, bool at_least, double goal);

#endif
