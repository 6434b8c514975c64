/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that a guest is given as a disk or as memory: opened by name, or handed in as a descriptor,
 * and locked against a second writer.
 *
 * Of a descriptor a duplicate is used. It has the open file description of the original, which
 * stays the caller's: its flags and offset are never changed.
 */
#ifndef BACKEND_HOSTFILE_H
#define BACKEND_HOSTFILE_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <sys/types.h>

#include "util/keyval.h"

struct hostfile {
	int fd;                /* -1: not open */
	char *name;            /* for messages: "disk 'a.img'", "disk fd 7" */
	const char *bare_name; /* the same where "disk" has been said: "'a.img'", "fd 7" */
	int flags;             /* of open(2), as they were when it was opened or handed in */
	bool shared;           /* handed in */
	bool byte_lock;        /* one byte, at lock_at, is locked */
	off_t lock_at;
};

/* Keys path= and fd=, of which an option has one; *@ret_path is NULL if it is the descriptor. */
int hostfile_option(
	const struct keyval *args, const char **ret_path, int *ret_fd, struct lacuna_error **err);

/*
 * Opens @path, or takes a duplicate of @fd if that is NULL, for reading, or for both. @what stands
 * before the name in messages ("disk ", or nothing). Never waits, whatever kind of file it is;
 * which kinds will do is the caller's to check. -EBADF: @fd is not open, or can't be read; -EACCES:
 * it can't be written to; and what open() says. hostfile_close() is due in any case.
 */
int hostfile_open(struct hostfile *f, const char *what, const char *path, int fd, bool readonly,
	struct lacuna_error **err);
void hostfile_close(struct hostfile *f);

/* A lock that many readers or one writer can have, until hostfile_close(). -EBUSY; on a file system
 * without locks nobody is kept out. */
int hostfile_lock(struct hostfile *f, bool readonly, struct lacuna_error **err);

/* One more open file description of the same file, with @flags added: a descriptor, the caller's,
 * or -errno. Needs /proc, and rights to the file. */
int hostfile_reopen(const struct hostfile *f, bool readonly, int flags);

#endif
