// SPDX-License-Identifier: Apache-2.0
/* Byte streams: order, back-pressure in both directions, broken outsides, and that descriptors of
 * the caller's and the signals of the process stay as they were. */
#include "backend/chardev.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "loop/loop.h"
#include "util/err.h"

TestSuite(chardev, .timeout = 30);

struct bench {
	struct loop *loop;
	struct chardev *c;
	sem_t input, space, failed, escaped;
	char message[128];
	atomic_int failures;
	size_t seen; /* by on_output */
	uint8_t seen_last;
};

static void on_output(void *opaque, const void *data, size_t len)
{
	struct bench *b = opaque;
	b->seen += len;
	b->seen_last = ((const uint8_t *)data)[len - 1];
}

static void on_escape(void *opaque)
{
	sem_post(&((struct bench *)opaque)->escaped);
}

static void on_failure(void *opaque, const char *message)
{
	struct bench *b = opaque;
	snprintf(b->message, sizeof(b->message), "%s", message);
	b->failures++;
	sem_post(&b->failed);
}

static void on_input(void *opaque)
{
	sem_post(&((struct bench *)opaque)->input);
}

static void on_space(void *opaque)
{
	sem_post(&((struct bench *)opaque)->space);
}

static const struct chardev_client client = { .input = on_input, .space = on_space };

static struct chardev_params params_of(struct bench *b, int in, int out)
{
	return (struct chardev_params){
		.loop = b->loop,
		.name = "serial",
		.in_fd = in,
		.out_fd = out,
		.out_name = "stdout",
		.on_output = on_output,
		.on_escape = on_escape,
		.on_failure = on_failure,
		.opaque = b,
	};
}

static void bench_init(struct bench *b)
{
	*b = (struct bench){ 0 };
	sem_init(&b->input, 0, 0);
	sem_init(&b->space, 0, 0);
	sem_init(&b->failed, 0, 0);
	sem_init(&b->escaped, 0, 0);
	cr_assert_eq(loop_new(&b->loop, NULL), 0);
}

static void bench_start(struct bench *b, const struct chardev_params *params)
{
	cr_assert_eq(chardev_new(params, &b->c, NULL), 0);
	chardev_attach(b->c, &client, b);
	cr_assert_eq(loop_start(b->loop, NULL), 0);
}

static void bench_done(struct bench *b)
{
	chardev_free(b->c);
	loop_free(b->loop);
}

static void make_pipe(int fd[2])
{
	cr_assert_eq(pipe2(fd, O_CLOEXEC), 0);
	fcntl(fd[1], F_SETPIPE_SZ, 4096);
}

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 7 + i / 251);
}

/* Reads exactly @len bytes of the pattern that begins at @from. */
static void expect_pattern(int fd, size_t from, size_t len)
{
	uint8_t data[1000];
	for (size_t done = 0; done < len;) {
		size_t want = len - done < sizeof(data) ? len - done : sizeof(data);
		ssize_t n = read(fd, data, want);
		cr_assert_gt(n, 0);
		for (ssize_t i = 0; i < n; i++)
			cr_assert_eq(data[i], pattern(from + done + (size_t)i));
		done += (size_t)n;
	}
}

static size_t write_pattern(struct chardev *c, size_t from, size_t len)
{
	uint8_t *data = malloc(len);
	for (size_t i = 0; i < len; i++)
		data[i] = pattern(from + i);
	size_t n = chardev_write(c, data, len);
	free(data);
	return n;
}

Test(chardev, nothing_behind_it_takes_all_and_shows_it)
{
	struct bench b;
	bench_init(&b);
	struct chardev_params params = params_of(&b, -1, -1);
	bench_start(&b, &params);
	for (size_t i = 0; i < 20; i++)
		cr_assert_eq(write_pattern(b.c, i * 10000, 10000), 10000u);
	cr_expect_eq(b.seen, 200000u);
	cr_expect_eq(b.seen_last, pattern(199999));
	cr_expect_eq(chardev_flush(b.c, 0, NULL), 0);
	cr_expect_eq(chardev_pending(b.c), 0u);
	bench_done(&b);
}

Test(chardev, full_pipe_pushes_back_and_loses_nothing)
{
	struct bench b;
	int fd[2];
	const size_t total = 300000;
	bench_init(&b);
	make_pipe(fd);
	struct chardev_params params = params_of(&b, -1, fd[1]);
	bench_start(&b, &params);
	size_t written = 0, taken = 0;
	while (written < total) {
		size_t n = write_pattern(b.c, written, total - written);
		written += n;
		cr_assert_eq(b.seen, written, "the watcher sees what was taken, once");
		if (written == total)
			break;
		/* Nobody reads, so the buffer stays full until somebody does. */
		size_t piece = written - taken < 5000 ? written - taken : 5000;
		expect_pattern(fd[0], taken, piece);
		taken += piece;
		sem_wait(&b.space);
	}
	expect_pattern(fd[0], taken, total - taken);
	cr_expect_eq(b.failures, 0);
	bench_done(&b);
}

Test(chardev, callers_descriptors_keep_their_flags)
{
	struct bench b;
	int in[2], out[2];
	bench_init(&b);
	make_pipe(in);
	make_pipe(out);
	struct chardev_params params = params_of(&b, in[0], out[1]);
	bench_start(&b, &params);
	write_pattern(b.c, 0, 10);
	expect_pattern(out[0], 0, 10);
	cr_expect_not(fcntl(in[0], F_GETFL) & O_NONBLOCK);
	cr_expect_not(fcntl(out[1], F_GETFL) & O_NONBLOCK);
	bench_done(&b);
	cr_expect_geq(fcntl(in[0], F_GETFD), 0);
	cr_expect_geq(fcntl(out[1], F_GETFD), 0);
}

Test(chardev, file_is_made_anew)
{
	struct bench b;
	char path[] = "/tmp/lacuna-chardev-XXXXXX";
	int fd = mkstemp(path);
	cr_assert_eq(write(fd, "what was there before", 21), 21);
	bench_init(&b);
	struct chardev_params params = params_of(&b, -1, -1);
	params.path = path;
	bench_start(&b, &params);
	size_t written = 0;
	while (written < 200000) {
		size_t n = write_pattern(b.c, written, 200000 - written);
		written += n;
		if (!n)
			sem_wait(&b.space);
	}
	cr_expect_eq(chardev_flush(b.c, 10000, NULL), 0);
	struct stat st;
	fstat(fd, &st);
	cr_expect_eq(st.st_size, 200000);
	lseek(fd, 0, SEEK_SET);
	expect_pattern(fd, 0, 200000);
	unlink(path);
	bench_done(&b);
}

Test(chardev, last_output_is_flushed_without_the_loop)
{
	struct bench b;
	int fd[2];
	bench_init(&b);
	make_pipe(fd);
	struct chardev_params params = params_of(&b, -1, fd[1]);
	cr_assert_eq(chardev_new(&params, &b.c, NULL), 0);
	cr_assert_eq(write_pattern(b.c, 0, 4000), 4000u);
	cr_expect_eq(chardev_flush(b.c, 0, NULL), 0);
	expect_pattern(fd[0], 0, 4000);
	bench_done(&b);
}

Test(chardev, flush_gives_up_in_time)
{
	struct bench b;
	int fd[2];
	struct lacuna_error *err = NULL;
	bench_init(&b);
	make_pipe(fd);
	struct chardev_params params = params_of(&b, -1, fd[1]);
	bench_start(&b, &params);
	write_pattern(b.c, 0, 5000);
	cr_expect_eq(chardev_flush(b.c, 10, &err), -ETIMEDOUT);
	cr_expect_str_eq(lacuna_error_message(err),
		"serial: nobody takes the last 904 bytes written to stdout");
	lacuna_error_free(err);
	bench_done(&b);
}

Test(chardev, broken_pipe_is_told_once_and_kills_nobody)
{
	struct bench b;
	int fd[2];
	bench_init(&b);
	make_pipe(fd);
	struct chardev_params params = params_of(&b, -1, fd[1]);
	bench_start(&b, &params);
	close(fd[0]);
	cr_expect_eq(write_pattern(b.c, 0, 100), 100u);
	sem_wait(&b.failed);
	cr_expect_str_eq(b.message, "serial: write to stdout: Broken pipe");
	for (size_t i = 0; i < 100; i++) /* the guest goes on for a while */
		cr_assert_eq(write_pattern(b.c, 0, 10000), 10000u);
	cr_expect_eq(chardev_flush(b.c, 1000, NULL), 0);
	bench_done(&b);
	cr_expect_eq(b.failures, 1);
}

Test(chardev, broken_pipe_in_flush_leaves_signals_alone)
{
	struct bench b;
	int fd[2];
	sigset_t set;
	struct lacuna_error *err = NULL;
	bench_init(&b);
	make_pipe(fd);
	struct chardev_params params = params_of(&b, -1, fd[1]);
	cr_assert_eq(chardev_new(&params, &b.c, NULL), 0);
	close(fd[0]);
	signal(SIGPIPE, SIG_DFL);
	write_pattern(b.c, 0, 100);
	cr_expect_eq(chardev_flush(b.c, 1000, &err), -EPIPE);
	cr_expect_str_eq(lacuna_error_message(err), "serial: write to stdout: Broken pipe");
	lacuna_error_free(err);
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	cr_expect_not(sigismember(&set, SIGPIPE));
	sigpending(&set);
	cr_expect_not(sigismember(&set, SIGPIPE));
	bench_done(&b);
}

Test(chardev, pending_sigpipe_of_the_caller_stays_pending)
{
	struct bench b;
	int fd[2];
	sigset_t set;
	bench_init(&b);
	make_pipe(fd);
	struct chardev_params params = params_of(&b, -1, fd[1]);
	cr_assert_eq(chardev_new(&params, &b.c, NULL), 0);
	close(fd[0]);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	raise(SIGPIPE);
	write_pattern(b.c, 0, 100);
	cr_expect_eq(chardev_flush(b.c, 1000, NULL), -EPIPE);
	sigpending(&set);
	cr_expect(sigismember(&set, SIGPIPE));
	bench_done(&b);
}

Test(chardev, full_disk)
{
	struct bench b;
	bench_init(&b);
	struct chardev_params params = params_of(&b, -1, -1);
	params.path = "/dev/full";
	bench_start(&b, &params);
	write_pattern(b.c, 0, 1);
	sem_wait(&b.failed);
	cr_expect_str_eq(b.message, "serial: write to '/dev/full': No space left on device");
	bench_done(&b);
}

Test(chardev, file_that_cannot_be_made)
{
	struct bench b;
	struct lacuna_error *err = NULL;
	bench_init(&b);
	struct chardev_params params = params_of(&b, -1, -1);
	params.path = "/nowhere/console.log";
	cr_expect_eq(chardev_new(&params, &b.c, &err), -ENOENT);
	cr_expect_str_eq(lacuna_error_message(err),
		"serial: open '/nowhere/console.log': No such file or directory");
	lacuna_error_free(err);
	err = NULL;
	params = params_of(&b, 1000, -1);
	cr_expect_eq(chardev_new(&params, &b.c, &err), -EBADF);
	cr_expect_str_eq(lacuna_error_message(err), "serial: input: Bad file descriptor");
	lacuna_error_free(err);
	bench_done(&b);
}

/* Takes @total bytes of input as they come. */
static void expect_input(struct bench *b, size_t total)
{
	uint8_t data[700];
	size_t done = 0;
	while (done < total) {
		size_t n = chardev_read(b->c, data, sizeof(data));
		for (size_t i = 0; i < n; i++)
			cr_assert_eq(data[i], pattern(done + i));
		done += n;
		if (!n)
			sem_wait(&b->input);
	}
	cr_expect_eq(done, total);
}

static void *feed(void *opaque)
{
	int fd = *(int *)opaque;
	for (size_t i = 0; i < 100000;) {
		uint8_t data[333];
		size_t len = 0;
		while (len < sizeof(data) && i < 100000)
			data[len++] = pattern(i++);
		cr_assert_eq(write(fd, data, len), (ssize_t)len);
	}
	close(fd);
	return NULL;
}

Test(chardev, input_comes_whole_and_ends)
{
	struct bench b;
	int fd[2];
	pthread_t thread;
	bench_init(&b);
	make_pipe(fd);
	struct chardev_params params = params_of(&b, fd[0], -1);
	bench_start(&b, &params);
	pthread_create(&thread, NULL, feed, &fd[1]);
	expect_input(&b, 100000);
	pthread_join(thread, NULL);
	cr_expect_eq(chardev_read(b.c, &(uint8_t){ 0 }, 1), 0u);
	bench_done(&b);
}

/* What the device does not take fills the buffer, then stays outside. */
Test(chardev, input_is_not_read_faster_than_it_is_taken)
{
	struct bench b;
	int fd[2], left = 0;
	uint8_t data[9000];
	bench_init(&b);
	cr_assert_eq(pipe2(fd, O_CLOEXEC), 0);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = pattern(i);
	cr_assert_eq(write(fd[1], data, sizeof(data)), (ssize_t)sizeof(data));
	struct chardev_params params = params_of(&b, fd[0], -1);
	bench_start(&b, &params);
	while (chardev_pending(b.c) < 4096)
		sem_wait(&b.input);
	loop_stop(b.loop); /* it is idle now or will be, and reads no more */
	cr_expect_eq(chardev_pending(b.c), 4096u);
	ioctl(fd[0], FIONREAD, &left);
	cr_expect_eq(left, 9000 - 4096);
	cr_expect_eq(chardev_read(b.c, data, sizeof(data)), 4096u);
	for (size_t i = 0; i < 4096; i++)
		cr_assert_eq(data[i], pattern(i));
	bench_done(&b);
}

Test(chardev, input_from_a_file_and_from_dev_null)
{
	struct bench b;
	char path[] = "/tmp/lacuna-chardev-XXXXXX";
	int fd = mkstemp(path);
	unlink(path);
	for (size_t i = 0; i < 20000; i++)
		cr_assert_eq(write(fd, &(uint8_t){ pattern(i) }, 1), 1);
	lseek(fd, 0, SEEK_SET);
	bench_init(&b);
	struct chardev_params params = params_of(&b, fd, -1);
	bench_start(&b, &params);
	expect_input(&b, 20000);
	bench_done(&b);

	bench_init(&b);
	params = params_of(&b, open("/dev/null", O_RDWR | O_CLOEXEC), 1);
	params.out_fd = params.in_fd;
	bench_start(&b, &params);
	cr_expect_eq(write_pattern(b.c, 0, 100), 100u);
	cr_expect_eq(chardev_flush(b.c, 10000, NULL), 0);
	cr_expect_eq(chardev_pending(b.c), 0u);
	bench_done(&b);
}

Test(chardev, one_socket_for_both_directions)
{
	struct bench b;
	int fd[2];
	uint8_t data[100];
	bench_init(&b);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	struct chardev_params params = params_of(&b, fd[0], fd[0]);
	bench_start(&b, &params);
	write_pattern(b.c, 0, 100);
	expect_pattern(fd[1], 0, 100);
	for (size_t i = 0; i < 100; i++)
		data[i] = pattern(i);
	cr_assert_eq(write(fd[1], data, 100), 100);
	expect_input(&b, 100);
	close(fd[1]);
	write_pattern(b.c, 0, 100);
	sem_wait(&b.failed);
	cr_expect_str_eq(b.message, "serial: write to stdout: Broken pipe");
	bench_done(&b);
}

static void open_terminal(int *ret_master, int *ret_slave)
{
	struct termios raw;
	cr_assert_eq(openpty(ret_master, ret_slave, NULL, NULL, NULL), 0);
	tcgetattr(*ret_slave, &raw);
	cfmakeraw(&raw);
	tcsetattr(*ret_slave, TCSANOW, &raw);
}

Test(chardev, terminal_with_escape)
{
	struct bench b;
	int master, slave;
	uint8_t data[16];
	bench_init(&b);
	open_terminal(&master, &slave);
	struct chardev_params params = params_of(&b, slave, slave);
	params.escape = true;
	bench_start(&b, &params);
	write_pattern(b.c, 0, 100);
	expect_pattern(master, 0, 100);
	cr_assert_eq(write(master, "ab\1\1c\1xd", 8), 8);
	sem_wait(&b.escaped);
	cr_expect_eq(chardev_read(b.c, data, sizeof(data)), 4u);
	cr_expect_arr_eq(data, "ab\1c", 4);
	cr_expect_not(fcntl(slave, F_GETFL) & O_NONBLOCK);
	bench_done(&b);
}

/* An embedder keeps the master; to open its node again would make another pseudo-terminal. */
Test(chardev, master_of_a_pseudo_terminal)
{
	struct bench b;
	int master, slave;
	uint8_t data[2];
	bench_init(&b);
	open_terminal(&master, &slave);
	struct chardev_params params = params_of(&b, master, master);
	bench_start(&b, &params);
	write_pattern(b.c, 0, 100);
	expect_pattern(slave, 0, 100);
	cr_assert_eq(write(slave, "x", 1), 1);
	sem_wait(&b.input);
	cr_expect_eq(chardev_read(b.c, data, sizeof(data)), 1u);
	cr_expect_eq(data[0], 'x');
	bench_done(&b);
}

/* The guest takes no input, and yet the user gets out. */
Test(chardev, escape_is_seen_behind_typed_ahead_input)
{
	struct bench b;
	int fd[2];
	bench_init(&b);
	make_pipe(fd);
	struct chardev_params params = params_of(&b, fd[0], -1);
	params.escape = true;
	bench_start(&b, &params);
	for (int i = 0; i < 50; i++)
		cr_assert_eq(write(fd[1], "anybody there?", 14), 14);
	cr_assert_eq(write(fd[1], "\1x", 2), 2);
	sem_wait(&b.escaped);
	bench_done(&b);
}

/* A terminal that takes nothing more must not block the loop: other sources go on. */
Test(chardev, stuck_terminal_does_not_stop_the_loop)
{
	struct bench b;
	int master, slave;
	bench_init(&b);
	open_terminal(&master, &slave);
	struct chardev_params params = params_of(&b, slave, slave);
	bench_start(&b, &params);
	size_t written = 0, n;
	while ((n = write_pattern(b.c, written, 65536)))
		written += n;
	cr_assert_eq(write(master, "x", 1), 1);
	sem_wait(&b.input);
	cr_expect_eq(chardev_flush(b.c, 1, NULL), -ETIMEDOUT);
	expect_pattern(master, 0, written);
	bench_done(&b);
}

Test(chardev, terminal_that_is_gone)
{
	struct bench b;
	int master, slave;
	bench_init(&b);
	open_terminal(&master, &slave);
	struct chardev_params params = params_of(&b, slave, slave);
	bench_start(&b, &params);
	close(master);
	write_pattern(b.c, 0, 1);
	sem_wait(&b.failed);
	cr_expect_str_eq(b.message, "serial: write to stdout: Input/output error");
	bench_done(&b);
}

static void *write_all(void *opaque)
{
	struct bench *b = opaque;
	for (size_t done = 0; done < 200000;) {
		size_t n = write_pattern(b->c, done, 200000 - done < 77 ? 200000 - done : 77);
		done += n;
		if (!n)
			sched_yield();
	}
	return NULL;
}

Test(chardev, flush_races_with_the_loop_and_a_writer)
{
	struct bench b;
	int fd[2];
	pthread_t writer;
	bench_init(&b);
	make_pipe(fd);
	struct chardev_params params = params_of(&b, -1, fd[1]);
	bench_start(&b, &params);
	pthread_create(&writer, NULL, write_all, &b);
	for (size_t done = 0; done < 200000; done += 1000) {
		expect_pattern(fd[0], done, 1000);
		chardev_flush(b.c, 0, NULL);
	}
	pthread_join(writer, NULL);
	bench_done(&b);
}

struct chatter {
	struct bench *bench;
	atomic_size_t written;
	size_t written_before; /* loop thread's, as is writing the next */
	atomic_size_t most;    /* written since the other source was served last */
	atomic_bool enough;
	sem_t served;
};

static void *write_on_and_on(void *opaque)
{
	static const uint8_t data[4096];
	struct chatter *t = opaque;
	while (!t->enough)
		t->written += chardev_write(t->bench->c, data, sizeof(data));
	return NULL;
}

static void serve_other(void *opaque, uint32_t events)
{
	struct chatter *t = opaque;
	size_t written = t->written;
	if (written - t->written_before > t->most)
		t->most = written - t->written_before;
	t->written_before = written;
	sem_post(&t->served);
}

/* Output never runs dry; whoever else waits for the loop has its turn after a buffer's worth. */
Test(chardev, endless_output_leaves_the_loop_to_others)
{
	struct bench b;
	struct chatter chatter = { .bench = &b };
	struct loop_source *other;
	pthread_t writer;
	/* what is written there is hashed: always ready, but slower than the writer */
	int fd[2], out = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
	bench_init(&b);
	make_pipe(fd);
	sem_init(&chatter.served, 0, 0);
	cr_assert_eq(write(fd[1], "x", 1), 1); /* nobody reads it: ready for ever */
	struct chardev_params params = params_of(&b, -1, out);
	bench_start(&b, &params);
	cr_assert_eq(loop_add_fd(b.loop, fd[0], EPOLLIN, serve_other, &chatter, &other, NULL), 0);
	pthread_create(&writer, NULL, write_on_and_on, &chatter);
	while (chatter.written < 16u << 20 && chatter.most < 1u << 20)
		sem_wait(&chatter.served);
	chatter.enough = true;
	pthread_join(writer, NULL);
	loop_remove(other);
	/* a buffer's worth each: written out, waiting, and come meanwhile */
	cr_expect_leq(chatter.most, (size_t)3 * 65536);
	bench_done(&b);
}
