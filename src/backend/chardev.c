// SPDX-License-Identifier: Apache-2.0
/* Byte streams: two rings, and the loop sources that empty the one (chardev_output.c) and fill the
 * other; and the peer that comes and goes at the outer end of some. */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "backend/chardev_private.h"
#include "backend/peer.h"
#include "util/err.h"
#include "util/fd.h"
#include "util/thread.h"

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

/* --- input by calls, where there is a sink --- */

static void input_came(void *opaque)
{
	struct chardev *c = opaque;
	const struct chardev_client *client;
	void *client_opaque;
	{
		LOCK_SCOPE(&c->lock);
		client = c->client;
		client_opaque = c->client_opaque;
	}
	if (client)
		client->input(client_opaque);
}

size_t chardev_input(struct chardev *c, const void *data, size_t len)
{
	LOCK_SCOPE(&c->lock);
	size_t n = ring_put(&c->in_ring, data, len);
	if (n)
		stream_want(&c->in, true);
	return n;
}

bool chardev_has_sink(const struct chardev *c)
{
	return c->sink.fn;
}

/* --- to the device --- */

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
	chardev_claim(c); /* nobody is writing, and who detaches waits for all of this */
	close_streams(c);
	{
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
	chardev_release(c);
}

/* The end of a hang-up must be seen also when nothing is to be read. */
static const struct stream peer_stream = { .piece = CHARDEV_OUT_SIZE, .idle = EPOLLET };

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
		stream_watch(&out, c->loop, chardev_output_event, chardev_output_ready, c, NULL) <
			0) {
		loop_remove(in.source);
		fd_close(&in.fd);
		fd_close(&out.fd);
		peer_watch(c->peer);
		return;
	}
	chardev_claim(c);
	{
		LOCK_SCOPE(&c->lock);
		c->in = in;
		c->out = out;
		c->present = true;
		c->in_wanted = ring_space(&c->in_ring) > 0;
		c->out_wanted = c->out_ring.count > 0;
		stream_want(&c->in, c->in_wanted);
		stream_want(&c->out, c->out_wanted);
	}
	chardev_release(c);
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
	/* A callback whose source has removed itself is waited for by nobody else. */
	chardev_claim(c);
	chardev_release(c);
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

/* Nothing is watched: the loop is told when there is something to move. */
static int open_sink(const struct chardev_params *p, struct chardev *c, struct lacuna_error **err)
{
	c->sink = p->sink;
	c->in.is_event = c->out.is_event = true;
	int rc = loop_add_event(p->loop, chardev_output_ready, c, &c->out.source, err);
	if (rc == 0)
		rc = loop_add_event(p->loop, input_came, c, &c->in.source, err);
	return err_prefix(err, rc, "%s", c->name);
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
	return err_prefix(err,
		stream_watch(&c->out, p->loop, chardev_output_event, chardev_output_ready, c, err),
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

static int open_ends(const struct chardev_params *p, struct chardev *c, struct lacuna_error **err)
{
	if (p->sink.fn)
		return open_sink(p, c, err);
	if (!c->present)
		return open_peer(p, c, err);
	int rc = open_output(p, c, err);
	return rc < 0 ? rc : open_input(p, c, err);
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
	c->out_ring = (struct ring){ .data = c->out_data, .size = CHARDEV_OUT_SIZE };
	c->in_ring = (struct ring){ .data = c->in_data, .size = CHARDEV_IN_SIZE };
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->released, NULL);
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
		rc = open_ends(params, c, err);
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
	pthread_cond_destroy(&c->released);
	pthread_mutex_destroy(&c->lock);
	free(c->out_name);
	free(c->name);
	free(c);
}
