// SPDX-License-Identifier: Apache-2.0
/*
 * A block is sequences of bytes to be taken as they are and a copy of some that were made before.
 * The last sequence has no copy. Each begins with a token: both lengths, of four bits.
 */
#include "boot/lz4.h"

#include <stdbool.h>
#include <string.h>

#include "util/bytes.h"

#define LENGTH_GOES_ON 15 /* in bytes that are added, up to the first below 255 */
#define COPY_MIN       4

struct input {
	const uint8_t *at;
	size_t left;
};

/* A sum of bytes that are all there can't wrap. */
static bool read_length(struct input *in, size_t *length)
{
	if (*length < LENGTH_GOES_ON)
		return true;
	uint8_t more;
	do {
		if (in->left == 0)
			return false;
		more = *in->at++;
		in->left--;
		*length += more;
	} while (more == UINT8_MAX);
	return true;
}

/* Copies from @distance before @to. A copy that reaches into what it makes repeats it: what is
 * there already grows with each round. */
static void repeat(uint8_t *to, size_t distance, size_t length)
{
	const uint8_t *from = to - distance;
	while (length) {
		size_t n = min_u64(length, (size_t)(to - from));
		memcpy(to, from, n);
		to += n;
		length -= n;
	}
}

size_t lz4_unpack(const uint8_t *data, size_t size, uint8_t *ret, size_t ret_size)
{
	struct input in = { data, size };
	size_t made = 0;
	while (in.left) {
		uint8_t token = *in.at++;
		in.left--;
		size_t length = token >> 4;
		if (!read_length(&in, &length) || length > in.left || length > ret_size - made)
			return LZ4_CORRUPT;
		memcpy(ret + made, in.at, length);
		in.at += length;
		in.left -= length;
		made += length;
		if (in.left == 0)
			return made;

		if (in.left < 2)
			return LZ4_CORRUPT;
		size_t distance = load_le16(in.at);
		in.at += 2;
		in.left -= 2;
		length = token & 15;
		if (!read_length(&in, &length))
			return LZ4_CORRUPT;
		length += COPY_MIN;
		if (distance == 0 || distance > made || length > ret_size - made)
			return LZ4_CORRUPT;
		repeat(ret + made, distance, length);
		made += length;
	}
	return LZ4_CORRUPT; /* it ends with a copy, or is empty */
}
