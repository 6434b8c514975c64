/* SPDX-License-Identifier: Apache-2.0 */
/* The few memory and string helpers that guests and the compiler need, and a checksum. */
#ifndef FIRMWARE_STRING_H
#define FIRMWARE_STRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);
size_t strlen(const char *s);
int strncmp(const char *a, const char *b, size_t len);
bool str_equal(const char *a, const char *b);

/* How many of the @count dwords at @p come before the first that is not all ones, rounded down to
 * an even number; @count is even. Reads with string instructions, so it is fast where each
 * instruction is interpreted. */
size_t count_ones(const volatile uint32_t *p, size_t count);

/* FNV-1a, 64 bits, taking 32 bits a step; HASH_START begins. */
#define HASH_START UINT64_C(0xcbf29ce484222325)

static inline uint64_t hash_add(uint64_t hash, uint32_t value)
{
	return (hash ^ value) * UINT64_C(0x100000001b3);
}

/* xorshift64*; *@state must not be 0. */
static inline uint32_t random_next(uint64_t *state)
{
	uint64_t x = *state;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return (x * UINT64_C(0x2545f4914f6cdd1d)) >> 32;
}

#endif
