/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lacuna bench COMMAND`: what the commands share. A command is a struct bench_command in a file of
 * its own and a line in the table of bench.c. It measures and returns a document (result.h); the
 * rest is done for it: options that all have, formats, --save, --against, --plot, signals.
 *
 * A command of the program like those in src/cli: it may print, and end the program through
 * child.h.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/output.h"
#include "cli/cli.h"
#include "cli/opts.h"

struct bench_command {
	const char *name;          /* "start" */
	const char *help;          /* one line */
	const struct opt *opts;    /* rows of its own */
	const struct table *table; /* how its rows are shown and compared; see output.h */

	/* One of its own options. STATUS_OK, or what fail() returned. */
	int (*set)(const char *name, const char *value);

	/* Measures. STATUS_OK and a document, or what fail() returned. What can't be had is a row
	 * that says why, not a failure. */
	int (*run)(json_t **ret_document);

	/* Draws charts of @document below @dir with plot.h. As above. NULL: there are none. */
	int (*plot)(const char *dir, const json_t *document);
};

/* Why something is not available: what the row says. */
struct why {
	char text[256];
};

/* Fills it; returns -1. */
int why_set(struct why *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* As why_set() with the message of @err, which is freed. */
int why_error(struct why *why, struct lacuna_error *err);

#define SECOND_NS UINT64_C(1000000000)

/* CLOCK_MONOTONIC. */
uint64_t now_ns(void);

/* realloc() that ends the program when memory is out. */
void *must_realloc(void *p, size_t size);

/* A number for an option. STATUS_OK, or what fail() returned. */
int option_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/* The file of a program that is to be run. As above. */
int option_program(const char *path, const char **ret);

/* Comma lists: at least one value, none twice. */
#define LIST_MAX 32

struct list {
	size_t count;
	uint64_t value[LIST_MAX];
};

int option_numbers(
	const char *option, const char *text, uint64_t min, uint64_t max, struct list *ret);

/* Values are numbers of @words, which NULL ends; "all", unless it is one of them, stands for all of
 * them, in that order. */
int option_words(const char *option, const char *text, const char *const *words, struct list *ret);

bool list_has(const struct list *list, uint64_t value);

/* The values as an array: numbers, or with @words the words they stand for. */
json_t *list_json(const struct list *list, const char *const *words);

/*
 * In which order a round takes @count things, as numbers from 0: another one for each round, the
 * same in every run. Shuffled, since what one thing leaves behind (a process that is being taken
 * down) disturbs the next: in an order that only rotates, one always suffers by the same other.
 */
void round_order(uint64_t round, size_t count, size_t *ret_order);

/* The next of a series of numbers that look random, the same for the same @state. */
uint64_t random_next(uint64_t *state);

/* One line on stderr that says how far long work has come, where stderr is a terminal. */
void progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void progress_clear(void);

/* The commands. */
extern const struct bench_command bench_boot;
extern const struct bench_command bench_io;
extern const struct bench_command bench_pci;
extern const struct bench_command bench_start;

#endif
