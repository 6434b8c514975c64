// SPDX-License-Identifier: Apache-2.0
/*
 * A VM is made and started while, one after the other, each call that takes something from the host
 * fails: memory, descriptors, mappings, what KVM gives, threads. Each failure must come back as its
 * errno value with an error object, and leave nothing behind: no memory, no descriptor, no mapping,
 * no file. Prints TAP.
 */
#include <errno.h>
#include <lacuna/device.h>
#include <lacuna/vm.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults_files.h"
#include "held.h"
#include "inject.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* --- what is made --- */

struct option {
	const char *key,
		*value; /* "@" in a value is the folder of our files, "#" that of the guests */
};

struct scenario {
	const char *name;
	struct option option[28];
	/* How many failures of a kind go on without what could not be had: rings of io_uring, which
	 * threads take the place of, kernels that are not kept in the cache, words not needed, and
	 * what of KVM's capabilities a VM can do without. */
	unsigned unnoticed[INJECT_KINDS];
	bool complete;  /* there is something of each kind that can fail */
	unsigned kinds; /* bits of what is made to fail; 0: everything */
};

#define RINGS 2

#define KERNEL_KINDS (1 << INJECT_MEMORY | 1 << INJECT_MMAP | 1 << INJECT_OPEN)

static const struct scenario everything = {
	.name = "ELF kernel, every device",
	.option = {
		{ "kernel", "#/endings.elf" },
		{ "initrd", "@/initrd" },
		{ "initrd", "@/tree" },
		{ "cmdline", "test=hang" },
		{ "memory", "64M" },
		{ "cpus", "2" },
		{ "pci", "config=both,ports=2,buses=8" },
		{ "tables", "both" },
		{ "marker", "hang" },
		{ "timeout", "60s" },
		{ "serial", "socket=@/serial" },
		{ "console", "file=@/console" },
		{ "console", "pty,link=@/pty,name=second" },
		{ "console", "socket=@/third,name=third" },
		{ "disk", "path=@/disk,queues=2,serial=one" },
		{ "disk", "path=@/disk2,aio=io_uring,bus=1" },
		{ "disk", "path=@/disk3,aio=threads,readonly=on,bus=2" },
		{ "rng", "bus=1" },
		{ "rng", "" },
		{ "balloon", "size=4M" },
		{ "vsock", "cid=3,path=@/vsock" },
		{ "pmem", "path=@/pmem" },
		{ "net", "passt,socket=@/listener,mtu=9000" },
		{ "+pci", "own-pci" },
		{ "+virtio", "own-virtio" },
	},
	.unnoticed = { [INJECT_MEMORY] = RINGS, [INJECT_URING] = RINGS, [INJECT_CAPABILITY] = 9 },
	.complete = true,
};

static const struct scenario others[] = {
	{
		.name = "descriptors and functions",
		.kinds = KERNEL_KINDS | 1 << INJECT_DUP | 1 << INJECT_EPOLL_ADD,
		.option = {
			{ "<kvm", "/dev/kvm" },
			{ "<kernel", "#/endings.elf" },
			{ "<initrd", "@/initrd" },
			{ "<initrd", "@/tree" },
			{ "memory", "64M" },
			{ ">serial", "" },
			{ ">console", "one" },
			{ "console", "file=@/console,name=two" },
			{ "disk", "fd=%disk" },
			{ "pmem", "fd=%pmem" },
			{ "vsock", "cid=3,fd=%listen2" },
			{ "net", "passt,fd=%stream" },
		},
		.unnoticed = { [INJECT_MEMORY] = 1 }, /* the disk's ring */
	},
	{
		.name = "bzImage, type 1, pty",
		.option = {
			{ "kernel", "@/bzImage.plain" },
			{ "initrd", "@/initrd" },
			{ "memory", "64M" },
			{ "pci", "config=type1" },
			{ "serial", "pty,link=@/pty" },
		},
		/* memory: what was packed, and why the host can't unpack it */
		.unnoticed = { [INJECT_MEMORY] = 3, [INJECT_CAPABILITY] = 8 },
	},
	{
		.name = "passt",
		.kinds = 1 << INJECT_MEMORY | 1 << INJECT_OPEN | 1 << INJECT_DUP |
			 1 << INJECT_SOCKET,
		.option = { { "memory", "64M" }, { "net", "passt" } },
	},
	{
		.name = "gzip, kept",
		.kinds = KERNEL_KINDS,
		.option = {
			{ "kernel", "@/bzImage.gzip" },
			{ "kernel-cache", "@/cache" },
			{ "memory", "64M" },
		},
		/* What was packed and the decoder's own: the guest unpacks it then. The path; and
		 * the two lists of what is there. The second and the lists are the C library's or
		 * another's, not seen under a sanitizer. The folder six times, the kept file and
		 * the new one. */
		.unnoticed = { [INJECT_MEMORY] = SANITIZED ? 2 : 5,
			[INJECT_MMAP] = 1,
			[INJECT_OPEN] = 8 },
	},
	{
		.name = "gzip, from the cache",
		.kinds = KERNEL_KINDS,
		.option = {
			{ "kernel", "@/bzImage.gzip" },
			{ "kernel-cache", "@/kept" },
			{ "memory", "64M" },
		},
		/* the folder, the kept file: the payload tells then which it is */
		.unnoticed = { [INJECT_OPEN] = 2 },
	},
	{
		.name = "xz",
		.kinds = KERNEL_KINDS,
		.option = {
			{ "kernel", "@/bzImage.xz" },
			{ "kernel-unpack", "host" },
			{ "memory", "64M" },
		},
	},
	{
		.name = "zstd",
		.kinds = KERNEL_KINDS,
		.option = {
			{ "kernel", "@/bzImage.zstd" },
			{ "kernel-unpack", "host" },
			{ "memory", "64M" },
		},
	},
};

static void on_output(void *opaque, const void *data, size_t size)
{
}

/* Devices of our own: instances that are made and not destroyed are counted as memory that leaks.
 */

static int create_pci(
	void *opaque, struct lacuna_pci_function *f, void **ret_state, struct lacuna_error **err)
{
	*ret_state = malloc(1);
	return *ret_state ? 0 : lacuna_error_set(err, ENOMEM, "no memory for a card");
}

static int create_virtio(
	void *opaque, struct lacuna_virtio *v, void **ret_state, struct lacuna_error **err)
{
	*ret_state = malloc(1);
	return *ret_state ? 0 : -ENOMEM; /* what it says then is the library's */
}

static void on_kick(void *state, unsigned queue)
{
}

static int add_pci(struct lacuna_config *config, const char *name, struct lacuna_error **err)
{
	static const uint8_t body[] = { 8, 1, 2, 3, 4, 5 }, mask[] = { 0, 0, 255, 255, 255, 255 };
	static const struct lacuna_pci_capability capability[] = {
		{ .id = 9, .body = body, .writable = mask, .size = sizeof(body) },
		{ .id = 11, .extended = true, .body = body, .size = sizeof(body) },
	};
	static const struct lacuna_pci_ops ops = {
		.size = sizeof(ops),
		.create = create_pci,
		.destroy = free,
	};
	const struct lacuna_pci_device d = {
		.size = sizeof(d),
		.name = name,
		.vendor_id = 0x1234,
		.bar = { { .size = 4096 } },
		.msix_vectors = 2,
		.msix_bar = 1,
		.capability = capability,
		.capability_count = COUNT(capability),
		.bus = 2,
		.ops = &ops,
	};
	return lacuna_config_add_pci_device(config, &d, err);
}

static int add_virtio(struct lacuna_config *config, const char *name, struct lacuna_error **err)
{
	static const uint8_t configuration[16], mask[16] = { 255 };
	static const struct lacuna_virtio_ops ops = {
		.size = sizeof(ops),
		.create = create_virtio,
		.destroy = free,
		.kicked = on_kick,
	};
	const struct lacuna_virtio_device d = {
		.size = sizeof(d),
		.name = name,
		.device_id = 63,
		.queues = 2,
		.queue_size = 16,
		.config = configuration,
		.config_writable = mask,
		.config_size = sizeof(configuration),
		.bus = LACUNA_BUS_ANY,
		.ops = &ops,
	};
	return lacuna_config_add_virtio_device(config, &d, err);
}

static int set(
	struct lacuna_config *config, const char *key, const char *value, struct lacuna_error **err)
{
	if (*key == '<')
		return lacuna_config_set_fd(config, key + 1, files_open(value), err);
	if (!strcmp(key, ">serial"))
		return lacuna_config_set_serial_output(config, on_output, NULL, err);
	if (!strcmp(key, ">console"))
		return lacuna_config_add_console_output(config, value, on_output, NULL, err);
	if (!strcmp(key, "+pci"))
		return add_pci(config, value, err);
	if (!strcmp(key, "+virtio"))
		return add_virtio(config, value, err);
	return lacuna_config_set(config, key, value, err);
}

static int make(const struct scenario *s, struct lacuna_vm **ret, struct lacuna_error **err)
{
	char value[PATH_MAX];
	struct lacuna_config *config;
	int rc = lacuna_config_new(&config, err);
	if (rc < 0)
		return rc;
	for (const struct option *o = s->option; rc == 0 && o->key; o++)
		rc = set(config, o->key, files_expand(o->value, value), err);
	if (rc == 0)
		rc = lacuna_vm_new(config, ret, err);
	lacuna_config_free(config);
	return rc;
}

/* --- what is held --- */

struct holdings {
	long memory, files;
	struct held of_process;
};

static struct holdings look(void)
{
	files_refresh();
	struct holdings h = { .of_process = held_now(), .files = files_count() };
	h.memory = inject_live();
	return h;
}

/* --- TAP --- */

static unsigned tests, failures; /* of the test under way */

__attribute__((format(printf, 2, 3))) static bool expect(bool ok, const char *format, ...)
{
	if (ok || ++failures > 10)
		return ok;
	va_list ap;
	va_start(ap, format);
	printf("# ");
	vprintf(format, ap);
	printf("\n");
	va_end(ap);
	return false;
}

static void result(const char *scenario, const char *what, unsigned points)
{
	printf("%s - %s: %s (%u times)\n", failures ? "not ok" : "ok", scenario, what, points);
	fflush(stdout);
	failures = 0;
	tests++;
}

/* What is held has become what is told, so that each leak is told once. */
static void same(struct holdings *before, const char *what, unsigned n)
{
	struct holdings now = look();
	const struct held *p = &now.of_process, *q = &before->of_process;
	expect(now.memory == before->memory, "%s %u: %ld pieces of memory leak", what, n,
		now.memory - before->memory);
	expect(now.files == before->files, "%s %u: %ld files are left", what, n,
		now.files - before->files);
	expect(p->descriptors == q->descriptors, "%s %u: %ld descriptors leak", what, n,
		p->descriptors - q->descriptors);
	expect(p->mappings == q->mappings, "%s %u: %ld mappings leak", what, n,
		p->mappings - q->mappings);
	expect(!q->threads || p->threads == q->threads, "%s %u: %ld threads are left", what, n,
		p->threads - q->threads);
	*before = now;
}

/* --- the tests --- */

struct fault {
	const char *what;
	enum inject_kind kind;
	int code;
	bool all;
};

static const struct fault creating[] = {
	{ "memory, once", INJECT_MEMORY, ENOMEM, false },
	{ "memory, from then on", INJECT_MEMORY, ENOMEM, true },
	{ "mmap", INJECT_MMAP, ENOMEM, false },
	{ "memfd_create", INJECT_MEMFD, EMFILE, false },
	{ "eventfd", INJECT_EVENTFD, EMFILE, false },
	{ "eventfd, system-wide", INJECT_EVENTFD, ENFILE, false },
	{ "epoll_create1", INJECT_EPOLL, EMFILE, false },
	{ "epoll_ctl", INJECT_EPOLL_ADD, ENOSPC, false },
	{ "timerfd_create", INJECT_TIMERFD, EMFILE, false },
	{ "inotify_init1", INJECT_INOTIFY, EMFILE, false },
	{ "open", INJECT_OPEN, EMFILE, false },
	{ "socket", INJECT_SOCKET, EMFILE, false },
	{ "F_DUPFD", INJECT_DUP, EMFILE, false },
	{ "io_uring", INJECT_URING, ENOMEM, false },
	{ "KVM", INJECT_KVM, ENOMEM, false },
	{ "KVM, descriptors", INJECT_KVM, EMFILE, false },
	{ "capabilities of KVM", INJECT_CAPABILITY, ENOTSUP, false },
};

static void check_error(
	const struct fault *f, unsigned n, int rc, const struct lacuna_error *err, bool memory_out)
{
	expect(rc == -f->code, "%s %u: returns %d, not %d: %s", f->what, n, rc, -f->code,
		lacuna_error_message(err));
	if (!expect(err != NULL, "%s %u: no error object", f->what, n))
		return;
	expect(lacuna_error_code(err) == f->code, "%s %u: the object says %d: %s", f->what, n,
		lacuna_error_code(err), lacuna_error_message(err));
	expect(*lacuna_error_message(err), "%s %u: the object has no message", f->what, n);
	expect(!memory_out || strstr(lacuna_error_message(err), "memory"),
		"%s %u: '%s' where memory is out", f->what, n, lacuna_error_message(err));
}

/* Makes the VM with call number @n failing. False: there was no such call any more. */
static bool create_once(const struct scenario *s, const struct fault *f, unsigned n,
	struct holdings *before, unsigned *went_on)
{
	struct lacuna_vm *vm = NULL;
	struct lacuna_error *err = NULL;
	inject_start(f->kind, n, f->all, f->code);
	int rc = make(s, &vm, &err);
	struct inject_report report = inject_stop();
	if (rc < 0) {
		expect(report.hit, "%s %u: %s", f->what, n, lacuna_error_message(err));
		check_error(f, n, rc, err, f->kind == INJECT_MEMORY);
		expect(!vm, "%s %u: *ret is written", f->what, n);
	} else {
		*went_on += report.required;
	}
	expect(report.required || rc == 0, "%s %u: not done without", f->what, n);
	lacuna_error_free(err);
	lacuna_vm_free(vm);
	same(before, f->what, n);
	return report.hit;
}

static void create(const struct scenario *s)
{
	struct lacuna_vm *vm = NULL;
	struct lacuna_error *err = NULL;
	if (make(s, &vm, &err) < 0) {
		printf("not ok - %s: %s\n", s->name, lacuna_error_message(err));
		exit(1);
	}
	lacuna_vm_free(vm);
	struct holdings before = look();
	for (size_t i = 0; i < COUNT(creating); i++) {
		unsigned n = 1, went_on = 0;
		enum inject_kind kind = creating[i].kind;
		if (s->kinds && !(s->kinds >> kind & 1))
			continue;
		while (create_once(s, &creating[i], n, &before, &went_on))
			n++;
		unsigned wanted = creating[i].all ? 0 : s->unnoticed[kind];
		expect(went_on == wanted, "%u failures went unnoticed, not %u", went_on, wanted);
		if (n == 1 && !s->complete)
			continue;
		expect(n > 1, "nothing was made to fail");
		result(s->name, creating[i].what, n - 1);
	}
}

static const struct fault starting[] = {
	{ "pthread_create", INJECT_THREAD, EAGAIN, false },
	{ "memory at the start", INJECT_MEMORY, ENOMEM, false },
	{ "epoll_ctl at the start", INJECT_EPOLL_ADD, ENOSPC, false },
};

static bool start_once(const struct scenario *s, const struct fault *f, unsigned n)
{
	struct lacuna_vm *vm = NULL;
	struct lacuna_error *err = NULL;
	enum lacuna_end_reason reason = LACUNA_END_NONE;
	if (!expect(make(s, &vm, &err) == 0, "%s", lacuna_error_message(err)))
		exit(1);
	inject_start(f->kind, n, f->all, f->code);
	int rc = lacuna_vm_start(vm, &err);
	struct inject_report report = inject_stop();
	expect(report.hit == (rc < 0), "%s %u: start returns %d", f->what, n, rc);
	if (rc < 0) {
		struct pollfd p = { .fd = lacuna_vm_end_fd(vm), .events = POLLIN };
		check_error(f, n, rc, err, f->kind == INJECT_MEMORY);
		expect(lacuna_vm_state(vm) == LACUNA_VM_ENDED, "%s %u: it has not ended", f->what,
			n);
		expect(poll(&p, 1, 10000) == 1, "%s %u: the end is not told", f->what, n);
		expect(lacuna_vm_wait(vm, &reason, NULL, NULL) == 0 && reason == LACUNA_END_FAILED,
			"%s %u: it ended by %s", f->what, n, lacuna_end_reason_name(reason));
		expect(lacuna_vm_start(vm, NULL) == -EALREADY, "%s %u: started again", f->what, n);
	}
	lacuna_error_free(err);
	lacuna_vm_free(vm);
	return report.hit;
}

static void start(const struct scenario *s)
{
	struct fault none = { "nothing", INJECT_THREAD, EAGAIN, false };
	start_once(s, &none, UINT_MAX); /* threads leave stacks behind for the next */
	struct holdings before = look();
	for (size_t i = 0; i < COUNT(starting); i++) {
		unsigned n = 1;
		while (start_once(s, &starting[i], n)) {
			same(&before, starting[i].what, n);
			n++;
		}
		expect(n > 1, "nothing was made to fail");
		result(s->name, starting[i].what, n - 1);
	}
}

/* --- questions to a VM that runs, and to the host --- */

static void on_counter(void *opaque, const char *name, uint64_t value)
{
}

static void on_topic(void *opaque, bool ok, const char *topic, const char *text)
{
}

static int on_file(void *opaque, const char *name, const void *data, size_t size)
{
	return 0;
}

static int ask_counters(struct lacuna_vm *vm, struct lacuna_error **err)
{
	return lacuna_vm_kvm_stats(vm, on_counter, NULL, err);
}

static int ask_dump(struct lacuna_vm *vm, struct lacuna_error **err)
{
	return lacuna_vm_dump(vm, "pci", on_file, NULL, err);
}

static int ask_tree(struct lacuna_vm *vm, struct lacuna_error **err)
{
	return lacuna_vm_dump(vm, "fdt", on_file, NULL, err);
}

static int ask_balloon(struct lacuna_vm *vm, struct lacuna_error **err)
{
	return lacuna_vm_device_set(vm, "balloon0", "size=8M", err);
}

static int ask_host(struct lacuna_vm *vm, struct lacuna_error **err)
{
	return lacuna_host_check(on_topic, NULL, err);
}

static const struct {
	const char *what;
	int (*ask)(struct lacuna_vm *vm, struct lacuna_error **err);
	bool no_object;
	struct fault fault;
} questions[] = {
	{ "counters", ask_counters, true, { "memory", INJECT_MEMORY, ENOMEM, false } },
	{ "counters", ask_counters, true, { "KVM", INJECT_KVM, EMFILE, false } },
	{ "dump", ask_dump, false, { "memory", INJECT_MEMORY, ENOMEM, false } },
	{ "tree", ask_tree, false, { "memory", INJECT_MEMORY, ENOMEM, false } },
	{ "balloon", ask_balloon, false, { "memory", INJECT_MEMORY, ENOMEM, false } },
	{ "host", ask_host, false, { "open", INJECT_OPEN, EMFILE, false } },
	{ "host", ask_host, false, { "KVM", INJECT_KVM, ENOMEM, false } },
};

static void ask(const struct scenario *s)
{
	struct lacuna_vm *vm = NULL;
	if (make(s, &vm, NULL) < 0 || lacuna_vm_start(vm, NULL) < 0)
		exit(1);
	for (size_t i = 0; i < COUNT(questions); i++) {
		const struct fault *f = &questions[i].fault;
		struct inject_report report;
		unsigned n = 0;
		questions[i].ask(vm, NULL);
		struct holdings before = look();
		do {
			struct lacuna_error *err = NULL;
			inject_start(f->kind, ++n, f->all, f->code);
			int rc = questions[i].ask(vm, &err);
			report = inject_stop();
			if (report.hit && !questions[i].no_object)
				check_error(f, n, rc, err, f->kind == INJECT_MEMORY);
			else
				expect(rc == (report.hit ? -f->code : 0), "%s %u: returns %d",
					f->what, n, rc);
			lacuna_error_free(err);
			before.of_process.threads = 0; /* the VM's own come and go */
			same(&before, f->what, n);
		} while (report.hit);
		expect(n > 1, "nothing was made to fail");
		result(questions[i].what, f->what, n - 1);
	}
	lacuna_vm_free(vm);
}

int main(int argc, char **argv)
{
	static char buffer[4096];
	if (argc != 2) {
		fprintf(stderr, "usage: faults FOLDER-OF-GUESTS\n");
		return 2;
	}
	setvbuf(stdout, buffer, _IOLBF, sizeof(buffer)); /* or the first line would seem to leak */
	files_make(argv[1]);
	atexit(files_remove);
	create(&everything);
	for (size_t i = 0; i < COUNT(others); i++)
		create(&others[i]);
	start(&everything);
	ask(&everything);
	printf("1..%u\n", tests);
	return 0;
}
