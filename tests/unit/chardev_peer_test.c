// SPDX-License-Identifier: Apache-2.0
/* Byte streams whose outer end comes and goes: clients of a socket, users of a pseudo-terminal. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "backend/chardev.h"
#include "loop/loop.h"

#define TOTAL 300000u

static struct loop *loop;
static struct chardev *c;
static char dir[] = "/tmp/lacuna-peer-XXXXXX", path[64], link_path[64];
static sem_t input, space, came, went;
static atomic_int failures;

static void on_input(void *opaque)
{
	sem_post(&input);
}

static void on_space(void *opaque)
{
	sem_post(&space);
}

static void on_presence(void *opaque, bool present)
{
	sem_post(present ? &came : &went);
}

static void on_failure(void *opaque, const char *message)
{
	failures++;
}

static const struct chardev_client client = { on_input, on_space, on_presence };

static void set_up(void)
{
	sem_init(&input, 0, 0);
	sem_init(&space, 0, 0);
	sem_init(&came, 0, 0);
	sem_init(&went, 0, 0);
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/socket", dir);
	snprintf(link_path, sizeof(link_path), "%s/pty", dir);
	cr_assert_eq(loop_new(&loop, NULL), 0);
}

static struct chardev_params params_of(bool pty, bool retain)
{
	return (struct chardev_params){
		.loop = loop,
		.name = "port",
		.in_fd = -1,
		.out_fd = -1,
		.socket = pty ? NULL : path,
		.pty = pty,
		.link = pty ? link_path : NULL,
		.retain = retain,
		.on_failure = on_failure,
	};
}

static void make(bool pty, bool retain)
{
	const struct chardev_params params = params_of(pty, retain);
	cr_assert_eq(chardev_new(&params, &c, NULL), 0);
	chardev_attach(c, &client, NULL);
	cr_assert_eq(loop_start(loop, NULL), 0);
}

static void tear_down(void)
{
	struct stat st;
	chardev_free(c);
	loop_free(loop);
	cr_expect_eq(failures, 0, "nobody being there is no failure");
	cr_expect(lstat(path, &st) < 0 && lstat(link_path, &st) < 0, "nothing is left behind");
	rmdir(dir);
}

TestSuite(chardev_peer, .init = set_up, .fini = tear_down, .timeout = 30);

static int join(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	memcpy(address.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int open_terminal(void)
{
	int fd = open(link_path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	return fd;
}

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 7 + i / 251);
}

/* The device's side: @len bytes of the pattern, waiting for room. */
static void put_all(size_t from, size_t len)
{
	uint8_t data[5000];
	for (size_t done = 0; done < len;) {
		size_t n = len - done < sizeof(data) ? len - done : sizeof(data);
		for (size_t i = 0; i < n; i++)
			data[i] = pattern(from + done + i);
		size_t taken = chardev_write(c, data, n);
		done += taken;
		if (taken < n)
			sem_wait(&space);
	}
}

static void get_all(size_t from, size_t len)
{
	uint8_t data[5000];
	for (size_t done = 0; done < len;) {
		size_t n = chardev_read(
			c, data, len - done < sizeof(data) ? len - done : sizeof(data));
		for (size_t i = 0; i < n; i++)
			cr_assert_eq(
				data[i], pattern(from + done + i), "byte %zu", from + done + i);
		done += n;
		if (!n)
			sem_wait(&input);
	}
}

static void expect_pattern(int fd, size_t from, size_t len)
{
	uint8_t data[4096];
	for (size_t done = 0; done < len;) {
		ssize_t n = read(fd, data, len - done < sizeof(data) ? len - done : sizeof(data));
		cr_assert_gt(n, 0, "at byte %zu: %s", done, strerror(errno));
		for (ssize_t i = 0; i < n; i++)
			cr_assert_eq(data[i], pattern(from + done + (size_t)i));
		done += (size_t)n;
	}
}

static int outer_fd;

static void *send_pattern(void *opaque)
{
	static uint8_t data[TOTAL];
	for (size_t i = 0; i < TOTAL; i++)
		data[i] = pattern(i);
	for (size_t done = 0; done < TOTAL;) {
		ssize_t n = write(outer_fd, data + done, TOTAL - done);
		if (n < 0)
			return (void *)1;
		done += (size_t)n;
	}
	return NULL;
}

static void *receive_pattern(void *opaque)
{
	expect_pattern(outer_fd, 0, TOTAL);
	return NULL;
}

static void both_ways(int fd)
{
	pthread_t thread;
	void *result;
	outer_fd = fd;
	pthread_create(&thread, NULL, send_pattern, NULL);
	get_all(0, TOTAL);
	pthread_join(thread, &result);
	cr_expect_null(result);
	pthread_create(&thread, NULL, receive_pattern, NULL);
	put_all(0, TOTAL);
	pthread_join(thread, NULL);
}

Test(chardev_peer, socket_carries_bulk_both_ways)
{
	struct stat st;
	make(false, false);
	cr_expect_str_eq(chardev_path(c), path);
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600, "nobody else's");
	cr_expect_not(chardev_present(c));
	int fd = join();
	sem_wait(&came);
	cr_expect(chardev_present(c));
	both_ways(fd);
	close(fd);
	sem_wait(&went);
	cr_expect_not(chardev_present(c));
}

Test(chardev_peer, terminal_carries_bulk_both_ways)
{
	make(true, false);
	cr_expect_eq(strncmp(chardev_path(c), "/dev/pts/", 9), 0);
	cr_expect_not(chardev_present(c));
	int fd = open_terminal();
	sem_wait(&came);
	both_ways(fd);
	close(fd);
	sem_wait(&went);
	fd = open_terminal();
	sem_wait(&came);
	put_all(0, 100);
	expect_pattern(fd, 0, 100);
	close(fd);
}

Test(chardev_peer, a_client_that_has_finished_sending_still_listens)
{
	make(false, false);
	int fd = join();
	sem_wait(&came);
	cr_assert_eq(write(fd, (uint8_t[]){ pattern(0), pattern(1) }, 2), 2);
	shutdown(fd, SHUT_WR);
	get_all(0, 2);
	put_all(0, TOTAL / 10);
	expect_pattern(fd, 0, TOTAL / 10);
	cr_expect(chardev_present(c));
	close(fd);
	sem_wait(&went);
}

Test(chardev_peer, what_a_client_sent_before_it_left_is_read)
{
	static uint8_t data[20000]; /* more than is buffered here */
	make(false, false);
	int fd = join();
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = pattern(i);
	cr_assert_eq(write(fd, data, sizeof(data)), (ssize_t)sizeof(data));
	close(fd);
	sem_wait(&came);
	get_all(0, sizeof(data));
	sem_wait(&went);
}

Test(chardev_peer, the_next_client_waits_for_its_turn)
{
	make(false, false);
	int first = join(), second = join();
	sem_wait(&came);
	put_all(0, 10);
	expect_pattern(first, 0, 10);
	close(first);
	sem_wait(&went);
	sem_wait(&came);
	put_all(10, 10);
	expect_pattern(second, 10, 10);
	close(second);
	sem_wait(&went);
}

Test(chardev_peer, output_for_nobody_is_dropped_or_its_end_is_kept)
{
	for (int retain = 0; retain < 2; retain++) {
		const struct chardev_params params = params_of(false, retain);
		if (!retain)
			make(false, false);
		else {
			chardev_free(c);
			cr_assert_eq(chardev_new(&params, &c, NULL), 0);
			chardev_attach(c, &client, NULL);
		}
		put_all(0, TOTAL); /* never waits */
		int fd = join();
		sem_wait(&came);
		put_all(TOTAL, 100);
		if (retain)
			expect_pattern(fd, TOTAL - 65536, 65536);
		expect_pattern(fd, TOTAL, 100);
		close(fd);
		sem_wait(&went);
	}
}

Test(chardev_peer, a_client_that_leaves_frees_who_waits_for_it)
{
	uint8_t data[4096] = { 0 };
	make(false, false);
	int fd = join();
	sem_wait(&came);
	while (chardev_write(c, data, sizeof(data)) == sizeof(data))
		;
	close(fd);
	sem_wait(&went);
	sem_wait(&space);
	cr_expect_eq(chardev_write(c, data, sizeof(data)), sizeof(data));
	cr_expect_eq(chardev_flush(c, 10000, NULL), 0, "nothing to wait for");
}

Test(chardev_peer, somebody_who_wrote_and_left_at_once_is_heard)
{
	make(true, false);
	for (int i = 0; i < 3; i++) {
		int fd = open_terminal();
		cr_assert_eq(write(fd, (uint8_t[]){ pattern(7) }, 1), 1);
		close(fd);
		get_all(7, 1);
	}
}

Test(chardev_peer, size_of_a_terminal)
{
	unsigned cols = 0, rows = 0;
	make(true, false);
	cr_expect_not(chardev_window(c, &cols, &rows), "nobody has set one");
	int fd = open_terminal();
	ioctl(fd, TIOCSWINSZ, &(struct winsize){ .ws_col = 91, .ws_row = 31 });
	cr_expect(chardev_window(c, &cols, &rows));
	cr_expect(cols == 91 && rows == 31);
	close(fd);
}

Test(chardev_peer, paths_that_are_in_use)
{
	struct lacuna_error *err = NULL;
	char other[128];
	const struct chardev_params socket_params = params_of(false, false);
	close(open(path, O_CREAT | O_CLOEXEC, 0600));
	cr_expect_eq(chardev_new(&socket_params, &c, &err), -EADDRINUSE);
	snprintf(other, sizeof(other), "port: '%s' is there already", path);
	cr_expect_not_null(
		strstr(lacuna_error_message(err), other), "%s", lacuna_error_message(err));
	lacuna_error_free(err);
	cr_expect_eq(unlink(path), 0, "it is still there");

	err = NULL;
	const struct chardev_params pty_params = params_of(true, false);
	cr_assert_eq(symlink("elsewhere", link_path), 0);
	cr_expect_eq(chardev_new(&pty_params, &c, &err), -EEXIST);
	cr_expect_not_null(strstr(lacuna_error_message(err), "is there already"));
	lacuna_error_free(err);
	cr_expect_eq(unlink(link_path), 0, "it is still there");
}

Test(chardev_peer, what_took_the_place_of_ours_stays)
{
	make(false, false);
	cr_assert_eq(unlink(path), 0);
	close(open(path, O_CREAT | O_CLOEXEC, 0600));
	chardev_free(c);
	c = NULL;
	cr_expect_eq(unlink(path), 0);
}
