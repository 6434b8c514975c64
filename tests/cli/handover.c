// SPDX-License-Identifier: Apache-2.0
/*
 * What a shell can't open: handover KIND PATH COMMAND... runs the command with descriptor 7 open.
 *   append, direct       the file PATH, with O_APPEND or O_DIRECT
 *   listener, blocking   a Unix stream socket that listens at PATH, without waiting or with it
 *   unbound, connected   Unix stream sockets that don't; PATH is not used
 *   packets              one of packets that listens at PATH
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HANDED 7

static int listen_at(const char *path, int type)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	int fd = socket(AF_UNIX, type, 0);
	unlink(path);
	return fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 5) == 0
		       ? fd
		       : -1;
}

static int make(const char *kind, const char *path)
{
	int pair[2];
	if (!strcmp(kind, "append"))
		return open(path, O_RDWR | O_APPEND);
	if (!strcmp(kind, "direct"))
		return open(path, O_RDWR | O_DIRECT);
	if (!strcmp(kind, "listener"))
		return listen_at(path, SOCK_STREAM | SOCK_NONBLOCK);
	if (!strcmp(kind, "blocking"))
		return listen_at(path, SOCK_STREAM);
	if (!strcmp(kind, "packets"))
		return listen_at(path, SOCK_SEQPACKET | SOCK_NONBLOCK);
	if (!strcmp(kind, "unbound"))
		return socket(AF_UNIX, SOCK_STREAM, 0);
	if (!strcmp(kind, "connected"))
		return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 ? -1 : pair[0];
	errno = EINVAL;
	return -1;
}

int main(int argc, char **argv)
{
	int fd = argc > 3 ? make(argv[1], argv[2]) : -1;
	if (fd < 0 || dup2(fd, HANDED) < 0) {
		perror("handover");
		return 1;
	}
	if (fd != HANDED)
		close(fd);
	execvp(argv[3], argv + 3);
	perror(argv[3]);
	return 1;
}
