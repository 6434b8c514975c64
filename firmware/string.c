// SPDX-License-Identifier: Apache-2.0
/* Memory and string helpers. The bulk ones are string instructions of 8 bytes each time: where
 * guests are interpreted, each time costs the same, whatever its size. */
#include "string.h"

void *memcpy(void *to, const void *from, size_t len)
{
	void *d = to;
	size_t words = len / 8, rest = len % 8;
	__asm__ volatile("rep movsq" : "+D"(d), "+S"(from), "+c"(words) : : "memory");
	__asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(rest) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t len)
{
	uint8_t *d = (uint8_t *)to + len - 1;
	const uint8_t *s = (const uint8_t *)from + len - 1;
	if (to <= from)
		return memcpy(to, from, len);
	__asm__ volatile("std; rep movsb; cld" : "+D"(d), "+S"(s), "+c"(len) : : "memory");
	return to;
}

void *memset(void *to, int byte, size_t len)
{
	void *d = to;
	uint64_t value = (uint8_t)byte * UINT64_C(0x0101010101010101);
	size_t words = len / 8, rest = len % 8;
	__asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(value) : "memory");
	__asm__ volatile("rep stosb" : "+D"(d), "+c"(rest) : "a"(value) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t len)
{
	const uint8_t *x = a, *y = b;
	for (; len; len--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	return n;
}

int strncmp(const char *a, const char *b, size_t len)
{
	for (; len; len--, a++, b++)
		if (*a != *b || !*a)
			return (uint8_t)*a - (uint8_t)*b;
	return 0;
}

bool str_equal(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX) == 0;
}

size_t count_ones(const volatile uint32_t *p, size_t count)
{
	uint64_t pairs = count / 2, left = pairs;
	bool equal;
	if (!pairs)
		return 0;
	__asm__ volatile("repe scasq"
			 : "=@cce"(equal), "+D"(p), "+c"(left)
			 : "a"(UINT64_MAX)
			 : "memory");
	return (pairs - left - (equal ? 0 : 1)) * 2;
}
