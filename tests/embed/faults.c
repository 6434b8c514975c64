// SPDX-License-Identifier: Apache-2.0
/*
 * A VM is made and started while, one after the other, each call that takes something from the host
 * fails: memory, descriptors, mappings, what KVM gives, threads. Each failure must come back as its
 * errno value with an error object, and leave nothing behind: no memory, no descriptor, no mapping,
 * no file. Prints TAP.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lacuna/vm.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

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
	struct option option[24];
	unsigned rings; /* of io_uring, which threads take the place of where none is to be had */
	bool complete;  /* there is something of each kind that can fail */
};

static const struct scenario everything = {
	.name = "ELF kernel, every device",
	.option = {
		{ "kernel", "#/endings.elf" },
		{ "initrd", "@/initrd" },
		{ "cmdline", "test=hang" },
		{ "memory", "64M" },
		{ "cpus", "2" },
		{ "pci", "config=both,ports=2,buses=8" },
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
		{ "net", "passt,socket=@/passt,mtu=9000" },
	},
	.rings = 2,
	.complete = true,
};

static const struct scenario plain = {
	.name = "bzImage, type 1, pty",
	.option = {
		{ "kernel", "@/bzImage" },
		{ "initrd", "@/initrd" },
		{ "memory", "64M" },
		{ "pci", "config=type1" },
		{ "serial", "pty,link=@/pty" },
	},
};

static char folder[PATH_MAX], guests[PATH_MAX];
static int passt; /* where the network device finds somebody who listens */

static const char *expand(const char *value, char buf[PATH_MAX])
{
	size_t n = 0;
	for (; *value && n < PATH_MAX - 1; value++) {
		const char *in = *value == '@' ? folder : *value == '#' ? guests : NULL;
		if (in)
			n += (size_t)snprintf(buf + n, PATH_MAX - n, "%s", in);
		else
			buf[n++] = *value;
	}
	buf[n] = '\0';
	return buf;
}

static int make(const struct scenario *s, struct lacuna_vm **ret, struct lacuna_error **err)
{
	char value[PATH_MAX];
	struct lacuna_config *config;
	int rc = lacuna_config_new(&config, err);
	if (rc < 0)
		return rc;
	for (const struct option *o = s->option; rc == 0 && o->key; o++)
		rc = lacuna_config_set(config, o->key, expand(o->value, value), err);
	if (rc == 0)
		rc = lacuna_vm_new(config, ret, err);
	lacuna_config_free(config);
	return rc;
}

static void hang_up(void)
{
	int fd;
	while ((fd = accept(passt, NULL, NULL)) >= 0)
		close(fd);
}

/* --- what is held --- */

struct holdings {
	long memory, files;
	struct held of_process;
};

static struct holdings look(void)
{
	hang_up();
	struct holdings h = { .of_process = held_now(), .files = held_entries(folder) };
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
	expect(p->threads == q->threads, "%s %u: %ld threads are left", what, n,
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
		while (create_once(s, &creating[i], n, &before, &went_on))
			n++;
		bool ring = creating[i].kind == INJECT_URING ||
			    (creating[i].kind == INJECT_MEMORY && !creating[i].all);
		expect(went_on == (ring ? s->rings : 0), "%u failures went unnoticed", went_on);
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
	return lacuna_vm_kvm_stats(vm, on_counter, NULL);
}

static int ask_dump(struct lacuna_vm *vm, struct lacuna_error **err)
{
	return lacuna_vm_dump(vm, "pci", on_file, NULL, err);
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
			same(&before, f->what, n);
		} while (report.hit);
		expect(n > 1, "nothing was made to fail");
		result(questions[i].what, f->what, n - 1);
	}
	lacuna_vm_free(vm);
}

/* --- files --- */

static void file(const char *name, const void *head, size_t len, off_t size)
{
	char path[PATH_MAX];
	int fd = open(expand(name, path), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, head, len) != (ssize_t)len || ftruncate(fd, size) < 0) {
		perror(path);
		exit(1);
	}
	close(fd);
}

/* As small as a bzImage can be that is taken for one (Documentation/arch/x86/boot.rst). */
static void make_bzimage(void)
{
	static unsigned char image[5 * 512 + 4096];
	static const struct {
		unsigned short at;
		unsigned char size;
		unsigned long value;
	} fields[] = {
		{ 0x1f1, 1, 4 },          /* setup_sects */
		{ 0x1f4, 4, 4096 / 16 },  /* syssize */
		{ 0x1fe, 2, 0xaa55 },     /* boot_flag */
		{ 0x200, 2, 0x6aeb },     /* jump to the end of the header */
		{ 0x202, 4, 0x53726448 }, /* "HdrS" */
		{ 0x206, 2, 0x020f },     /* version */
		{ 0x211, 1, 1 },          /* LOADED_HIGH */
		{ 0x22c, 4, 0x7fffffff }, /* initrd_addr_max */
		{ 0x230, 4, 0x200000 },   /* kernel_alignment */
		{ 0x234, 1, 1 },          /* relocatable_kernel */
		{ 0x236, 2, 1 },          /* XLF_KERNEL_64 */
		{ 0x238, 4, 2047 },       /* cmdline_size */
		{ 0x248, 4, 0x300 },      /* payload_offset */
		{ 0x24c, 4, 0x800 },      /* payload_length */
		{ 0x258, 8, 0x1000000 },  /* pref_address */
		{ 0x260, 4, 0x200000 },   /* init_size */
	};
	for (size_t i = 0; i < COUNT(fields); i++)
		memcpy(image + fields[i].at, &fields[i].value, fields[i].size);
	file("@/bzImage", image, sizeof(image), sizeof(image));
}

static void make_files(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char path[PATH_MAX];
	make_bzimage();
	file("@/initrd", "070701", 6, 100000);
	file("@/disk", "", 0, 1 << 20);
	file("@/disk2", "", 0, 1 << 20);
	file("@/disk3", "", 0, 1 << 20);
	file("@/pmem", "", 0, 2 << 20);
	file("@/console", "", 0, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.90s", expand("@/passt", path));
	passt = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bind(passt, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(passt, 4) < 0) {
		perror(path);
		exit(1);
	}
}

static void remove_files(void)
{
	DIR *dir = opendir(folder);
	for (struct dirent *e; dir && (e = readdir(dir));)
		unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(folder);
}

int main(int argc, char **argv)
{
	static char buffer[4096];
	const char *tmp = getenv("TMPDIR");
	setvbuf(stdout, buffer, _IOLBF, sizeof(buffer)); /* or the first line would seem to leak */
	if (argc != 2) {
		fprintf(stderr, "usage: faults FOLDER-OF-GUESTS\n");
		return 2;
	}
	snprintf(guests, sizeof(guests), "%s", argv[1]);
	snprintf(folder, sizeof(folder), "%s/lacuna-faults-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(folder)) {
		perror(folder);
		return 1;
	}
	atexit(remove_files);
	make_files();
	create(&everything);
	create(&plain);
	start(&everything);
	ask(&everything);
	printf("1..%u\n", tests);
	return 0;
}
