/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who comes and goes at the outer end of a byte stream: the client of a listening Unix socket, or
 * whoever opens the terminal side of a pseudo-terminal. One at a time; others wait (socket) or
 * share (terminal).
 */
#ifndef BACKEND_PEER_H
#define BACKEND_PEER_H

#include <lacuna/error.h>
#include <stdbool.h>

struct loop;
struct peer;

struct peer_params {
	struct loop *loop;
	const char *socket; /* path of the socket to be made; NULL: a pseudo-terminal is */
	const char *link;   /* symbolic link to that terminal; NULL: none */
	/* Somebody is there. @fd is the callee's, and doesn't block. Loop thread, no lock held. */
	void (*come)(void *opaque, int fd);
	void *opaque;
};

/* Paths must not exist, and are removed by peer_free(). Strings are copied. */
int peer_new(const struct peer_params *params, struct peer **ret, struct lacuna_error **err);
/* NULL is fine. Leaves first. */
void peer_free(struct peer *p);

/* No come() any more. The caller holds no lock that it takes. */
void peer_leave(struct peer *p);

/* Nobody is there (any more): tell when somebody comes. */
void peer_watch(struct peer *p);

/* "/dev/pts/4", or the path of the socket. */
const char *peer_path(const struct peer *p);

/* What size the user of the terminal has given it; false: none, or this is a socket. */
bool peer_window(const struct peer *p, unsigned *ret_cols, unsigned *ret_rows);

#endif
