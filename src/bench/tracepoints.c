// SPDX-License-Identifier: Apache-2.0
/* Histogram triggers in an instance of tracefs. */
#include "bench/tracepoints.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/child.h"

#define TRACEFS    "/sys/kernel/tracing"
#define SIZE_LEAST 2048
#define TEXT_MAX   ((size_t)64 * 1024 * 1024)

/* The inode of the first PID namespace (linux/proc_ns.h): the kernel's traces speak of its
 * numbers. */
#define FIRST_PID_NAMESPACE "pid:[4026531836]"

/* Held while a file of the instance is open: the kernel removes none of which a file is, and the
 * signal thread is to remove ours. */
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

/* --- files --- */

struct path {
	char text[192];
};

static struct path path_of(const struct tracepoints *t, const char *event, const char *name)
{
	struct path p;
	if (event)
		snprintf(p.text, sizeof(p.text), "%s/events/kvm/%s/%s", t->path, event, name);
	else
		snprintf(p.text, sizeof(p.text), "%s/%s", t->path, name);
	return p;
}

/* 0 or -errno. tracefs takes a text by one write(2). */
static int put(const struct path *path, const char *text)
{
	int rc = 0;
	pthread_mutex_lock(&lock);
	int fd = open(path->text, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	pthread_mutex_unlock(&lock);
	return rc;
}

/* All of a file, which the caller frees, or NULL with errno. */
static char *get(const struct path *path)
{
	char *text = NULL;
	size_t size = 0, capacity = 0;
	ssize_t n = -1;
	pthread_mutex_lock(&lock);
	int fd = open(path->text, O_RDONLY | O_CLOEXEC);
	while (fd >= 0) {
		if (capacity - size < 65536) {
			char *grown = capacity < TEXT_MAX ? realloc(text, capacity + 262144) : NULL;
			if (!grown) {
				errno = ENOMEM;
				n = -1;
				break;
			}
			text = grown;
			capacity += 262144;
		}
		n = read(fd, text + size, capacity - size - 1);
		if (n == 0 || (n < 0 && errno != EINTR))
			break;
		size += n > 0 ? (size_t)n : 0;
	}
	int code = errno;
	if (fd >= 0)
		close(fd);
	pthread_mutex_unlock(&lock);
	if (n == 0) {
		text[size] = '\0';
		return text;
	}
	free(text);
	errno = code;
	return NULL;
}

/* --- the instance --- */

static void remove_instance(void *opaque)
{
	struct tracepoints *t = opaque;
	pthread_mutex_lock(&lock);
	rmdir(t->path); /* with its events and triggers */
	pthread_mutex_unlock(&lock);
}

/* To open the file for writing from its beginning removes the trigger that is there. */
static int arm(struct tracepoints *t, const struct tracepoint *p, struct why *why)
{
	char text[128];
	struct path path = path_of(t, p->event, "trigger"), hist = path_of(t, p->event, "hist");
	snprintf(text, sizeof(text), "hist:keys=%s:size=%u", p->keys,
		p->size ? p->size : SIZE_LEAST);
	if (access(path.text, F_OK) < 0)
		return why_set(
			why, "the kernel has no tracepoint kvm:%s: is KVM loaded?", p->event);
	if (access(hist.text, F_OK) < 0)
		return why_set(why, "the kernel counts no events (CONFIG_HIST_TRIGGERS)");
	int rc = put(&path, text);
	return rc < 0 ? why_set(why, "count kvm:%s by %s: %s", p->event, p->keys, strerror(-rc))
		      : 0;
}

static const char *what_to_try(int code)
{
	if (code == EACCES || code == EPERM)
		return ": run as root";
	return code == ENOENT ? ": mount -t tracefs tracefs " TRACEFS : "";
}

int tracepoints_open(
	struct tracepoints *t, const struct tracepoint *list, size_t count, struct why *why)
{
	*t = (struct tracepoints){ .list = list, .count = count };
	snprintf(t->path, sizeof(t->path), TRACEFS "/instances/lacuna-%d", (int)getpid());
	if (access(TRACEFS "/instances", F_OK) < 0)
		return why_set(why, "counting needs tracefs at " TRACEFS ": %s%s", strerror(errno),
			what_to_try(errno));
	/* one that is there was left by a process of our number that was killed */
	if (mkdir(t->path, 0700) < 0 &&
		(errno != EEXIST || rmdir(t->path) < 0 || mkdir(t->path, 0700) < 0))
		return why_set(why, "counting needs the right to make '%s': %s%s", t->path,
			strerror(errno), what_to_try(errno));
	t->open = true;
	undo_push(remove_instance, t);
	for (size_t i = 0; i < count; i++) {
		if (arm(t, &list[i], why) < 0) {
			tracepoints_close(t);
			return -1;
		}
	}
	return 0;
}

void tracepoints_close(struct tracepoints *t)
{
	if (t->open)
		undo_pop();
	t->open = false;
}

/* --- what counts --- */

static bool in_first_namespace(void)
{
	char name[64];
	ssize_t n = readlink("/proc/self/ns/pid", name, sizeof(name) - 1);
	name[n > 0 ? n : 0] = '\0';
	return !strcmp(name, FIRST_PID_NAMESPACE);
}

int tracepoints_follow(struct tracepoints *t, pid_t pid, struct why *why)
{
	char folder[64], threads[4096];
	size_t at = 0;
	if (!in_first_namespace())
		return why_set(why, "tracepoints know no PID namespaces: run outside of one");
	struct path fork = path_of(t, NULL, "options/event-fork");
	int rc = put(&fork, "1");
	snprintf(folder, sizeof(folder), "/proc/%d/task", (int)pid);
	DIR *d = opendir(folder);
	for (const struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.' && at < sizeof(threads) - 16)
			at += (size_t)snprintf(
				threads + at, sizeof(threads) - at, "%.12s ", e->d_name);
	if (d)
		closedir(d);
	if (!at)
		return why_set(why, "process %d has no threads", (int)pid);
	struct path pids = path_of(t, NULL, "set_event_pid");
	if (rc == 0)
		rc = put(&pids, threads);
	return rc < 0 ? why_set(why, "count one process alone: %s", strerror(-rc)) : 0;
}

int tracepoints_clear(struct tracepoints *t, struct why *why)
{
	for (size_t i = 0; i < t->count; i++)
		if (arm(t, &t->list[i], why) < 0)
			return -1;
	return 0;
}

/* As in arm(): there need not be a new one. To follow processes costs at each switch between
 * threads, so that ends, too. */
int tracepoints_stop(struct tracepoints *t, struct why *why)
{
	struct path pids = path_of(t, NULL, "set_event_pid");
	if (put(&pids, "") < 0)
		return why_set(why, "count everybody: %s", strerror(errno));
	for (size_t i = 0; i < t->count; i++) {
		struct path path = path_of(t, t->list[i].event, "trigger");
		int rc = put(&path, "");
		if (rc < 0)
			return why_set(
				why, "count kvm:%s no more: %s", t->list[i].event, strerror(-rc));
	}
	return 0;
}

int tracepoints_read(
	struct tracepoints *t, size_t which, tracepoint_fn *fn, void *opaque, struct why *why)
{
	const struct tracepoint *p = &t->list[which];
	struct path path = path_of(t, p->event, "hist");
	char *text = get(&path);
	if (!text)
		return why_set(why, "read the counts of kvm:%s: %s", p->event, strerror(errno));
	int rc = tracepoint_parse(text, p->keys, fn, opaque, why);
	free(text);
	return rc;
}

/* --- what the kernel shows --- */

/* "name: number" with blanks around, then one of @ends. Moves *@at behind it. */
static bool take_field(
	const char **at, const char *name, size_t len, const char *ends, uint64_t *ret)
{
	const char *s = *at + strspn(*at, " ");
	char *end;
	if (strncmp(s, name, len) != 0 || s[len] != ':')
		return false;
	s += len + 1;
	s += strspn(s, " ");
	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	*ret = strtoull(s, &end, 10);
	end += strspn(end, " ");
	if (errno || !*end || !strchr(ends, *end))
		return false;
	*at = end + 1;
	return true;
}

/* { port:       3324, rw:          1 } hitcount:          2 */
static bool take_entry(const char *line, const char *keys, struct tracepoint_hits *h)
{
	const char *at = line + 1;
	for (size_t i = 0; *keys; i++) {
		size_t len = strcspn(keys, ",");
		if (i == TRACEPOINT_KEYS ||
			!take_field(&at, keys, len, keys[len] ? "," : "}", &h->key[i]))
			return false;
		keys += len + (keys[len] == ',');
	}
	return take_field(&at, "hitcount", strlen("hitcount"), "\n,", &h->hits);
}

int tracepoint_parse(
	const char *text, const char *keys, tracepoint_fn *fn, void *opaque, struct why *why)
{
	bool ended = false;
	for (const char *line = text; *line;) {
		size_t len = strcspn(line, "\n");
		struct tracepoint_hits h = { 0 };
		uint64_t dropped = 0;
		const char *at = line;
		if (*line == '{' && (!line[len] || !take_entry(line, keys, &h)))
			return why_set(why, "the kernel's counts are in a form unknown here: %.*s",
				(int)(len < 120 ? len : 120), line);
		if (*line == '{')
			fn(opaque, &h);
		else if (take_field(&at, "Dropped", strlen("Dropped"), "\n", &dropped))
			ended = true;
		if (dropped)
			return why_set(why, "%llu events found no room in the kernel's counts",
				(unsigned long long)dropped);
		line += len + (line[len] == '\n');
	}
	return ended ? 0 : why_set(why, "the kernel's counts break off");
}
