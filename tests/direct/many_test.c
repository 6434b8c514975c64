// SPDX-License-Identifier: Apache-2.0
/* Many VMs in one process at once: each has its own machine, output and end. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness.h"

/* About 20 descriptors each. */
static void need_descriptors(void)
{
	struct rlimit limit;
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

TestSuite(many, .init = need_descriptors, .timeout = TEST_TIMEOUT);

#define VMS   64
#define PORTS 16

struct member {
	struct lacuna_vm *vm;
	int out;
};

static struct member members[VMS];

static int new_output(void)
{
	int fd = memfd_create("console", MFD_CLOEXEC);
	cr_assert(fd >= 0, "descriptors have run out");
	return fd;
}

static void make(struct member *m, const struct guest *g)
{
	int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	m->out = new_output();
	m->vm = guest_new(g, in, m->out);
	close(in);
}

static void expect_output(const struct member *m, const char *wanted)
{
	char text[8192] = "";
	cr_assert(pread(m->out, text, sizeof(text) - 1, 0) > 0);
	cr_expect(strstr(text, wanted), "'%s' is not in the output: %s", wanted, text);
}

/* No two neighbours have the same number of functions, so that none can pass for another. */
Test(many, probes)
{
	need_kvm();
	for (unsigned i = 0; i < VMS; i++) {
		char pci[32];
		snprintf(pci, sizeof(pci), "ports=%u", i % PORTS);
		make(&members[i], &(struct guest){ .pci = pci, .memory = "32M" });
	}
	for (unsigned i = 0; i < VMS; i++)
		cr_assert_eq(lacuna_vm_start(members[i].vm, NULL), 0);
	for (unsigned i = 0; i < VMS; i++) {
		struct member *m = &members[i];
		enum lacuna_end_reason reason;
		char wanted[64];
		snprintf(wanted, sizeof(wanted), "\"functions\":%u,", 1 + i % PORTS);
		cr_assert_eq(lacuna_vm_wait(m->vm, &reason, NULL, NULL), 0);
		cr_expect_eq(reason, LACUNA_END_POWEROFF, "VM %u: %s", i,
			lacuna_end_reason_name(reason));
		expect_output(m, wanted);
		expect_output(m, "\"ok\":true");
	}
	for (unsigned i = 0; i < VMS; i++) {
		lacuna_vm_free(members[i].vm);
		close(members[i].out);
	}
}

/* All are stopped before any is waited for, and what one was told does not reach another. */
Test(many, stopped_together)
{
	need_kvm();
	static const struct guest g = {
		.image = "endings", .cmdline = "test=hang", .memory = "32M", .rng = 1
	};
	for (unsigned i = 0; i < VMS; i++)
		make(&members[i], &g);
	for (unsigned i = 0; i < VMS; i++)
		cr_assert_eq(lacuna_vm_start(members[i].vm, NULL), 0);
	for (unsigned i = 0; i < VMS; i++)
		cr_expect_eq(lacuna_vm_state(members[i].vm), LACUNA_VM_RUNNING);
	for (unsigned i = 1; i < VMS; i += 2)
		lacuna_vm_stop(members[i].vm);
	for (unsigned i = 0; i < VMS; i++)
		cr_expect_eq(lacuna_vm_state(members[i].vm),
			i % 2 ? LACUNA_VM_ENDED : LACUNA_VM_RUNNING, "VM %u", i);
	for (unsigned i = 0; i < VMS; i += 2)
		lacuna_vm_stop(members[i].vm);
	for (unsigned i = 0; i < VMS; i++) {
		enum lacuna_end_reason reason;
		cr_assert_eq(lacuna_vm_wait(members[i].vm, &reason, NULL, NULL), 0);
		cr_expect_eq(reason, LACUNA_END_STOPPED);
		lacuna_vm_free(members[i].vm);
		close(members[i].out);
	}
}
