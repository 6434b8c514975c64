/* SPDX-License-Identifier: Apache-2.0 */
/* One boot under one monitor, and what it took. */
#ifndef BENCH_BOOT_RUN_H
#define BENCH_BOOT_RUN_H

#include "bench/boot_counts.h"
#include "bench/boot_log.h"
#include "bench/boot_monitor.h"

struct boot_plan {
	const char *marker;
	bool end_at_marker;        /* the machine is ended then; else the guest ends it */
	uint64_t timeout_ns;       /* for the whole boot */
	struct tracepoints *trace; /* NULL: the boot is not counted by tracepoints */
	const char *words;         /* more for the guest's command line; "" */
};

/* Microseconds since right before execve(2); NAN: not known. */
struct boot_times {
	double process, created, first; /* lacuna: begins to make the machine; has made it; the
					 * first KVM_RUN */
	double kernel; /* the kernel's own clock begins; lacuna alone, of what the log tells */
	double initcall[BOOT_INITCALLS], init;
	double marker, end;
};

struct boot_result {
	struct boot_times at;
	double took_us[BOOT_INITCALLS];
	struct boot_counts own;    /* lacuna: its statistics */
	struct boot_counts traced; /* if it was counted, and nothing hindered that: */
	struct why not_counted;    /* else this says what; or "" */
	double memory_kib; /* of the monitor, when the marker had come, without guest RAM; looked
			    * at if the boot was counted */
};

/* -1 after why_set(): it did not boot. */
int boot_run(const struct boot_monitor *monitor, const struct boot_guest *guest,
	const struct boot_plan *plan, struct boot_result *ret, struct why *why);

#endif
