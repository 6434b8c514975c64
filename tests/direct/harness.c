// SPDX-License-Identifier: Apache-2.0
/* One run of one guest. */
#include "harness.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUTPUT_MAX (4 << 20)

void need_kvm(void)
{
	if (access("/dev/kvm", R_OK | W_OK) < 0)
		cr_skip_test("/dev/kvm is not there or may not be opened");
}

const char *guest_folder(void)
{
	static char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof("guest"));
	cr_assert(n > 0);
	path[n] = '\0';
	memcpy(strrchr(path, '/') + 1, "guest", sizeof("guest"));
	return path;
}

void guest_path(const char *image, char *ret, size_t size)
{
	cr_assert_lt(snprintf(ret, size, "%s/%s.elf", guest_folder(), image), (int)size);
}

static void set(struct lacuna_config *config, const char *key, const char *value)
{
	struct lacuna_error *err = NULL;
	if (value && lacuna_config_set(config, key, value, &err) < 0)
		cr_assert_fail("%s", lacuna_error_message(err));
}

__attribute__((format(printf, 3, 4))) static void set_formatted(
	struct lacuna_config *config, const char *key, const char *format, ...)
{
	char value[PATH_MAX];
	va_list ap;
	va_start(ap, format);
	vsnprintf(value, sizeof(value), format, ap);
	va_end(ap);
	set(config, key, value);
}

static void drop(void *opaque, const void *data, size_t size)
{
}

struct lacuna_config *guest_config(const struct guest *g, int in, int out)
{
	struct lacuna_config *config;
	char path[PATH_MAX];

	cr_assert_eq(lacuna_config_new(&config, NULL), 0);
	if (g->image) {
		guest_path(g->image, path, sizeof(path));
		set(config, "kernel", path);
	}
	set(config, "cmdline", g->cmdline);
	set(config, "add-cmdline", "off");
	set(config, "memory", g->memory);
	set(config, "pci", g->pci);
	set(config, "tables", g->tables);
	if (g->disk)
		set_formatted(config, "disk", "path=%s,serial=direct-test", g->disk);
	if (g->net)
		set(config, "net", g->net);
	if (g->balloon)
		set(config, "balloon", g->balloon);
	if (g->pmem)
		set(config, "pmem", g->pmem);
	if (g->vsock)
		set_formatted(config, "vsock", "cid=33,path=/tmp/lacuna-direct-%d.vsock", getpid());
	if (g->console) {
		set(config, "console", "file=/dev/null");
		set(config, "console", "file=/dev/null,name=second");
	}
	if (g->stream)
		cr_assert_eq(
			lacuna_config_add_console_output(config, "stream", drop, NULL, NULL), 0);
	for (unsigned i = 0; i < g->rng; i++)
		set(config, "rng", "");
	if (g->cpus)
		set_formatted(config, "cpus", "%u", g->cpus);
	set_formatted(config, "serial", "fd=%d:%d", in, out);
	set_formatted(config, "timeout", "%us", g->timeout_s ? g->timeout_s : 60);
	if (g->configure)
		g->configure(config);
	return config;
}

struct lacuna_vm *guest_new(const struct guest *g, int in, int out)
{
	struct lacuna_config *config = guest_config(g, in, out);
	struct lacuna_vm *vm;
	struct lacuna_error *err = NULL;
	if (lacuna_vm_new(config, &vm, &err) < 0)
		cr_assert_fail("%s", lacuna_error_message(err));
	lacuna_config_free(config);
	return vm;
}

/* What the guest will read: @input, then nothing more. */
static int open_input(const char *input)
{
	int fd[2];
	if (!input)
		return open("/dev/null", O_RDONLY | O_CLOEXEC);
	cr_assert_eq(pipe2(fd, O_CLOEXEC), 0);
	cr_assert_eq(write(fd[1], input, strlen(input)), (ssize_t)strlen(input));
	close(fd[1]);
	return fd[0];
}

static char *read_all(int fd, size_t *ret_size)
{
	struct stat st;
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_leq(st.st_size, OUTPUT_MAX);
	char *text = malloc((size_t)st.st_size + 1);
	cr_assert_eq(pread(fd, text, (size_t)st.st_size, 0), st.st_size);
	text[st.st_size] = '\0';
	*ret_size = (size_t)st.st_size;
	return text;
}

void guest_run(const struct guest *g, struct outcome *ret)
{
	struct lacuna_error *err = NULL;
	enum lacuna_end_reason wanted = g->reason ? g->reason : LACUNA_END_EXIT_CODE;

	need_kvm();
	int in = open_input(g->input), out = memfd_create("console", MFD_CLOEXEC);
	cr_assert(in >= 0 && out >= 0);
	*ret = (struct outcome){ .vm = guest_new(g, in, out) };
	if (lacuna_vm_start(ret->vm, &err) < 0 ||
		lacuna_vm_wait(ret->vm, &ret->reason, &ret->code, &err) < 0)
		cr_assert_fail("%s", lacuna_error_message(err));
	ret->stats.size = sizeof(ret->stats);
	lacuna_vm_stats(ret->vm, &ret->stats);
	ret->output = read_all(out, &ret->output_size);
	close(in);
	close(out);

	cr_assert(ret->reason == wanted && ret->code == g->code,
		"ended by %s, code %d (%s); wanted %s, code %d; it printed:\n%s",
		lacuna_end_reason_name(ret->reason), ret->code, lacuna_vm_end_message(ret->vm),
		lacuna_end_reason_name(wanted), g->code, ret->output);
	cr_assert(!g->output || strstr(ret->output, g->output), "'%s' is not in its output:\n%s",
		g->output, ret->output);
	cr_assert_eq(ret->stats.end_reason, ret->reason);
	cr_assert_eq(ret->stats.end_code, ret->code);
	if (g->check)
		g->check(ret);
}

void outcome_done(struct outcome *o)
{
	lacuna_vm_free(o->vm);
	free(o->output);
}

void guest_check(const struct guest *g)
{
	struct outcome o;
	guest_run(g, &o);
	outcome_done(&o);
}

uint64_t outcome_number(const struct outcome *o, const char *label)
{
	const char *at = strstr(o->output, label);
	cr_assert(at, "'%s' is not in the output:\n%s", label, o->output);
	return strtoull(at + strlen(label), NULL, 0);
}

static char scratch[PATH_MAX];

static void remove_scratch(void)
{
	unlink(scratch);
}

const char *scratch_disk(size_t size)
{
	const char *dir = getenv("TMPDIR");
	snprintf(scratch, sizeof(scratch), "%s/lacuna-direct-XXXXXX", dir ? dir : "/tmp");
	int fd = mkstemp(scratch);
	cr_assert(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	close(fd);
	atexit(remove_scratch);
	return scratch;
}
