/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that a benchmark runs, and whatever else must be undone when it ends, by itself or by a
 * signal. This is the one place that knows of them: a signal kills and reaps every child that is
 * under way, calls the undos, and ends the program with 128 plus its number.
 *
 * All of it is for the main thread only.
 */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/bench.h"

/* Takes the signals over; before any other thread exists. STATUS_OK, or what fail() returned. */
int child_open(void);

/* Ends children that are left over and calls the undos, the last one first. */
void child_close(void);

/* @fn, with @opaque, is to be called at the end. May be called on another thread while the main
 * one goes on: it should do no more than remove what was made. */
void undo_push(void (*fn)(void *opaque), void *opaque);
/* Calls the last one pushed, and forgets it. */
void undo_pop(void);

struct child_spec {
	const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
	const char *input;       /* for its standard input, or NULL: it ends at once */
	size_t input_size;
	bool talk;         /* the standard input stays open, for child_tell() */
	const int *handed; /* a descriptor of ours that stays open in it; NULL: none */
	/* What it writes to standard output as it comes, @when in now_ns(); NULL: it is kept. */
	void (*on_output)(void *opaque, const char *data, size_t size, uint64_t when);
	void *opaque;
};

struct child {
	pid_t pid;
	int pidfd, in, out, err;
	struct child_spec spec;
	size_t written; /* of the input */
	char *output, *errors;
	size_t output_size, errors_size;
	uint64_t exec_ns; /* when it was about to execve() */
	uint64_t end_ns;  /* when its end was noticed */
	int status;       /* as wait(2) has it */
	bool ended;
	struct child *next;
};

/* Starts it in a process group of its own, which dies with lacuna. -1 after why_set(). */
int child_start(struct child *c, const struct child_spec *spec, struct why *why);

/*
 * Serves it until it has ended, or until @until in now_ns() (0: for ever). 0 when it has ended, 1
 * when time is up, and it still runs. An @until in the past serves what is there.
 */
int child_serve(struct child *c, uint64_t until);

/* The same, but returns 0 as soon as something has happened; -1 when it has ended. */
int child_serve_some(struct child *c, uint64_t until);

/* Writes to the standard input of one that was started to talk. A child that does not read loses
 * it; one that has ended is noticed when it is served. */
void child_tell(struct child *c, const char *text);

/* The last line of its errors, or "". Cuts them. */
const char *child_said(struct child *c);

/* Kills its process group, reaps all of it and frees what it holds. */
void child_end(struct child *c);

/* The three in one: 0 if it ended with status 0, else -1 after why_set(), with the last line of
 * its errors. @c is to be ended by the caller, when its output has been looked at. */
int child_run(struct child *c, const struct child_spec *spec, uint64_t timeout_ns, struct why *why);

/* The path of a program: @name itself if it has a slash, else what PATH leads to. */
bool child_find(const char *name, char path[PATH_MAX]);

/* The lacuna to run: @program, as option_program() has taken it, or NULL: this one. -1 after
 * why_set(). */
int child_lacuna(const char *program, char path[PATH_MAX], struct why *why);

#endif
