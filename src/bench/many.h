/* SPDX-License-Identifier: Apache-2.0 */
/* Many machines at once in this process: how long they take and what each weighs. */
#ifndef BENCH_MANY_H
#define BENCH_MANY_H

#include <jansson.h>

#include "bench/bench.h"

/* Adds a row for each of the numbers @vms, each measured @repeat times in turns, and figures. */
void many_measure(json_t *document, const struct list *vms, uint64_t memory_mib, uint64_t repeat);

#endif
