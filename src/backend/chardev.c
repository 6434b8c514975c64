// SPDX-License-Identifier: Apache-2.0
/* Byte streams: two rings, and the loop sources that empty the one and fill the other; and the peer
 * that comes and goes at the outer end of some. */
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
#include <sys/socket.h>
#include <time.h>

#include "backend/escape.h"
#include "backend/peer.h"
#include "backend/stream.h"
#include "util/err.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/ring.h"
#include "util/thread.h"

#define OUT_SIZE 65536
#define IN_SIZE  4096 /* typed ahead; the escape is still seen while the guest takes nothing */

struct chardev {
	char *name, *out_name;
	struct stream in, out;
	void (*on_output)(void *opaque, const void *data, size_t len);
	void (*on_escape)(void *opaque);
	void (*on_failure)(void *opaque, const char *message);
	void *opaque;
	bool escape;
	struct escape filter; /* loop thread only */
	struct loop *loop;
	struct peer *peer; /* NULL: the ends are there all the time */
	bool retain;
	bool in_hung_up; /* loop thread only */

	pthread_mutex_t drain_lock; /* who empties the output ring; outside of lock */
	pthread_mutex_t lock;
	/* below: under lock */
	struct ring out_ring, in_ring;
	bool out_wanted, in_wanted; /* the source is waiting */
	bool out_short;             /* the client was refused some bytes */
	bool out_failed, in_ended;
	bool present; /* the ends are there */
	const struct chardev_client *client;
	void *client_opaque;
	uint8_t out_data[OUT_SIZE], in_data[IN_SIZE];
};

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
		if (!len || !stream_ready(c->out.fd, POLLOUT, 0))
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
	if (rc && output_fails(c) && c->on_failure && !c->peer) {
		struct lacuna_error *why = NULL;
		failure(c, rc, &why);
		c->on_failure(c->opaque, lacuna_error_message(why));
		lacuna_error_free(why);
	}
	const struct chardev_client *client = NULL;
	void *client_opaque = NULL;
	{
		LOCK_SCOPE(&c->lock);
		c->out_wanted = c->out_ring.count > 0 && !c->out_failed;
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

/* What is written while nobody is there: the last of it is kept for who comes, or nothing. */
static void put_aside(struct chardev *c, const uint8_t *data, size_t len)
{
	if (!c->retain)
		return;
	if (len > OUT_SIZE) {
		data += len - OUT_SIZE;
		len = OUT_SIZE;
	}
	if (len > ring_space(&c->out_ring))
		ring_drop(&c->out_ring, len - ring_space(&c->out_ring));
	ring_put(&c->out_ring, data, len);
}

size_t chardev_write(struct chardev *c, const void *data, size_t len)
{
	{
		LOCK_SCOPE(&c->lock);
		if (!c->present || (c->peer && c->out_failed)) {
			put_aside(c, data, len);
		} else if (c->out.fd >= 0 && !c->out_failed) {
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
			return output_fails(c) && !c->peer ? failure(c, rc, err) : 0;
		size_t left;
		{
			LOCK_SCOPE(&c->lock);
			left = c->present && !c->out_failed ? c->out_ring.count : 0;
		}
		uint64_t now = now_ms();
		if (!left)
			return 0;
		if (now >= end)
			return err_set(err, ETIMEDOUT,
				"%s: nobody takes the last %zu bytes written to %s", c->name, left,
				c->out_name);
		/* A peer that leaves meanwhile takes the descriptor with it. */
		stream_ready(c->out.fd, POLLOUT, end - now < 100 ? (int)(end - now) : 100);
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
	if (!len || !stream_ready(c->in.fd, POLLIN, 0))
		return 0;
	ssize_t n = read(c->in.fd, data, len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n > 0 ? n : -1;
}

static void peer_gone(struct chardev *c);

static void input_ready(void *opaque)
{
	struct chardev *c = opaque;
	uint8_t data[512];
	size_t room;
	{
		LOCK_SCOPE(&c->lock);
		room = c->in_ended ? 0 : ring_space(&c->in_ring);
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
		c->in_ended |= n < 0;
		c->in_wanted = !c->in_ended && ring_space(&c->in_ring);
		stream_want(&c->in, c->in_wanted); /* else chardev_read() wants again */
		client = c->client;
		client_opaque = c->client_opaque;
	}
	if (len && client)
		client->input(client_opaque);
	if (quit && c->on_escape)
		c->on_escape(c->opaque);
	/* Who has only finished sending may still be listening. */
	if (c->peer && c->in_ended && c->in_hung_up)
		peer_gone(c);
}

static void input_event(void *opaque, uint32_t events)
{
	struct chardev *c = opaque;
	if (c->peer && (events & (EPOLLHUP | EPOLLERR)) && !c->in_hung_up) {
		LOCK_SCOPE(&c->lock); /* it may have left something to read, but listens no more */
		c->in_hung_up = c->out_failed = true;
		c->out_wanted = false;
		stream_want(&c->out, false);
	}
	input_ready(c);
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

/* --- peers --- */

/* Takes the streams away. The caller holds no lock. */
static void close_streams(struct chardev *c)
{
	struct loop_source *in, *out;
	{
		LOCK_SCOPE(&c->lock);
		in = c->in.source;
		out = c->out.source;
		c->in.source = c->out.source = NULL;
	}
	loop_remove(in);
	loop_remove(out);
}

static void tell_presence(struct chardev *c, bool present)
{
	const struct chardev_client *client;
	void *opaque;
	{
		LOCK_SCOPE(&c->lock);
		client = c->client;
		opaque = c->client_opaque;
	}
	if (!client)
		return;
	if (client->presence)
		client->presence(opaque, present);
	if (!present) /* a write that waits can go on: it goes nowhere */
		client->space(opaque);
}

static void peer_gone(struct chardev *c)
{
	close_streams(c);
	{
		LOCK_SCOPE(&c->drain_lock); /* nobody is writing */
		LOCK_SCOPE(&c->lock);
		fd_close(&c->in.fd);
		fd_close(&c->out.fd);
		c->present = c->in_ended = c->out_failed = c->out_short = c->in_hung_up = false;
		c->out_wanted = false;
		if (!c->retain)
			ring_clear(&c->out_ring);
	}
	tell_presence(c, false);
	peer_watch(c->peer);
}

/* The end of a hang-up must be seen also when nothing is to be read. */
static const struct stream peer_stream = { .piece = OUT_SIZE, .idle = EPOLLET };

static void peer_came(void *opaque, int fd)
{
	struct chardev *c = opaque;
	struct stream in = peer_stream, out = peer_stream;
	in.fd = fd;
	in.events = EPOLLIN;
	out.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	out.events = EPOLLOUT;
	out.idle = 0;
	if (out.fd < 0 || stream_watch(&in, c->loop, input_event, input_ready, c, NULL) < 0 ||
		stream_watch(&out, c->loop, output_event, output_ready, c, NULL) < 0) {
		loop_remove(in.source);
		fd_close(&in.fd);
		fd_close(&out.fd);
		peer_watch(c->peer);
		return;
	}
	{
		LOCK_SCOPE(&c->drain_lock);
		LOCK_SCOPE(&c->lock);
		c->in = in;
		c->out = out;
		c->present = true;
		c->in_wanted = ring_space(&c->in_ring) > 0;
		c->out_wanted = c->out_ring.count > 0;
		stream_want(&c->in, c->in_wanted);
		stream_want(&c->out, c->out_wanted);
	}
	tell_presence(c, true);
}

bool chardev_present(struct chardev *c)
{
	LOCK_SCOPE(&c->lock);
	return c->present;
}

const char *chardev_path(const struct chardev *c)
{
	return c->peer ? peer_path(c->peer) : NULL;
}

bool chardev_window(struct chardev *c, unsigned *ret_cols, unsigned *ret_rows)
{
	return c->peer && peer_window(c->peer, ret_cols, ret_rows);
}

/* --- life --- */

void chardev_attach(struct chardev *c, const struct chardev_client *client, void *opaque)
{
	LOCK_SCOPE(&c->lock);
	c->client = client;
	c->client_opaque = opaque;
	c->in_wanted = true;
	stream_want(&c->in, true);
	if (c->peer)
		peer_watch(c->peer);
}

void chardev_detach(struct chardev *c)
{
	{
		LOCK_SCOPE(&c->lock);
		c->client = NULL;
	}
	if (c->peer)
		peer_leave(c->peer);
	close_streams(c);
}

void chardev_finish(struct chardev *c, unsigned timeout_ms, const struct log *log)
{
	struct lacuna_error *err = NULL;
	int rc = chardev_flush(c, timeout_ms, &err);
	if (rc == -ETIMEDOUT) /* nobody reads; that is no failure of ours */
		log_warning(log, c->name, "the last output is lost: %s", lacuna_error_message(err));
	else if (rc < 0 && c->on_failure)
		c->on_failure(c->opaque, lacuna_error_message(err));
	lacuna_error_free(err);
}

static int open_peer(const struct chardev_params *p, struct chardev *c, struct lacuna_error **err)
{
	const struct peer_params params = {
		.loop = p->loop,
		.socket = p->socket,
		.link = p->link,
		.come = peer_came,
		.opaque = c,
	};
	return err_prefix(err, peer_new(&params, &c->peer, err), "%s", c->name);
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
	c->loop = params->loop;
	c->retain = params->retain;
	c->present = !params->socket && !params->pty;
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
	if (!rc && !c->present)
		rc = open_peer(params, c, err);
	if (!rc && c->present)
		rc = open_output(params, c, err);
	if (!rc && c->present)
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
	peer_free(c->peer);
	fd_close(&c->in.fd);
	fd_close(&c->out.fd);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->drain_lock);
	free(c->out_name);
	free(c->name);
	free(c);
}
