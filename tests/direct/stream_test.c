// SPDX-License-Identifier: Apache-2.0
/* Streams that end in functions of the program's: the serial port, a console, a port with a name.
 * Nothing is lost whatever the guest and the functions do, and nobody waits for ever. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

TestSuite(stream, .timeout = TEST_TIMEOUT);

/* --- VMs --- */

static void check(int rc, struct lacuna_error *err)
{
	if (rc < 0)
		cr_assert_fail("%s", lacuna_error_message(err));
}

static struct lacuna_config *config_new(const char *cmdline)
{
	struct lacuna_config *config;
	struct lacuna_error *err = NULL;
	char path[PATH_MAX];
	need_kvm();
	guest_path("streams", path, sizeof(path));
	check(lacuna_config_new(&config, &err), err);
	check(lacuna_config_set(config, "kernel", path, &err), err);
	check(lacuna_config_set(config, "cmdline", cmdline, &err), err);
	check(lacuna_config_set_bool(config, "add-cmdline", false, &err), err);
	check(lacuna_config_set_u64(config, "timeout", 200000000, &err), err);
	return config;
}

/* The guest's @stream goes to @fn; the configuration is gone before the VM is started. */
static struct lacuna_vm *vm_new(
	const char *cmdline, const char *stream, lacuna_output_fn fn, void *opaque)
{
	struct lacuna_config *config = config_new(cmdline);
	struct lacuna_error *err = NULL;
	struct lacuna_vm *vm;
	int rc;
	if (!strcmp(stream, "serial")) {
		rc = lacuna_config_set_serial_output(config, fn, opaque, &err);
	} else if (!strcmp(stream, "console")) {
		rc = lacuna_config_add_console_output(config, NULL, fn, opaque, &err);
	} else {
		check(lacuna_config_set(config, "console", "file=/dev/null", &err), err);
		rc = lacuna_config_add_console_output(config, stream, fn, opaque, &err);
	}
	check(rc, err);
	check(lacuna_vm_new(config, &vm, &err), err);
	lacuna_config_free(config);
	return vm;
}

static void vm_start(struct lacuna_vm *vm)
{
	struct lacuna_error *err = NULL;
	check(lacuna_vm_start(vm, &err), err);
}

static void expect_end(struct lacuna_vm *vm, enum lacuna_end_reason wanted)
{
	enum lacuna_end_reason reason;
	int code;
	struct lacuna_error *err = NULL;
	check(lacuna_vm_wait(vm, &reason, &code, &err), err);
	cr_expect_eq(reason, wanted, "%s: %s", lacuna_end_reason_name(reason),
		lacuna_vm_end_message(vm));
	cr_expect_eq(code, 0);
}

/* --- output --- */

struct taker {
	size_t seen, wrong;
	atomic_int under_way, together;
	bool slow; /* each call waits until another thread has answered it */
	sem_t called, answered;
};

/* As tests/guest/streams.c prints it. */
static uint8_t pattern(size_t at)
{
	size_t piece = at / 40000, i = at % 40000;
	char stamp[16];
	if (i >= 8)
		return (uint8_t)('a' + (i * 7 + i / 251) % 26);
	snprintf(stamp, sizeof(stamp), "%08zu", piece);
	return (uint8_t)stamp[i];
}

static void take(void *opaque, const void *data, size_t size)
{
	struct taker *t = opaque;
	const uint8_t *bytes = data;
	t->together += t->under_way++ > 0;
	if (t->slow) {
		sem_post(&t->called);
		sem_wait(&t->answered);
	}
	for (size_t i = 0; i < size; i++)
		t->wrong += bytes[i] != pattern(t->seen + i);
	t->seen += size;
	t->under_way--;
}

static void *answer(void *opaque)
{
	struct taker *t = opaque;
	for (;;) {
		sem_wait(&t->called);
		sched_yield();
		sem_post(&t->answered);
	}
	return NULL;
}

struct output_case {
	char stream[16], cmdline[64];
	size_t bytes;
	bool slow;
};

ParameterizedTestParameters(stream, output)
{
	static struct output_case c[] = {
		{ "serial", "test=print stream=serial bytes=0", 0, false },
		{ "serial", "test=print stream=serial bytes=1", 1, false },
		{ "serial", "test=print stream=serial bytes=1000000", 1000000, false },
		{ "serial", "test=print stream=serial bytes=200000", 200000, true },
		{ "console", "test=print stream=console bytes=1", 1, false },
		{ "console", "test=print stream=console bytes=9000000", 9000000, false },
		{ "console", "test=print stream=console bytes=2000000", 2000000, true },
		{ "second", "test=print stream=port bytes=9000000", 9000000, false },
	};
	return cr_make_param_array(struct output_case, c, sizeof(c) / sizeof(c[0]));
}

/* The guest ends with all of its queue, or of the FIFO, still to be taken. */
ParameterizedTest(struct output_case *c, stream, output)
{
	struct taker taker = { .slow = c->slow };
	pthread_t thread;
	sem_init(&taker.called, 0, 0);
	sem_init(&taker.answered, 0, 0);
	struct lacuna_vm *vm = vm_new(c->cmdline, c->stream, take, &taker);
	if (c->slow)
		cr_assert_eq(pthread_create(&thread, NULL, answer, &taker), 0);
	vm_start(vm);
	expect_end(vm, LACUNA_END_EXIT_CODE);
	cr_expect_eq(taker.seen, c->bytes);
	cr_expect_eq(taker.wrong, 0u);
	cr_expect_eq(taker.together, 0);
	lacuna_vm_free(vm);
	cr_expect_eq(taker.seen, c->bytes);
	if (c->slow) {
		pthread_cancel(thread);
		pthread_join(thread, NULL);
	}
}

Test(stream, two_machines_of_one_configuration)
{
	struct taker taker[2] = { 0 };
	struct lacuna_error *err = NULL;
	struct lacuna_vm *vm[2];
	struct lacuna_config *config = config_new("test=print stream=serial bytes=200000");
	check(lacuna_config_set_serial_output(config, take, &taker[0], &err), err);
	check(lacuna_vm_new(config, &vm[0], &err), err);
	lacuna_config_free(config);
	vm[1] = vm_new("test=print stream=console bytes=200000", "console", take, &taker[1]);
	for (unsigned i = 0; i < 2; i++)
		vm_start(vm[i]);
	for (unsigned i = 0; i < 2; i++) {
		expect_end(vm[i], LACUNA_END_EXIT_CODE);
		cr_expect_eq(taker[i].seen, 200000u);
		cr_expect_eq(taker[i].wrong, 0u);
		lacuna_vm_free(vm[i]);
	}
}

/* --- calls from inside --- */

struct stopper {
	struct lacuna_vm *vm;
	size_t seen;
};

static void stop(void *opaque, const void *data, size_t size)
{
	struct stopper *s = opaque;
	struct lacuna_stats stats = { .size = sizeof(stats) };
	size_t taken;
	lacuna_vm_stats(s->vm, &stats);
	s->seen += size;
	int rc = lacuna_vm_input(s->vm, "serial", "x", 1, &taken, NULL);
	cr_assert(rc == 0 || rc == -ESRCH);
	if (s->seen > 50000)
		lacuna_vm_stop(s->vm);
}

Test(stream, stopped_from_inside)
{
	struct stopper s = { 0 };
	s.vm = vm_new("test=print stream=serial bytes=4000000000", "serial", stop, &s);
	vm_start(s.vm);
	expect_end(s.vm, LACUNA_END_STOPPED);
	cr_expect_gt(s.seen, 50000u);
	lacuna_vm_free(s.vm);
}

struct locker {
	struct lacuna_vm *vm;
	pthread_mutex_t lock;
	pthread_t waiter;
	sem_t inside, let_go;
	bool told;
};

/* The loop is kept here until the last output has come to the thread that waits. */
static void keep_loop(void *opaque, const void *data, size_t size)
{
	struct locker *l = opaque;
	size_t taken;
	if (!memchr(data, '\n', size)) /* "hello" may come in pieces */
		return;
	cr_expect_eq(lacuna_vm_input(l->vm, "serial", "x", 1, &taken, NULL), 0);
	sem_wait(&l->let_go);
	sem_post(&l->let_go);
}

static void want_lock(void *opaque, const void *data, size_t size)
{
	struct locker *l = opaque;
	if (!l->told) { /* later on, it may be the loop's turn again */
		cr_expect(pthread_equal(pthread_self(), l->waiter));
		sem_post(&l->inside);
	}
	l->told = true;
	pthread_mutex_lock(&l->lock);
	pthread_mutex_unlock(&l->lock);
}

static void *run(void *opaque)
{
	struct locker *l = opaque;
	l->waiter = pthread_self();
	vm_start(l->vm);
	expect_end(l->vm, LACUNA_END_EXIT_CODE);
	return NULL;
}

static void ignore(void *opaque, const char *device, const char *key, const char *value)
{
}

/* Somebody has a lock that the function wants, and calls the library with it. */
Test(stream, no_lock_is_held)
{
	struct locker l = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct lacuna_error *err = NULL;
	pthread_t thread;
	sem_init(&l.inside, 0, 0);
	sem_init(&l.let_go, 0, 0);
	struct lacuna_config *config = config_new("test=print stream=console bytes=1200000 hello");
	check(lacuna_config_set_serial_output(config, keep_loop, &l, &err), err);
	check(lacuna_config_add_console_output(config, NULL, want_lock, &l, &err), err);
	check(lacuna_vm_new(config, &l.vm, &err), err);
	lacuna_config_free(config);

	pthread_mutex_lock(&l.lock);
	cr_assert_eq(pthread_create(&thread, NULL, run, &l), 0);
	sem_wait(&l.inside);
	cr_expect_eq(lacuna_vm_set_deadline(l.vm, 1, NULL), -ESRCH);
	cr_expect_eq(lacuna_vm_device_get(l.vm, NULL, ignore, NULL, NULL), -ESRCH);
	cr_expect_eq(lacuna_vm_device_set(l.vm, "console0", "size=80x25", NULL), -ESRCH);
	cr_expect_eq(lacuna_vm_pause(l.vm, NULL), -ESRCH);
	pthread_mutex_unlock(&l.lock);
	sem_post(&l.let_go);
	pthread_join(thread, NULL);
	lacuna_vm_free(l.vm);
}

/* --- input --- */

struct echo {
	uint8_t back[32768];
	atomic_size_t size;
	sem_t more;
};

static void hear(void *opaque, const void *data, size_t size)
{
	struct echo *e = opaque;
	cr_assert_leq(size, sizeof(e->back) - e->size);
	memcpy(e->back + e->size, data, size);
	e->size += size;
	sem_post(&e->more);
}

struct input_case {
	char stream[16], cmdline[64];
};

ParameterizedTestParameters(stream, input)
{
	static struct input_case c[] = {
		{ "serial", "test=echo stream=serial" },
		{ "console", "test=echo stream=console" },
		{ "second", "test=echo stream=port" },
	};
	return cr_make_param_array(struct input_case, c, sizeof(c) / sizeof(c[0]));
}

/* More than there is room for; what finds none is offered again whenever some has come back. */
ParameterizedTest(struct input_case *c, stream, input)
{
	static uint8_t data[20000];
	static struct echo echo;
	size_t taken, sent = 0;
	struct lacuna_error *err = NULL;
	echo.size = 0;
	sem_init(&echo.more, 0, 0);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)('A' + i % 11);
	data[sizeof(data) - 1] = 'q';
	struct lacuna_vm *vm = vm_new(c->cmdline, c->stream, hear, &echo);

	cr_expect_eq(lacuna_vm_input(vm, "third", "x", 1, &taken, &err), -ENODEV);
	cr_expect_not_null(strstr(lacuna_error_message(err), "no stream is called 'third'"));
	lacuna_error_free(err);
	err = NULL;
	check(lacuna_vm_input(vm, c->stream, data, 100, &sent, &err), err);
	cr_assert_eq(sent, 100u, "typed ahead");
	vm_start(vm);
	while (sent < sizeof(data)) {
		check(lacuna_vm_input(
			      vm, c->stream, data + sent, sizeof(data) - sent, &taken, &err),
			err);
		sent += taken;
		if (sent < sizeof(data))
			sem_wait(&echo.more);
	}
	expect_end(vm, LACUNA_END_EXIT_CODE);
	cr_expect_eq(echo.size, 5 + sizeof(data));
	cr_expect_arr_eq(echo.back, "ready", 5);
	cr_expect_arr_eq(echo.back + 5, data, sizeof(data));
	taken = 1;
	cr_expect_eq(lacuna_vm_input(vm, c->stream, data, 1, &taken, NULL), -ESRCH);
	cr_expect_eq(taken, 0u);
	lacuna_vm_free(vm);
}

Test(stream, only_streams_of_functions_take_input)
{
	size_t taken;
	struct lacuna_vm *vm =
		guest_new(&(struct guest){ .image = "console", .console = true }, 0, 1);
	cr_expect_eq(lacuna_vm_input(vm, "serial", "x", 1, &taken, NULL), -ENODEV);
	cr_expect_eq(lacuna_vm_input(vm, "console", "x", 1, &taken, NULL), -ENODEV);
	cr_expect_eq(lacuna_vm_input(vm, "second", "x", 1, &taken, NULL), -ENODEV);
	cr_expect_eq(lacuna_vm_input(vm, NULL, "x", 1, &taken, NULL), -EINVAL);
	cr_expect_eq(lacuna_vm_input(vm, "serial", NULL, 1, &taken, NULL), -EINVAL);
	cr_expect_eq(lacuna_vm_input(NULL, "serial", "x", 1, &taken, NULL), -EINVAL);
	lacuna_vm_free(vm);
}
