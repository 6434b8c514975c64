/* SPDX-License-Identifier: Apache-2.0 */
/* What a boot cost in returns of KVM to the monitor, by class: from the tracepoints of KVM, the
 * same for any monitor, and from lacuna's own statistics. */
#ifndef BENCH_BOOT_COUNTS_H
#define BENCH_BOOT_COUNTS_H

#include <jansson.h>

#include "bench/reasons.h"
#include "bench/tracepoints.h"

struct boot_counts {
	uint64_t returns, io, mmio; /* all; those of port I/O; those of MMIO */
	/* Accesses to configuration space that were left to the monitor: by the ports and through
	 * the window. */
	uint64_t config_read, config_write, window_read, window_write;
	uint64_t serial, cmos; /* accesses to the first serial port, to ports 0x70 and 0x71 */
	uint64_t absent;       /* of those to configuration space, to functions that are not there;
				* known of lacuna only */
	struct reasons by_reason; /* of the returns */
	struct reasons exits;     /* of the guest to KVM, by the CPU's reasons; of tracepoints */
};

/* The histograms that boot_counts_read() wants, in its order. */
#define BOOT_TRACEPOINTS 4
extern const struct tracepoint boot_tracepoints[BOOT_TRACEPOINTS];

/* All returns that have to do with PCI's configuration space. */
uint64_t boot_counts_pci(const struct boot_counts *c);

/*
 * Reads the histograms; the window of configuration space has 256 MiB from @window on (0: none).
 * Writes to the ports 0xCF8-0xCFB that KVM may have gathered, since they are more accesses than
 * there were returns, are left out: what is told is the least that it can have been. -1 after
 * why_set().
 */
int boot_counts_read(
	struct tracepoints *t, uint64_t window, struct boot_counts *ret, struct why *why);

/* That reading in pieces, for tests: what takes the entries of each histogram, a tally being their
 * opaque, and the end of it. */
struct boot_tally {
	struct boot_counts counts;
	uint64_t window;
	uint64_t accesses; /* to ports that KVM does not serve itself */
	uint64_t address;  /* writes to 0xCF8-0xCFB */
};

extern tracepoint_fn *const boot_tally_add[BOOT_TRACEPOINTS];
void boot_tally_end(struct boot_tally *t);

/* From what `lacuna run --stats-file` wrote. False if that is not it. */
bool boot_counts_own(const json_t *stats, struct boot_counts *ret);

/* Whether the tracepoints tell the same of lacuna as its statistics. Those count returns, so the
 * accesses that KVM gathers are left out of this: writes to ports. */
bool boot_counts_agree(const struct boot_counts *traced, const struct boot_counts *own);

#endif
