// SPDX-License-Identifier: Apache-2.0
/* The life of a VM as an embedder sees it: stops, buttons, several at once, calls out of order. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

TestSuite(life, .timeout = TEST_TIMEOUT);

static const struct guest hanging = { .image = "endings", .cmdline = "test=hang" };

static int nowhere(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	cr_assert(fd >= 0);
	return fd;
}

struct running {
	struct lacuna_vm *vm;
	int console; /* what the guest prints */
};

/* Starts @g and returns when it has printed @word. */
static struct running start(const struct guest *g, const char *word)
{
	int in = nowhere(), fd[2];
	char seen[256] = "";
	size_t n = 0;
	cr_assert_eq(pipe2(fd, O_CLOEXEC), 0);
	struct running r = { guest_new(g, in, fd[1]), fd[0] };
	close(in);
	close(fd[1]);
	cr_assert_eq(lacuna_vm_start(r.vm, NULL), 0);
	while (!strstr(seen, word)) {
		ssize_t got = read(r.console, seen + n, sizeof(seen) - 1 - n);
		cr_assert_gt(got, 0, "it ended before it printed '%s': '%s'", word, seen);
		n += (size_t)got;
	}
	return r;
}

static enum lacuna_end_reason wait_for(struct running *r)
{
	enum lacuna_end_reason reason;
	cr_assert_eq(lacuna_vm_wait(r->vm, &reason, NULL, NULL), 0);
	return reason;
}

static void done(struct running *r)
{
	lacuna_vm_free(r->vm);
	close(r->console);
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, 0) == 1;
}

Test(life, stop)
{
	need_kvm();
	struct running r = start(&hanging, "hang");
	cr_expect_not(readable(lacuna_vm_end_fd(r.vm)));
	lacuna_vm_stop(r.vm);
	lacuna_vm_stop(r.vm);
	cr_expect_eq(wait_for(&r), LACUNA_END_STOPPED);
	cr_expect(readable(lacuna_vm_end_fd(r.vm)));
	lacuna_vm_stop(r.vm);
	cr_expect_eq(wait_for(&r), LACUNA_END_STOPPED);
	done(&r);
}

Test(life, stop_many_processors)
{
	need_kvm();
	struct guest g = hanging;
	g.cpus = 16;
	for (unsigned i = 0; i < 10; i++) {
		struct running r = start(&g, "hang");
		lacuna_vm_stop(r.vm);
		cr_expect_eq(wait_for(&r), LACUNA_END_STOPPED);
		done(&r);
	}
}

Test(life, stop_at_once)
{
	need_kvm();
	for (unsigned i = 0; i < 20; i++) {
		struct running r = { guest_new(&hanging, nowhere(), nowhere()), -1 };
		cr_assert_eq(lacuna_vm_start(r.vm, NULL), 0);
		lacuna_vm_stop(r.vm);
		cr_expect_eq(wait_for(&r), LACUNA_END_STOPPED);
		lacuna_vm_free(r.vm);
	}
}

Test(life, free_while_it_runs)
{
	need_kvm();
	struct running r = start(&hanging, "hang");
	done(&r);
}

Test(life, power_button)
{
	need_kvm();
	static const struct guest g = { .image = "machine", .cmdline = "test=button" };
	struct running r = start(&g, "ready");
	cr_expect_eq(lacuna_vm_power_button(r.vm, NULL), 0);
	cr_expect_eq(wait_for(&r), LACUNA_END_POWEROFF);
	done(&r);
}

/* KVM's 8259s are there, but no firmware has given their inputs vectors. */
Test(life, interrupt_before_the_guest_is_ready_for_one)
{
	need_kvm();
	static const struct guest g = { .image = "machine", .cmdline = "test=early" };
	struct running r = start(&g, "ready");
	cr_expect_eq(lacuna_vm_power_button(r.vm, NULL), 0);
	cr_expect_eq(wait_for(&r), LACUNA_END_EXIT_CODE);
	struct lacuna_stats stats = { .size = sizeof(stats) };
	lacuna_vm_stats(r.vm, &stats);
	cr_expect_eq(stats.end_code, 0, "exit code %d", stats.end_code);
	done(&r);
}

Test(life, two_at_once)
{
	need_kvm();
	struct running a = start(&hanging, "hang"), b = start(&hanging, "hang");
	lacuna_vm_stop(a.vm);
	cr_expect_eq(wait_for(&a), LACUNA_END_STOPPED);
	cr_expect_not(readable(lacuna_vm_end_fd(b.vm)));
	done(&a);
	lacuna_vm_stop(b.vm);
	cr_expect_eq(wait_for(&b), LACUNA_END_STOPPED);
	done(&b);
}

Test(life, out_of_order)
{
	need_kvm();
	struct lacuna_vm *vm = guest_new(&hanging, nowhere(), nowhere());
	cr_expect_eq(lacuna_vm_state(vm), LACUNA_VM_CREATED);
	cr_expect_eq(lacuna_vm_wait(vm, NULL, NULL, NULL), -EINVAL);
	cr_expect_eq(lacuna_vm_pause(vm, NULL), -ESRCH);
	cr_expect_eq(lacuna_vm_resume(vm, NULL), -ESRCH);
	cr_expect_eq(lacuna_vm_power_button(vm, NULL), -ESRCH);
	cr_expect_not(readable(lacuna_vm_end_fd(vm)));
	cr_expect_eq(lacuna_vm_start(vm, NULL), 0);
	cr_expect_eq(lacuna_vm_start(vm, NULL), -EALREADY);
	cr_expect_eq(lacuna_vm_state(vm), LACUNA_VM_RUNNING);
	lacuna_vm_stop(vm);
	cr_expect_eq(lacuna_vm_state(vm), LACUNA_VM_ENDED);
	cr_expect_eq(lacuna_vm_pause(vm, NULL), -ESRCH);
	cr_expect_eq(lacuna_vm_resume(vm, NULL), -ESRCH);
	cr_expect_eq(lacuna_vm_power_button(vm, NULL), -ESRCH);
	cr_expect_eq(lacuna_vm_set_deadline(vm, 1, NULL), -ESRCH);
	lacuna_vm_free(vm);
	lacuna_vm_free(guest_new(&hanging, nowhere(), nowhere())); /* never started */
	lacuna_vm_free(NULL);
}

/* A program built against another version of the library brings another size. */
Test(life, statistics_of_other_sizes)
{
	need_kvm();
	struct {
		struct lacuna_stats stats;
		uint8_t newer[16];
	} s;
	struct lacuna_vm *vm = guest_new(&hanging, nowhere(), nowhere());
	memset(&s, 0x5a, sizeof(s));
	s.stats.size = sizeof(s);
	lacuna_vm_stats(vm, &s.stats);
	cr_expect_eq(s.stats.size, sizeof(s));
	cr_expect_eq(s.stats.vcpus, 1);
	for (size_t i = 0; i < sizeof(s.newer); i++)
		cr_expect_eq(s.newer[i], 0);
	memset(&s, 0x5a, sizeof(s));
	s.stats.size = offsetof(struct lacuna_stats, memory_bytes);
	lacuna_vm_stats(vm, &s.stats);
	cr_expect_eq(s.stats.vcpus, 1);
	cr_expect_eq(s.stats.memory_bytes, 0x5a5a5a5a5a5a5a5a);
	lacuna_vm_free(vm);
}

Test(life, stopped_before_it_was_started)
{
	need_kvm();
	enum lacuna_end_reason reason = LACUNA_END_NONE;
	struct lacuna_vm *vm = guest_new(&hanging, nowhere(), nowhere());
	lacuna_vm_stop(vm);
	cr_expect(readable(lacuna_vm_end_fd(vm)));
	cr_expect_eq(lacuna_vm_start(vm, NULL), -ECANCELED);
	cr_expect_eq(lacuna_vm_wait(vm, &reason, NULL, NULL), 0);
	cr_expect_eq(reason, LACUNA_END_STOPPED);
	lacuna_vm_free(vm);
}

Test(life, deadline)
{
	need_kvm();
	struct running r = start(&hanging, "hang");
	cr_expect_eq(lacuna_vm_set_deadline(r.vm, 1, NULL), 0);
	cr_expect_eq(wait_for(&r), LACUNA_END_TIMEOUT);
	done(&r);
	/* before the start, and taken back */
	r = (struct running){ guest_new(&hanging, nowhere(), nowhere()), nowhere() };
	cr_expect_eq(lacuna_vm_set_deadline(r.vm, 1000, NULL), 0);
	cr_expect_eq(lacuna_vm_start(r.vm, NULL), 0);
	cr_expect_eq(wait_for(&r), LACUNA_END_TIMEOUT);
	done(&r);
	r = start(&hanging, "hang");
	cr_expect_eq(lacuna_vm_set_deadline(r.vm, 3600000000, NULL), 0);
	cr_expect_eq(lacuna_vm_set_deadline(r.vm, 0, NULL), 0);
	lacuna_vm_stop(r.vm);
	cr_expect_eq(wait_for(&r), LACUNA_END_STOPPED);
	done(&r);
}

/* --- pause: counters in guest memory tell whether the guest runs --- */

#define COUNTING_CPUS 3

static const struct guest counting = {
	.image = "counter", .cmdline = "test=count", .cpus = COUNTING_CPUS
};

struct counters {
	uint64_t order, count[COUNTING_CPUS];
};

static uint64_t block_of(const struct running *r, const char *seen)
{
	const char *at = strstr(seen, "block ");
	cr_assert(at);
	return strtoull(at + strlen("block "), NULL, 0);
}

static struct running start_counting(uint64_t *ret_block)
{
	int in = nowhere(), fd[2];
	char seen[256] = "";
	cr_assert_eq(pipe2(fd, O_CLOEXEC), 0);
	struct running r = { guest_new(&counting, in, fd[1]), fd[0] };
	close(in);
	close(fd[1]);
	cr_assert_eq(lacuna_vm_start(r.vm, NULL), 0);
	for (size_t n = 0; !strchr(seen, '\n');) {
		ssize_t got = read(r.console, seen + n, sizeof(seen) - 1 - n);
		cr_assert_gt(got, 0, "it ended early: '%s'", seen);
		n += (size_t)got;
	}
	*ret_block = block_of(&r, seen);
	return r;
}

static struct counters look(const struct running *r, uint64_t block)
{
	struct counters c;
	cr_assert_eq(lacuna_vm_read_memory(r->vm, block, &c, sizeof(c), NULL), 0);
	return c;
}

static uint64_t exits(const struct running *r)
{
	struct lacuna_stats s = { .size = sizeof(s) };
	lacuna_vm_stats(r->vm, &s);
	return s.exits_total;
}

/* Returns when every processor has counted on. */
static void see_it_run(const struct running *r, uint64_t block)
{
	struct counters before = look(r, block), now;
	for (unsigned i = 0; i < COUNTING_CPUS; i++)
		do
			now = look(r, block);
		while (now.count[i] == before.count[i]);
}

static void see_it_stand(const struct running *r, uint64_t block)
{
	struct counters before = look(r, block);
	uint64_t e = exits(r);
	for (unsigned i = 0; i < 1000; i++) {
		struct counters now = look(r, block);
		cr_assert_arr_eq(&now, &before, sizeof(now));
	}
	cr_assert_eq(exits(r), e);
}

static void give_order(const struct running *r, uint64_t block, uint64_t order)
{
	cr_assert_eq(lacuna_vm_write_memory(r->vm, block, &order, sizeof(order), NULL), 0);
}

Test(life, pause_and_resume)
{
	need_kvm();
	uint64_t block;
	int code = 0;
	enum lacuna_end_reason reason;
	struct running r = start_counting(&block);
	for (unsigned i = 0; i < 20; i++) {
		see_it_run(&r, block);
		cr_assert_eq(lacuna_vm_pause(r.vm, NULL), 0);
		cr_assert_eq(lacuna_vm_state(r.vm), LACUNA_VM_PAUSED);
		cr_assert_eq(lacuna_vm_pause(r.vm, NULL), 0);
		see_it_stand(&r, block);
		cr_assert_eq(lacuna_vm_resume(r.vm, NULL), 0);
		cr_assert_eq(lacuna_vm_resume(r.vm, NULL), 0);
		cr_assert_eq(lacuna_vm_state(r.vm), LACUNA_VM_RUNNING);
	}
	/* an order that it finds when it goes on */
	cr_assert_eq(lacuna_vm_pause(r.vm, NULL), 0);
	give_order(&r, block, 42);
	see_it_stand(&r, block);
	cr_assert_eq(lacuna_vm_resume(r.vm, NULL), 0);
	cr_assert_eq(lacuna_vm_wait(r.vm, &reason, &code, NULL), 0);
	cr_expect_eq(reason, LACUNA_END_EXIT_CODE);
	cr_expect_eq(code, 42);
	done(&r);
}

Test(life, ends_of_a_paused_machine)
{
	need_kvm();
	uint64_t block;
	struct running r = start_counting(&block);
	cr_assert_eq(lacuna_vm_pause(r.vm, NULL), 0);
	lacuna_vm_stop(r.vm);
	cr_expect_eq(wait_for(&r), LACUNA_END_STOPPED);
	done(&r);
	r = start_counting(&block);
	cr_assert_eq(lacuna_vm_pause(r.vm, NULL), 0);
	cr_assert_eq(lacuna_vm_set_deadline(r.vm, 1, NULL), 0);
	cr_expect_eq(wait_for(&r), LACUNA_END_TIMEOUT);
	done(&r);
	r = start_counting(&block);
	cr_assert_eq(lacuna_vm_pause(r.vm, NULL), 0);
	done(&r); /* freed as it is */
}

Test(life, memory_bounds)
{
	need_kvm();
	static const struct {
		uint64_t gpa;
		size_t size;
		int rc;
	} cases[] = {
		{ 0, 0, 0 },
		{ 0, 16, 0 },
		{ (64 << 20) - 16, 16, 0 },
		{ (64 << 20) - 15, 16, -EFAULT },
		{ 64 << 20, 1, -EFAULT },
		{ 0xe0000000, 4, -EFAULT }, /* the ECAM window */
		{ UINT64_MAX, 1, -EFAULT },
		{ UINT64_MAX - 7, 16, -EFAULT },
		{ 16, SIZE_MAX, -EFAULT },
	};
	struct guest g = hanging;
	g.memory = "64M";
	struct lacuna_vm *vm = guest_new(&g, nowhere(), nowhere());
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t buf[16] = { 0 };
		struct lacuna_error *err = NULL;
		cr_expect_eq(lacuna_vm_read_memory(vm, cases[i].gpa, buf, cases[i].size, &err),
			cases[i].rc, "read %zu", i);
		cr_expect_eq(err != NULL, cases[i].rc < 0);
		lacuna_error_free(err);
		cr_expect_eq(lacuna_vm_write_memory(vm, cases[i].gpa, buf, cases[i].size, NULL),
			cases[i].rc, "write %zu", i);
	}
	lacuna_vm_free(vm);
}
