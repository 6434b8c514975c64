// SPDX-License-Identifier: Apache-2.0
/* /proc/self (Documentation/filesystems/proc.rst). */
#include "bench/process.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Entries of a folder, but for "." and "..". */
static unsigned entries(const char *path)
{
	unsigned n = 0;
	DIR *d = opendir(path);
	for (const struct dirent *e; d && (e = readdir(d));)
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

/* The path of a mapping, in the line that begins its entry: the sixth word, or "". NULL for other
 * lines, whose first word ends in a colon. */
static const char *path_of(char *line)
{
	char *at = line;
	if (line[strcspn(line, " :")] == ':')
		return NULL;
	for (int word = 0; word < 5; word++) {
		at += strcspn(at, " ");
		at += strspn(at, " ");
	}
	at[strcspn(at, "\n")] = '\0';
	return at;
}

/* The number behind @key, which is KiB, or 0. */
static double field(const char *line, const char *key)
{
	size_t len = strlen(key);
	return strncmp(line, key, len) ? 0 : (double)strtoul(line + len, NULL, 10);
}

static bool is_memfd(const char *path)
{
	return !strncmp(path, "/memfd:", strlen("/memfd:"));
}

/* An entry of smaps, KiB. */
struct mapping {
	bool of_file;
	double rss, pss, anonymous;
};

/* Guest RAM alone is not to be had by children of fork(): flag "dc". */
static void weigh(struct process_weight *w, const struct mapping *m, bool dontcopy)
{
	if (m->of_file) {
		w->resident_kib += m->anonymous;
		w->pss_kib += m->anonymous;
	} else if (dontcopy) {
		w->ram_kib += m->rss;
	} else {
		w->resident_kib += m->rss;
		w->pss_kib += m->pss;
	}
}

bool process_weigh(struct process_weight *ret)
{
	char line[4352]; /* a path may have 4,096 bytes */
	struct mapping m = { 0 };
	FILE *f = fopen("/proc/self/smaps", "re");
	*ret = (struct process_weight){ 0 };
	while (f && fgets(line, sizeof(line), f)) {
		const char *path = path_of(line);
		if (path) {
			m = (struct mapping){ .of_file = path[0] == '/' && !is_memfd(path) };
		} else if (!strncmp(line, "VmFlags:", strlen("VmFlags:"))) {
			weigh(ret, &m, strstr(line, " dc")); /* the entry's end */
		} else {
			m.rss += field(line, "Rss:");
			m.pss += field(line, "Pss:");
			m.anonymous += field(line, "Anonymous:");
		}
	}
	if (f)
		fclose(f);
	ret->fds = entries("/proc/self/fd");
	ret->threads = entries("/proc/self/task");
	return f && ret->threads;
}

double process_weigh_monitor(pid_t pid, uint64_t guest_mib)
{
	char line[4352], name[64];
	double sum = 0, size = 0, guest_kib = (double)guest_mib * 1024;
	bool memfd = false;
	snprintf(name, sizeof(name), "/proc/%d/smaps", (int)pid);
	FILE *f = fopen(name, "re");
	while (f && fgets(line, sizeof(line), f)) {
		const char *path = path_of(line);
		if (path)
			memfd = is_memfd(path);
		else if (!strncmp(line, "Size:", strlen("Size:")))
			size = field(line, "Size:");
		else if (size < guest_kib)
			sum += field(line, memfd ? "Pss:" : "Rss:");
	}
	if (f)
		fclose(f);
	return sum > 0 ? sum : NAN;
}
