/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest writes to its console: the marker, and the lines of Linux's log that tell where its
 * boot stands. */
#ifndef BENCH_BOOT_LOG_H
#define BENCH_BOOT_LOG_H

#include "bench/bench.h"

enum boot_initcall {
	BOOT_PCI_ARCH_INIT,   /* finds a way to reach configuration space */
	BOOT_ACPI_INIT,       /* enumerates the root bus, where there is ACPI */
	BOOT_PCI_SUBSYS_INIT, /* looks for buses that nothing has announced */
	BOOT_INITCALLS
};

extern const char *const boot_initcall_names[]; /* NULL-terminated */

struct boot_log {
	const char *marker; /* without a line end, of 1 to BOOT_MARKER_MAX bytes */
	void (*on_marker)(void *opaque);
	void *opaque;
	/* what was found; NAN and 0: not yet */
	uint64_t marker_ns; /* when it had come; now_ns() */
	double clock_ns;    /* of kvm-clock, when the guest's log began to count its time */
	double init_us;     /* in the log's time: the first process */
	double end_us[BOOT_INITCALLS]; /* likewise: it had returned */
	double took_us[BOOT_INITCALLS];
	/* the line in the making */
	char line[1024];
	size_t len;
};

#define BOOT_MARKER_MAX 256

void boot_log_init(struct boot_log *log, const char *marker);

/* More of what the guest has written, as it came at @when. */
void boot_log_feed(struct boot_log *log, const char *data, size_t size, uint64_t when);

#endif
