/* SPDX-License-Identifier: Apache-2.0 */
/* A document as text: aligned tables for people, CSV, JSON; and the comparison of two. */
#ifndef BENCH_OUTPUT_H
#define BENCH_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum column_kind {
	COLUMN_KEY,   /* one of the things that tell rows apart */
	COLUMN_INFO,  /* shown, not compared; its p50, if it has one */
	COLUMN_COUNT, /* an exact number: any difference from an earlier run is worth a line */
	COLUMN_TIME,  /* less is better; {.., p50, iqr} at the path, or a plain number */
	COLUMN_RATE,  /* more is better; the same */
	COLUMN_RATIO, /* {median, low, high}; not compared */
	COLUMN_MOST,  /* the most frequent of {name: number, ..}, as text; not compared */
};

struct column {
	const char *path; /* in the row: "ns_per_access.p50"; NULL ends a table's columns */
	const char *head; /* above the column */
	const char *unit; /* below it; NULL: none */
	enum column_kind kind;
	int digits;   /* after the point */
	double scale; /* what is shown is the value times this; 0: 1 */
};

/* Rows of one kind: those whose "part" is this table's. */
struct table {
	const char *part;  /* NULL ends a list of tables */
	const char *title; /* what is measured, in words */
	const struct column *column;
};

/* True where colour is wanted on @f: a terminal, and no NO_COLOR (no-color.org). */
bool output_colour(FILE *f);

bool output_is_of(const json_t *row, const struct table *t);

/* "library" or "ecam-4k, 256 buses": the keys of a row, in words. */
void output_row_name(const json_t *row, const struct table *t, char *buf, size_t size);

void output_table(FILE *f, const json_t *document, const struct table *tables);

/* RFC 4180: one line a row, one column for every number or word that any row has, called by its
 * path. */
void output_csv(FILE *f, const json_t *document);

void output_json(FILE *f, const json_t *document);

/*
 * Prints what differs between @document and the @earlier one, row by row: counts where they differ
 * at all; times and rates where the medians are further apart than the larger distance between
 * the quartiles of the two, and by 5 % at least. Returns how many have got worse, a count that
 * differs being one of them.
 */
unsigned output_difference(
	FILE *f, const json_t *document, const json_t *earlier, const struct table *tables);

/* Reads the document that @option (--against, --from) names, of the same schema and command as
 * @command. NULL after a message. */
json_t *output_load(const char *option, const char *path, const char *command);

#endif
