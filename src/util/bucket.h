/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket: so much a second on average, and a second's worth at once after a rest. What is
 * taken may be more than the bucket holds; whoever comes next then waits until the debt is paid, so
 * that no single amount is too large. Time is the caller's: nanoseconds of any clock that never
 * goes back. No locking. A zeroed bucket has no limit.
 */
#ifndef UTIL_BUCKET_H
#define UTIL_BUCKET_H

#include <stdint.h>

#define BUCKET_SECOND 1000000000ull

struct bucket {
	uint64_t rate;        /* a second; 0: no limit */
	uint64_t empty_until; /* when all that was taken has been earned */
};

/* How long until something may be taken; 0: now. */
static inline uint64_t bucket_wait(const struct bucket *b, uint64_t now)
{
	uint64_t horizon = now + BUCKET_SECOND;
	return b->rate && b->empty_until >= horizon ? b->empty_until - horizon + 1 : 0;
}

/* @amount is at most 4 GiB, so nothing wraps. */
static inline void bucket_take(struct bucket *b, uint64_t now, uint64_t amount)
{
	if (!b->rate)
		return;
	if (b->empty_until < now)
		b->empty_until = now;
	b->empty_until += amount * BUCKET_SECOND / b->rate;
}

#endif
