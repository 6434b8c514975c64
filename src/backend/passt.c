// SPDX-License-Identifier: Apache-2.0
/* Starting passt, and finding out whether it works. */
#include "backend/passt.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"

#define READY_MS 20000
#define POLL_MS  2
/* The child's descriptors; ours are put above them first. */
#define CHILD_SOCKET 3
#define CHILD_LAST   CHILD_SOCKET

struct passt {
	pid_t pid;
	int pidfd;
	int errors; /* reading end of the child's standard error; non-blocking at both ends */
	uint8_t mac[6];
};

/* --- the process --- */

static int spawn(pid_t *ret, int null, int sock, int errors)
{
	char number[] = "3";
	static_assert(CHILD_SOCKET == 3, "as in the arguments");
	char *const argv[] = { (char[]){ "passt" }, (char[]){ "--foreground" },
		(char[]){ "--quiet" }, (char[]){ "--fd" }, number, NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	/* What a program that embeds us does with signals and its terminal is not passt's business.
	 */
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setpgroup(&attr, 0);
	int rc = posix_spawnattr_setflags(
		&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&files, null, 0);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&files, null, 1);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&files, errors, 2);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&files, sock, CHILD_SOCKET);
	if (!rc)
		rc = posix_spawn_file_actions_addclosefrom_np(&files, CHILD_LAST + 1);
	if (!rc)
		rc = posix_spawnp(ret, "passt", &files, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return rc;
}

/* A descriptor that no descriptor of the child's takes the place of. */
static int raise_fd(int *fd)
{
	int high = fcntl(*fd, F_DUPFD_CLOEXEC, CHILD_LAST + 1);
	if (high < 0)
		return -errno;
	fd_close(fd);
	*fd = high;
	return 0;
}

static int start(struct passt *p, int *ret_fd, struct lacuna_error **err)
{
	int pair[2], pipes[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, "passt: socketpair");
	AUTO_CLOSE int ours = pair[0];
	AUTO_CLOSE int theirs = pair[1];
	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_errno(err, "passt: pipe");
	p->errors = pipes[0];
	AUTO_CLOSE int errors = pipes[1];
	AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return err_errno(err, "passt: open /dev/null");
	if (raise_fd(&null) < 0 || raise_fd(&theirs) < 0 || raise_fd(&errors) < 0)
		return err_errno(err, "passt: descriptors");

	int rc = spawn(&p->pid, null, theirs, errors);
	if (rc == ENOENT)
		return err_set(err, ENOENT,
			"passt is not installed: install it (package passt), or give tap=NAME");
	if (rc)
		return err_set(err, rc, "can't start passt: %s", strerror(rc));
	p->pidfd = pidfd_open(p->pid, 0);
	if (p->pidfd < 0) {
		rc = err_errno(err, "passt: pidfd_open");
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
		return rc;
	}
	*ret_fd = TAKE_FD(ours);
	return 0;
}

int passt_start(const uint8_t mac[6], struct passt **ret, int *ret_fd, struct lacuna_error **err)
{
	struct passt *p = calloc(1, sizeof(*p));
	if (!p)
		return err_nomem(err);
	p->pidfd = p->errors = -1;
	memcpy(p->mac, mac, sizeof(p->mac));
	int rc = start(p, ret_fd, err);
	if (rc < 0) {
		passt_free(p);
		return rc;
	}
	*ret = p;
	return 0;
}

int passt_pidfd(const struct passt *p)
{
	return p->pidfd;
}

void passt_free(struct passt *p)
{
	if (!p)
		return;
	if (p->pidfd >= 0) {
		siginfo_t info;
		pidfd_send_signal(p->pidfd, SIGKILL, NULL, 0);
		while (waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED) < 0 && errno == EINTR)
			;
	}
	fd_close(&p->pidfd);
	fd_close(&p->errors);
	free(p);
}

/* --- whether it works --- */

/* The last line on its standard error, but for what it says about syslog where there is none. */
static void last_words(const struct passt *p, char *ret, size_t size)
{
	char text[4096];
	ssize_t n = read(p->errors, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	snprintf(ret, size, "it says nothing");
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n"));)
		if (*line && strncmp(line, "Failed to send ", 15))
			snprintf(ret, size, "%s", line);
}

static int refuse(const struct passt *p, int code, const char *what, struct lacuna_error **err)
{
	char words[256];
	last_words(p, words, sizeof(words));
	return err_set(err, code, "passt %s: %s", what, words);
}

/* A frame of a type that is reserved for experiments (IEEE 802, 9.2.3): nobody acts on it. */
static int send_nothing(const struct passt *p, int fd)
{
	uint8_t frame[4 + 60] = { 0, 0, 0, 60 };
	memset(frame + 4, 0xff, 6);
	memcpy(frame + 10, p->mac, 6);
	frame[16] = 0x88;
	frame[17] = 0xb5;
	return send(fd, frame, sizeof(frame), MSG_NOSIGNAL) == sizeof(frame) ? 0 : -errno;
}

/*
 * In the foreground passt doesn't tell when it is ready. But it reads its socket only then, and the
 * kernel tells how much of what we sent was read.
 */
int passt_wait(struct passt *p, int fd, struct lacuna_error **err)
{
	if (send_nothing(p, fd) < 0)
		return refuse(p, ECONNREFUSED, "has ended", err);
	for (int waited = 0; waited < READY_MS; waited += POLL_MS) {
		struct pollfd ended = { .fd = p->pidfd, .events = POLLIN };
		int unread = 0;
		if (poll(&ended, 1, POLL_MS) == 1)
			return refuse(p, ECONNREFUSED, "has ended", err);
		if (ioctl(fd, SIOCOUTQ, &unread) < 0)
			return err_errno(err, "passt: SIOCOUTQ");
		if (!unread)
			return 0;
	}
	return refuse(p, ETIMEDOUT, "does not serve", err);
}

/* --- somebody's --- */

int passt_connect(const char *path, int *ret_fd, struct lacuna_error **err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	if (!*path || strlen(path) >= sizeof(addr.sun_path))
		return err_set(err, EINVAL,
			"the path of passt's socket must have 1 to %zu bytes, not %zu",
			sizeof(addr.sun_path) - 1, strlen(path));
	memcpy(addr.sun_path, path, strlen(path));
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, "socket");
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		if (errno == ENOENT || errno == ECONNREFUSED)
			return err_set(err, errno,
				"no passt listens on '%s': start one by 'passt --socket %s'", path,
				path);
		if (errno == EAGAIN)
			return err_set(err, EBUSY,
				"the passt that listens on '%s' serves another machine: start one more",
				path);
		return err_errno(err, "connect to passt's socket '%s'", path);
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}
