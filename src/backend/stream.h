/* SPDX-License-Identifier: Apache-2.0 */
/* One direction of a byte stream: a descriptor of our own and its place in the event loop. */
#ifndef BACKEND_STREAM_H
#define BACKEND_STREAM_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stddef.h>

#include "loop/loop.h"

/* What epoll can't watch (files, /dev/null) is always ready, and a timer that fires at once takes
 * the place of the watch. */
struct stream {
	int fd;       /* ours */
	size_t piece; /* what a write takes without blocking if poll(2) says that it is ready */
	bool is_socket, is_timer;
	bool is_event;   /* there is no descriptor: the source is run once when it is wanted */
	uint32_t events; /* to wait for when it is wanted */
	uint32_t idle;   /* and when it is not; 0: nothing */
	struct loop_source *source;
};

/* Takes a description of its own of what @fd is, where that can be, for O_NONBLOCK without touching
 * the caller's. 0, or -1 with errno set. */
int stream_open(struct stream *s, int fd, int access);

/* Watches it, not wanted at first. */
int stream_watch(struct stream *s, struct loop *loop, loop_fd_fn fn, loop_fn timer_fn, void *opaque,
	struct lacuna_error **err);

/* Any thread; nothing if it is not watched. */
void stream_want(struct stream *s, bool on);

/* True when poll(2) reports @events, an error or a hang-up within the time. */
bool stream_ready(int fd, short events, int timeout_ms);

#endif
