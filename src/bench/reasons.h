/* SPDX-License-Identifier: Apache-2.0 */
/* Exits by reason: those of the guest to KVM by the CPU's reasons, and those of them that KVM
 * returns to the monitor by its own. */
#ifndef BENCH_REASONS_H
#define BENCH_REASONS_H

#include <jansson.h>
#include <stdint.h>

#define REASONS_MAX 96 /* neither CPUs nor KVM have as many */
#define REASON_NAME 28

/* Of one boot. Zeroed is empty. */
struct reasons {
	size_t count;
	struct {
		char name[REASON_NAME];
		uint64_t hits;
	} of[REASONS_MAX];
};

/* Those of one name are added up. */
void reasons_add(struct reasons *r, const char *name, uint64_t hits);

double reasons_sum(const struct reasons *r);

/* The kernel's name of a reason of the CPU ("npf", "EPT_VIOLATION"), both numbers being those of
 * the tracepoint kvm_exit; "svm_0x7e" where it is not known here. */
void reason_of_cpu(uint64_t isa, uint64_t code, char name[REASON_NAME]);

/* Of many boots. Zeroed is empty. */
struct reason_rounds {
	size_t count;
	struct reasons *round;
};

void reason_rounds_add(struct reason_rounds *r, const struct reasons *round);
void reason_rounds_free(struct reason_rounds *r); /* leaves it empty */

/* The median of each, by name; a boot that has none of a reason has it 0 times. */
json_t *reason_rounds_json(const struct reason_rounds *r);

/* "io 310, mmio 88": as many as @size has room for of what such an object has, the most frequent
 * ones first. */
void reasons_text(const json_t *object, char *buf, size_t size);

#endif
