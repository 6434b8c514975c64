// SPDX-License-Identifier: Apache-2.0
/* Blocks of LZ4, beside liblz4: what that packs, and what it makes of blocks with one byte changed.
 */
#include "boot/lz4.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <lz4.h>
#include <lz4hc.h>
#include <stdlib.h>
#include <string.h>

#define SIZE  3000
#define GUARD 0xa5

/* A parameter is copied to a process of its own: no pointers. */
struct kind {
	char name[8];
	int byte; /* index of bytes[] */
};

static uint8_t zeroes(unsigned i)
{
	return 0;
}

/* xorshift of the place: nothing to copy, so one long run of bytes as they are. */
static uint8_t noise(unsigned i)
{
	uint32_t x = i + 12345;
	for (int round = 0; round < 3; round++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
	}
	return (uint8_t)(x >> 8);
}

/* Copies that reach into themselves, with periods 1 to 40. */
static uint8_t periods(unsigned i)
{
	return (uint8_t)(i % (1 + i / 75));
}

static uint8_t mixed(unsigned i)
{
	return i % 700 < 350 ? noise(i % 350 + i / 1400) : (uint8_t)(i / 50);
}

static uint8_t (*const bytes[])(unsigned i) = { zeroes, noise, periods, mixed };

static size_t pack(uint8_t (*byte)(unsigned i), uint8_t data[SIZE], uint8_t *ret, size_t ret_size)
{
	for (unsigned i = 0; i < SIZE; i++)
		data[i] = byte(i);
	int n = LZ4_compress_HC((char *)data, (char *)ret, SIZE, (int)ret_size, LZ4HC_CLEVEL_MAX);
	cr_assert_gt(n, 0);
	return (size_t)n;
}

ParameterizedTestParameters(lz4, beside_liblz4)
{
	static struct kind kinds[] = {
		{ "zeroes", 0 },
		{ "noise", 1 },
		{ "periods", 2 },
		{ "mixed", 3 },
	};
	return cr_make_param_array(struct kind, kinds, sizeof(kinds) / sizeof(kinds[0]));
}

ParameterizedTest(struct kind *k, lz4, beside_liblz4)
{
	uint8_t data[SIZE], made[SIZE + 1], theirs[SIZE];
	size_t room = LZ4_COMPRESSBOUND(SIZE);
	uint8_t *packed = malloc(room);
	cr_assert_not_null(packed);
	size_t size = pack(bytes[k->byte], data, packed, room);
	uint8_t *exact = malloc(size); /* its end is where the sanitizer looks */
	cr_assert_not_null(exact);

	memcpy(exact, packed, size);
	made[SIZE] = GUARD;
	cr_assert_eq(lz4_unpack(exact, size, made, SIZE), SIZE, "%s", k->name);
	cr_assert_arr_eq(made, data, SIZE);
	cr_assert_eq(lz4_unpack(exact, size, made, SIZE - 1), LZ4_CORRUPT);
	for (size_t cut = 0; cut < size;
		cut++) { /* what is cut may be a shorter block, never more */
		size_t n = lz4_unpack(exact, cut, made, SIZE);
		cr_assert(n == LZ4_CORRUPT || n <= SIZE);
	}

	size_t accepted = 0, refused = 0;
	for (size_t i = 0; i < size; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			exact[i] ^= (uint8_t)(1U << bit);
			int n = LZ4_decompress_safe((char *)exact, (char *)theirs, (int)size, SIZE);
			size_t ours = lz4_unpack(exact, size, made, SIZE);
			if (n >= 0 && ours == LZ4_CORRUPT) { /* distance 0: it makes something up */
				refused++;
			} else if (n >= 0) { /* it refuses more, by rules about a block's end */
				accepted++;
				cr_assert_eq(ours, (size_t)n, "%s: byte %zu", k->name, i);
				cr_assert_arr_eq(made, theirs, ours);
			}
			cr_assert_eq(made[SIZE], GUARD);
			exact[i] ^= (uint8_t)(1U << bit);
		}
	cr_assert_gt(accepted, size, "%s", k->name);
	cr_assert_lt(refused, size / 8, "%s", k->name);
	free(exact);
	free(packed);
}

struct block {
	char what[40], bytes[20];
	size_t size, expected;
};

ParameterizedTestParameters(lz4, blocks)
{
	static struct block blocks[] = {
		{ "nothing", "", 0, LZ4_CORRUPT },
		{ "no bytes, the shortest block", "\x00", 1, 0 },
		{ "three bytes as they are",
			"\x30"
			"abc",
			4, 3 },
		{ "fewer bytes than announced",
			"\x40"
			"abc",
			4, LZ4_CORRUPT },
		{ "a length that goes on beyond the end", "\xf0\xff", 2, LZ4_CORRUPT },
		{ "more bytes than there is room for",
			"\xf0\x02"
			"0123456789abcdefg",
			19, LZ4_CORRUPT },
		{ "exactly as many as there is room for",
			"\xf0\x01"
			"0123456789abcdef",
			18, 16 },
		{ "a copy of itself",
			"\x11"
			"a\x01\x00\x10"
			"b",
			6, 7 },
		{ "a copy of nothing",
			"\x11"
			"a\x00\x00\x10"
			"b",
			6, LZ4_CORRUPT },
		{ "a copy from before the beginning",
			"\x11"
			"a\x02\x00\x10"
			"b",
			6, LZ4_CORRUPT },
		{ "a distance cut in two",
			"\x11"
			"a\x01",
			3, LZ4_CORRUPT },
		{ "a copy at the end",
			"\x11"
			"a\x01\x00",
			4, LZ4_CORRUPT },
		{ "a long copy without its length",
			"\x1f"
			"a\x01\x00",
			4, LZ4_CORRUPT },
		{ "a copy larger than the room",
			"\x1f"
			"a\x01\x00\x00\x00",
			6, LZ4_CORRUPT },
	};
	return cr_make_param_array(struct block, blocks, sizeof(blocks) / sizeof(blocks[0]));
}

ParameterizedTest(struct block *b, lz4, blocks)
{
	uint8_t ret[16], *data = malloc(b->size ? b->size : 1);
	cr_assert_not_null(data);
	memcpy(data, b->bytes, b->size);
	cr_assert_eq(lz4_unpack(data, b->size, ret, sizeof(ret)), b->expected, "%s", b->what);
	if (b->expected == 7)
		cr_assert_arr_eq(ret, "aaaaaab", 7);
	free(data);
}
