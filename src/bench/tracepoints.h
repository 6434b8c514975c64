/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts by the kernel's tracepoints of KVM (Documentation/trace/histogram.rst), the same for any
 * monitor. They are made in a tracing instance of our own, so nobody else's triggers are touched,
 * and the instance is removed when it is closed or a signal ends the program.
 */
#ifndef BENCH_TRACEPOINTS_H
#define BENCH_TRACEPOINTS_H

#include <sys/types.h>

#include "bench/bench.h"

#define TRACEPOINT_KEYS 3
#define TRACEPOINTS_MAX 8

/* A histogram: how often an event came, by some of its fields. */
struct tracepoint {
	const char *event; /* of the subsystem kvm: "kvm_pio" */
	const char *keys;  /* fields that are numbers, at most TRACEPOINT_KEYS: "port,rw" */
	unsigned size;     /* different keys it has room for, a power of two; 0: 2048 */
};

struct tracepoint_hits {
	uint64_t key[TRACEPOINT_KEYS]; /* in the order asked for */
	uint64_t hits;
};

typedef void tracepoint_fn(void *opaque, const struct tracepoint_hits *h);

struct tracepoints {
	char path[96]; /* of the instance */
	const struct tracepoint *list;
	size_t count;
	bool open;
};

/* Makes the instance. It counts everything until tracepoints_follow() is called. @t and @list must
 * stay until tracepoints_close(). -1 after why_set(). */
int tracepoints_open(
	struct tracepoints *t, const struct tracepoint *list, size_t count, struct why *why);

/* From now on only the threads that @pid has now count, and those that they begin, in processes
 * that they begin, too. May be called again for another. As above. */
int tracepoints_follow(struct tracepoints *t, pid_t pid, struct why *why);

/* Sets all counts to 0, and counts if it did not. As above. */
int tracepoints_clear(struct tracepoints *t, struct why *why);

/* Counts no more, of nobody, and what was counted is gone: from now on it costs nothing. As above.
 */
int tracepoints_stop(struct tracepoints *t, struct why *why);

/* Passes each entry of histogram @which on to @fn. Fails if there were more different keys than it
 * has room for. As above. */
int tracepoints_read(
	struct tracepoints *t, size_t which, tracepoint_fn *fn, void *opaque, struct why *why);

void tracepoints_close(struct tracepoints *t); /* not open: nothing */

/* What the kernel shows of a histogram by @keys. As above. */
int tracepoint_parse(
	const char *text, const char *keys, tracepoint_fn *fn, void *opaque, struct why *why);

#endif
