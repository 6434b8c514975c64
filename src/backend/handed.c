// SPDX-License-Identifier: Apache-2.0
/* Duplicates of descriptors that are handed in, and what has to be wrong with them to be refused.
 */
#include "backend/handed.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "util/err.h"
#include "util/fd.h"

int handed_dup(const char *name, int fd, struct lacuna_error **err)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0 && errno == EBADF)
		return err_set(err, EBADF, "%s is not an open descriptor", name);
	return own < 0 ? err_errno(err, "%s", name) : own;
}

/* Of a socket; -1 where it has no such option. */
static int socket_option(int fd, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);
	return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -1 : value;
}

static int check_listening(const char *name, int fd, struct lacuna_error **err)
{
	if (socket_option(fd, SO_ACCEPTCONN) != 1)
		return err_set(err, EINVAL, "%s does not listen: call listen(2) on it first", name);
	/* Who else accepts from it may take what poll(2) has told of, and accept(2) would wait. */
	if (!(fcntl(fd, F_GETFL) & O_NONBLOCK))
		return err_set(err, EINVAL,
			"%s is blocking: make it with SOCK_NONBLOCK, or set O_NONBLOCK on it",
			name);
	return 0;
}

static int check_connected(const char *name, int fd, struct lacuna_error **err)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);
	if (getpeername(fd, (struct sockaddr *)&peer, &size) < 0)
		return err_set(err, ENOTCONN, "%s is not connected", name);
	return 0;
}

int handed_socket(int fd, bool listening, struct lacuna_error **err)
{
	char name[16];
	snprintf(name, sizeof(name), "fd %d", fd);
	AUTO_CLOSE int own = handed_dup(name, fd, err);
	if (own < 0)
		return own;
	if (socket_option(own, SO_DOMAIN) != AF_UNIX || socket_option(own, SO_TYPE) != SOCK_STREAM)
		return err_set(err, EINVAL, "%s is not a Unix stream socket", name);
	int rc = listening ? check_listening(name, own, err) : check_connected(name, own, err);
	return rc < 0 ? rc : TAKE_FD(own);
}
