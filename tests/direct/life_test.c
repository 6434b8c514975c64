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
	lacuna_vm_power_button(r.vm);
	cr_expect_eq(wait_for(&r), LACUNA_END_POWEROFF);
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
	cr_expect_eq(lacuna_vm_wait(vm, NULL, NULL, NULL), -EINVAL);
	cr_expect_not(readable(lacuna_vm_end_fd(vm)));
	cr_expect_eq(lacuna_vm_start(vm, NULL), 0);
	cr_expect_eq(lacuna_vm_start(vm, NULL), -EALREADY);
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
