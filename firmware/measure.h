/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What single accesses cost, in TSC ticks. The counter is read once after each access, and the time
 * since the last reading is that access's; the reading itself and a store are in it.
 */
#ifndef FIRMWARE_MEASURE_H
#define FIRMWARE_MEASURE_H

#include <stdint.h>

#include "io.h"

#define MEASURE_MAX 262144u /* samples; more are not kept */

struct measure {
	uint32_t *sample; /* what is beyond 32 bits counts as all ones */
	unsigned count;
	uint64_t last;
};

/* By nearest rank; 0 of no samples. */
struct measured {
	uint32_t p50, p99, max;
};

/* Number @slot, 0 or 1, of two series. They lie beyond the image, in RAM that every machine has,
 * and are touched here, so that no sample pays for the first use of a page. */
void measure_init(struct measure *m, unsigned slot);

static inline void measure_start(struct measure *m)
{
	m->count = 0;
	m->last = rdtsc();
}

static inline void measure_note(struct measure *m)
{
	uint64_t now = rdtsc(), ticks = now - m->last;
	if (m->count < MEASURE_MAX)
		m->sample[m->count++] = ticks < UINT32_MAX ? ticks : UINT32_MAX;
	m->last = now;
}

/* Sorts the samples. */
struct measured measure_sum_up(struct measure *m);

#endif
