// SPDX-License-Identifier: Apache-2.0
/* The Unix sockets of the socket device: paths, who is there already, and the first line. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/vsock_host.h"
#include "util/bytes.h"

static char dir[] = "/tmp/lacuna-vsock-XXXXXX";
static char path[64];

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/v", dir);
}

static void tear_down(void)
{
	unlink(path);
	rmdir(dir);
}

TestSuite(vsock_host, .init = set_up, .fini = tear_down, .timeout = 60);

static struct sockaddr_un address(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", name);
	return a;
}

static int bound(const char *name, bool listening)
{
	struct sockaddr_un a = address(name);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	if (listening)
		cr_assert_eq(listen(fd, 5), 0);
	return fd;
}

static void expect_refused(int code, const char *words)
{
	struct vsock_host *h = NULL;
	struct lacuna_error *err = NULL;
	cr_expect_eq(vsock_host_new(path, &h, &err), -code);
	cr_assert_not_null(err);
	cr_expect(strstr(lacuna_error_message(err), words), "%s", lacuna_error_message(err));
	cr_expect_null(h);
	lacuna_error_free(err);
}

Test(vsock_host, listens_and_removes_its_own)
{
	struct vsock_host *h;
	struct sockaddr_un a = address(path);
	cr_assert_eq(vsock_host_new(path, &h, NULL), 0);
	cr_expect_eq(vsock_host_accept(h), -EAGAIN);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	int got = vsock_host_accept(h);
	cr_assert_geq(got, 0);
	close(got);
	close(fd);
	vsock_host_free(h);
	cr_expect_neq(access(path, F_OK), 0);
	vsock_host_free(NULL);
}

Test(vsock_host, leaves_what_took_its_place)
{
	struct vsock_host *h;
	cr_assert_eq(vsock_host_new(path, &h, NULL), 0);
	unlink(path);
	int fd = bound(path, true);
	vsock_host_free(h);
	cr_expect_eq(access(path, F_OK), 0);
	close(fd);
}

Test(vsock_host, stale_socket_is_not_removed)
{
	close(bound(path, true));
	expect_refused(EADDRINUSE, "nobody listens any more; remove it");
	cr_expect_eq(access(path, F_OK), 0);
}

Test(vsock_host, socket_in_use)
{
	int fd = bound(path, true);
	expect_refused(EADDRINUSE, "in use by another program");
	close(fd);
}

Test(vsock_host, not_a_socket)
{
	cr_assert_eq(mkdir(path, 0700), 0);
	expect_refused(EEXIST, "is not a socket");
	rmdir(path);
}

Test(vsock_host, no_such_folder)
{
	snprintf(path, sizeof(path), "%s/none/v", dir);
	expect_refused(ENOENT, "No such file or directory");
}

/* The longest path is one for which every port still has a name. */
Test(vsock_host, longest_path)
{
	char name[128], port[192];
	struct vsock_host *h = NULL;
	struct sockaddr_un a;
	memset(name, 'x', sizeof(name));
	memcpy(name, dir, strlen(dir));
	name[strlen(dir)] = '/';
	name[sizeof(a.sun_path) - 1 - 11] = name[sizeof(a.sun_path) - 11] = '\0';
	cr_assert_eq(vsock_host_new(name, &h, NULL), 0);
	snprintf(port, sizeof(port), "%s_4294967295", name);
	int listener = bound(port, true), fd = vsock_host_connect(h, UINT32_MAX);
	cr_expect_geq(fd, 0);
	close(fd);
	close(listener);
	unlink(port);
	vsock_host_free(h);

	struct lacuna_error *err = NULL;
	name[strlen(name)] = 'x'; /* the next byte is zero */
	cr_expect_eq(vsock_host_new(name, &h, &err), -ENAMETOOLONG);
	cr_expect(strstr(lacuna_error_message(err), "97 bytes"), "%s", lacuna_error_message(err));
	lacuna_error_free(err);
}

Test(vsock_host, connects_by_port)
{
	struct vsock_host *h;
	char name[80];
	cr_assert_eq(vsock_host_new(path, &h, NULL), 0);
	cr_expect_eq(vsock_host_connect(h, 52), -ENOENT);
	snprintf(name, sizeof(name), "%s_52", path);
	int listener = bound(name, true);
	int fd = vsock_host_connect(h, 52);
	cr_expect_geq(fd, 0);
	cr_expect_eq(vsock_host_connect(h, 5), -ENOENT);
	close(listener);
	cr_expect_eq(vsock_host_connect(h, 52), -ECONNREFUSED);
	close(fd);
	unlink(name);
	vsock_host_free(h);
}

/* --- a listener handed in --- */

static void expect_not_adopted(int fd, int code, const char *words)
{
	struct vsock_host *h = NULL;
	struct lacuna_error *err = NULL;
	cr_expect_eq(vsock_host_adopt(fd, path, &h, &err), -code);
	cr_expect(strstr(lacuna_error_message(err), words), "%s", lacuna_error_message(err));
	cr_expect_null(h);
	lacuna_error_free(err);
}

Test(vsock_host, descriptors_that_will_not_do)
{
	int pair[2], pipes[2], plain = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int packets = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	int inet = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	cr_assert_eq(pipe(pipes), 0);
	expect_not_adopted(999, EBADF, "fd 999 is not an open descriptor");
	expect_not_adopted(pipes[0], EINVAL, "is not a Unix stream socket");
	expect_not_adopted(packets, EINVAL, "is not a Unix stream socket");
	expect_not_adopted(inet, EINVAL, "is not a Unix stream socket");
	expect_not_adopted(plain, EINVAL, "does not listen");
	expect_not_adopted(pair[0], EINVAL, "does not listen");
	int listener = bound(path, true);
	expect_not_adopted(listener, EINVAL, "is blocking: make it with SOCK_NONBLOCK");
	cr_expect_not(fcntl(listener, F_GETFL) & O_NONBLOCK);
	close(listener);
}

Test(vsock_host, listener_of_somebody_elses)
{
	struct vsock_host *h;
	struct sockaddr_un a = address(path);
	char name[80];
	int listener = bound(path, true);
	cr_assert_eq(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
	cr_assert_eq(vsock_host_adopt(listener, path, &h, NULL), 0);
	cr_expect_eq(vsock_host_accept(h), -EAGAIN);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	int got = vsock_host_accept(h);
	cr_assert_geq(got, 0);
	cr_expect(fcntl(got, F_GETFL) & O_NONBLOCK);
	close(got);
	close(fd);

	snprintf(name, sizeof(name), "%s_52", path);
	int other = bound(name, true);
	got = vsock_host_connect(h, 52);
	cr_expect_geq(got, 0);
	close(got);
	close(other);
	unlink(name);
	vsock_host_free(h);

	cr_expect_eq(access(path, F_OK), 0, "it is not ours to remove");
	cr_assert_eq(vsock_host_adopt(listener, NULL, &h, NULL), 0);
	cr_expect_eq(vsock_host_connect(h, 52), -ECONNREFUSED, "there is no name to connect to");
	vsock_host_free(h);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_expect_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0, "it still listens");
	close(fd);
	close(listener);
}

/* --- the first line --- */

struct line {
	char text[64];
	int rc;
	uint32_t port;
	char rest[16]; /* that must still be in the socket */
};

ParameterizedTestParameters(vsock_host, greeting)
{
	static struct line lines[] = {
		{ "CONNECT 52\n", 1, 52, "" },
		{ "CONNECT 0\n", 1, 0, "" },
		{ "CONNECT 4294967295\n", 1, UINT32_MAX, "" },
		{ "CONNECT 0000000052\n", 1, 52, "" },
		{ "CONNECT 52\nhello", 1, 52, "hello" },
		{ "CONNECT 52\n\n", 1, 52, "\n" },
		{ "CONNECT 4294967296\n", -EPROTO, 0, "" },
		{ "CONNECT 9999999999\n", -EPROTO, 0, "" },
		{ "CONNECT 00000000052\n", -EPROTO, 0, "\n" },
		{ "CONNECT \n", -EPROTO, 0, "" },
		{ "CONNECT\n", -EPROTO, 0, "" },
		{ "\n", -EPROTO, 0, "" },
		{ "CONNECT -1\n", -EPROTO, 0, "" },
		{ "CONNECT 5 2\n", -EPROTO, 0, "" },
		{ "CONNECT  52\n", -EPROTO, 0, "" },
		{ "CONNECT 52 \n", -EPROTO, 0, "" },
		{ "CONNECT 0x34\n", -EPROTO, 0, "" },
		{ "CONNECT 52\r\n", -EPROTO, 0, "" },
		{ "connect 52\n", -EPROTO, 0, "" },
		{ "GET / HTTP/1.1\r\nHost: x\r\n", -EPROTO, 0, "\n" },
		{ "xxxxxxxxxxxxxxxxxxx", -EPROTO, 0, "" },
	};
	return cr_make_param_array(struct line, lines, ARRAY_SIZE(lines));
}

static void check_line(const struct line *l, size_t step)
{
	struct vsock_greeting g = { 0 };
	uint32_t port = 0;
	int fd[2], rc = 0;
	size_t at = 0, len = strlen(l->text);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	while (rc == 0 && at < len) {
		size_t n = step < len - at ? step : len - at;
		cr_assert_eq(send(fd[1], l->text + at, n, 0), (ssize_t)n);
		at += n;
		rc = vsock_greeting_read(&g, fd[0], &port);
	}
	cr_expect_eq(rc, l->rc, "%d", rc);
	if (rc > 0)
		cr_expect_eq(port, l->port);
	if (step == 1) { /* nothing was asked for that was not there */
		close(fd[0]);
		close(fd[1]);
		return;
	}
	char rest[64] = "";
	ssize_t n = recv(fd[0], rest, sizeof(rest) - 1, MSG_DONTWAIT);
	if (rc > 0)
		cr_expect_str_eq(n > 0 ? rest : "", l->rest);
	close(fd[0]);
	close(fd[1]);
}

ParameterizedTest(struct line *l, vsock_host, greeting)
{
	check_line(l, sizeof(l->text));
	check_line(l, 1);
	check_line(l, 9);
}

Test(vsock_host, greeting_that_ends)
{
	struct vsock_greeting g = { 0 };
	uint32_t port;
	int fd[2];
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	cr_expect_eq(vsock_greeting_read(&g, fd[0], &port), 0);
	cr_assert_eq(send(fd[1], "CONN", 4, 0), 4);
	cr_expect_eq(vsock_greeting_read(&g, fd[0], &port), 0);
	cr_expect_eq(vsock_greeting_read(&g, fd[0], &port), 0);
	close(fd[1]);
	cr_expect_eq(vsock_greeting_read(&g, fd[0], &port), -ECONNRESET);
	close(fd[0]);
}
