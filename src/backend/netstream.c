// SPDX-License-Identifier: Apache-2.0
/* Frames over a stream: framing, buffers, short reads and writes. */
#include "backend/netstream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"

#define PREFIX    4u
#define FRAME_MIN 14u
/*
 * Linux cuts a long write to a Unix stream into messages of some 36 KiB, and passt versions of 2023
 * lose their way when one ends inside a length. So a write carries as many frames as fit in one
 * message, or one frame.
 */
#define BATCH (32 * KIB)

struct netstream {
	int fd;
	uint32_t out_at, out_len; /* what of out was sent; what it holds */
	uint32_t in_at, in_len;   /* what of in was consumed; what it holds */
	uint8_t out[PREFIX + NETSTREAM_FRAME_MAX];
	uint8_t in[2 * (PREFIX + NETSTREAM_FRAME_MAX)];
};
static_assert(BATCH <= PREFIX + NETSTREAM_FRAME_MAX, "out holds a batch");

int netstream_new(int fd, struct netstream **ret, struct lacuna_error **err)
{
	struct netstream *s = calloc(1, sizeof(*s)); /* its pages come when they are used */
	if (!s) {
		fd_close(&fd);
		return err_nomem(err);
	}
	s->fd = fd;
	*ret = s;
	return 0;
}

void netstream_free(struct netstream *s)
{
	if (!s)
		return;
	fd_close(&s->fd);
	free(s);
}

int netstream_fd(const struct netstream *s)
{
	return s->fd;
}

/* --- out --- */

int netstream_flush(struct netstream *s)
{
	while (s->out_at < s->out_len) {
		ssize_t n = send(s->fd, s->out + s->out_at, s->out_len - s->out_at,
			MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0)
			s->out_at += (uint32_t)n;
		else if (errno == EAGAIN)
			return -EAGAIN;
		else if (errno != EINTR)
			return -EPIPE;
	}
	s->out_at = s->out_len = 0;
	return 0;
}

uint8_t *netstream_reserve(struct netstream *s, uint32_t len)
{
	bool fits = s->out_len + PREFIX + len <= BATCH && !s->out_at;
	if (s->out_len && !fits && netstream_flush(s) < 0)
		return NULL;
	return s->out + s->out_len + PREFIX;
}

void netstream_commit(struct netstream *s, uint32_t len)
{
	uint32_t prefix = htobe32(len);
	memcpy(s->out + s->out_len, &prefix, PREFIX);
	s->out_len += PREFIX + len;
}

/* --- in --- */

static uint32_t next_len(const struct netstream *s)
{
	uint32_t len;
	memcpy(&len, s->in + s->in_at, PREFIX);
	return be32toh(len);
}

/* More of what the peer sends: 1, 0 when there is none, -EPIPE. */
static int receive(struct netstream *s)
{
	/* There is room: whoever calls has less than a whole frame after in_at. */
	memmove(s->in, s->in + s->in_at, s->in_len - s->in_at);
	s->in_len -= s->in_at;
	s->in_at = 0;
	for (;;) {
		ssize_t n = recv(s->fd, s->in + s->in_len, sizeof(s->in) - s->in_len, MSG_DONTWAIT);
		if (n > 0) {
			s->in_len += (uint32_t)n;
			return 1;
		}
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n == 0 || errno != EINTR)
			return -EPIPE;
	}
}

int netstream_peek(struct netstream *s, const uint8_t **ret_frame, uint32_t *ret_len)
{
	bool received = false;
	for (;;) {
		uint32_t have = s->in_len - s->in_at;
		uint32_t len = have < PREFIX ? 0 : next_len(s);
		if (len > NETSTREAM_FRAME_MAX)
			return -EPROTO;
		if (have >= PREFIX && have - PREFIX >= len) {
			if (len >= FRAME_MIN) {
				*ret_frame = s->in + s->in_at + PREFIX;
				*ret_len = len;
				return 1;
			}
			netstream_consume(s); /* less than an Ethernet header: no frame */
			continue;
		}
		if (received) /* a peer that sends runts without end does not keep us here */
			return 0;
		int rc = receive(s);
		if (rc <= 0)
			return rc;
		received = true;
	}
}

void netstream_consume(struct netstream *s)
{
	s->in_at += PREFIX + next_len(s);
}
