/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory of the host and all that is below it, read in two passes: tree_read() lists it, and
 * afterwards tree_open() gives the files one by one, each checked to be the one that was listed.
 * Every name is resolved relative to the directory it was found in and no link is followed, so
 * nothing outside the tree is ever opened, whatever others do to it meanwhile. Mount points are
 * crossed. At most a handful of descriptors are open at a time, however deep the tree is, and
 * nothing recurses. One thread at a time.
 *
 * Messages name entries by their path in the tree; the caller puts the tree's own name before them.
 */
#ifndef BOOT_TREE_H
#define BOOT_TREE_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tree_entry {
	struct tree_entry *parent; /* NULL: the directory itself */
	struct tree_entry *child;  /* the first in this directory, in strcmp's order */
	struct tree_entry *next;   /* in the same directory */
	unsigned depth;            /* 0: the directory itself */
	size_t path_length;        /* in bytes, without a final NUL */

	uint64_t dev, ino;
	uint64_t size; /* of a regular file, or of a symbolic link's target; else 0 */
	int64_t mtime; /* seconds since 1970 */
	uint32_t mode; /* type and permissions */
	uint32_t uid, gid;
	uint32_t major, minor; /* which device a device node stands for */
	char *target;          /* of a symbolic link; not terminated */

	uint64_t number; /* in the order of tree_next(), from 1 */
	/* Names of one file (hard links): how many of them this tree has, and the first.
	 * Directories and symbolic links always stand alone. */
	unsigned links;
	const struct tree_entry *first;
	char name[];
};

struct tree;

/*
 * Lists the directory @fd, which becomes the tree's own also after an error. -errno of open, stat,
 * readdir, readlink; -ENOENT for what vanished meanwhile, -EINVAL for what changed.
 */
int tree_read(int fd, struct tree **ret, struct lacuna_error **err);
void tree_free(struct tree *t);

/* The directory itself. */
const struct tree_entry *tree_root(const struct tree *t);

/*
 * All entries but the directory itself, each directory before what is in it: the one after @e, or
 * the first when @e is NULL. NULL at the end.
 */
const struct tree_entry *tree_next(const struct tree *t, const struct tree_entry *e);

/* The entry of that name in the directory itself, or NULL. */
const struct tree_entry *tree_find(const struct tree *t, const char *name);

/* Writes the path of @e, "etc/passwd", and a NUL: path_length + 1 bytes. */
void tree_path(const struct tree_entry *e, char *ret);

/*
 * Opens a regular file for reading and returns the descriptor, the caller's. Quickest in the order
 * of tree_next(). -ENOENT, -EINVAL if it is not the file that was listed or has another size now,
 * or -errno of open.
 */
int tree_open(struct tree *t, const struct tree_entry *e, struct lacuna_error **err);

/* The path of @e as messages show it: its end, where it is long. */
#define TREE_SHOWN_MAX 256
const char *tree_show(const struct tree_entry *e, char buf[TREE_SHOWN_MAX]);

#endif
