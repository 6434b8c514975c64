/* SPDX-License-Identifier: Apache-2.0 */
/* What processes weigh. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process_weight {
	/* Resident memory but for guest RAM and what is mapped of files: the sum of Rss in
	 * /proc/self/smaps over anonymous memory and memfds, with private copies of pages of files.
	 * It is RssAnon + RssShmem - RAM, but counted page by page, where the counters of
	 * /proc/self/status lag behind. */
	double resident_kib;
	/* The same with each page divided by how often it is mapped, here or in other processes. */
	double pss_kib;
	double ram_kib; /* touched pages of guest RAM */
	unsigned fds, threads;
};

/* False where /proc does not tell. */
bool process_weigh(struct process_weight *ret);

/* Resident KiB of a monitor that has a guest of @guest_mib of RAM, without that RAM, which are the
 * mappings of at least that size. What it shares with other programs counts in full; a page of a
 * memfd that is mapped many times counts once. NAN: /proc does not tell. */
double process_weigh_monitor(pid_t pid, uint64_t guest_mib);

#endif
