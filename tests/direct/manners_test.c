// SPDX-License-Identifier: Apache-2.0
/* A library is a guest in somebody else's process: what it finds there, it leaves as it was. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

TestSuite(manners, .timeout = TEST_TIMEOUT);

static void on_property(void *opaque, const char *device, const char *key, const char *value)
{
}

static int on_file(void *opaque, const char *name, const void *data, size_t size)
{
	return 0;
}

static void on_counter(void *opaque, const char *name, uint64_t value)
{
}

static void on_topic(void *opaque, bool ok, const char *topic, const char *text)
{
}

static void fail(void)
{
	static const char *const bad[][2] = { { "kernel", "/nonexistent" }, { "disk", "/" },
		{ "net", "tap=lacunanone0" }, { "rng", "bus=300" }, { "pci", "window=none" },
		{ "vsock", "cid=3,path=/nonexistent/v" }, { "memory", "64P" } };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct lacuna_error *err = NULL;
		struct lacuna_config *config;
		struct lacuna_vm *vm;
		cr_assert_eq(lacuna_config_new(&config, NULL), 0);
		if (lacuna_config_set(config, bad[i][0], bad[i][1], &err) == 0)
			cr_expect_lt(lacuna_vm_new(config, &vm, &err), 0);
		cr_expect_not_null(err);
		lacuna_error_free(err);
		lacuna_config_free(config);
	}
}

static void ask(struct lacuna_vm *vm)
{
	struct lacuna_stats stats = { .size = sizeof(stats) };
	lacuna_vm_stats(vm, &stats);
	lacuna_vm_kvm_stats(vm, on_counter, NULL, NULL);
	lacuna_vm_device_get(vm, NULL, on_property, NULL, NULL);
	lacuna_vm_device_set(vm, "balloon0", "size=2M", NULL);
	lacuna_vm_device_set(vm, "balloon0", "size=lots", NULL);
	lacuna_vm_dump(vm, "pci", on_file, NULL, NULL);
	lacuna_vm_dump(vm, "nothing", on_file, NULL, NULL);
	lacuna_vm_power_button(vm, NULL);
}

/* Lives of VMs with every kind of device and every call, the failing ones too. */
static void live(int in, int out)
{
	static const struct guest hanging = {
		.image = "endings",
		.cmdline = "test=hang",
		.cpus = 2,
		.balloon = "size=1M",
		.rng = 1,
		.vsock = true,
		.console = true,
	};
	struct guest g = hanging;
	g.disk = scratch_disk(1 << 20);
	lacuna_host_check(on_topic, NULL, NULL);
	fail();
	struct lacuna_vm *vm = guest_new(&g, in, out);
	ask(vm);
	cr_assert_eq(lacuna_vm_start(vm, NULL), 0);
	ask(vm);
	cr_assert_eq(lacuna_vm_pause(vm, NULL), 0);
	cr_assert_eq(lacuna_vm_resume(vm, NULL), 0);
	lacuna_vm_start(vm, NULL);
	lacuna_vm_stop(vm);
	cr_assert_eq(lacuna_vm_wait(vm, NULL, NULL, NULL), 0);
	lacuna_vm_free(vm);
	/* one that crashes, and drivers that do it all wrong */
	guest_check(&(struct guest){
		.image = "endings", .cmdline = "test=triple-fault", .reason = LACUNA_END_CRASH });
	guest_check(&(struct guest){ .image = "virtio", .cmdline = "test=bad-chain", .rng = 1 });
}

static int nowhere(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	return fd;
}

/* --- signals --- */

#define SIGNALS 65

static void dispositions(struct sigaction ret[SIGNALS])
{
	memset(ret, 0, SIGNALS * sizeof(*ret));
	for (int s = 1; s < SIGNALS; s++)
		sigaction(s, NULL, &ret[s]); /* fails for the C library's own two */
}

Test(manners, signals)
{
	need_kvm();
	const int kick = SIGRTMIN + LACUNA_KICK_SIGNAL_OFFSET;
	struct sigaction before[SIGNALS], after[SIGNALS];
	sigset_t mask, now, pending;
	int fd = nowhere();
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	signal(SIGUSR1, SIG_IGN);
	dispositions(before);
	live(fd, fd);
	dispositions(after);
	for (int s = 1; s < SIGNALS; s++) {
		bool same = before[s].sa_handler == after[s].sa_handler &&
			    before[s].sa_flags == after[s].sa_flags;
		for (int t = 1; t < SIGNALS; t++)
			same &= sigismember(&before[s].sa_mask, t) ==
				sigismember(&after[s].sa_mask, t);
		cr_expect_eq(same, s != kick, "signal %d", s);
	}
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	sigpending(&pending);
	for (int s = 1; s < SIGNALS; s++) {
		cr_expect_eq(sigismember(&now, s), sigismember(&mask, s), "signal %d", s);
		cr_expect_neq(sigismember(&pending, s), 1, "signal %d", s);
	}
	close(fd);
}

/* Whoever reads the console leaves, and SIGPIPE would end us. */
Test(manners, no_broken_pipe)
{
	need_kvm();
	int in = nowhere(), fd[2];
	enum lacuna_end_reason reason;
	cr_assert_eq(pipe2(fd, O_CLOEXEC), 0);
	close(fd[0]);
	struct lacuna_vm *vm = guest_new(
		&(struct guest){ .image = "console", .cmdline = "test=flood" }, in, fd[1]);
	cr_assert_eq(lacuna_vm_start(vm, NULL), 0);
	cr_assert_eq(lacuna_vm_wait(vm, &reason, NULL, NULL), 0);
	cr_expect_eq(reason, LACUNA_END_FAILED);
	cr_expect(strstr(lacuna_vm_end_message(vm), "Broken pipe"));
	lacuna_vm_free(vm);
	close(in);
	close(fd[1]);
}

static void fill(int fd)
{
	static const char zeros[4096];
	cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
	cr_assert_eq(errno, EAGAIN);
}

/* The guest has ended when the reader leaves: how it ended does not hang on when one waits. */
Test(manners, output_lost_before_anybody_waits)
{
	need_kvm();
	int in = nowhere(), fd[2];
	enum lacuna_end_reason reason;
	cr_assert_eq(pipe2(fd, O_CLOEXEC), 0);
	fill(fd[1]);
	struct lacuna_vm *vm = guest_new(
		&(struct guest){ .image = "endings", .cmdline = "test=acpi-reset" }, in, fd[1]);
	struct pollfd end = { .fd = lacuna_vm_end_fd(vm), .events = POLLIN };
	struct lacuna_stats stats = { .size = sizeof(stats) };
	cr_assert_eq(lacuna_vm_start(vm, NULL), 0);
	cr_assert_eq(poll(&end, 1, -1), 1);
	lacuna_vm_stats(vm, &stats);
	cr_expect_eq(stats.end_reason, LACUNA_END_RESET);
	close(fd[0]);
	do /* the loop notices */
		lacuna_vm_stats(vm, &stats);
	while (stats.end_reason == LACUNA_END_RESET);
	cr_assert_eq(lacuna_vm_wait(vm, &reason, NULL, NULL), 0);
	cr_expect_eq(reason, LACUNA_END_FAILED);
	cr_expect(strstr(lacuna_vm_end_message(vm), "Broken pipe"));
	lacuna_vm_free(vm);
	close(in);
	close(fd[1]);
}

/* --- descriptors --- */

/* Standard output and error are a pipe meanwhile, which must be empty in the end. */
Test(manners, nothing_is_printed)
{
	need_kvm();
	int fd = nowhere(), pipe_fd[2], saved[2] = { dup(STDOUT_FILENO), dup(STDERR_FILENO) };
	char text[256] = "";
	cr_assert(saved[0] >= 0 && saved[1] >= 0);
	cr_assert_eq(pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK), 0);
	fflush(NULL);
	dup2(pipe_fd[1], STDOUT_FILENO);
	dup2(pipe_fd[1], STDERR_FILENO);
	live(fd, fd);
	fflush(NULL);
	dup2(saved[0], STDOUT_FILENO);
	dup2(saved[1], STDERR_FILENO);
	ssize_t n = read(pipe_fd[0], text, sizeof(text) - 1);
	cr_expect(n < 0 && errno == EAGAIN, "printed: %s", text);
	close(fd);
}

static bool is_inherited(int fd)
{
	int flags = fcntl(fd, F_GETFD);
	return flags >= 0 && !(flags & FD_CLOEXEC);
}

/* A program that the embedder starts has none of a VM's descriptors. */
Test(manners, descriptors_are_not_inherited)
{
	need_kvm();
	bool before[1024];
	int in = nowhere();
	struct guest g = { .image = "endings",
		.cmdline = "test=hang",
		.disk = scratch_disk(1 << 20),
		.balloon = "size=1M",
		.rng = 1,
		.vsock = true,
		.console = true };
	unsigned seen = 0;
	for (int fd = 0; fd < 1024; fd++)
		before[fd] = fcntl(fd, F_GETFD) >= 0;
	struct lacuna_vm *vm = guest_new(&g, in, in);
	cr_assert_eq(lacuna_vm_start(vm, NULL), 0);
	for (int fd = 0; fd < 1024; fd++) {
		seen += !before[fd] && fcntl(fd, F_GETFD) >= 0;
		cr_expect(before[fd] || !is_inherited(fd), "descriptor %d", fd);
	}
	cr_expect_gt(seen, 30);
	lacuna_vm_free(vm);
	for (int fd = 0; fd < 1024; fd++)
		cr_expect_eq(before[fd], fcntl(fd, F_GETFD) >= 0, "descriptor %d", fd);
	close(in);
}

/* The flags of an open file are everybody's who has it. */
Test(manners, flags_of_descriptors)
{
	need_kvm();
	int in[2], out[2];
	cr_assert(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	int before[2] = { fcntl(in[0], F_GETFL), fcntl(out[1], F_GETFL) };
	live(in[0], out[1]);
	cr_expect_eq(fcntl(in[0], F_GETFL), before[0]);
	cr_expect_eq(fcntl(out[1], F_GETFL), before[1]);
}

/* --- all else that a process has --- */

struct surroundings {
	char locale[256], cwd[256], name[16];
	mode_t mask;
	struct rlimit limit[RLIM_NLIMITS];
	struct itimerval timer;
	int dumpable, no_new_privs, subreaper;
	char environment[16384];
	cpu_set_t cpus;
};

static void look(struct surroundings *s)
{
	memset(s, 0, sizeof(*s));
	snprintf(s->locale, sizeof(s->locale), "%s", setlocale(LC_ALL, NULL));
	cr_assert_not_null(getcwd(s->cwd, sizeof(s->cwd)));
	pthread_getname_np(pthread_self(), s->name, sizeof(s->name));
	s->mask = umask(0);
	umask(s->mask);
	for (unsigned i = 0; i < RLIM_NLIMITS; i++)
		getrlimit(i, &s->limit[i]);
	getitimer(ITIMER_REAL, &s->timer);
	s->timer.it_value = (struct timeval){ 0 }; /* the test's own alarm goes on */
	s->dumpable = prctl(PR_GET_DUMPABLE);
	s->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	prctl(PR_GET_CHILD_SUBREAPER, &s->subreaper);
	for (char **e = environ; *e; e++)
		strncat(s->environment, *e, sizeof(s->environment) - strlen(s->environment) - 1);
	pthread_getaffinity_np(pthread_self(), sizeof(s->cpus), &s->cpus);
}

Test(manners, surroundings)
{
	need_kvm();
	static struct surroundings before, after;
	int fd = nowhere();
	umask(027);
	cr_assert_eq(chdir("/tmp"), 0);
	look(&before);
	live(fd, fd);
	look(&after);
	cr_expect_str_eq(after.locale, before.locale);
	cr_expect_str_eq(after.cwd, before.cwd);
	cr_expect_str_eq(after.name, before.name);
	cr_expect_eq(after.mask, before.mask);
	cr_expect_str_eq(after.environment, before.environment);
	cr_expect_arr_eq(&after, &before, sizeof(after));
	cr_expect(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "a child is left");
	close(fd);
}
