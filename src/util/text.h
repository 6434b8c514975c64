/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that grows as it is written. When memory is out it stays as it is and `failed` is set, so
 * that the calls in between need no check (a stream of open_memstream() forgets that it was out). A
 * zeroed one is empty; whoever has it frees `data`.
 */
#ifndef UTIL_TEXT_H
#define UTIL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
	char *data; /* NUL-terminated; NULL: nothing was ever written */
	size_t size, capacity;
	bool failed; /* memory was out, and something is missing */
};

void text_add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
