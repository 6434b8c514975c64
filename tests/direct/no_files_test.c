// SPDX-License-Identifier: Apache-2.0
/*
 * VMs of a program that has opened everything before and may open nothing more: a filter
 * (seccomp(2)) refuses every system call that takes a name in the file system, and a thread outside
 * of it keeps a list of what was tried.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

TestSuite(no_files, .timeout = TEST_TIMEOUT);

#define DISK_SIZE (1 << 20)
#define PMEM_SIZE (2 << 20)
#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

/* --- the filter --- */

/* Each takes a name as its argument number @name. */
static const struct {
	int number, name;
} refused[] = {
	{ SYS_open, 0 },
	{ SYS_openat, 1 },
	{ SYS_openat2, 1 },
	{ SYS_creat, 0 },
	{ SYS_stat, 0 },
	{ SYS_lstat, 0 },
	{ SYS_newfstatat, 1 },
	{ SYS_statx, 1 },
	{ SYS_access, 0 },
	{ SYS_faccessat, 1 },
	{ SYS_faccessat2, 1 },
	{ SYS_readlink, 0 },
	{ SYS_readlinkat, 1 },
	{ SYS_unlink, 0 },
	{ SYS_unlinkat, 1 },
	{ SYS_rename, 0 },
	{ SYS_renameat, 1 },
	{ SYS_renameat2, 1 },
	{ SYS_mkdir, 0 },
	{ SYS_mkdirat, 1 },
	{ SYS_rmdir, 0 },
	{ SYS_symlink, 0 },
	{ SYS_symlinkat, 0 },
	{ SYS_link, 0 },
	{ SYS_linkat, 1 },
	{ SYS_mknod, 0 },
	{ SYS_mknodat, 1 },
	{ SYS_chmod, 0 },
	{ SYS_fchmodat, 1 },
	{ SYS_chown, 0 },
	{ SYS_lchown, 0 },
	{ SYS_fchownat, 1 },
	{ SYS_truncate, 0 },
	{ SYS_utimensat, 1 },
	{ SYS_statfs, 0 },
	{ SYS_chdir, 0 },
	{ SYS_execve, 0 },
	{ SYS_execveat, 1 },
	{ SYS_inotify_add_watch, 1 },
	{ SYS_name_to_handle_at, 1 },
	{ SYS_open_by_handle_at, -1 },
	{ SYS_connect, -1 },
	{ SYS_bind, -1 },
};

/* The C library asks for what is behind a descriptor by an empty name. */
#define OFFSET_OF_FLAGS(arg) offsetof(struct seccomp_data, args[arg])

/* For the calling thread and those that it will make: a descriptor that tells what they try, or -1.
 */
static int install(void)
{
	struct sock_filter code[2 * COUNT(refused) + 16];
	unsigned short n = 0;
	code[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_newfstatat, 0, 3);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, OFFSET_OF_FLAGS(3));
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, AT_EMPTY_PATH, 0, 5);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_statx, 0, 4);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, OFFSET_OF_FLAGS(2));
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, AT_EMPTY_PATH, 0, 1);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	for (size_t i = 0; i < COUNT(refused); i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, (unsigned)refused[i].number, 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	const struct sock_fprog program = { .len = n, .filter = code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return (int)syscall(
		SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

struct tries {
	int listener;
	pthread_mutex_t lock; /* of the rest */
	char list[4096];      /* one a line */
	size_t used;
	unsigned count;
};

/* The name is in memory of this process, whose thread waits for the answer; it is read by a call,
 * for the thread sanitizer knows nothing of that. */
static void read_name(uint64_t address, char *ret, size_t size)
{
	size_t to_end = 4096 - address % 4096, len = to_end < size ? to_end : size;
	struct iovec here = { ret, len }, there = { (void *)(uintptr_t)address, len };
	if (process_vm_readv(getpid(), &here, 1, &there, 1, 0) <= 0)
		len = 1;
	ret[len - 1] = '\0';
}

static void note(struct tries *t, const struct seccomp_data *call)
{
	char name[64] = "?";
	pthread_mutex_lock(&t->lock);
	t->count++;
	for (size_t i = 0; i < COUNT(refused); i++)
		if (refused[i].number == call->nr && refused[i].name >= 0)
			read_name(call->args[refused[i].name], name, sizeof(name));
	int n = snprintf(t->list + t->used, sizeof(t->list) - t->used, "%d %s\n", call->nr, name);
	if (n > 0 && (size_t)n < sizeof(t->list) - t->used)
		t->used += (size_t)n;
	pthread_mutex_unlock(&t->lock);
}

static void *refuse(void *opaque)
{
	struct tries *t = opaque;
	for (;;) {
		struct seccomp_notif call = { 0 };
		if (ioctl(t->listener, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0) {
			if (errno == EINTR)
				continue;
			return NULL;
		}
		note(t, &call.data);
		struct seccomp_notif_resp answer = { .id = call.id, .error = -EACCES };
		ioctl(t->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
}

/* --- the program: in a process of its own, which tells its parent what is wrong --- */

static int report_fd;

__attribute__((format(printf, 1, 2), noreturn)) static void wrong(const char *format, ...)
{
	char text[8192];
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (write(report_fd, text, n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

#define NEED(condition)                                                                          \
	do {                                                                                     \
		if (!(condition))                                                                \
			wrong("%s:%d: %s: %s", __FILE__, __LINE__, #condition, strerror(errno)); \
	} while (0)

static void need(int rc, struct lacuna_error *err)
{
	if (rc < 0)
		wrong("%s", lacuna_error_message(err));
}

/* What the program has opened in time. */
struct opened {
	int kvm, kernel, disk, listener, stream, pmem;
};

static int open_guest(const char *image)
{
	char path[PATH_MAX];
	guest_path(image, path, sizeof(path));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	NEED(fd >= 0);
	return fd;
}

/* By a name outside of the file system (unix(7)). */
static int listen_somewhere(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "lacuna-no-files-%d-%d", getpid(), fd);
	NEED(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 5) == 0);
	return fd;
}

static int open_disk(void)
{
	char path[] = "/tmp/lacuna-no-files-XXXXXX";
	int fd = mkstemp(path);
	NEED(fd >= 0 && ftruncate(fd, DISK_SIZE) == 0 && unlink(path) == 0);
	return fd;
}

static struct opened open_all(const char *image)
{
	int pair[2];
	struct opened o = {
		.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC),
		.kernel = open_guest(image),
		.disk = open_disk(),
		.listener = listen_somewhere(),
		.pmem = memfd_create("pmem", MFD_CLOEXEC),
	};
	NEED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	o.stream = pair[0];
	NEED(o.kvm >= 0 && o.pmem >= 0 && ftruncate(o.pmem, PMEM_SIZE) == 0 &&
		pwrite(o.pmem, "hi", 2, 0) == 2);
	return o;
}

struct heard {
	char text[4096];
	size_t size;
	int truncate; /* this file, when the guest says that it is ready */
};

static void hear(void *opaque, const void *data, size_t size)
{
	struct heard *h = opaque;
	NEED(h->size + size < sizeof(h->text));
	memcpy(h->text + h->size, data, size);
	h->size += size;
	h->text[h->size] = '\0';
	if (h->truncate >= 0 && strstr(h->text, "ready")) {
		NEED(ftruncate(h->truncate, 4096) == 0);
		h->truncate = -1;
	}
}

__attribute__((format(printf, 3, 4))) static void set(
	struct lacuna_config *config, const char *key, const char *format, ...)
{
	char value[128];
	struct lacuna_error *err = NULL;
	va_list ap;
	va_start(ap, format);
	vsnprintf(value, sizeof(value), format, ap);
	va_end(ap);
	need(lacuna_config_set(config, key, value, &err), err);
}

static struct lacuna_vm *make(const struct opened *o, const char *cmdline, struct heard *heard)
{
	struct lacuna_config *config;
	struct lacuna_error *err = NULL;
	struct lacuna_vm *vm;
	need(lacuna_config_new(&config, &err), err);
	need(lacuna_config_set_fd(config, "kvm", o->kvm, &err), err);
	need(lacuna_config_set_fd(config, "kernel", o->kernel, &err), err);
	set(config, "cmdline", "%s", cmdline);
	set(config, "disk", "fd=%d,serial=direct-test", o->disk);
	set(config, "vsock", "cid=33,fd=%d", o->listener);
	set(config, "net", "passt,fd=%d", o->stream);
	set(config, "pmem", "fd=%d", o->pmem);
	set(config, "rng", "%s", "");
	set(config, "pci", "buses=16"); /* most of them without functions: one large page */
	set(config, "timeout", "120s");
	need(lacuna_config_set_bool(config, "add-cmdline", false, &err), err);
	need(lacuna_config_set_serial_output(config, hear, heard, &err), err);
	need(lacuna_config_add_console_output(config, "port", hear, heard, &err), err);
	need(lacuna_vm_new(config, &vm, &err), err);
	lacuna_config_free(config);
	return vm;
}

static void run(const struct opened *o, const char *cmdline, struct heard *heard,
	struct lacuna_stats *ret_stats, char *ret_message, size_t size)
{
	struct lacuna_error *err = NULL;
	struct lacuna_vm *vm = make(o, cmdline, heard);
	need(lacuna_vm_start(vm, &err), err);
	need(lacuna_vm_wait(vm, NULL, NULL, &err), err);
	ret_stats->size = sizeof(*ret_stats);
	lacuna_vm_stats(vm, ret_stats);
	snprintf(ret_message, size, "%s", lacuna_vm_end_message(vm));
	lacuna_vm_free(vm);
}

/* What the library tries all the same, and can do without. */
static bool may_be_tried(const char *line)
{
	static const char *const names[] = {
		" /proc/self/smaps", /* whether there is a huge page */
		" /sys/module/kvm_", /* which KVM this is, for a warning */
		" /proc/self/fd/",   /* to watch a file that is memory of the guest's */
	};
	for (size_t i = 0; i < COUNT(names); i++)
		if (strstr(line, names[i]))
			return true;
	return false;
}

static void expect_known(char *list)
{
	if (SANITIZED) /* they read files, too */
		return;
	for (char *line; (line = strsep(&list, "\n"));)
		if (*line && !may_be_tried(line))
			wrong("this was tried, by number of call and name: %s", line);
}

static struct tries tries = { .lock = PTHREAD_MUTEX_INITIALIZER };
static int ready[2];

/* Outside of the filter: it is there before that is. */
static void *wait_and_refuse(void *opaque)
{
	char c;
	NEED(read(ready[0], &c, 1) == 1);
	return refuse(opaque);
}

static void lock_up(void)
{
	pthread_t thread;
	NEED(pipe(ready) == 0);
	NEED(pthread_create(&thread, NULL, wait_and_refuse, &tries) == 0);
	if (geteuid() == 0)
		NEED(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
	tries.listener = install();
	if (tries.listener < 0)
		_exit(77);
	NEED(write(ready[1], "x", 1) == 1);
	NEED(open("/dev/null", O_RDONLY) < 0 && errno == EACCES);
	pthread_mutex_lock(&tries.lock);
	NEED(tries.count == 1 && !strcmp(tries.list + 4, "/dev/null\n"));
	tries.used = 0;
	pthread_mutex_unlock(&tries.lock);
}

static void work(void)
{
	char message[256], wanted[256];
	struct lacuna_stats before, stats;
	struct heard heard = { .truncate = -1 };
	struct opened o = open_all("virtio"), memory = open_all("memory");

	run(&o, "test=blk", &heard, &before, message, sizeof(message));
	lock_up();
	for (unsigned i = 0; i < 2; i++) {
		heard = (struct heard){ .truncate = -1 };
		run(&o, "test=blk", &heard, &stats, message, sizeof(message));
		if (stats.end_reason != LACUNA_END_EXIT_CODE || stats.end_code)
			wrong("ended by %s, code %d: %s", lacuna_end_reason_name(stats.end_reason),
				stats.end_code, message);
		if (!strstr(heard.text, "blk: capacity 2048 id direct-test\r\n"))
			wrong("it printed:\n%s", heard.text);
		if (before.pci_large_pages && !stats.pci_large_pages)
			wrong("large pages are not found");
		if (strcmp(before.pci_window, stats.pci_window))
			wrong("the window was %s, now it is %s", before.pci_window,
				stats.pci_window);
	}
	uint8_t sector[512];
	NEED(pread(o.disk, sector, sizeof(sector), (off_t)3 * 512) == 512);
	for (unsigned i = 0; i < sizeof(sector); i++)
		NEED(sector[i] == 'a' + i % 26);

	/* no watch can be set, and yet it is seen that memory has gone */
	heard = (struct heard){ .truncate = memory.pmem };
	run(&memory, "test=gone", &heard, &stats, message, sizeof(message));
	snprintf(wanted, sizeof(wanted),
		"memory of the guest is gone: fd %d was truncated from %d to 4096 bytes",
		memory.pmem, PMEM_SIZE);
	if (stats.end_reason != LACUNA_END_FAILED || strcmp(message, wanted))
		wrong("ended by %s: '%s', not '%s'; it printed:\n%s",
			lacuna_end_reason_name(stats.end_reason), message, wanted, heard.text);
	pthread_mutex_lock(&tries.lock);
	expect_known(tries.list);
}

Test(no_files, works_without_any)
{
	int report[2], status = 0;
	char text[8192] = "";
	need_kvm();
	cr_assert_eq(pipe(report), 0);
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (!pid) {
		report_fd = report[1];
		work();
		_exit(0);
	}
	close(report[1]);
	for (ssize_t n, at = 0;
		(n = read(report[0], text + at, sizeof(text) - 1 - (size_t)at)) > 0;)
		at += n;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	close(report[0]);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		cr_skip_test("this kernel lets us have no filter that tells");
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x: %s", status, text);
}
