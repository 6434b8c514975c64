// SPDX-License-Identifier: Apache-2.0
/* Messages of the program: one line each, on stderr. */
#include <stdarg.h>
#include <stdio.h>

#include "cli/cli.h"

static void (*before)(void);

void messages_before(void (*fn)(void))
{
	before = fn;
}

__attribute__((format(printf, 1, 0))) static void print_line(const char *fmt, va_list ap)
{
	char line[1024];
	vsnprintf(line, sizeof(line), fmt, ap);
	for (char *p = line; *p; p++) /* a file name may hold anything, also an escape sequence */
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	if (before)
		before();
	fprintf(stderr, "lacuna: %s\n", line);
}

int fail(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	print_line(fmt, ap);
	va_end(ap);
	return STATUS_FAILED;
}

int fail_error(struct lacuna_error *err)
{
	fail("%s", lacuna_error_message(err));
	lacuna_error_free(err);
	return STATUS_FAILED;
}
