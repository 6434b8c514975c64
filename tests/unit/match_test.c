// SPDX-License-Identifier: Apache-2.0
/* The streaming matcher against memmem(3), and the escape filter. */
#include "util/match.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>
#include <string.h>

#include "backend/escape.h"
#include "util/bytes.h"
#include "util/err.h"

static unsigned next(uint64_t *seed, unsigned limit)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*seed >> 33) % limit;
}

/* Two letters only, so that patterns overlap themselves and each other all the time. */
Test(match, agrees_with_memmem_wherever_the_stream_is_cut)
{
	uint64_t seed = 1;
	for (int round = 0; round < 3000; round++) {
		char pattern[9] = "", text[64];
		size_t pattern_len = 1 + next(&seed, 8), len = 1 + next(&seed, sizeof(text));
		for (size_t i = 0; i < pattern_len; i++)
			pattern[i] = "ab"[next(&seed, 2)];
		for (size_t i = 0; i < len; i++)
			text[i] = "ab"[next(&seed, 2)];

		struct match *m;
		cr_assert_eq(match_new(pattern, &m, NULL), 0);
		size_t done = 0;
		while (done < len) {
			size_t piece = next(&seed, 5);
			if (piece > len - done)
				piece = len - done;
			/* an occurrence ends within (done, done + piece] */
			size_t from = done < pattern_len - 1 ? 0 : done - (pattern_len - 1);
			bool expected = piece && memmem(text + from, done + piece - from, pattern,
							 pattern_len);
			cr_assert_eq(match_feed(m, text + done, piece), expected,
				"pattern %s, %zu bytes at %zu of %.*s", pattern, piece, done,
				(int)len, text);
			done += piece;
		}
		match_free(m);
	}
}

Test(match, empty_pattern_is_refused)
{
	struct match *m = NULL;
	struct lacuna_error *err = NULL;
	cr_expect_eq(match_new("", &m, &err), -EINVAL);
	cr_expect_null(m);
	cr_expect_not_null(err);
	lacuna_error_free(err);
	match_free(NULL);
}

struct escape_case {
	char in[16], out[16];
	bool quit;
};

ParameterizedTestParameters(escape, sequences)
{
	static struct escape_case c[] = {
		{ "hello", "hello", false },
		{ "\1x", "", true },
		{ "ab\1xcd", "ab", true },
		{ "x", "x", false },
		{ "\1\1", "\1", false },
		{ "\1a", "\1", false },
		{ "\1\1x", "\1x", false },
		{ "\1\1\1x", "\1", true },
		{ "\1qz", "z", false },
		{ "\1Xx", "x", false },
		{ "a\1ab\1\1c", "a\1b\1c", false },
		{ "\1", "", false },
	};
	return cr_make_param_array(struct escape_case, c, ARRAY_SIZE(c));
}

/* Each sequence in one piece and byte by byte. */
ParameterizedTest(struct escape_case *c, escape, sequences)
{
	uint8_t data[16];
	size_t len = strlen(c->in);
	struct escape whole = { 0 }, bytewise = { 0 };
	bool quit = false;
	memcpy(data, c->in, len);
	size_t left = escape_filter(&whole, data, len, &quit);
	cr_expect_eq(left, strlen(c->out));
	cr_expect_arr_eq(data, c->out, left);
	cr_expect_eq(quit, c->quit);

	size_t total = 0;
	quit = false;
	for (size_t i = 0; i < len && !quit; i++) {
		uint8_t byte = (uint8_t)c->in[i];
		if (escape_filter(&bytewise, &byte, 1, &quit))
			data[total++] = byte;
	}
	cr_expect_eq(total, strlen(c->out));
	cr_expect_arr_eq(data, c->out, total);
	cr_expect_eq(quit, c->quit);
}
