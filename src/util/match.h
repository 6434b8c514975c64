/* SPDX-License-Identifier: Apache-2.0 */
/* Finds a string in a stream that comes in pieces (Knuth, Morris, Pratt: SIAM J. Comput. 6, 1977).
 * No byte is looked at twice and none is kept. */
#ifndef UTIL_MATCH_H
#define UTIL_MATCH_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stddef.h>

struct match;

/* -EINVAL if @pattern is empty. */
int match_new(const char *pattern, struct match **ret, struct lacuna_error **err);
void match_free(struct match *m);

/* True if an occurrence ends in these bytes. */
bool match_feed(struct match *m, const void *data, size_t len);

#endif
