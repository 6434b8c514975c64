// SPDX-License-Identifier: Apache-2.0
/* Listening sockets (unix(7)) and pseudo-terminals (pty(7)). */
#include "backend/peer.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>

#include "loop/loop.h"
#include "util/err.h"
#include "util/fd.h"
#include "util/thread.h"

/* Nothing tells the master that somebody has opened the terminal. */
#define LOOK_US 100000

struct peer {
	void (*come)(void *opaque, int fd);
	void *opaque;
	bool is_pty;
	int fd; /* the listening socket, or the master */
	pthread_mutex_t lock;
	struct loop_source *source; /* under the lock; NULL: we have left */
	struct loop_source *again;  /* likewise; of a socket: when descriptors had run out */
	char *path, *link;          /* link: NULL until it has been made */
	bool bound;
	struct stat node; /* of the socket: somebody may put another in its place */
};

static void set_watch(struct peer *p, bool on)
{
	LOCK_SCOPE(&p->lock);
	if (!p->source)
		return;
	if (p->is_pty)
		loop_arm(p->source, on ? 1 : 0, on ? LOOK_US : 0);
	else
		loop_set_events(p->source, on ? EPOLLIN : 0);
}

/* --- sockets --- */

static void look_again(void *opaque)
{
	set_watch(opaque, true);
}

/* A client that can't be had stays in the backlog, and epoll would say so again and again. */
static void look_later(struct peer *p)
{
	LOCK_SCOPE(&p->lock);
	if (!p->source)
		return;
	loop_set_events(p->source, 0);
	loop_arm(p->again, LOOK_US, 0);
}

static void client_waits(void *opaque, uint32_t events)
{
	struct peer *p = opaque;
	int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno != EAGAIN)
			look_later(p);
		return;
	}
	set_watch(p, false);
	p->come(p->opaque, fd);
}

static int listen_at(struct peer *p, const struct peer_params *params, struct lacuna_error **err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(p->path) >= sizeof(address.sun_path))
		return err_set(err, ENAMETOOLONG,
			"the path of a socket can have %zu bytes, not %zu: give a shorter one",
			sizeof(address.sun_path) - 1, strlen(p->path));
	memcpy(address.sun_path, p->path, strlen(p->path) + 1);
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The mode of a socket is that of the node to be: nobody else can ever connect. */
	if (p->fd < 0 || fchmod(p->fd, 0600) < 0)
		return err_errno(err, "make a socket");
	if (bind(p->fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == EADDRINUSE
			       ? err_set(err, EADDRINUSE,
					 "'%s' is there already: remove it if nothing uses it, or give another name",
					 p->path)
			       : err_errno(err, "create '%s'", p->path);
	p->bound = true;
	if (lstat(p->path, &p->node) < 0 || listen(p->fd, 4) < 0)
		return err_errno(err, "'%s'", p->path);
	int rc = loop_add_timer(params->loop, look_again, p, &p->again, err);
	return rc < 0 ? rc : loop_add_fd(params->loop, p->fd, 0, client_waits, p, &p->source, err);
}

/* --- pseudo-terminals --- */

static void look(void *opaque)
{
	struct peer *p = opaque;
	struct pollfd master = { .fd = p->fd, .events = POLLIN };
	poll(&master, 1, 0);
	/* Somebody may have left again, but has written something before. */
	if ((master.revents & POLLHUP) && !(master.revents & POLLIN))
		return;
	int fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return;
	set_watch(p, false);
	p->come(p->opaque, fd);
}

static int link_to(struct peer *p, const char *link, struct lacuna_error **err)
{
	if (symlink(p->path, link) < 0)
		return errno == EEXIST
			       ? err_set(err, EEXIST,
					 "'%s' is there already: remove it if nothing uses it, or give another name",
					 link)
			       : err_errno(err, "make the link '%s'", link);
	p->link = strdup(link);
	if (!p->link) {
		unlink(link);
		return err_nomem(err);
	}
	return 0;
}

/* Echo and line editing are the guest's business. And once the terminal has been closed, the master
 * reports that nobody is there. */
static int prepare_terminal(const struct peer *p, struct lacuna_error **err)
{
	struct termios mode;
	AUTO_CLOSE int fd = open(p->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || tcgetattr(fd, &mode) < 0)
		return err_errno(err, "open the pseudo-terminal '%s'", p->path);
	cfmakeraw(&mode);
	return tcsetattr(fd, TCSANOW, &mode) < 0 ? err_errno(err, "set up '%s'", p->path) : 0;
}

static int open_pty(struct peer *p, const struct peer_params *params, struct lacuna_error **err)
{
	char name[64];
	p->fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (p->fd < 0 || grantpt(p->fd) < 0 || unlockpt(p->fd) < 0 ||
		ptsname_r(p->fd, name, sizeof(name)))
		return err_errno(err, "make a pseudo-terminal");
	p->path = strdup(name);
	if (!p->path)
		return err_nomem(err);
	int rc = prepare_terminal(p, err);
	if (rc == 0)
		rc = loop_add_timer(params->loop, look, p, &p->source, err);
	if (rc == 0 && params->link)
		rc = link_to(p, params->link, err);
	return rc;
}

/* --- both --- */

void peer_watch(struct peer *p)
{
	set_watch(p, true);
}

const char *peer_path(const struct peer *p)
{
	return p->path;
}

bool peer_window(const struct peer *p, unsigned *ret_cols, unsigned *ret_rows)
{
	struct winsize w;
	if (!p->is_pty || ioctl(p->fd, TIOCGWINSZ, &w) < 0 || !w.ws_col || !w.ws_row)
		return false;
	*ret_cols = w.ws_col;
	*ret_rows = w.ws_row;
	return true;
}

int peer_new(const struct peer_params *params, struct peer **ret, struct lacuna_error **err)
{
	struct peer *p = calloc(1, sizeof(*p));
	if (!p)
		return err_nomem(err);
	pthread_mutex_init(&p->lock, NULL);
	p->fd = -1;
	p->is_pty = !params->socket;
	p->come = params->come;
	p->opaque = params->opaque;
	int rc;
	if (p->is_pty) {
		rc = open_pty(p, params, err);
	} else {
		p->path = strdup(params->socket);
		rc = p->path ? listen_at(p, params, err) : err_nomem(err);
	}
	if (rc < 0) {
		peer_free(p);
		return rc;
	}
	*ret = p;
	return 0;
}

static void unlink_ours(const struct peer *p)
{
	struct stat now;
	char target[64];
	if (p->bound && lstat(p->path, &now) == 0 && now.st_dev == p->node.st_dev &&
		now.st_ino == p->node.st_ino)
		unlink(p->path);
	if (!p->link)
		return;
	ssize_t n = readlink(p->link, target, sizeof(target));
	if (n == (ssize_t)strlen(p->path) && !memcmp(target, p->path, (size_t)n))
		unlink(p->link);
}

void peer_leave(struct peer *p)
{
	struct loop_source *source, *again;
	{
		LOCK_SCOPE(&p->lock);
		source = p->source;
		again = p->again;
		p->source = p->again = NULL;
	}
	loop_remove(source);
	loop_remove(again);
}

void peer_free(struct peer *p)
{
	if (!p)
		return;
	peer_leave(p);
	unlink_ours(p);
	fd_close(&p->fd);
	free(p->link);
	free(p->path);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
