// SPDX-License-Identifier: Apache-2.0
/* Byte streams: two rings, and the loop sources that empty the one and fill the other. */
#include "backend/chardev.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "backend/escape.h"
#include "loop/loop.h"
#include "util/err.h"
#include "util/fd.h"
#include "util/ring.h"
#include "util/thread.h"

#define OUT_SIZE 65536
#define IN_SIZE  4096 /* typed ahead; the escape is still seen while the guest takes nothing */

/* One direction. What epoll can't watch (files, /dev/null) is always ready, and a timer that fires
 * at once takes the place of the watch. */
struct stream {
	int fd;       /* ours */
	size_t piece; /* what a write takes without blocking if poll(2) says that it is ready */
	bool is_socket, is_timer;
	uint32_t events;
	struct loop_source *source;
};

struct chardev {
	char *name, *out_name;
	struct stream in, out;
	void (*on_output)(void *opaque, const void *data, size_t len);
	void (*on_escape)(void *opaque);
	void (*on_failure)(void *opaque, const char *message);
	void *opaque;
	bool escape;
	struct escape filter; /* loop thread only */

	pthread_mutex_t drain_lock; /* who empties the output ring; outside of lock */
	pthread_mutex_t lock;
	/* below: under lock */
	struct ring out_ring, in_ring;
	bool out_wanted, in_wanted; /* the source is waiting */
	bool out_short;             /* the client was refused some bytes */
	bool out_failed, in_ended;
	const struct chardev_client *client;
	void *client_opaque;
	uint8_t out_data[OUT_SIZE], in_data[IN_SIZE];
};

/* --- descriptors --- */

/* The master of a pseudo-terminal: its node, opened once more, makes another pseudo-terminal. */
static bool is_pty_master(int fd)
{
	unsigned number;
	return ioctl(fd, TIOCGPTN, &number) == 0;
}

/* A new description where that can be, for O_NONBLOCK without touching the caller's. */
static int stream_open(struct stream *s, int fd, int access)
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

static void stream_want(struct stream *s, bool on)
{
	if (!s->source)
		return;
	if (s->is_timer)
		loop_arm(s->source, on ? 1 : 0, 0);
	else
		loop_set_events(s->source, on ? s->events : 0);
}

static int stream_watch(struct stream *s, struct loop *loop, loop_fd_fn fn, loop_fn timer_fn,
	void *opaque, struct lacuna_error **err)
{
	struct lacuna_error *why = NULL;
	int rc = loop_add_fd(loop, s->fd, 0, fn, opaque, &s->source, &why);
	if (rc == -EPERM) {
		s->is_timer = true;
		rc = loop_add_timer(loop, timer_fn, opaque, &s->source, err);
	} else if (rc) {
		err_set(err, -rc, "%s", lacuna_error_message(why));
	}
	lacuna_error_free(why);
	return rc;
}

static bool ready(int fd, short events, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	return poll(&p, 1, timeout_ms) > 0;
}

/* --- output --- */

/*
 * Empties the ring as far as that goes without blocking, but no further than what a full one holds:
 * a guest may fill it as fast, and the loop has others to serve. 0 or -errno of the write.
 */
static int drain(struct chardev *c)
{
	LOCK_SCOPE(&c->drain_lock);
	for (size_t done = 0; done < OUT_SIZE;) {
		size_t len;
		const uint8_t *data;
		{
			LOCK_SCOPE(&c->lock);
			data = ring_peek(&c->out_ring, &len);
		}
		/* Nobody else takes bytes out and new ones go elsewhere, so these hold still. A
		 * pipe that is ready takes PIPE_BUF bytes without blocking. */
		if (!len || !ready(c->out.fd, POLLOUT, 0))
			return 0;
		if (len > c->out.piece)
			len = c->out.piece;
		ssize_t n = c->out.is_socket
				    ? send(c->out.fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT)
				    : write(c->out.fd, data, len);
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			LOCK_SCOPE(&c->lock);
			ring_drop(&c->out_ring, (size_t)n);
			done += (size_t)n;
		}
	}
	return 0;
}

/* True for the first failure only. */
static bool output_fails(struct chardev *c)
{
	LOCK_SCOPE(&c->lock);
	bool first = !c->out_failed;
	c->out_failed = true;
	ring_clear(&c->out_ring);
	return first;
}

static int failure(const struct chardev *c, int rc, struct lacuna_error **err)
{
	errno = -rc;
	return err_errno(err, "%s: write to %s", c->name, c->out_name);
}

static void output_ready(void *opaque)
{
	struct chardev *c = opaque;
	int rc = drain(c);
	if (rc && output_fails(c) && c->on_failure) {
		struct lacuna_error *why = NULL;
		failure(c, rc, &why);
		c->on_failure(c->opaque, lacuna_error_message(why));
		lacuna_error_free(why);
	}
	const struct chardev_client *client = NULL;
	void *client_opaque = NULL;
	{
		LOCK_SCOPE(&c->lock);
		c->out_wanted = c->out_ring.count > 0;
		stream_want(&c->out, c->out_wanted);
		if (c->out_short && ring_space(&c->out_ring)) {
			c->out_short = false;
			client = c->client;
			client_opaque = c->client_opaque;
		}
	}
	if (client)
		client->space(client_opaque);
}

static void output_event(void *opaque, uint32_t events)
{
	output_ready(opaque);
}

size_t chardev_write(struct chardev *c, const void *data, size_t len)
{
	{
		LOCK_SCOPE(&c->lock);
		if (c->out.fd >= 0 && !c->out_failed) {
			size_t n = ring_put(&c->out_ring, data, len);
			c->out_short = n < len;
			len = n;
			if (c->out_ring.count && !c->out_wanted) {
				c->out_wanted = true;
				stream_want(&c->out, true);
			}
		}
	}
	if (len && c->on_output)
		c->on_output(c->opaque, data, len);
	return len;
}

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int flush(struct chardev *c, unsigned timeout_ms, struct lacuna_error **err)
{
	uint64_t end = now_ms() + timeout_ms;
	for (;;) {
		int rc = drain(c);
		if (rc)
			return output_fails(c) ? failure(c, rc, err) : 0;
		size_t left;
		{
			LOCK_SCOPE(&c->lock);
			left = c->out_ring.count;
		}
		uint64_t now = now_ms();
		if (!left)
			return 0;
		if (now >= end)
			return err_set(err, ETIMEDOUT,
				"%s: nobody takes the last %zu bytes written to %s", c->name, left,
				c->out_name);
		ready(c->out.fd, POLLOUT, (int)(end - now));
	}
}

int chardev_flush(struct chardev *c, unsigned timeout_ms, struct lacuna_error **err)
{
	/* A write to a broken pipe raises SIGPIPE in the writing thread. Block it here, and take
	 * back what our write raised, unless one was pending before. */
	sigset_t pipe_set, pending, old;
	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
	int rc = flush(c, timeout_ms < INT_MAX ? timeout_ms : INT_MAX, err);
	if (rc == -EPIPE && !sigismember(&pending, SIGPIPE))
		while (sigtimedwait(&pipe_set, NULL, &(struct timespec){ 0 }) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

/* --- input --- */

/* How many bytes came; 0: none now, -1: none any more. */
static ssize_t fetch(struct chardev *c, void *data, size_t len)
{
	if (!len || !ready(c->in.fd, POLLIN, 0))
		return 0;
	ssize_t n = read(c->in.fd, data, len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n > 0 ? n : -1;
}

static void input_ready(void *opaque)
{
	struct chardev *c = opaque;
	uint8_t data[512];
	size_t room;
	{
		LOCK_SCOPE(&c->lock);
		room = ring_space(&c->in_ring);
	}
	ssize_t n = fetch(c, data, room < sizeof(data) ? room : sizeof(data));
	bool quit = false;
	size_t len = n > 0 ? (size_t)n : 0;
	if (c->escape)
		len = escape_filter(&c->filter, data, len, &quit);

	const struct chardev_client *client;
	void *client_opaque;
	{
		LOCK_SCOPE(&c->lock);
		ring_put(&c->in_ring, data, len); /* it fits: only this thread puts */
		c->in_ended = n < 0;
		c->in_wanted = !c->in_ended && ring_space(&c->in_ring);
		stream_want(&c->in, c->in_wanted); /* else chardev_read() wants again */
		client = c->client;
		client_opaque = c->client_opaque;
	}
	if (len && client)
		client->input(client_opaque);
	if (quit && c->on_escape)
		c->on_escape(c->opaque);
}

static void input_event(void *opaque, uint32_t events)
{
	input_ready(opaque);
}

size_t chardev_read(struct chardev *c, void *data, size_t len)
{
	LOCK_SCOPE(&c->lock);
	size_t n = ring_get(&c->in_ring, data, len);
	if (n && !c->in_wanted && !c->in_ended) {
		c->in_wanted = true;
		stream_want(&c->in, true);
	}
	return n;
}

size_t chardev_pending(struct chardev *c)
{
	LOCK_SCOPE(&c->lock);
	return c->in_ring.count;
}

/* --- life --- */

void chardev_attach(struct chardev *c, const struct chardev_client *client, void *opaque)
{
	LOCK_SCOPE(&c->lock);
	c->client = client;
	c->client_opaque = opaque;
	c->in_wanted = true;
	stream_want(&c->in, true);
}

void chardev_detach(struct chardev *c)
{
	struct loop_source *in, *out;
	{
		LOCK_SCOPE(&c->lock);
		c->client = NULL;
		in = c->in.source;
		out = c->out.source;
		c->in.source = c->out.source = NULL;
	}
	loop_remove(in);
	loop_remove(out);
}

static int open_output(const struct chardev_params *p, struct chardev *c, struct lacuna_error **err)
{
	if (p->path) {
		c->out.fd = open(p->path,
			O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
		if (c->out.fd < 0)
			return err_errno(err, "%s: open '%s'", c->name, p->path);
		c->out.piece = PIPE_BUF;
	} else if (p->out_fd >= 0) {
		if (stream_open(&c->out, p->out_fd, O_WRONLY) < 0)
			return err_errno(err, "%s: %s", c->name, c->out_name);
	} else {
		return 0;
	}
	c->out.events = EPOLLOUT;
	return err_prefix(err, stream_watch(&c->out, p->loop, output_event, output_ready, c, err),
		"%s: %s", c->name, c->out_name);
}

static int open_input(const struct chardev_params *p, struct chardev *c, struct lacuna_error **err)
{
	if (p->in_fd < 0)
		return 0;
	if (stream_open(&c->in, p->in_fd, O_RDONLY) < 0)
		return err_errno(err, "%s: input", c->name);
	c->in.events = EPOLLIN;
	return err_prefix(err, stream_watch(&c->in, p->loop, input_event, input_ready, c, err),
		"%s: input", c->name);
}

int chardev_new(
	const struct chardev_params *params, struct chardev **ret, struct lacuna_error **err)
{
	struct chardev *c = calloc(1, sizeof(*c));
	if (!c)
		return err_nomem(err);
	c->in.fd = c->out.fd = -1;
	c->on_output = params->on_output;
	c->on_escape = params->on_escape;
	c->on_failure = params->on_failure;
	c->opaque = params->opaque;
	c->escape = params->escape;
	c->out_ring = (struct ring){ .data = c->out_data, .size = OUT_SIZE };
	c->in_ring = (struct ring){ .data = c->in_data, .size = IN_SIZE };
	pthread_mutex_init(&c->drain_lock, NULL);
	pthread_mutex_init(&c->lock, NULL);
	int rc = 0;
	c->name = strdup(params->name);
	if (params->path) {
		if (asprintf(&c->out_name, "'%s'", params->path) < 0)
			c->out_name = NULL;
	} else {
		c->out_name = strdup(params->out_name ? params->out_name : "output");
	}
	if (!c->name || !c->out_name)
		rc = err_nomem(err);
	if (!rc)
		rc = open_output(params, c, err);
	if (!rc)
		rc = open_input(params, c, err);
	if (rc) {
		chardev_free(c);
		return rc;
	}
	*ret = c;
	return 0;
}

void chardev_free(struct chardev *c)
{
	if (!c)
		return;
	chardev_detach(c);
	fd_close(&c->in.fd);
	fd_close(&c->out.fd);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->drain_lock);
	free(c->out_name);
	free(c->name);
	free(c);
}
