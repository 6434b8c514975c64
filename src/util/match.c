// SPDX-License-Identifier: Apache-2.0
/* The matcher's state is how much of the pattern the stream's last bytes are. */
#include "util/match.h"

#include <stdlib.h>
#include <string.h>

#include "util/err.h"

struct match {
	size_t len, state;
	char *pattern;
	size_t border[]; /* [n]: length of the longest proper prefix of the first n + 1 bytes that
			    is also their suffix */
};

static size_t step(const struct match *m, size_t state, char byte)
{
	if (state == m->len)
		state = m->border[state - 1];
	while (state && m->pattern[state] != byte)
		state = m->border[state - 1];
	return state + (m->pattern[state] == byte);
}

int match_new(const char *pattern, struct match **ret, struct lacuna_error **err)
{
	size_t len = strlen(pattern);
	if (!len)
		return err_set(err, EINVAL, "an empty string matches nothing: give some text");
	struct match *m = calloc(1, sizeof(*m) + len * sizeof(m->border[0]) + len + 1);
	if (!m)
		return err_nomem(err);
	m->len = len;
	m->pattern = (char *)&m->border[len];
	memcpy(m->pattern, pattern, len + 1);
	for (size_t n = 1; n < len; n++)
		m->border[n] = step(m, m->border[n - 1], m->pattern[n]);
	*ret = m;
	return 0;
}

void match_free(struct match *m)
{
	free(m);
}

bool match_feed(struct match *m, const void *data, size_t len)
{
	const char *byte = data;
	bool found = false;
	for (size_t i = 0; i < len; i++) {
		m->state = step(m, m->state, byte[i]);
		found |= m->state == m->len;
	}
	return found;
}
