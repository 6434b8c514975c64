/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor: the same VM as lacuna's, made by bare ioctls and nothing else. What it costs no
 * monitor can save.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include "bench/bench.h"

struct floor_shape {
	uint64_t memory;     /* bytes of RAM, all below LAYOUT_RAM_LOW_END */
	const uint8_t *code; /* loaded at, and entered at, LAYOUT_KERNEL */
	size_t size;
	bool irqchip_first; /* the naive order: the interrupt controllers ahead of the memory slots
			     */
};

struct floor_times {
	uint64_t created; /* the VM is complete, its thread not yet begun; now_ns() */
	uint64_t first;   /* KVM_RUN has returned for the first instruction */
};

/* Makes the VM, runs it until its first exit, which must be a write to the exit port, and takes it
 * down. -1 after why_set(). */
int floor_run(const struct floor_shape *shape, struct floor_times *ret, struct why *why);

#endif
