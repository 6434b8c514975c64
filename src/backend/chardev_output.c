// SPDX-License-Identifier: Apache-2.0
/* Byte streams: what the device writes, from the ring to a descriptor or a function. */
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "backend/chardev_private.h"
#include "util/err.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/thread.h"

void chardev_claim(struct chardev *c)
{
	LOCK_SCOPE(&c->lock);
	while (c->claimed)
		pthread_cond_wait(&c->released, &c->lock);
	c->claimed = true;
}

void chardev_release(struct chardev *c)
{
	LOCK_SCOPE(&c->lock);
	c->claimed = false;
	pthread_cond_signal(&c->released);
}

/* --- out of the ring --- */

/* How much of @data was taken, or -errno; 0 and -EAGAIN: nothing for now. */
static ssize_t put_out(struct chardev *c, const uint8_t *data, size_t len)
{
	if (c->sink.fn) {
		c->sink.fn(c->sink.opaque, data, len);
		return (ssize_t)len;
	}
	/* A pipe that is ready takes PIPE_BUF bytes without blocking. */
	if (!stream_ready(c->out.fd, POLLOUT, 0))
		return -EAGAIN;
	if (len > c->out.piece)
		len = c->out.piece;
	ssize_t n = c->out.is_socket ? send(c->out.fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT)
				     : write(c->out.fd, data, len);
	return n < 0 ? -errno : n;
}

/*
 * Empties the ring as far as that goes without blocking, but no further than what a full one holds:
 * a guest may fill it as fast, and the loop has others to serve. The caller has the claim. 0 or
 * -errno of the write.
 */
static int drain(struct chardev *c)
{
	for (size_t done = 0; done < CHARDEV_OUT_SIZE;) {
		size_t len;
		const uint8_t *data;
		{
			LOCK_SCOPE(&c->lock);
			data = ring_peek(&c->out_ring, &len);
		}
		/* Nobody else takes bytes out and new ones go elsewhere, so these hold still. */
		ssize_t n = len ? put_out(c, data, len) : -EAGAIN;
		if (n == -EAGAIN)
			return 0;
		if (n < 0 && n != -EINTR)
			return (int)n;
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

void chardev_output_ready(void *opaque)
{
	struct chardev *c = opaque;
	chardev_claim(c);
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
	/* With the claim: whoever flushes at the end finds what is written now. */
	if (client)
		client->space(client_opaque);
	chardev_release(c);
}

void chardev_output_event(void *opaque, uint32_t events)
{
	chardev_output_ready(opaque);
}

/* --- into the ring --- */

/* What is written while nobody is there: the last of it is kept for who comes, or nothing. */
static void put_aside(struct chardev *c, const uint8_t *data, size_t len)
{
	if (!c->retain)
		return;
	if (len > CHARDEV_OUT_SIZE) {
		data += len - CHARDEV_OUT_SIZE;
		len = CHARDEV_OUT_SIZE;
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
		} else if ((c->out.fd >= 0 || c->sink.fn) && !c->out_failed) {
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

/* --- the last of it --- */

#define LAST_OUTPUT_MS 2000
#define LATE_ROUNDS    16 /* each takes up to CHARDEV_OUT_SIZE bytes of the device's */

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static size_t waiting(struct chardev *c)
{
	LOCK_SCOPE(&c->lock);
	return c->present && !c->out_failed ? c->out_ring.count : 0;
}

static int flush(struct chardev *c, unsigned timeout_ms, struct lacuna_error **err)
{
	uint64_t end = now_ms() + timeout_ms;
	for (;;) {
		chardev_claim(c);
		int rc = drain(c);
		chardev_release(c);
		if (rc)
			return output_fails(c) && !c->peer ? failure(c, rc, err) : 0;
		size_t left = waiting(c);
		uint64_t now = now_ms();
		if (!left)
			return 0;
		if (c->sink.fn) /* it takes everything */
			continue;
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
	if (c->sink.fn) /* signals are its own affair */
		return flush(c, timeout_ms, err);
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

/* Has the client write what it could not write before; true when there was something. With the
 * claim, so that the loop doesn't do the same at the same time. */
static bool take_more(struct chardev *c)
{
	const struct chardev_client *client;
	void *opaque;
	chardev_claim(c);
	{
		LOCK_SCOPE(&c->lock);
		client = c->client;
		opaque = c->client_opaque;
	}
	if (client)
		client->space(opaque);
	bool more = waiting(c) > 0;
	chardev_release(c);
	return more;
}

uint64_t chardev_last_output(void)
{
	return now_ms() + LAST_OUTPUT_MS;
}

void chardev_finish(struct chardev *c, uint64_t until_ms, const struct log *log)
{
	struct lacuna_error *err = NULL;
	unsigned late = 0;
	int rc;
	/* A guest can't keep us here for long, however much it has left in its queues. But what
	 * finds a reader is written: others may have used the time up. */
	do {
		uint64_t now = now_ms();
		late += now >= until_ms;
		rc = chardev_flush(c, now < until_ms ? (unsigned)(until_ms - now) : 0, &err);
	} while (rc == 0 && take_more(c) && late < LATE_ROUNDS);
	if (rc == 0 && waiting(c))
		rc = err_set(&err, ETIMEDOUT, "%s: the guest left too much of it", c->name);
	if (rc == -ETIMEDOUT) /* nobody reads, or not in time; that is no failure of ours */
		log_warning(log, c->name, "the last output is lost: %s", lacuna_error_message(err));
	else if (rc < 0 && c->on_failure)
		c->on_failure(c->opaque, lacuna_error_message(err));
	lacuna_error_free(err);
}
