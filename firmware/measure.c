// SPDX-License-Identifier: Apache-2.0
/* Series of samples: where they are kept, and their quantiles. */
#include "measure.h"

#include "string.h"

/* From 16 MiB on: the image ends far below, and no machine has less than 32 MiB. */
#define SAMPLES 0x1000000ul

void measure_init(struct measure *m, unsigned slot)
{
	uint64_t size = MEASURE_MAX * sizeof(*m->sample);
	m->sample = (uint32_t *)(SAMPLES + slot * size);
	m->count = 0;
	for (uint64_t at = 0; at < size; at += 4096)
		mem_write((uint64_t)m->sample + at, 0, 4);
}

/* Lets the value at @at sink in a heap of @count, the largest on top. */
static void sink(uint32_t *v, unsigned at, unsigned count)
{
	uint32_t moved = v[at];
	for (unsigned child; (child = 2 * at + 1) < count; at = child) {
		if (child + 1 < count && v[child + 1] > v[child])
			child++;
		if (v[child] <= moved)
			break;
		v[at] = v[child];
	}
	v[at] = moved;
}

/* Heapsort: no recursion, and no series is slow. */
static void sort(uint32_t *v, unsigned count)
{
	for (unsigned i = count / 2; i-- > 0;)
		sink(v, i, count);
	for (unsigned last = count; last-- > 1;) {
		uint32_t largest = v[0];
		v[0] = v[last];
		v[last] = largest;
		sink(v, 0, last);
	}
}

struct measured measure_sum_up(struct measure *m)
{
	if (!m->count)
		return (struct measured){ 0 };
	unsigned last = m->count - 1;
	sort(m->sample, m->count);
	return (struct measured){
		.p50 = m->sample[last / 2],
		.p99 = m->sample[(uint64_t)last * 99 / 100],
		.max = m->sample[last],
	};
}
