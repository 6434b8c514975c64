// SPDX-License-Identifier: Apache-2.0
/* Every way in which a configuration is refused and in which a VM can't be made: the documented
 * code, a sentence that names what is at fault, and the same without an error object. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "errors.h"
#include "harness.h"

#define CASES(table) \
	cr_make_param_array(__typeof__((table)[0]), table, sizeof(table) / sizeof((table)[0]))

#define NOBODY 65534

TestSuite(errors, .init = errors_make_files, .timeout = TEST_TIMEOUT);

/* --- options, one after the other --- */

struct refusal {
	char options[128]; /* lines of key=value; the last is the one that is refused */
	int code;
	char mentions[48];
};

/* Sets all options but the last in vain, and the last twice. @take: they are all good. */
static struct lacuna_config *configure(const struct refusal *r, bool take)
{
	struct lacuna_config *config;
	char *text = errors_expand(r->options), *rest = text;
	cr_assert_eq(lacuna_config_new(&config, NULL), 0);
	for (char *line; (line = strsep(&rest, "\n"));) {
		struct lacuna_error *err = NULL;
		char *value = strchr(line, '=');
		cr_assert_not_null(value);
		*value++ = '\0';
		int rc = lacuna_config_set(config, line, value, &err);
		errors_check(r->options, rc, err, rest || take ? 0 : r->code, r->mentions);
		if (rc < 0) /* it has changed nothing */
			cr_expect_eq(lacuna_config_set(config, line, value, NULL), rc);
	}
	free(text);
	return config;
}

ParameterizedTestParameters(errors, option)
{
	static struct refusal c[] = {
		{ "colour=red", EINVAL, "colour" },
		{ "=", EINVAL, "''" },
		{ "cpus=1\ncpus=1", EEXIST, "cpus" },
		{ "cpus=two", EINVAL, "cpus: 'two'" },
		{ "cpus=0", ERANGE, "cpus: 0" },
		{ "memory=1M", ERANGE, "memory: 1M" },
		{ "memory=lots", EINVAL, "memory: 'lots'" },
		{ "memory=33554433", EINVAL, "memory: 33554433" },
		{ "memory=99999999T", ERANGE, "memory: 99999999T" },
		{ "hugepages=yes", EINVAL, "hugepages: 'yes'" },
		{ "add-cmdline=yes", EINVAL, "add-cmdline: 'yes'" },
		{ "kernel=", EINVAL, "kernel" },
		{ "kernel=@/text\nkernel=@/text", EEXIST, "kernel" },
		{ "initrd=", EINVAL, "initrd" },
		{ "cmdline=\ncmdline=", EEXIST, "cmdline" },
		{ "marker=", EINVAL, "marker" },
		{ "marker=~", EINVAL, "marker" },
		{ "timeout=soon", EINVAL, "timeout: 'soon'" },
		{ "timeout=0", ERANGE, "timeout: 0" },
		{ "kernel-unpack=maybe", EINVAL, "kernel-unpack" },
		{ "tables=dtb", EINVAL, "tables: 'dtb'" },
		{ "serial=tty", EINVAL, "serial: 'tty'" },
		{ "serial=file=", EINVAL, "serial" },
		{ "serial=fd=1", EINVAL, "serial: '1'" },
		{ "serial=fd=1:-1", EINVAL, "serial: fd: '-1'" },
		{ "serial=file=@/log,link=@/link", EINVAL, "serial: link=@/link" },
		{ "console=tty", EINVAL, "console: 'tty'" },
		{ "console=stdio\nconsole=stdio", EEXIST, "console: stdio" },
		{ "pci=colour=red", EINVAL, "pci: unknown key 'colour'" },
		{ "pci=config=none", EINVAL, "pci: config: 'none'" },
		{ "pci=buses=0", ERANGE, "pci: buses: 0" },
		{ "pci=ports=many", EINVAL, "pci: ports: 'many'" },
		{ "pci=pv-bit=5", EINVAL, "pci: pv-bit=5" },
		{ "pci=config=type1,window=trap", EINVAL, "pci: config=type1" },
	};
	return CASES(c);
}

ParameterizedTest(struct refusal *c, errors, option)
{
	lacuna_config_free(configure(c, false));
}

/* --- the other ways to set them --- */

static void on_output(void *opaque, const void *data, size_t size)
{
}

#define SET(name, call)                                                          \
	static int name(struct lacuna_config *config, struct lacuna_error **err) \
	{                                                                        \
		return call;                                                     \
	}
#define WORDS(...)                \
	(const char *const[])     \
	{                         \
		__VA_ARGS__, NULL \
	}

SET(set_to_nothing, lacuna_config_set(NULL, "cpus", "1", err))
SET(set_no_key, lacuna_config_set(config, NULL, "1", err))
SET(set_no_value, lacuna_config_set(config, "cpus", NULL, err))
SET(words_of_null, lacuna_config_set_words(config, "disk", NULL, err))
SET(words_unknown, lacuna_config_set_words(config, "colour", WORDS("a", "b"), err))
SET(words_odd, lacuna_config_set_words(config, "disk", WORDS("path"), err))
SET(words_twice, lacuna_config_set_words(config, "pci", WORDS("ports", "1", "ports", "1"), err))
SET(words_bad, lacuna_config_set_words(config, "pci", WORDS("buses", "0"), err))
SET(words_no_list, lacuna_config_set_words(config, "cpus", WORDS("cpus", "1"), err))
SET(u64_of_null, lacuna_config_set_u64(NULL, "cpus", 1, err))
SET(u64_unknown, lacuna_config_set_u64(config, "colour", 1, err))
SET(u64_no_number, lacuna_config_set_u64(config, "kernel", 1, err))
SET(u64_cpus, lacuna_config_set_u64(config, "cpus", 0, err))
SET(u64_memory, lacuna_config_set_u64(config, "memory", 1, err))
SET(u64_timeout, lacuna_config_set_u64(config, "timeout", UINT64_MAX, err))
SET(u64_twice, lacuna_config_set_u64(config, "marker", 1, err))
SET(bool_of_null, lacuna_config_set_bool(config, NULL, true, err))
SET(bool_unknown, lacuna_config_set_bool(config, "colour", true, err))
SET(bool_no_switch, lacuna_config_set_bool(config, "memory", true, err))
SET(fd_of_null, lacuna_config_set_fd(config, NULL, 0, err))
SET(fd_unknown, lacuna_config_set_fd(config, "disk", 0, err))
SET(fd_closed, lacuna_config_set_fd(config, "kernel", 999, err))
SET(fd_negative, lacuna_config_set_fd(config, "kvm", -1, err))
SET(serial_of_null, lacuna_config_set_serial_output(config, NULL, NULL, err))
SET(console_of_null, lacuna_config_add_console_output(config, "a", NULL, NULL, err))
SET(console_reserved, lacuna_config_add_console_output(config, "serial", on_output, NULL, err))
SET(console_twice, lacuna_config_add_console_output(config, "second", on_output, NULL, err))
SET(serial_twice, lacuna_config_set_serial_output(config, on_output, NULL, err))
SET(kernel_twice, lacuna_config_set_fd(config, "kernel", 0, err))
SET(bool_twice, lacuna_config_set_bool(config, "add-cmdline", true, err))

Test(errors, typed_options)
{
	static const struct {
		int (*set)(struct lacuna_config *config, struct lacuna_error **err);
		int code;
		const char *mentions;
	} rows[] = {
		{ set_to_nothing, EINVAL, "lacuna_config_set" },
		{ set_no_key, EINVAL, "lacuna_config_set" },
		{ set_no_value, EINVAL, "lacuna_config_set" },
		{ words_of_null, EINVAL, "lacuna_config_set_words" },
		{ words_unknown, EINVAL, "'colour'" },
		{ words_odd, EINVAL, "disk: 'path'" },
		{ words_twice, EINVAL, "pci: key 'ports'" },
		{ words_bad, ERANGE, "pci: buses: 0" },
		{ words_no_list, EINVAL, "cpus" },
		{ u64_of_null, EINVAL, "lacuna_config_set_u64" },
		{ u64_unknown, EINVAL, "'colour'" },
		{ u64_no_number, EINVAL, "kernel" },
		{ u64_cpus, ERANGE, "cpus: 0" },
		{ u64_memory, ERANGE, "memory: 1" },
		{ u64_timeout, ERANGE, "timeout: 18446744073709551615" },
		{ u64_twice, EEXIST, "marker" },
		{ bool_of_null, EINVAL, "lacuna_config_set_bool" },
		{ bool_unknown, EINVAL, "'colour'" },
		{ bool_no_switch, EINVAL, "memory" },
		{ bool_twice, EEXIST, "add-cmdline" },
		{ fd_of_null, EINVAL, "lacuna_config_set_fd" },
		{ fd_unknown, EINVAL, "disk" },
		{ fd_closed, EBADF, "kernel" },
		{ fd_negative, EBADF, "kvm" },
		{ kernel_twice, EEXIST, "kernel" },
		{ serial_of_null, EINVAL, "lacuna_config_set_serial_output" },
		{ serial_twice, EEXIST, "serial" },
		{ console_of_null, EINVAL, "lacuna_config_add_console_output" },
		{ console_reserved, EINVAL, "console: name: 'serial'" },
		{ console_twice, EEXIST, "'second'" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct refusal given = {
			.options = "marker=x\nadd-cmdline=on\nconsole=file=@/a,name=second"
		};
		struct lacuna_config *config = configure(&given, true);
		struct lacuna_error *err = NULL;
		if (rows[i].code == EEXIST) { /* what was not given in words */
			lacuna_config_set_fd(config, "kernel", 0, NULL);
			lacuna_config_set_serial_output(config, on_output, NULL, NULL);
		}
		int rc = rows[i].set(config, &err);
		errors_check(rows[i].mentions, rc, err, rows[i].code, rows[i].mentions);
		cr_expect_eq(rows[i].set(config, NULL), -rows[i].code, "%s", rows[i].mentions);
		lacuna_config_free(config);
	}
}

/* --- VMs that can't be made of them --- */

ParameterizedTestParameters(errors, create)
{
	static struct refusal c[] = {
		/* options that don't go together */
		{ "initrd=@/text", EINVAL, "initrd" },
		{ "memory=33M\nhugepages=on", EINVAL, "memory" },
		{ "serial=stdio\nconsole=stdio", EINVAL, "console: stdio" },
		{ "tables=fdt\npci=config=type1", EINVAL, "tables" },
		{ "balloon=\nballoon=", EEXIST, "balloon: given twice" },
		{ "vsock=cid=3,path=@/v\nvsock=cid=4,path=@/w", EEXIST, "vsock: given twice" },
		{ "console=off,name=a\nconsole=file=@/a,name=a\nconsole=file=@/b,name=a", EEXIST,
			"'a'" },
		/* what the host has not */
		{ "memory=64G\nhugepages=on", ENOMEM, "hugepages" },
		/* kernels */
		{ "kernel=@/none", ENOENT, "kernel '@/none'" },
		{ "kernel=@", EISDIR, "kernel '@'" },
		{ "kernel=@/fifo", EINVAL, "kernel '@/fifo'" },
		{ "kernel=@/empty", EINVAL, "kernel '@/empty'" },
		{ "kernel=@/text", ENOEXEC, "kernel '@/text'" },
		{ "kernel=/bin/true", ENOEXEC, "kernel '/bin/true'" },
		{ "kernel=#/endings.elf\ninitrd=@/none", ENOENT, "initrd '@/none'" },
		{ "kernel=#/endings.elf\ninitrd=@/empty", EINVAL, "initrd '@/empty'" },
		{ "kernel=#/endings.elf\ninitrd=@/huge\nmemory=64M", EFBIG, "initrd '@/huge'" },
		{ "kernel=#/endings.elf\ncmdline=~", EINVAL, "command line" },
		/* disks */
		{ "disk=@/none", ENOENT, "disk0: open disk '@/none'" },
		{ "rng=\ndisk=@/disk,readonly=on\ndisk=@", EISDIR, "disk1: disk '@'" },
		{ "disk=@/fifo", EINVAL, "disk0: disk '@/fifo'" },
		{ "disk=@/empty", EINVAL, "disk0: disk '@/empty'" },
		{ "disk=@/odd", EINVAL, "disk0: disk '@/odd'" },
		{ "disk=@/disk\ndisk=@/disk", EBUSY, "disk1: disk '@/disk'" },
		{ "disk=readonly=on", EINVAL, "disk0: no file" },
		{ "disk=@/disk,fd=0", EINVAL, "disk0: give path=FILE or fd=N" },
		{ "disk=fd=999", EBADF, "disk0: disk fd 999" },
		{ "disk=fd=-1", EINVAL, "disk0: fd: '-1'" },
		{ "disk=fd=2147483648", ERANGE, "disk0: fd: 2147483648" },
		{ "disk=@/disk,readonly=yes", EINVAL, "disk0: readonly: 'yes'" },
		{ "disk=@/disk,queues=99", ERANGE, "disk0: queues: 99" },
		{ "disk=@/disk,colour=red", EINVAL, "disk: unknown key 'colour'" },
		{ "disk=@/disk,serial=~", EINVAL, "disk0: serial" },
		{ "disk=fd=999", EBADF, "disk0" },
		{ "disk=@/disk,fd=0", EINVAL, "disk0" },
		{ "disk=@/disk,aio=magic", EINVAL, "disk0: aio 'magic'" },
		/* places on the bus */
		{ "rng=bus=2\npci=ports=1", ENODEV, "bus" },
		{ "rng=bus=300", ERANGE, "rng: bus: 300" },
		{ "pci=ports=255\nrng=bus=0\nrng=bus=0", ENOSPC, "pci: bus=0" },
		/* files as memory */
		{ "pmem=@/none", ENOENT, "pmem0: open '@/none'" },
		{ "pmem=@", EISDIR, "pmem0: '@'" },
		{ "pmem=@/odd", EINVAL, "pmem0: '@/odd'" },
		{ "pmem=@/empty", EINVAL, "pmem0: '@/empty'" },
		{ "pmem=fd=999", EBADF, "pmem0" },
		{ "pmem=@/pmem\npmem=@/pmem", EBUSY, "pmem1: '@/pmem'" },
		{ "pmem=fd=999", EBADF, "pmem0: fd 999" },
		/* balloon */
		{ "balloon=size=1T", ERANGE, "balloon0: size: 1T" },
		{ "balloon=size=5000", EINVAL, "balloon0: size: 5000" },
		/* sockets of the guest */
		{ "vsock=cid=3", EINVAL, "vsock0: no socket" },
		{ "vsock=path=@/v", EINVAL, "vsock0: no context identifier" },
		{ "vsock=cid=3,fd=999", EBADF, "vsock0: fd 999" },
		{ "vsock=cid=2,path=@/v", ERANGE, "vsock0: cid: 2" },
		{ "vsock=cid=3,fd=999", EBADF, "vsock0" },
		{ "vsock=cid=3,path=@/none/v", ENOENT, "@/none/v" },
		{ "vsock=cid=3,path=@/text", EEXIST, "vsock0: '@/text'" },
		{ "vsock=cid=3,path=@/listener", EADDRINUSE, "vsock0: '@/listener'" },
		{ "vsock=cid=3,path=@/stale", EADDRINUSE, "vsock0: '@/stale'" },
		{ "vsock=cid=3,path=@/~", ENAMETOOLONG, "vsock0" },
		/* networks */
		{ "net=mtu=1500", EINVAL, "net0: no network" },
		{ "net=ether", EINVAL, "net0: 'ether'" },
		{ "net=tap=lacunanone0", ENODEV, "'lacunanone0'" },
		{ "net=fd=999", EBADF, "net0: fd 999" },
		{ "net=passt,fd=999", EBADF, "net0: fd 999" },
		{ "net=passt,socket=@/listener,fd=0", EINVAL, "net0: give socket=PATH" },
		{ "net=passt,socket=@/none", ENOENT, "'@/none'" },
		{ "net=passt,socket=@/stale", ECONNREFUSED, "'@/stale'" },
		{ "net=passt,socket=@/listener,mac=01:02:03:04:05:06", EINVAL, "net0: mac" },
		/* consoles */
		{ "serial=file=@/none/log", ENOENT, "serial: open '@/none/log'" },
		{ "serial=socket=@/listener", EADDRINUSE, "'@/listener'" },
		{ "serial=socket=@/~", ENAMETOOLONG, "serial" },
		{ "serial=pty,link=@/text", EEXIST, "'@/text'" },
		{ "serial=fd=998:999", EBADF, "serial" },
		{ "console=file=@/none/log", ENOENT, "'@/none/log'" },
		{ "console=file=@/log,name=a/b", EINVAL, "'a/b'" },
	};
	return CASES(c);
}

static void refuse(const struct refusal *c)
{
	struct lacuna_config *config = configure(c, true);
	struct lacuna_error *err = NULL;
	struct lacuna_vm *vm = NULL;
	int rc = lacuna_vm_new(config, &vm, &err);
	errors_check(c->options, rc, err, c->code, c->mentions);
	cr_expect_eq(lacuna_vm_new(config, &vm, NULL), -c->code);
	cr_expect_null(vm);
	lacuna_config_free(config);
}

ParameterizedTest(struct refusal *c, errors, create)
{
	need_kvm();
	refuse(c);
}

/* --- a host that gives too little --- */

static unsigned first_free_descriptor(void)
{
	int fd = dup(STDERR_FILENO);
	cr_assert_geq(fd, 0);
	close(fd);
	return (unsigned)fd;
}

/* Allows one descriptor more again and again, until @options make a VM; until then the error is the
 * same all the way. Returns how many are then left. */
static unsigned find_limit(const char *options, const char *mentions)
{
	struct refusal c = { "", EMFILE, "" };
	struct lacuna_vm *vm = NULL;
	unsigned used = first_free_descriptor(), n = 0;
	struct rlimit limit = { .rlim_max = 1000 };
	int rc = -EMFILE;
	snprintf(c.options, sizeof(c.options), "%s", options);
	struct lacuna_config *config = configure(&c, true);
	for (; rc < 0 && n < 200; n++) {
		struct lacuna_error *err = NULL;
		limit.rlim_cur = used + n;
		cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		rc = lacuna_vm_new(config, &vm, &err);
		errors_check("few descriptors", rc, err, rc ? EMFILE : 0, mentions);
	}
	cr_assert(n > 10 && rc == 0, "%u descriptors: %d", n, rc);
	n = (unsigned)limit.rlim_cur;
	limit.rlim_cur = limit.rlim_max;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	n -= first_free_descriptor();
	lacuna_vm_free(vm);
	lacuna_config_free(config);
	return n;
}

Test(errors, too_few_descriptors)
{
	need_kvm();
	cr_expect_eq(find_limit("cpus=1", "open files"), 0);
}

/* The guest is going to use two interrupts of each device; then it is too late to say so. */
Test(errors, too_few_descriptors_for_interrupts)
{
	need_kvm();
	cr_expect_geq(find_limit("rng=\nrng=\nrng=\nrng=", ""), 8);
}

Test(errors, too_few_descriptors_for_devices)
{
	need_kvm();
	struct rlimit limit = { first_free_descriptor() + 20, 1000 };
	static const struct refusal c = { "rng=\nrng=\nrng=\nrng=", EMFILE,
		"4 devices need about" };
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	refuse(&c);
}

/* --- a host without KVM, or without rights --- */

static void need_root(void)
{
	if (geteuid() != 0)
		cr_skip_test("needs root, to have a /dev of its own");
}

/* An empty /dev for this process. */
static void hide_devices(void)
{
	need_root();
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("none", "/dev", "tmpfs", 0, "mode=0755") < 0)
		cr_skip_test("no mounts of one's own can be had here");
}

static void on_topic(void *opaque, bool ok, const char *topic, const char *text)
{
}

static void refuse_kvm(int code, const char *mentions)
{
	struct refusal c = { "cpus=1", code, "" };
	struct lacuna_error *err = NULL;
	snprintf(c.mentions, sizeof(c.mentions), "%s", mentions);
	refuse(&c);
	int rc = lacuna_host_check(on_topic, NULL, &err);
	errors_check("lacuna_host_check", rc, err, code, mentions);
	cr_expect_eq(lacuna_host_check(on_topic, NULL, NULL), -code);
}

Test(errors, no_kvm)
{
	hide_devices();
	refuse_kvm(ENOENT, "/dev/kvm");
}

Test(errors, kvm_is_something_else)
{
	hide_devices();
	int fd = open("/dev/kvm", O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	close(fd);
	refuse_kvm(EPROTO, "/dev/kvm");
}

Test(errors, no_rights)
{
	hide_devices();
	int fd = open("/dev/kvm", O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	close(fd);
	cr_assert_eq(setresuid(0, NOBODY, 0), 0);
	refuse_kvm(EACCES, "/dev/kvm");
	cr_assert_eq(seteuid(0), 0); /* the files are root's to remove */
}

/* /dev/kvm may be opened, but not what the options name. */
Test(errors, files_without_rights)
{
	static const struct refusal c[] = {
		{ "kernel=@/secret", EACCES, "kernel '@/secret'" },
		{ "kernel=#/endings.elf\ninitrd=@/secret", EACCES, "initrd '@/secret'" },
		{ "disk=@/secret", EACCES, "disk '@/secret'" },
		{ "disk=@/disk", EACCES, "add readonly=on" },
		{ "pmem=@/secret", EACCES, "'@/secret'" },
		{ "serial=file=@/log", EACCES, "serial: open '@/log'" },
	};
	need_root();
	need_kvm();
	char *secret = errors_expand("@/secret");
	int fd = open(secret, O_RDONLY | O_CREAT | O_CLOEXEC, 0);
	cr_assert_geq(fd, 0);
	close(fd);
	free(secret);
	hide_devices();
	cr_assert_eq(mknod("/dev/kvm", S_IFCHR | 0666, makedev(10, 232)), 0);
	cr_assert_eq(chmod("/dev/kvm", 0666), 0);
	cr_assert_eq(setresuid(0, NOBODY, 0), 0);
	if (access(guest_folder(), X_OK) < 0)
		cr_skip_test("the guests are where only root can read them");
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++)
		refuse(&c[i]);
	cr_assert_eq(seteuid(0), 0);
}
