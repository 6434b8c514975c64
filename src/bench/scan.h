/* SPDX-License-Identifier: Apache-2.0 */
/* One machine whose probe guest scans PCI by one mechanism, and what that took. */
#ifndef BENCH_SCAN_H
#define BENCH_SCAN_H

#include <jansson.h>

#include "bench/bench.h"

enum scan_mechanism {
	SCAN_TYPE1,           /* ports 0xCF8-0xCFF, both of which trap */
	SCAN_TYPE1_COALESCED, /* KVM gathers writes to the address port */
	SCAN_ECAM_TRAP,       /* the window is the monitor's */
	SCAN_ECAM_4K,         /* the window is memory, all of it 4 KiB pages */
	SCAN_ECAM_MIXED, /* large pages where no functions are, as a machine has it by itself */
	SCAN_ECAM_LARGE, /* large pages everywhere */
	SCAN_MECHANISMS
};

#define SCAN_PASSES 2 /* cold, warm */
#define SCAN_MEMORY "64M"

/* What tells machines and scans apart. */
struct scan {
	unsigned buses;
	unsigned functions; /* of the machine, the host bridge and root ports included */
	bool all;           /* every function of every bus; else in the order that Linux uses */
	unsigned passes;    /* 1: cold; 2: cold, then warm */
};

/* NAN: not known. */
struct scan_pass {
	uint64_t accesses;
	uint64_t user_exits;         /* returns of KVM_RUN to this process */
	double kernel_exits, faults; /* that KVM served; page faults among them */
	double total_ns;
	double p50, p99, max; /* of an access, in ticks of the TSC */
};

struct scan_result {
	char checksum[24]; /* of the headers of what was found */
	double tsc_khz;
	struct scan_pass pass[SCAN_PASSES];
};

enum scan_verdict {
	SCAN_OK,
	SCAN_UNAVAILABLE, /* why is filled in */
	SCAN_WRONG,       /* the guest found what can't be; likewise */
};

/*
 * Runs the scan twice in new machines: as it is, for times and counts of whole passes, and with
 * each access timed, for p50 to max, which makes passes slower.
 */
enum scan_verdict scan_run(const struct scan *scan, enum scan_mechanism mechanism,
	struct scan_result *ret, struct why *why);

/* Rows that scanned the same machine in the same order must tell of the same accesses and have the
 * same checksum, whatever the mechanism and the pass. -1 after why_set() if two don't. */
int scan_rows_agree(const json_t *rows, struct why *why);

#endif
