// SPDX-License-Identifier: Apache-2.0
/* Listing a directory tree and opening its files again, by openat(2) from one directory to the
 * next. */
#include "boot/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"

/* O_NONBLOCK: what was a file may be a FIFO by now, and opening that would wait for a writer. */
#define FILE_FLAGS      (O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
#define DIRECTORY_FLAGS (O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_DIRECTORY)
#define TARGET_MAX      4096 /* PATH_MAX: no file system of Linux has longer links */

/* A place in the tree: the directory that names are relative to. */
struct place {
	const struct tree_entry *at;
	int fd;
	int above; /* its parent's, as long as nobody went further down from there; else -1 */
};

struct tree {
	struct tree_entry *root;
	struct place place;
};

void tree_path(const struct tree_entry *e, char *ret)
{
	char *end = ret + e->path_length;
	*end = '\0';
	for (; e->parent; e = e->parent) {
		size_t len = strlen(e->name);
		end -= len;
		memcpy(end, e->name, len);
		if (end > ret)
			*--end = '/';
	}
}

const char *tree_show(const struct tree_entry *e, char buf[TREE_SHOWN_MAX])
{
	static const char cut[] = "...";
	char *p = &buf[TREE_SHOWN_MAX - 1];
	*p = '\0';
	if (!e->parent)
		*--p = '.';
	for (; e->parent; e = e->parent) {
		bool slash = e->parent->parent;
		size_t len = strlen(e->name) + slash, room = (size_t)(p - buf);
		if (len + (slash ? strlen(cut) : 0) > room) {
			size_t part = min_u64(room - strlen(cut), strlen(e->name));
			p -= part;
			memcpy(p, e->name + strlen(e->name) - part, part);
			p -= strlen(cut);
			return memcpy(p, cut, strlen(cut));
		}
		p -= strlen(e->name);
		memcpy(p, e->name, strlen(e->name));
		if (slash)
			*--p = '/';
	}
	return p;
}

static int changed(const struct tree_entry *e, struct lacuna_error **err)
{
	char shown[TREE_SHOWN_MAX];
	return err_set(err, EINVAL, "'%s' was replaced while the directory was read: try again",
		tree_show(e, shown));
}

/* What errno says of @e. */
static int failed(const struct tree_entry *e, const char *what, struct lacuna_error **err)
{
	char buf[TREE_SHOWN_MAX];
	const char *shown = tree_show(e, buf);
	int code = errno;
	if (code == ENOENT)
		return err_set(err, ENOENT, "'%s' vanished while the directory was read: try again",
			shown);
	/* a link where a file or a directory was, or a socket */
	if (code == ELOOP || code == ENOTDIR || code == ENXIO)
		return changed(e, err);
	errno = code;
	return err_errno(err, "%s '%s'", what, shown);
}

static bool same_file(const struct tree_entry *e, const struct stat *st)
{
	return st->st_dev == e->dev && st->st_ino == e->ino && !((st->st_mode ^ e->mode) & S_IFMT);
}

static void describe(struct tree_entry *e, const struct stat *st)
{
	e->dev = st->st_dev;
	e->ino = st->st_ino;
	e->size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
	e->mtime = st->st_mtime;
	e->mode = st->st_mode;
	e->uid = st->st_uid;
	e->gid = st->st_gid;
	e->links = S_ISDIR(st->st_mode) || S_ISLNK(st->st_mode) ? 1 : (unsigned)st->st_nlink;
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		e->major = major(st->st_rdev);
		e->minor = minor(st->st_rdev);
	}
}

/* --- going from directory to directory --- */

/* Opens what @e was when it was listed, or nothing. Of a directory that mounts something when it is
 * opened, this is so the second time. */
static int open_listed(int dirfd, const struct tree_entry *e, int flags, struct lacuna_error **err)
{
	char shown[TREE_SHOWN_MAX];
	struct stat st;
	AUTO_CLOSE int fd = openat(dirfd, e->name, flags);
	if (fd < 0)
		return failed(e, "open", err);
	if (fstat(fd, &st) < 0)
		return failed(e, "stat", err);
	if (!same_file(e, &st))
		return changed(e, err);
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size != e->size)
		return err_set(err, EINVAL,
			"'%s' went from %llu to %llu bytes while the directory was read: try again",
			tree_show(e, shown), (unsigned long long)e->size,
			(unsigned long long)st.st_size);
	return TAKE_FD(fd);
}

static int step_down(struct place *p, const struct tree_entry *e, struct lacuna_error **err)
{
	int fd = open_listed(p->fd, e, DIRECTORY_FLAGS, err);
	if (fd < 0)
		return fd;
	fd_close(&p->above);
	p->above = p->fd;
	p->fd = fd;
	p->at = e;
	return 0;
}

/*
 * By ".." once the parent's descriptor is gone, which is the parent unless somebody has moved the
 * directory elsewhere. The kept one also serves directories that may be read but not searched.
 */
static int step_up(struct place *p, struct lacuna_error **err)
{
	const struct tree_entry *parent = p->at->parent;
	struct stat st;
	AUTO_CLOSE int fd = fd_take(&p->above);
	if (fd < 0) {
		fd = openat(p->fd, "..", DIRECTORY_FLAGS);
		if (fd < 0 || fstat(fd, &st) < 0)
			return failed(p->at, "leave", err);
		if (!same_file(parent, &st))
			return changed(p->at, err);
	}
	fd_close(&p->fd);
	p->fd = TAKE_FD(fd);
	p->at = parent;
	return 0;
}

/* The ancestor of @e, or @e itself, that is @depth steps below the root. */
static const struct tree_entry *ancestor(const struct tree_entry *e, unsigned depth)
{
	while (e->depth > depth)
		e = e->parent;
	return e;
}

static int go_to(struct place *p, const struct tree_entry *dir, struct lacuna_error **err)
{
	int rc = 0;
	while (rc == 0 && p->at->parent && ancestor(dir, p->at->depth) != p->at)
		rc = step_up(p, err);
	while (rc == 0 && p->at != dir)
		rc = step_down(p, ancestor(dir, p->at->depth + 1), err);
	return rc;
}

/* --- the first pass: listing --- */

static int read_target(int dirfd, struct tree_entry *e, struct lacuna_error **err)
{
	char target[TARGET_MAX];
	ssize_t len = readlinkat(dirfd, e->name, target, sizeof(target));
	if (len < 0)
		return errno == EINVAL ? changed(e, err) : failed(e, "read link", err);
	e->target = malloc((size_t)len + 1);
	if (!e->target)
		return err_nomem(err);
	memcpy(e->target, target, (size_t)len);
	e->size = (uint64_t)len;
	return 0;
}

static int look_at(int dirfd, struct tree_entry *e, struct lacuna_error **err)
{
	struct stat st;
	if (fstatat(dirfd, e->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(e, "stat", err);
	describe(e, &st);
	return S_ISLNK(st.st_mode) ? read_target(dirfd, e, err) : 0;
}

static struct tree_entry *entry_new(struct tree_entry *parent, const char *name)
{
	size_t len = strlen(name);
	struct tree_entry *e = calloc(1, sizeof(*e) + len + 1);
	if (!e)
		return NULL;
	memcpy(e->name, name, len + 1);
	e->first = e;
	e->parent = parent;
	if (parent) {
		e->depth = parent->depth + 1;
		e->path_length = parent->path_length + (parent->depth > 0) + len;
	}
	return e;
}

static int by_name(const void *a, const void *b)
{
	const struct tree_entry *const *x = a, *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

/* Puts the entries, of which there are @count in the list of @dir, into their order. */
static int sort_entries(struct tree_entry *dir, size_t count, struct lacuna_error **err)
{
	struct tree_entry **sorted = calloc(count + 1, sizeof(struct tree_entry *));
	if (!sorted)
		return err_nomem(err);
	size_t n = 0;
	for (struct tree_entry *e = dir->child; e; e = e->next)
		sorted[n++] = e;
	qsort(sorted, n, sizeof(struct tree_entry *), by_name);
	struct tree_entry **link = &dir->child;
	for (size_t i = 0; i < n; i++) {
		*link = sorted[i];
		link = &sorted[i]->next;
	}
	*link = NULL;
	free(sorted);
	return 0;
}

static int read_names(DIR *d, struct tree_entry *dir, struct lacuna_error **err)
{
	size_t count = 0;
	const struct dirent *de;
	while (errno = 0, (de = readdir(d))) {
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		struct tree_entry *e = entry_new(dir, de->d_name);
		if (!e)
			return err_nomem(err);
		e->next = dir->child;
		dir->child = e;
		count++;
	}
	return errno ? failed(dir, "read", err) : sort_entries(dir, count, err);
}

static int list(int dirfd, struct tree_entry *dir, struct lacuna_error **err)
{
	/* A duplicate, since closedir() closes it. Its offset is the original's, that of a
	 * directory just opened. */
	AUTO_CLOSE int fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return failed(dir, "read", err);
	(void)TAKE_FD(fd);
	int rc = read_names(d, dir, err);
	closedir(d);
	for (struct tree_entry *e = dir->child; e && rc == 0; e = e->next)
		rc = look_at(dirfd, e, err);
	return rc;
}

static struct tree_entry *following(const struct tree_entry *e)
{
	if (e->child)
		return e->child;
	while (e && !e->next)
		e = e->parent;
	return e ? e->next : NULL;
}

static int list_all(struct tree *t, struct lacuna_error **err)
{
	int rc = 0;
	for (struct tree_entry *e = t->root; e && rc == 0; e = following(e)) {
		if (!S_ISDIR(e->mode))
			continue;
		rc = go_to(&t->place, e, err);
		if (rc == 0)
			rc = list(t->place.fd, e, err);
	}
	return rc;
}

/* --- which names are of one file --- */

static int by_file(const void *a, const void *b)
{
	const struct tree_entry *x = *(struct tree_entry *const *)a;
	const struct tree_entry *y = *(struct tree_entry *const *)b;
	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* Links from outside the tree, and those that came or went while it was listed, do not count. */
static void join_links(struct tree_entry **sorted, size_t count)
{
	for (size_t i = 0, end; i < count; i = end) {
		for (end = i + 1; end < count; end++)
			if (sorted[end]->dev != sorted[i]->dev ||
				sorted[end]->ino != sorted[i]->ino)
				break;
		for (size_t j = i; j < end; j++) {
			sorted[j]->first = sorted[i];
			sorted[j]->links = (unsigned)(end - i);
		}
	}
}

static int number_entries(struct tree *t, struct lacuna_error **err)
{
	uint64_t number = 0;
	size_t linked = 0, n = 0;
	for (struct tree_entry *e = following(t->root); e; e = following(e)) {
		e->number = ++number;
		linked += e->links > 1;
	}
	if (!linked)
		return 0;
	struct tree_entry **sorted = calloc(linked, sizeof(struct tree_entry *));
	if (!sorted)
		return err_nomem(err);
	for (struct tree_entry *e = following(t->root); e; e = following(e))
		if (e->links > 1)
			sorted[n++] = e;
	qsort(sorted, n, sizeof(struct tree_entry *), by_file);
	join_links(sorted, n);
	free(sorted);
	return 0;
}

/* --- the tree --- */

int tree_read(int fd, struct tree **ret, struct lacuna_error **err)
{
	struct tree *t = calloc(1, sizeof(*t));
	struct tree_entry *root = t ? entry_new(NULL, "") : NULL;
	struct stat st;
	int rc;
	if (!root) {
		free(t);
		fd_close(&fd);
		return err_nomem(err);
	}
	t->root = root;
	t->place = (struct place){ root, fd, -1 };
	if (fstat(fd, &st) < 0) {
		rc = failed(root, "stat", err);
		goto fail;
	}
	if (!S_ISDIR(st.st_mode)) {
		rc = err_set(err, ENOTDIR, "is not a directory");
		goto fail;
	}
	describe(root, &st);
	rc = list_all(t, err);
	if (rc == 0)
		rc = number_entries(t, err);
	if (rc < 0)
		goto fail;
	*ret = t;
	return 0;
fail:
	tree_free(t);
	return rc;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	for (struct tree_entry *e = t->root, *next; e; e = next) {
		next = e->child;
		if (next) {
			e->child = NULL; /* comes back here when they are gone */
			continue;
		}
		next = e->next ? e->next : e->parent;
		free(e->target);
		free(e);
	}
	fd_close(&t->place.fd);
	fd_close(&t->place.above);
	free(t);
}

const struct tree_entry *tree_root(const struct tree *t)
{
	return t->root;
}

const struct tree_entry *tree_next(const struct tree *t, const struct tree_entry *e)
{
	return following(e ? e : t->root);
}

const struct tree_entry *tree_find(const struct tree *t, const char *name)
{
	const struct tree_entry *e = t->root->child;
	while (e && strcmp(e->name, name))
		e = e->next;
	return e;
}

int tree_open(struct tree *t, const struct tree_entry *e, struct lacuna_error **err)
{
	int rc = go_to(&t->place, e->parent, err);
	return rc < 0 ? rc : open_listed(t->place.fd, e, FILE_FLAGS, err);
}
