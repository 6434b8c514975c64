// SPDX-License-Identifier: Apache-2.0
/* Text that grows as it is written. */
#include "util/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void text_add(struct text *t, const char *fmt, ...)
{
	for (;;) {
		va_list ap;
		va_start(ap, fmt);
		int n = vsnprintf(
			t->data ? t->data + t->size : NULL, t->capacity - t->size, fmt, ap);
		va_end(ap);
		if (n >= 0 && (size_t)n < t->capacity - t->size) {
			t->size += (size_t)n;
			return;
		}
		size_t capacity = 2 * t->capacity + (n > 0 ? (size_t)n : 0) + 1;
		char *grown = n < 0 || t->failed ? NULL : realloc(t->data, capacity);
		if (!grown) {
			t->failed = true;
			return;
		}
		t->data = grown;
		t->capacity = capacity;
	}
}
