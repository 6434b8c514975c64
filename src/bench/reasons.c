// SPDX-License-Identifier: Apache-2.0
/* Names of reasons, and sums of them. */
#include "bench/reasons.h"

#include <asm/kvm.h>
#include <asm/svm.h>
#include <asm/vmx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/series.h"

void reasons_add(struct reasons *r, const char *name, uint64_t hits)
{
	size_t i = 0;
	while (i < r->count && strcmp(r->of[i].name, name) != 0)
		i++;
	if (i == REASONS_MAX) { /* the last one takes the rest, so that the sum is right */
		i--;
		name = "other";
	}
	snprintf(r->of[i].name, sizeof(r->of[i].name), "%s", name);
	r->of[i].hits += hits;
	if (i == r->count)
		r->count++;
}

double reasons_sum(const struct reasons *r)
{
	double sum = 0;
	for (size_t i = 0; i < r->count; i++)
		sum += (double)r->of[i].hits;
	return sum;
}

/* --- the CPU's reasons --- */

struct cpu_reason {
	uint32_t code;
	char name[REASON_NAME];
};

/* As the kernel has them for the same tracepoint. */
static const struct cpu_reason svm[] = { SVM_EXIT_REASONS };
static const struct cpu_reason vmx[] = { VMX_EXIT_REASONS };

/* trace/events/kvm.h, KVM_ISA_VMX and KVM_ISA_SVM. */
void reason_of_cpu(uint64_t isa, uint64_t code, char name[REASON_NAME])
{
	const struct cpu_reason *list = isa == 1 ? vmx : svm;
	size_t count = isa == 1   ? sizeof(vmx) / sizeof(vmx[0])
		       : isa == 2 ? sizeof(svm) / sizeof(svm[0])
				  : 0;
	for (size_t i = 0; i < count; i++) {
		if (list[i].code == (uint32_t)code) {
			snprintf(name, REASON_NAME, "%s", list[i].name);
			return;
		}
	}
	snprintf(name, REASON_NAME, "%s_0x%llx",
		isa == 1   ? "vmx"
		: isa == 2 ? "svm"
			   : "cpu",
		(unsigned long long)(code & UINT32_MAX));
}

/* --- many boots --- */

void reason_rounds_add(struct reason_rounds *r, const struct reasons *round)
{
	r->round = must_realloc(r->round, (r->count + 1) * sizeof(*r->round));
	r->round[r->count++] = *round;
}

void reason_rounds_free(struct reason_rounds *r)
{
	free(r->round);
	*r = (struct reason_rounds){ 0 };
}

static double hits_of(const struct reasons *r, const char *name)
{
	for (size_t i = 0; i < r->count; i++)
		if (!strcmp(r->of[i].name, name))
			return (double)r->of[i].hits;
	return 0;
}

static json_int_t median_of(const struct reason_rounds *r, const char *name)
{
	struct series s = { 0 };
	for (size_t k = 0; k < r->count; k++)
		series_add(&s, hits_of(&r->round[k], name));
	double median = series_median(&s);
	series_free(&s);
	return (json_int_t)(median + 0.5);
}

json_t *reason_rounds_json(const struct reason_rounds *r)
{
	json_t *o = json_object();
	for (size_t k = 0; k < r->count; k++) {
		for (size_t i = 0; i < r->round[k].count; i++) {
			const char *name = r->round[k].of[i].name;
			if (!json_object_get(o, name))
				json_object_set_new(o, name, json_integer(median_of(r, name)));
		}
	}
	return o;
}

/* The most of those that are at most @below, and, of as many, behind @after; NULL: none. */
static const char *next_most(const json_t *object, json_int_t below, const char *after)
{
	const char *key, *found = NULL;
	json_int_t most = -1;
	json_t *v;
	bool passed = false;
	json_object_foreach((json_t *)object, key, v)
	{
		json_int_t n = json_integer_value(v);
		if ((n < below || (n == below && passed)) && n > most) {
			most = n;
			found = key;
		}
		passed |= after && !strcmp(key, after);
	}
	return found;
}

void reasons_text(const json_t *object, char *buf, size_t size)
{
	size_t at = 0;
	json_int_t hits = INT64_MAX;
	const char *name = NULL;
	buf[0] = '\0';
	while ((name = next_most(object, hits, name))) {
		char one[REASON_NAME + 32];
		hits = json_integer_value(json_object_get(object, name));
		int len = snprintf(
			one, sizeof(one), "%s%s %lld", at ? ", " : "", name, (long long)hits);
		if (at + (size_t)len >= size)
			break;
		memcpy(buf + at, one, (size_t)len + 1);
		at += (size_t)len;
	}
}
