/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outer end of a byte stream as options name it: stdio, off, file=FILE, fd=IN:OUT, socket=PATH,
 * pty[,link=PATH]. A file, a pair of descriptors and a socket are keys of their own, the others are
 * words.
 */
#ifndef BACKEND_CHARDEV_END_H
#define BACKEND_CHARDEV_END_H

#include "backend/chardev.h"
#include "util/keyval.h"

/* For the NULL-terminated list of keys of an option that has such an end; the first is the one
 * implied. */
#define CHARDEV_END_KEYS "kind", "file", "fd", "socket", "link"

enum chardev_kind {
	CHARDEV_OFF,
	CHARDEV_STDIO, /* descriptors 0 and 1, with the escape Ctrl-a x if 0 is a terminal */
	CHARDEV_FILE,
	CHARDEV_FD, /* two descriptors of the caller's, which stay the caller's */
	CHARDEV_SOCKET,
	CHARDEV_PTY,
	CHARDEV_FUNCTION, /* of the program's, which options can't name */
};

struct chardev_end {
	enum chardev_kind kind;
	char *path;  /* of a file or socket; of a pseudo-terminal the link to it, or NULL */
	int in, out; /* of a pair of descriptors */
	struct chardev_sink sink; /* of a function */
};

/* -EINVAL: none, more than one, or not of its form. */
int chardev_end_parse(const struct keyval *kv, struct chardev_end *ret, struct lacuna_error **err);
void chardev_end_done(struct chardev_end *end);

/* Sets the fields of @params that say where bytes go to and come from. @params must not outlive
 * @end. */
void chardev_end_apply(const struct chardev_end *end, struct chardev_params *params);

/* "stdio", "file" ... Static storage. */
const char *chardev_kind_name(enum chardev_kind kind);

#endif
