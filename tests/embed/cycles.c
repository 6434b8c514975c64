// SPDX-License-Identifier: Apache-2.0
/*
 * VMs made, run and freed one after the other, in every way that a life can go, in one process that
 * must hold no more at the end than it did at the beginning. Prints TAP.
 */
#include <errno.h>
#include <fcntl.h>
#include <lacuna/vm.h>
#include <limits.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "held.h"

#define WARM_UP 21 /* each life three times */

/* Pages that are touched now and not before, by whatever: far less than a page a cycle. */
#define RESIDENT_SLACK_KIB 512

static char disk[] = "/tmp/lacuna-cycles-disk-XXXXXX", vsock[64], hanging[PATH_MAX];

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	printf("not ok - ");
	vprintf(format, ap);
	printf("\n1..1\n");
	unlink(disk);
	exit(1);
}

static void check(int rc, const struct lacuna_error *err)
{
	if (rc < 0)
		die("%s", lacuna_error_message(err));
}

static void drop(void *opaque, const void *data, size_t size)
{
}

static struct lacuna_vm *make(const char *kernel, const char *cmdline, int in, int out)
{
	struct lacuna_error *err = NULL;
	struct lacuna_config *config;
	struct lacuna_vm *vm;
	char serial[32], disk_option[128], vsock_option[128];
	snprintf(serial, sizeof(serial), "fd=%d:%d", in, out);
	snprintf(disk_option, sizeof(disk_option), "path=%s,queues=2", disk);
	snprintf(vsock_option, sizeof(vsock_option), "cid=3,path=%s", vsock);
	const char *const options[][2] = {
		{ "kernel", kernel },
		{ "cmdline", cmdline },
		{ "cpus", "2" },
		{ "memory", "32M" },
		{ "timeout", "60s" },
		{ "serial", serial },
		{ "console", "file=/dev/null" },
		{ "console", "pty,name=second" },
		{ "disk", disk_option },
		{ "rng", "bus=1" },
		{ "balloon", "size=4M" },
		{ "vsock", vsock_option },
	};
	check(lacuna_config_new(&config, &err), err);
	for (size_t i = kernel ? 0 : 1; i < sizeof(options) / sizeof(options[0]); i++)
		check(lacuna_config_set(config, options[i][0], options[i][1], &err), err);
	check(lacuna_config_add_console_output(config, "stream", drop, NULL, &err), err);
	check(lacuna_vm_new(config, &vm, &err), err);
	lacuna_config_free(config);
	return vm;
}

/* --- lives --- */

struct console {
	int in, out[2];
	char text[8192];
	size_t size;
};

static void hear(struct console *c, const char *word)
{
	while (!strstr(c->text, word)) {
		ssize_t n = read(c->out[0], c->text + c->size, sizeof(c->text) - 1 - c->size);
		if (n <= 0)
			die("'%s' was not said, but: %s", word, c->text);
		c->size += (size_t)n;
	}
}

static void expect_end(struct lacuna_vm *vm, enum lacuna_end_reason wanted)
{
	struct lacuna_error *err = NULL;
	enum lacuna_end_reason reason;
	int code;
	check(lacuna_vm_wait(vm, &reason, &code, &err), err);
	if (reason != wanted || code)
		die("it ended by %s, code %d: %s", lacuna_end_reason_name(reason), code,
			lacuna_vm_end_message(vm));
}

static void start(struct lacuna_vm *vm)
{
	struct lacuna_error *err = NULL;
	check(lacuna_vm_start(vm, &err), err);
}

static void never_started(struct lacuna_vm *vm, struct console *c)
{
}

static void stopped_before_its_start(struct lacuna_vm *vm, struct console *c)
{
	lacuna_vm_stop(vm);
	if (lacuna_vm_start(vm, NULL) != -ECANCELED)
		die("it started after it was stopped");
	expect_end(vm, LACUNA_END_STOPPED);
}

static void stopped_at_once(struct lacuna_vm *vm, struct console *c)
{
	start(vm);
	lacuna_vm_stop(vm);
	expect_end(vm, LACUNA_END_STOPPED);
}

static void freed_while_it_runs(struct lacuna_vm *vm, struct console *c)
{
	start(vm);
	hear(c, "hang");
}

static void freed_while_it_pauses(struct lacuna_vm *vm, struct console *c)
{
	struct lacuna_error *err = NULL;
	start(vm);
	check(lacuna_vm_pause(vm, &err), err);
}

static void out_of_time(struct lacuna_vm *vm, struct console *c)
{
	struct lacuna_error *err = NULL;
	check(lacuna_vm_set_deadline(vm, 1, &err), err);
	start(vm);
	expect_end(vm, LACUNA_END_TIMEOUT);
}

static void run_to_its_end(struct lacuna_vm *vm, struct console *c)
{
	start(vm);
	expect_end(vm, LACUNA_END_POWEROFF);
	hear(c, "\"ok\":true}");
}

static const struct {
	void (*live)(struct lacuna_vm *vm, struct console *c);
	bool probe; /* the built-in guest, or one that hangs */
} lives[] = {
	{ never_started, false },
	{ stopped_before_its_start, false },
	{ stopped_at_once, false },
	{ freed_while_it_runs, false },
	{ freed_while_it_pauses, false },
	{ out_of_time, false },
	{ run_to_its_end, true },
};

static void cycle(unsigned i)
{
	const unsigned n = i % (sizeof(lives) / sizeof(lives[0]));
	const bool probe = lives[n].probe;
	struct console c = { .in = open("/dev/null", O_RDONLY | O_CLOEXEC) };
	if (c.in < 0 || pipe2(c.out, O_CLOEXEC) < 0)
		die("%s", strerror(errno));
	struct lacuna_vm *vm =
		make(probe ? NULL : hanging, probe ? "probe.quiet" : "test=hang", c.in, c.out[1]);
	lives[n].live(vm, &c);
	lacuna_vm_free(vm);
	close(c.in);
	close(c.out[0]);
	close(c.out[1]);
}

/* --- what is left --- */

#if SANITIZED
size_t __sanitizer_get_current_allocated_bytes(void);
#endif

static long heap(void)
{
#if SANITIZED
	return (long)__sanitizer_get_current_allocated_bytes();
#else
	return (long)mallinfo2().uordblks;
#endif
}

static void flat(const char *what, long before, long after, long slack)
{
	printf("%s - %s: %ld before, %ld after\n", after - before > slack ? "not ok" : "ok", what,
		before, after);
}

int main(int argc, char **argv)
{
	static char buffer[4096];
	unsigned cycles = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
	if (!cycles) {
		fprintf(stderr, "usage: cycles FOLDER-OF-GUESTS CYCLES\n");
		return 2;
	}
	setvbuf(stdout, buffer, _IOLBF, sizeof(buffer));
	/* mallinfo2() looks at one arena only, and takes what is kept for soon to be in use */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MXFAST, 0);
	int fd = mkstemp(disk);
	if (fd < 0 || ftruncate(fd, 1 << 20) < 0)
		die("%s: %s", disk, strerror(errno));
	close(fd);
	snprintf(vsock, sizeof(vsock), "/tmp/lacuna-cycles-%d.vsock", getpid());
	snprintf(hanging, sizeof(hanging), "%s/endings.elf", argv[1]);

	for (unsigned i = 0; i < WARM_UP; i++)
		cycle(i);
	long heap_before = heap();
	struct held before = held_now();
	for (unsigned i = 0; i < cycles; i++)
		cycle(i);
	struct held after = held_now();
	flat("descriptors", before.descriptors, after.descriptors, 0);
	flat("threads", before.threads, after.threads, 0);
	flat("mappings", before.mappings, after.mappings, 0);
	flat("bytes of heap", heap_before, heap(), 0);
	flat("KiB resident", before.resident_kib, after.resident_kib, RESIDENT_SLACK_KIB);
	printf("1..5\n");
	unlink(disk);
	return 0;
}
