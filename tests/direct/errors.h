/* SPDX-License-Identifier: Apache-2.0 */
/* What the tables of errors share: files to go wrong with, and what every error must be like. */
#ifndef DIRECT_ERRORS_H
#define DIRECT_ERRORS_H

#include <lacuna/error.h>

/*
 * A folder that is gone when the test ends, with "text", "empty" and "odd" (1,000 bytes), a "fifo",
 * a "disk" of 1 MiB, a "pmem" of 2 MiB, a "huge" file of 1 GiB that takes no space, and two
 * sockets: somebody listens on "listener", and nobody any more on "stale".
 */
void errors_make_files(void);

/* @text with '@' for that folder, '#' for the one of the guests, '~' for 70,000 times an x. The
 * caller's, from malloc(). */
char *errors_expand(const char *text);

/*
 * @call has returned @rc and @err. It must be the negative of @code, or 0 without an object; and
 * the object must have that code and a sentence: one line, no full stop at its end, no capital
 * letter at its beginning unless a name begins so, with @mentions (as in errors_expand()) in it.
 * Frees @err.
 */
void errors_check(
	const char *call, int rc, struct lacuna_error *err, int code, const char *mentions);

#endif
