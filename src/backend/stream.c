// SPDX-License-Identifier: Apache-2.0
/* Descriptors that must not block the loop, whatever they lead to. */
#include "backend/stream.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "util/err.h"
#include "util/fd.h"

/* The master of a pseudo-terminal: its node, opened once more, makes another pseudo-terminal. */
static bool is_pty_master(int fd)
{
	unsigned number;
	return ioctl(fd, TIOCGPTN, &number) == 0;
}

int stream_open(struct stream *s, int fd, int access)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -1;
	s->is_socket = S_ISSOCK(st.st_mode);
	s->piece = PIPE_BUF;
	if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)) {
		char path[32];
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (!is_pty_master(fd))
			s->fd = open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (s->fd >= 0)
			return 0;
		if (S_ISCHR(st.st_mode)) /* also somebody else's terminal, after su */
			s->piece = 1;
	}
	s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return s->fd < 0 ? -1 : 0;
}

void stream_want(struct stream *s, bool on)
{
	if (!s->source || (s->is_event && !on))
		return;
	if (s->is_event)
		loop_signal(s->source);
	else if (s->is_timer)
		loop_arm(s->source, on ? 1 : 0, 0);
	else
		loop_set_events(s->source, on ? s->events : s->idle);
}

int stream_watch(struct stream *s, struct loop *loop, loop_fd_fn fn, loop_fn timer_fn, void *opaque,
	struct lacuna_error **err)
{
	int rc = loop_add_fd(loop, s->fd, s->idle, fn, opaque, &s->source, NULL);
	if (rc == -EPERM) {
		s->is_timer = true;
		rc = loop_add_timer(loop, timer_fn, opaque, &s->source, err);
	} else if (rc) {
		err_set(err, -rc, "event loop: %s", strerrordesc_np(-rc));
	}
	return rc;
}

bool stream_ready(int fd, short events, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	return poll(&p, 1, timeout_ms) > 0;
}
