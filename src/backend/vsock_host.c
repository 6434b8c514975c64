// SPDX-License-Identifier: Apache-2.0
/* Unix sockets for the guest's ports. */
#include "backend/vsock_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "backend/handed.h"
#include "util/err.h"
#include "util/fd.h"

#define BACKLOG 128

/* What is added to the path for a port: "_4294967295". */
#define SUFFIX_MAX 11u

struct vsock_host {
	int fd;
	struct sockaddr_un address; /* without a name: the guest reaches nobody */
	dev_t dev;                  /* of the socket's file */
	ino_t ino;
};

static int new_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Why @a can't be had. Nothing is ever removed here: a socket without a listener may be another
 * program's that is about to listen. */
static int explain_in_use(const struct sockaddr_un *a, struct lacuna_error **err)
{
	struct stat st;
	if (lstat(a->sun_path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return err_set(err, EEXIST, "'%s' exists and is not a socket; give another path",
			a->sun_path);
	AUTO_CLOSE int fd = new_socket();
	if (fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0 &&
		errno == ECONNREFUSED)
		return err_set(err, EADDRINUSE,
			"'%s' is a socket on which nobody listens any more; remove it",
			a->sun_path);
	return err_set(err, EADDRINUSE, "'%s' is in use by another program; give another path",
		a->sun_path);
}

static int listen_at(struct vsock_host *h, struct lacuna_error **err)
{
	const struct sockaddr_un *a = &h->address;
	h->fd = new_socket();
	if (h->fd < 0)
		return err_errno(err, "socket");
	if (bind(h->fd, (const struct sockaddr *)a, sizeof(*a)) < 0)
		return errno == EADDRINUSE ? explain_in_use(a, err)
					   : err_errno(err, "make the socket '%s'", a->sun_path);
	struct stat st;
	if (lstat(a->sun_path, &st) < 0)
		return err_errno(err, "'%s'", a->sun_path);
	h->dev = st.st_dev;
	h->ino = st.st_ino;
	if (listen(h->fd, BACKLOG) < 0)
		return err_errno(err, "listen at '%s'", a->sun_path);
	return 0;
}

static int check_path(const char *path, struct lacuna_error **err)
{
	const size_t max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1 - SUFFIX_MAX;
	if (strlen(path) <= max)
		return 0;
	return err_set(err, ENAMETOOLONG,
		"the path has %zu bytes, and a socket's may have %zu (with room for _PORT); give a shorter one",
		strlen(path), max);
}

/* One that does not listen yet. @path is not too long. */
static struct vsock_host *new_host(const char *path)
{
	struct vsock_host *h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->fd = -1;
	h->address.sun_family = AF_UNIX;
	memcpy(h->address.sun_path, path, strlen(path) + 1);
	return h;
}

int vsock_host_new(const char *path, struct vsock_host **ret, struct lacuna_error **err)
{
	int rc = check_path(path, err);
	if (rc < 0)
		return rc;
	struct vsock_host *h = new_host(path);
	if (!h)
		return err_nomem(err);
	rc = listen_at(h, err);
	if (rc < 0) {
		vsock_host_free(h);
		return rc;
	}
	*ret = h;
	return 0;
}

int vsock_host_adopt(int fd, const char *path, struct vsock_host **ret, struct lacuna_error **err)
{
	int rc = path ? check_path(path, err) : 0;
	if (rc < 0)
		return rc;
	AUTO_CLOSE int own = handed_socket(fd, true, err);
	if (own < 0)
		return own;
	struct vsock_host *h = new_host(path ? path : "");
	if (!h)
		return err_nomem(err);
	h->fd = TAKE_FD(own);
	*ret = h;
	return 0;
}

void vsock_host_free(struct vsock_host *h)
{
	struct stat st;
	if (!h)
		return;
	if (h->ino && lstat(h->address.sun_path, &st) == 0 && st.st_dev == h->dev &&
		st.st_ino == h->ino)
		unlink(h->address.sun_path);
	fd_close(&h->fd);
	free(h);
}

int vsock_host_fd(const struct vsock_host *h)
{
	return h->fd;
}

int vsock_host_accept(const struct vsock_host *h)
{
	int fd = accept4(h->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int vsock_host_connect(const struct vsock_host *h, uint32_t port)
{
	struct sockaddr_un a = h->address;
	size_t length = strlen(a.sun_path);
	if (!length)
		return -ECONNREFUSED;
	snprintf(a.sun_path + length, sizeof(a.sun_path) - length, "_%u", port);
	AUTO_CLOSE int fd = new_socket();
	/* A Unix socket connects at once or not at all. */
	if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* --- "CONNECT <port>\n" --- */

static int parse(const struct vsock_greeting *g, uint32_t *ret_port)
{
	static const char word[] = "CONNECT ";
	const size_t first = sizeof(word) - 1, end = g->length - 1u; /* without the line feed */
	uint64_t port = 0;
	if (end <= first || memcmp(g->text, word, first) != 0)
		return -EPROTO;
	for (size_t i = first; i < end; i++) {
		if (g->text[i] < '0' || g->text[i] > '9')
			return -EPROTO;
		port = port * 10 + (uint64_t)(g->text[i] - '0');
	}
	if (port > UINT32_MAX)
		return -EPROTO;
	*ret_port = (uint32_t)port;
	return 1;
}

int vsock_greeting_read(struct vsock_greeting *g, int fd, uint32_t *ret_port)
{
	char *at = g->text + g->length;
	ssize_t n = recv(fd, at, sizeof(g->text) - g->length, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	const char *feed = memchr(at, '\n', (size_t)n);
	if (feed)
		n = feed + 1 - at;
	n = recv(fd, at, (size_t)n, MSG_DONTWAIT); /* what has just been seen */
	if (n <= 0)
		return n < 0 ? -errno : -ECONNRESET;
	g->length = (uint8_t)(g->length + n);
	if (feed)
		return parse(g, ret_port);
	return g->length < sizeof(g->text) ? 0 : -EPROTO;
}
