/* SPDX-License-Identifier: Apache-2.0 */
/* The escape key of a console on a terminal, as in QEMU: Ctrl-a, then x to quit, Ctrl-a or a for a
 * Ctrl-a to the guest; any other second key is swallowed with it. */
#ifndef BACKEND_ESCAPE_H
#define BACKEND_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ESCAPE_KEY 0x01

struct escape {
	bool seen; /* the last byte was the escape key */
};

/* Takes the sequences out of @data and returns how many bytes are left; *@ret_quit becomes true
 * when the user wants out, and what follows is dropped. */
static inline size_t escape_filter(struct escape *e, uint8_t *data, size_t len, bool *ret_quit)
{
	size_t left = 0;
	for (size_t i = 0; i < len; i++) {
		if (!e->seen && data[i] == ESCAPE_KEY) {
			e->seen = true;
			continue;
		}
		if (e->seen && data[i] == 'x') {
			*ret_quit = true;
			return left;
		}
		if (!e->seen)
			data[left++] = data[i];
		else if (data[i] == ESCAPE_KEY || data[i] == 'a')
			data[left++] = ESCAPE_KEY;
		e->seen = false;
	}
	return left;
}

#endif
