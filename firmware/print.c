// SPDX-License-Identifier: Apache-2.0
/* A small part of printf (C17, 7.21.6.1); print.h names it. */
#include "print.h"

#include <stdbool.h>
#include <stdint.h>

#include "serial.h"
#include "string.h"

static void put(char c)
{
	if (c == '\n')
		serial_put('\r');
	serial_put(c);
}

static void put_padded(const char *s, size_t len, unsigned width, char pad)
{
	for (; width > len; width--)
		put(pad);
	while (len--)
		put(*s++);
}

static void put_number(uint64_t v, bool negative, unsigned base, unsigned width, char pad)
{
	char digits[24], *p = digits + sizeof(digits);
	do {
		*--p = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	if (negative)
		*--p = '-';
	put_padded(p, digits + sizeof(digits) - p, width, pad);
}

static void put_signed(int64_t v, unsigned width, char pad)
{
	put_number(v < 0 ? -(uint64_t)v : (uint64_t)v, v < 0, 10, width, pad);
}

void print(const char *f, ...)
{
	va_list ap;
	va_start(ap, f);
	for (; *f; f++) {
		if (*f != '%') {
			put(*f);
			continue;
		}
		char pad = *++f == '0' ? '0' : ' ';
		unsigned width = 0;
		bool is_long = false;
		for (; *f >= '0' && *f <= '9'; f++)
			width = width * 10 + (*f - '0');
		for (; *f == 'l' || *f == 'z'; f++)
			is_long = true;
		switch (*f) {
		case 'c':
			put(va_arg(ap, int));
			break;
		case 's': {
			const char *s = va_arg(ap, const char *);
			put_padded(s, strlen(s), width, ' ');
			break;
		}
		case 'd':
			put_signed(is_long ? va_arg(ap, int64_t) : va_arg(ap, int), width, pad);
			break;
		case 'u':
		case 'x': {
			uint64_t v = is_long ? va_arg(ap, uint64_t) : va_arg(ap, unsigned);
			put_number(v, false, *f == 'x' ? 16 : 10, width, pad);
			break;
		}
		default:
			put(*f);
		}
	}
	va_end(ap);
}
