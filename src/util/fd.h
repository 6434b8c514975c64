/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors with an owner: a local marked AUTO_CLOSE is closed at the end of its scope
 * unless TAKE_FD took it. */
#ifndef UTIL_FD_H
#define UTIL_FD_H

#include <errno.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

/* Closes *@fd unless it is negative, leaves errno alone and makes *@fd -1. */
static inline void fd_close(int *fd)
{
	int saved = errno;
	if (*fd >= 0)
		close(*fd); /* never retried: on Linux the descriptor is gone even after EINTR */
	*fd = -1;
	errno = saved;
}

#define AUTO_CLOSE __attribute__((cleanup(fd_close)))

static inline int fd_take(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

#define TAKE_FD(fd) fd_take(&(fd))

/* Adds one to an eventfd. Never blocks: eventfds here are non-blocking, and a full counter is
 * already readable. */
static inline void eventfd_signal(int fd)
{
	const uint64_t one = 1;
	ssize_t n = write(fd, &one, sizeof(one));
	(void)n;
}

/* Empties an eventfd; true if it held anything. */
static inline int eventfd_drain(int fd)
{
	uint64_t count;
	return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

#endif
