// SPDX-License-Identifier: Apache-2.0
/* Byte streams whose other end is a function: nothing is lost, doubled or out of order, one call is
 * made at a time, and none of them holds a lock. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "backend/chardev.h"
#include "loop/loop.h"
#include "util/log.h"
#include "util/thread.h"

TestSuite(chardev_sink, .timeout = 60);

#define BUFFER 65536u /* of output */
#define IN     4096u  /* of input */

struct bench {
	struct loop *loop;
	struct chardev *c;
	sem_t input, space, called, go;
	atomic_bool slow;       /* each call of the sink waits for go */
	bool talks_back;        /* the sink calls in again */
	pthread_mutex_t device; /* a device takes turns in writing */
	size_t pending;         /* what the client writes when there is space */
	atomic_size_t written, seen;
	atomic_int under_way, together, wrong;
	_Atomic pthread_t thread; /* of the last call */
};

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 7 + i / 251);
}

static size_t write_pattern(struct bench *b, size_t len)
{
	LOCK_SCOPE(&b->device);
	uint8_t *data = malloc(len);
	for (size_t i = 0; i < len; i++)
		data[i] = pattern(b->written + i);
	size_t n = chardev_write(b->c, data, len);
	b->written += n;
	free(data);
	return n;
}

static void sink(void *opaque, const void *data, size_t size)
{
	struct bench *b = opaque;
	const uint8_t *bytes = data;
	b->together += b->under_way++ > 0;
	b->thread = pthread_self();
	sem_post(&b->called);
	if (b->slow)
		sem_wait(&b->go);
	if (b->talks_back) {
		cr_assert_leq(chardev_input(b->c, "x", 1), 1u);
		chardev_pending(b->c);
		chardev_present(b->c);
	}
	for (size_t i = 0; i < size; i++)
		b->wrong += bytes[i] != pattern(b->seen + i);
	b->seen += size;
	b->under_way--;
}

static void on_input(void *opaque)
{
	sem_post(&((struct bench *)opaque)->input);
}

static void on_space(void *opaque)
{
	struct bench *b = opaque;
	if (b->pending)
		b->pending -= write_pattern(b, b->pending);
	sem_post(&b->space);
}

static const struct chardev_client client = { .input = on_input, .space = on_space };

static void bench_init(struct bench *b)
{
	*b = (struct bench){ .device = PTHREAD_MUTEX_INITIALIZER };
	sem_init(&b->input, 0, 0);
	sem_init(&b->space, 0, 0);
	sem_init(&b->called, 0, 0);
	sem_init(&b->go, 0, 0);
	cr_assert_eq(loop_new(&b->loop, NULL), 0);
	struct chardev_params params = {
		.loop = b->loop,
		.name = "serial",
		.in_fd = -1,
		.out_fd = -1,
		.sink = { sink, b },
	};
	cr_assert_eq(chardev_new(&params, &b->c, NULL), 0);
}

static void bench_start(struct bench *b)
{
	chardev_attach(b->c, &client, b);
	cr_assert_eq(loop_start(b->loop, NULL), 0);
}

static void bench_done(struct bench *b)
{
	chardev_free(b->c);
	loop_free(b->loop);
	cr_expect_eq(b->wrong, 0);
	cr_expect_eq(b->together, 0, "one call at a time");
	cr_expect_eq(b->seen, b->written);
}

Test(chardev_sink, all_of_it_in_order)
{
	struct bench b;
	bench_init(&b);
	b.talks_back = true;
	bench_start(&b);
	while (b.written < 3000000)
		if (!write_pattern(&b, 10000))
			sem_wait(&b.space);
	cr_expect_eq(chardev_flush(b.c, 0, NULL), 0);
	cr_expect(chardev_present(b.c));
	bench_done(&b);
}

Test(chardev_sink, slow_one_pushes_back)
{
	struct bench b;
	bench_init(&b);
	b.slow = true;
	bench_start(&b);
	cr_assert_eq(write_pattern(&b, 100), 100u);
	sem_wait(&b.called); /* and it is kept there */
	cr_expect_eq(write_pattern(&b, (size_t)2 * BUFFER), BUFFER - 100,
		"as much as there is room for");
	cr_expect_eq(write_pattern(&b, 1), 0u);
	sem_post(&b.go);
	sem_wait(&b.called);
	cr_expect_eq(b.seen, 100u);
	cr_expect_eq(write_pattern(&b, 1000), 100u);
	for (unsigned i = 0; i < 4; i++)
		sem_post(&b.go);
	sem_wait(&b.space);
	cr_expect_eq(chardev_flush(b.c, 0, NULL), 0);
	bench_done(&b);
}

Test(chardev_sink, last_output_without_the_loop)
{
	struct bench b;
	bench_init(&b);
	chardev_attach(b.c, &client, &b);
	write_pattern(&b, 4000);
	cr_expect_eq(chardev_flush(b.c, 0, NULL), 0);
	cr_expect_eq(b.seen, 4000u);
	cr_expect(pthread_equal(b.thread, pthread_self()));
	bench_done(&b);
}

static void *finish(void *opaque)
{
	struct bench *b = opaque;
	chardev_finish(b->c, 1, NULL);
	return NULL;
}

/* The loop's thread is inside when the end comes, for longer than the end is ready to wait for a
 * descriptor. */
Test(chardev_sink, end_waits_for_its_turn)
{
	struct bench b;
	pthread_t thread;
	bench_init(&b);
	b.slow = true;
	bench_start(&b);
	write_pattern(&b, 10);
	sem_wait(&b.called);
	write_pattern(&b, 5000);
	pthread_create(&thread, NULL, finish, &b);
	cr_expect_eq(b.seen, 0u);
	b.slow = false;
	sem_post(&b.go);
	pthread_join(thread, NULL);
	cr_expect_eq(b.seen, 5010u);
	bench_done(&b);
}

/* What the device still has when the end comes, whether the loop gets there first or not. */
Test(chardev_sink, end_fetches_what_had_no_room)
{
	for (unsigned i = 0; i < 200; i++) {
		struct bench b;
		bench_init(&b);
		b.pending = (size_t)3 * BUFFER + 17;
		bench_start(&b);
		while (write_pattern(&b, 30000))
			;
		chardev_finish(b.c, chardev_last_output(), NULL);
		loop_stop(b.loop);
		cr_assert_eq(b.pending, 0u);
		cr_assert_eq(b.seen, b.written);
		bench_done(&b);
	}
}

static void count_lines(
	void *opaque, enum lacuna_log_level level, const char *component, const char *message)
{
	++*(unsigned *)opaque;
}

/* Others have used up the time, but this one takes what it is given. */
Test(chardev_sink, end_is_late_but_the_sink_is_ready)
{
	struct bench b;
	unsigned lines = 0;
	struct log log = { count_lines, &lines, LACUNA_LOG_WARNING };
	bench_init(&b);
	b.pending = (size_t)3 * BUFFER + 17;
	chardev_attach(b.c, &client, &b);
	chardev_finish(b.c, 0, &log);
	cr_expect_eq(b.pending, 0u);
	cr_expect_eq(lines, 0u);
	bench_done(&b);
}

/* A device that has more and more, its time being over, is heard for a while and told off. */
Test(chardev_sink, end_is_not_put_off_for_ever)
{
	struct bench b;
	unsigned lines = 0;
	struct log log = { count_lines, &lines, LACUNA_LOG_WARNING };
	bench_init(&b);
	b.pending = (size_t)100 * BUFFER;
	chardev_attach(b.c, &client, &b);
	write_pattern(&b, 100);
	chardev_finish(b.c, 0, &log);
	cr_expect_geq(b.seen, 100u);
	cr_expect_gt(b.pending, 0u);
	cr_expect_eq(lines, 1u);
	chardev_flush(b.c, 0, NULL);
	bench_done(&b);
}

Test(chardev_sink, input_takes_what_finds_room)
{
	struct bench b;
	uint8_t data[2 * IN], back[2 * IN];
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = pattern(i);
	bench_init(&b);
	cr_expect_eq(chardev_input(b.c, data, 10), 10u, "typed ahead");
	bench_start(&b);
	sem_wait(&b.input);
	cr_expect_eq(chardev_pending(b.c), 10u);
	cr_expect_eq(chardev_input(b.c, data + 10, sizeof(data) - 10), IN - 10);
	cr_expect_eq(chardev_input(b.c, data + IN, 1), 0u);
	sem_wait(&b.input);
	cr_expect_eq(chardev_read(b.c, back, 100), 100u);
	cr_expect_eq(chardev_input(b.c, data + IN, IN), 100u);
	cr_expect_eq(chardev_read(b.c, back + 100, sizeof(back)), IN);
	cr_expect_arr_eq(back, data, IN + 100);
	cr_expect_eq(chardev_input(b.c, data, 0), 0u);
	bench_done(&b);
}
