/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte stream between one device and the outside: two descriptors (a terminal, pipes, sockets), a
 * file for output, the client of a listening socket, the user of a pseudo-terminal, a function of
 * the program's, or nothing. Both directions are buffered. The device never blocks: it puts bytes
 * into the output buffer and takes bytes out of the input buffer; the loop thread moves them from
 * and to the descriptors.
 *
 * Descriptors are the caller's: their flags and terminal modes are never changed. Of a terminal or
 * a pipe a description of our own is opened through /proc, which can be non-blocking; where that is
 * not permitted, poll(2) comes before every read and write, and pieces are small.
 *
 * SIGPIPE: the loop thread has all signals blocked, chardev_flush() deals with it.
 */
#ifndef BACKEND_CHARDEV_H
#define BACKEND_CHARDEV_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chardev;
struct log;
struct loop;

/* Takes output: all of it, in order, one call at a time, with no lock held. @data lives until it
 * returns. On the loop thread, or on that of chardev_flush(). */
struct chardev_sink {
	void (*fn)(void *opaque, const void *data, size_t size); /* NULL: there is none */
	void *opaque;
};

struct chardev_params {
	struct loop *loop;        /* must outlive the chardev */
	const char *name;         /* "serial": begins every message */
	const char *path;         /* output goes to this file, made anew; NULL: to out_fd */
	int in_fd, out_fd;        /* -1: no input, output is dropped */
	const char *out_name;     /* of out_fd, in messages: "stdout" */
	const char *socket;       /* instead of all these: a Unix socket made at this path */
	bool pty;                 /* likewise: a new pseudo-terminal */
	const char *link;         /* symbolic link to it; NULL: none */
	struct chardev_sink sink; /* likewise, with chardev_input() for the other direction */
	bool retain; /* output to a peer that is not there: the last 64 KiB are kept, not dropped */
	bool escape; /* for terminals: Ctrl-a x ends, Ctrl-a Ctrl-a or Ctrl-a a sends a Ctrl-a,
			Ctrl-a and anything else is swallowed */

	/* Any may be NULL. */
	void (*on_output)(void *opaque, const void *data, size_t len); /* sees all that the device
		writes; on the writing thread, under the device's lock */
	void (*on_escape)(void *opaque);                       /* loop thread, no lock held */
	void (*on_failure)(void *opaque, const char *message); /* once; output is lost from here on;
		loop thread, no lock held */
	void *opaque;
};

/* Strings are copied. */
int chardev_new(
	const struct chardev_params *params, struct chardev **ret, struct lacuna_error **err);
/* Detaches. Output still buffered is lost: flush first. */
void chardev_free(struct chardev *c);

/* What the device wants to know. Called on the loop thread, or that of chardev_finish(), with no
 * lock held; each may come though nothing has changed. */
struct chardev_client {
	void (*input)(void *opaque);                  /* there is something to read */
	void (*space)(void *opaque);                  /* a write that was cut short may go on */
	void (*presence)(void *opaque, bool present); /* a peer has come or gone; may be NULL */
};

/* Input is read from now on. One client at a time. */
void chardev_attach(struct chardev *c, const struct chardev_client *client, void *opaque);
/* For good: the loop moves no more bytes. No callback runs any more when this returns; the caller
 * holds no lock that one takes. */
void chardev_detach(struct chardev *c);

/* The device's side; never blocks. Callers take turns (by the device's lock). Each returns how many
 * bytes were moved. */
size_t chardev_write(struct chardev *c, const void *data, size_t len);
size_t chardev_read(struct chardev *c, void *data, size_t len);
/* How many bytes can be read now. */
size_t chardev_pending(struct chardev *c);

/* From outside, where there is a sink: how much of @data found room. Any thread, any lock. */
size_t chardev_input(struct chardev *c, const void *data, size_t len);
bool chardev_has_sink(const struct chardev *c);

/* False: the peer isn't there, and nothing is. Output is taken all the same, see `retain`. */
bool chardev_present(struct chardev *c);
/* Where the peer finds us: the socket's path, "/dev/pts/4". NULL: there is no peer. */
const char *chardev_path(const struct chardev *c);
/* The size that the user of the pseudo-terminal has given it; false: none. */
bool chardev_window(struct chardev *c, unsigned *ret_cols, unsigned *ret_rows);

/*
 * Writes out what is buffered and waits at most @timeout_ms for the outside to take it. Any thread,
 * whether the loop runs or not; SIGPIPE never reaches the process. A sink is waited for as long as
 * it takes. -ETIMEDOUT, or the error of the write; 0 if on_failure() has told about one before.
 */
int chardev_flush(struct chardev *c, unsigned timeout_ms, struct lacuna_error **err);

/* Until when the outside may take the last output of a device that stops now, CLOCK_MONOTONIC, ms.
 */
uint64_t chardev_last_output(void);

/* The same for the end of a machine, until @until_ms: what the client could not write before is
 * written, too; a time-out goes to @log, an error to on_failure(). */
void chardev_finish(struct chardev *c, uint64_t until_ms, const struct log *log);

#endif
