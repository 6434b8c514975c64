// SPDX-License-Identifier: Apache-2.0
/* Token buckets under a clock of the test's own. */
#include "util/bucket.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "util/bytes.h"

/* How many amounts are let through from @now on for @seconds, by someone who always wants more. */
static uint64_t let_through(struct bucket *b, uint64_t now, unsigned seconds, uint64_t amount)
{
	uint64_t end = now + seconds * BUCKET_SECOND, n = 0;
	while (now < end) {
		uint64_t wait = bucket_wait(b, now);
		if (wait) {
			now += wait;
			continue;
		}
		bucket_take(b, now, amount);
		n++;
	}
	return n;
}

struct rate_case {
	uint64_t rate, amount;
	unsigned seconds;
	uint64_t least, most;
};

ParameterizedTestParameters(bucket, rates)
{
	static struct rate_case c[] = {
		/* one second's worth at once, then the rate */
		{ 10, 1, 1, 20, 20 },
		{ 10, 1, 10, 110, 110 },
		{ 1, 1, 5, 6, 6 },
		{ 1000, 1, 3, 4000, 4000 },
		{ 1000000, 4096, 10, 2685, 2687 },
		/* more than the bucket holds goes through, and is paid for afterwards */
		{ 512, 4096, 80, 11, 12 },
		{ 1, 0xffffffff, 1000, 1, 1 },
		{ 1000000000, 512, 1, 3906250, 4020000 },
	};
	return cr_make_param_array(struct rate_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct rate_case *c, bucket, rates)
{
	const uint64_t starts[] = { 0, 1, 12345 * BUCKET_SECOND + 678 };
	for (unsigned i = 0; i < ARRAY_SIZE(starts); i++) {
		struct bucket b = { .rate = c->rate };
		uint64_t n = let_through(&b, starts[i], c->seconds, c->amount);
		cr_expect(n >= c->least && n <= c->most, "%llu a second: %llu in %u s",
			(unsigned long long)c->rate, (unsigned long long)n, c->seconds);
	}
}

Test(bucket, no_limit)
{
	struct bucket b = { 0 };
	for (unsigned i = 0; i < 1000; i++) {
		cr_assert_eq(bucket_wait(&b, 5), 0);
		bucket_take(&b, 5, 0xffffffff);
	}
}

Test(bucket, a_rest_gives_one_second_and_no_more)
{
	struct bucket b = { .rate = 10 };
	uint64_t now = BUCKET_SECOND;
	let_through(&b, now, 1, 1);
	now += 1000 * BUCKET_SECOND;
	for (unsigned i = 0; i < 10; i++) {
		cr_assert_eq(bucket_wait(&b, now), 0);
		bucket_take(&b, now, 1);
	}
	uint64_t wait = bucket_wait(&b, now);
	cr_assert_gt(wait, 0);
	cr_expect_leq(wait, BUCKET_SECOND / 10 + 1);
	cr_expect_gt(bucket_wait(&b, now + wait - 1), 0, "no earlier than it said");
	cr_expect_eq(bucket_wait(&b, now + wait), 0, "and no later");
}
