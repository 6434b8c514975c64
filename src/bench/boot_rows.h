/* SPDX-License-Identifier: Apache-2.0 */
/* Rows and figures of `lacuna bench boot`. */
#ifndef BENCH_BOOT_ROWS_H
#define BENCH_BOOT_ROWS_H

#include <jansson.h>

#include "bench/boot_run.h"
#include "bench/output.h"
#include "bench/series.h"

enum boot_count {
	BOOT_RETURNS,
	BOOT_IO,
	BOOT_MMIO,
	BOOT_PCI,
	BOOT_PORT_READ,
	BOOT_PORT_WRITE,
	BOOT_WINDOW_READ,
	BOOT_WINDOW_WRITE,
	BOOT_ABSENT,
	BOOT_SERIAL,
	BOOT_CMOS,
	BOOT_COUNTS
};

enum boot_phase {
	BOOT_PROCESS,
	BOOT_CREATED,
	BOOT_FIRST,
	BOOT_KERNEL,
	BOOT_ARCH,
	BOOT_ACPI,
	BOOT_SUBSYS,
	BOOT_INIT,
	BOOT_MARKER,
	BOOT_PHASES
};

/* One monitor, over all rounds. */
struct boot_measured {
	const struct boot_monitor *monitor;
	struct series marker, end, memory; /* boots that are timed, that are counted */
	struct series phase[BOOT_PHASES], took[BOOT_INITCALLS];
	struct series count[BOOT_COUNTS]; /* lacuna: as it tells; else by tracepoints */
	struct reason_rounds by_reason;   /* of the returns, as they are counted */
	struct reason_rounds exits;       /* by tracepoints */
	bool compared, differs; /* lacuna: the tracepoints were read, too, and told otherwise */
	bool failed;
	struct why why;
	struct why not_counted; /* "": it was */
};

void boot_measured_free(struct boot_measured *m);

/* What one boot told is added: times where it was timed, phases where those are @phases's. */
void boot_add_times(struct boot_measured *m, const struct boot_times *at);
void boot_add_phases(struct boot_measured *m, const struct boot_result *r);
/* @traced: it was counted by tracepoints. */
void boot_add_counts(struct boot_measured *m, const struct boot_result *r, bool traced);

void boot_add_rows(json_t *document, const struct boot_measured *m, size_t count);
void boot_add_figures(json_t *document, const struct boot_measured *m, size_t count);

extern const struct table boot_tables[];

#endif
