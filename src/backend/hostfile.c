// SPDX-License-Identifier: Apache-2.0
/* Opens a file of the host, and says what to do when it can't be. */
#include "backend/hostfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "backend/handed.h"
#include "util/err.h"
#include "util/fd.h"

#define LOCK_TRIES    50u
#define LOCK_PAUSE_NS 20000000
/* Bytes that are locked one by one lie here and above, behind the end of any file. */
#define LOCK_BASE ((uint64_t)1 << 62)

/* --- opening --- */

int hostfile_option(
	const struct keyval *args, const char **ret_path, int *ret_fd, struct lacuna_error **err)
{
	const char *path = keyval_get(args, "path");
	*ret_path = path;
	*ret_fd = -1;
	if (path && keyval_get(args, "fd"))
		return err_set(err, EINVAL, "give path=FILE or fd=N, not both");
	if (path && *path)
		return 0;
	if (path || !keyval_get(args, "fd"))
		return err_set(err, EINVAL, "no file given: path=FILE or fd=N");
	return parse_fd("fd", keyval_get(args, "fd"), ret_fd, err);
}

static int open_path(struct hostfile *f, const char *path, bool readonly, struct lacuna_error **err)
{
	/* Without O_NONBLOCK, opening a FIFO would wait for its other end. */
	f->flags = (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK;
	f->fd = open(path, f->flags);
	if (f->fd >= 0)
		return 0;
	int code = errno;
	if (code == EISDIR)
		return err_set(err, EISDIR, "%s is a directory: name a file in it", f->name);
	if (!readonly && (code == EACCES || code == EROFS || code == EPERM) &&
		access(path, R_OK) == 0)
		return err_set(err, code,
			"%s can't be written to: make it writable or add readonly=on", f->name);
	errno = code; /* access() may have changed it */
	return err_errno(err, "open %s", f->name);
}

static int adopt(struct hostfile *f, int fd, bool readonly, struct lacuna_error **err)
{
	f->shared = true;
	f->fd = handed_dup(f->name, fd, err);
	if (f->fd < 0)
		return f->fd;
	f->flags = fcntl(f->fd, F_GETFL);
	if (f->flags & O_PATH || (f->flags & O_ACCMODE) == O_WRONLY)
		return err_set(err, EBADF, "%s can't be read: open it for reading too", f->name);
	if (!readonly && (f->flags & O_ACCMODE) != O_RDWR)
		return err_set(err, EACCES,
			"%s is open for reading only: open it for writing too, or add readonly=on",
			f->name);
	return 0;
}

int hostfile_open(struct hostfile *f, const char *what, const char *path, int fd, bool readonly,
	struct lacuna_error **err)
{
	*f = (struct hostfile){ .fd = -1 };
	int n = path ? asprintf(&f->name, "%s'%s'", what, path)
		     : asprintf(&f->name, "%sfd %d", what, fd);
	if (n < 0) {
		f->name = NULL;
		return err_nomem(err);
	}
	f->bare_name = f->name + strlen(what);
	return path ? open_path(f, path, readonly, err) : adopt(f, fd, readonly, err);
}

int hostfile_reopen(const struct hostfile *f, bool readonly, int flags)
{
	char self[32];
	snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
	int fd = open(self, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | flags);
	return fd < 0 ? -errno : fd;
}

/* --- locks --- */

/* They belong to the open file description, not to the process (fcntl(2), F_OFD_SETLK), so two VMs
 * of one process collide too. @len 0: to the end. */
static int set_lock(const struct hostfile *f, short type, off_t start, off_t len)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
	return fcntl(f->fd, F_OFD_SETLK, &l);
}

/* Whether anybody has a lock there that keeps @type out. We ask as a process, to which the locks of
 * open file descriptions are always somebody else's, those of our own included. */
static bool others_have(const struct hostfile *f, short type, off_t start, off_t len)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
	return fcntl(f->fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

/*
 * VMs that were given one open file description are one owner to the kernel: their locks don't
 * collide, replace each other, and end with the last duplicate, which is the caller's. So each
 * locks a byte of its own, then looks at all the others, and takes back that byte when it ends. Who
 * locks the whole file, as path= does, collides with any byte.
 */
static int lock_byte(struct hostfile *f, short type)
{
	uint64_t place = 0;
	if (others_have(f, type, 0, 0)) { /* also one of the caller's, which then stays whole */
		errno = EAGAIN;
		return -1;
	}
	if (getrandom(&place, sizeof(place), 0) != sizeof(place))
		return -1;
	f->lock_at = (off_t)(LOCK_BASE | place >> 3);
	if (set_lock(f, type, f->lock_at, 1) < 0)
		return -1;
	f->byte_lock = true;
	if (!others_have(f, type, 0, f->lock_at) && !others_have(f, type, f->lock_at + 1, 0))
		return 0;
	set_lock(f, F_UNLCK, f->lock_at, 1);
	f->byte_lock = false;
	errno = EAGAIN;
	return -1;
}

static int in_use(const struct hostfile *f, bool readonly, struct lacuna_error **err)
{
	const char *killed = f->shared ? "; one that was killed has it until every duplicate of "
					 "the descriptor is closed"
				       : "";
	if (readonly)
		return err_set(err, EBUSY,
			"%s is in use by a VM that writes to it: end that VM first%s", f->name,
			killed);
	return err_set(err, EBUSY,
		"%s is in use: given twice, or another VM has it; end that, or add readonly=on to both%s",
		f->name, killed);
}

static int lock_failed(const struct hostfile *f, int code, bool readonly, struct lacuna_error **err)
{
	switch (code) {
	case EAGAIN:
	case EACCES:
		return in_use(f, readonly, err);
	case EINVAL:
	case ENOLCK:
	case ENOSYS:
	case EOPNOTSUPP: /* a file system without locks: nobody can be kept out */
		return 0;
	default:
		errno = code;
		return err_errno(err, "lock %s", f->name);
	}
}

static int try_lock(struct hostfile *f, short type)
{
	return f->shared ? lock_byte(f, type) : set_lock(f, type, 0, 0);
}

int hostfile_lock(struct hostfile *f, bool readonly, struct lacuna_error **err)
{
	short type = readonly ? F_RDLCK : F_WRLCK;
	/* A monitor that was killed keeps its images open until the kernel has ended its last
	 * requests, some time after the process: whoever starts it again at once waits for that. */
	for (unsigned i = 0; try_lock(f, type) < 0; i++) {
		if ((errno != EAGAIN && errno != EACCES) || i == LOCK_TRIES)
			return lock_failed(f, errno, readonly, err);
		nanosleep(&(struct timespec){ .tv_nsec = LOCK_PAUSE_NS }, NULL);
	}
	return 0;
}

void hostfile_close(struct hostfile *f)
{
	if (f->byte_lock)
		set_lock(f, F_UNLCK, f->lock_at, 1);
	fd_close(&f->fd);
	free(f->name);
	*f = (struct hostfile){ .fd = -1 };
}
