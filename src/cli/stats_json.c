// SPDX-License-Identifier: Apache-2.0
/*
 * The statistics of a machine as JSON. A regular file is written under another name in the same
 * folder and renamed when it is complete; anything else (a pipe, a device) is written to directly.
 */
#include "cli/stats_json.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* the signal thread may discard */
static int stats_fd = -1;
static char *final_path, *partial_path; /* NULL: written directly */

/* Permissions as open(2) would have given. */
static void apply_umask(int fd)
{
	mode_t mask = umask(0);
	umask(mask);
	fchmod(fd, 0666 & ~mask);
}

static int open_partial(const char *path)
{
	int fd = -1;
	pthread_mutex_lock(&lock);
	final_path = strdup(path);
	if (!final_path || asprintf(&partial_path, "%s.XXXXXX", path) < 0) {
		partial_path = NULL;
		errno = ENOMEM;
	} else {
		fd = mkostemp(partial_path, O_CLOEXEC);
	}
	if (fd >= 0)
		apply_umask(fd);
	pthread_mutex_unlock(&lock);
	return fd;
}

int stats_file_open(const char *path)
{
	struct stat st;
	if (!*path)
		return fail("stats-file: the file name is empty");
	if (!strcmp(path, "-"))
		stats_fd = STDOUT_FILENO;
	else if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		stats_fd =
			open(path, O_WRONLY | O_TRUNC | O_CLOEXEC); /* a pipe: waits for a reader */
	else
		stats_fd = open_partial(path);
	if (stats_fd < 0)
		return fail("stats-file: create '%s': %s", path, strerror(errno));
	return STATUS_OK;
}

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static json_t *moment(uint64_t us)
{
	return us == LACUNA_TIME_NEVER ? json_null() : number(us);
}

/* Reasons without a name of their own share "other". */
static json_t *by_reason(const struct lacuna_stats *s)
{
	json_t *o = json_object();
	for (unsigned i = 0; i < LACUNA_EXIT_REASONS; i++) {
		const char *name = lacuna_exit_reason_name(i);
		json_int_t sum = json_integer_value(json_object_get(o, name));
		if (s->exits_by_reason[i])
			json_object_set_new(o, name, number((uint64_t)sum + s->exits_by_reason[i]));
	}
	return o;
}

static void add_counter(void *object, const char *name, uint64_t value)
{
	json_object_set_new(object, name, number(value));
}

static json_t *kvm_counters(const struct lacuna_vm *vm)
{
	json_t *o = json_object();
	if (lacuna_vm_kvm_stats(vm, add_counter, o) == 0)
		return o;
	json_decref(o);
	return json_null();
}

json_t *stats_json(const struct lacuna_vm *vm)
{
	struct lacuna_stats s = { .size = sizeof(s) };
	lacuna_vm_stats(vm, &s);
	json_t *machine = json_pack("{s:o, s:o, s:{s:s, s:s, s:b, s:o, s:o}}", "vcpus",
		number(s.vcpus), "memory_bytes", number(s.memory_bytes), "pci", "config",
		s.pci_config, "window", s.pci_window, "large_pages", (int)s.pci_large_pages,
		"buses", number(s.pci_buses), "functions", number(s.pci_functions));
	json_t *time = json_pack("{s:o, s:o, s:o, s:o, s:o}", "created", moment(s.created_us),
		"started", moment(s.started_us), "first_entry", moment(s.first_entry_us), "marker",
		moment(s.marker_us), "end", moment(s.end_us));
	json_t *config = json_pack("{s:o, s:o, s:o, s:o, s:o}", "type1_read", number(s.type1_read),
		"type1_write", number(s.type1_write), "ecam_read", number(s.ecam_read),
		"ecam_write", number(s.ecam_write), "absent", number(s.absent));
	json_t *exits = json_pack("{s:o, s:o, s:o, s:{s:o, s:o, s:o, s:o}, s:{s:o, s:o}}", "total",
		number(s.exits_total), "by_reason", by_reason(&s), "pci_config", config, "pio",
		"serial", number(s.pio_serial), "cmos", number(s.pio_cmos), "reset",
		number(s.pio_reset), "other", number(s.pio_other), "mmio", "bar",
		number(s.mmio_bar), "other", number(s.mmio_other));
	return json_pack("{s:s, s:o, s:o, s:o, s:{s:o, s:o}, s:o, s:{s:s, s:i}}", "lacuna",
		lacuna_version(), "machine", machine, "time_us", time, "exits", exits, "coalesced",
		"pio", number(s.coalesced_pio), "mmio", number(s.coalesced_mmio), "kvm",
		kvm_counters(vm), "end", "reason", lacuna_end_reason_name(s.end_reason), "code",
		s.end_code);
}

static int write_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(fd, text, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		text += n;
		size -= (size_t)n;
	}
	return 0;
}

int stats_file_write(const struct lacuna_vm *vm)
{
	if (stats_fd < 0)
		return STATUS_OK;
	json_t *object = stats_json(vm);
	char *text = object ? json_dumps(object, JSON_INDENT(2)) : NULL;
	json_decref(object);
	int status = STATUS_OK;
	if (!text)
		status = fail("stats-file: out of memory");
	else if (write_all(stats_fd, text, strlen(text)) < 0 || write_all(stats_fd, "\n", 1) < 0 ||
		 (partial_path && rename(partial_path, final_path) < 0))
		status = fail("stats-file: write: %s", strerror(errno));
	free(text);
	if (status == STATUS_OK) { /* the file is in its place: nothing to discard */
		free(partial_path);
		partial_path = NULL;
	}
	return status;
}

void stats_file_discard(void)
{
	pthread_mutex_lock(&lock);
	if (partial_path)
		unlink(partial_path);
	free(partial_path);
	free(final_path);
	partial_path = final_path = NULL;
	if (stats_fd > STDERR_FILENO)
		close(stats_fd);
	stats_fd = -1;
	pthread_mutex_unlock(&lock);
}
