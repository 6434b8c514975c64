// SPDX-License-Identifier: Apache-2.0
/* Files written as a whole or not at all. */
#include "cli/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

/* Permissions as open(2) would have given. */
static void apply_umask(int fd)
{
	mode_t mask = umask(0);
	umask(mask);
	fchmod(fd, 0666 & ~mask);
}

static int open_partial(struct outfile *f, const char *path)
{
	int fd = -1;
	pthread_mutex_lock(&f->lock);
	f->final = strdup(path);
	if (!f->final || asprintf(&f->partial, "%s.XXXXXX", path) < 0) {
		f->partial = NULL;
		errno = ENOMEM;
	} else {
		fd = mkostemp(f->partial, O_CLOEXEC);
	}
	if (fd >= 0)
		apply_umask(fd);
	pthread_mutex_unlock(&f->lock);
	return fd;
}

int outfile_open(struct outfile *f, const char *path)
{
	struct stat st;
	if (!*path)
		return fail("%s: the file name is empty", f->what);
	if (!strcmp(path, "-"))
		f->fd = STDOUT_FILENO;
	else if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		f->fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC); /* a pipe: waits for a reader */
	else
		f->fd = open_partial(f, path);
	if (f->fd < 0)
		return fail("%s: create '%s': %s", f->what, path, strerror(errno));
	return STATUS_OK;
}

static int write_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

int outfile_write(struct outfile *f, const char *data, size_t size)
{
	if (f->fd < 0)
		return STATUS_OK;
	if (write_all(f->fd, data, size) < 0 || (f->partial && rename(f->partial, f->final) < 0))
		return fail("%s: write: %s", f->what, strerror(errno));
	pthread_mutex_lock(&f->lock);
	free(f->partial); /* the file is in its place: nothing to discard */
	f->partial = NULL;
	pthread_mutex_unlock(&f->lock);
	return STATUS_OK;
}

void outfile_discard(struct outfile *f)
{
	pthread_mutex_lock(&f->lock);
	if (f->partial)
		unlink(f->partial);
	free(f->partial);
	free(f->final);
	f->partial = f->final = NULL;
	if (f->fd > STDERR_FILENO)
		close(f->fd);
	f->fd = -1;
	pthread_mutex_unlock(&f->lock);
}
