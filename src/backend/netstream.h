/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ethernet frames over a stream socket, each after its length in four big-endian bytes, as passt(1)
 * and QEMU's "-netdev stream" have it. Frames pass through two buffers of fixed size, so that many
 * short ones cost one system call. One thread.
 */
#ifndef BACKEND_NETSTREAM_H
#define BACKEND_NETSTREAM_H

#include <lacuna/error.h>
#include <stdint.h>

#define NETSTREAM_FRAME_MAX 65535u

struct netstream;

/* Takes @fd, a connected stream socket, also on failure. */
int netstream_new(int fd, struct netstream **ret, struct lacuna_error **err);
void netstream_free(struct netstream *s);
int netstream_fd(const struct netstream *s);

/* Room for a frame of @len bytes, at most NETSTREAM_FRAME_MAX, to be filled and committed. NULL:
 * not before the peer has taken earlier ones; wait until the socket can be written to. */
uint8_t *netstream_reserve(struct netstream *s, uint32_t len);
void netstream_commit(struct netstream *s, uint32_t len);
/* Sends what was committed: 0 when all of it is out, -EAGAIN when some is not, or -EPIPE when the
 * peer is gone. */
int netstream_flush(struct netstream *s);

/* The next frame: 1, and the same again until it is consumed; 0 when none has come in full: wait
 * until the socket can be read from; -EPIPE when the peer is gone, -EPROTO when it sends nonsense.
 */
int netstream_peek(struct netstream *s, const uint8_t **ret_frame, uint32_t *ret_len);
void netstream_consume(struct netstream *s);

#endif
