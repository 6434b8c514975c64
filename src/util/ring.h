/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of bytes in a fixed array. No locking. */
#ifndef UTIL_RING_H
#define UTIL_RING_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct ring {
	uint8_t *data;            /* not owned */
	size_t size, head, count; /* the oldest byte is data[head] */
};

static inline size_t ring_space(const struct ring *r)
{
	return r->size - r->count;
}

/* Appends what fits and returns how much that was. */
static inline size_t ring_put(struct ring *r, const void *data, size_t len)
{
	if (len > ring_space(r))
		len = ring_space(r);
	if (!len)
		return 0;
	size_t tail = (r->head + r->count) % r->size;
	size_t first = len < r->size - tail ? len : r->size - tail;
	memcpy(r->data + tail, data, first);
	memcpy(r->data, (const uint8_t *)data + first, len - first);
	r->count += len;
	return len;
}

/* The oldest bytes as far as they lie in one piece; *@ret_len 0 if there are none. */
static inline const uint8_t *ring_peek(const struct ring *r, size_t *ret_len)
{
	*ret_len = r->count < r->size - r->head ? r->count : r->size - r->head;
	return r->data + r->head;
}

static inline void ring_drop(struct ring *r, size_t len)
{
	r->head = (r->head + len) % r->size;
	r->count -= len;
}

static inline size_t ring_get(struct ring *r, void *data, size_t len)
{
	size_t done = 0, piece;
	while (done < len && r->count) {
		const uint8_t *from = ring_peek(r, &piece);
		if (piece > len - done)
			piece = len - done;
		memcpy((uint8_t *)data + done, from, piece);
		ring_drop(r, piece);
		done += piece;
	}
	return done;
}

static inline void ring_clear(struct ring *r)
{
	r->head = r->count = 0;
}

#endif
