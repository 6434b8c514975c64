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

enum mapping { OWN, RAM, OF_FILE };

static enum mapping kind_of(const char *path)
{
	if (!strncmp(path, "/memfd:lacuna-ram", strlen("/memfd:lacuna-ram")))
		return RAM;
	return path[0] != '/' || !strncmp(path, "/memfd:", strlen("/memfd:")) ? OWN : OF_FILE;
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

bool process_weigh(struct process_weight *ret)
{
	char line[4352]; /* a path may have 4,096 bytes */
	enum mapping kind = OF_FILE;
	FILE *f = fopen("/proc/self/smaps", "re");
	*ret = (struct process_weight){ 0 };
	while (f && fgets(line, sizeof(line), f)) {
		const char *path = path_of(line);
		if (path)
			kind = kind_of(path);
		else if (kind == RAM)
			ret->ram_kib += field(line, "Rss:");
		else
			ret->resident_kib += field(line, kind == OWN ? "Rss:" : "Anonymous:");
		if (!path && kind != RAM)
			ret->pss_kib += field(line, kind == OWN ? "Pss:" : "Anonymous:");
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
			memfd = !strncmp(path, "/memfd:", strlen("/memfd:"));
		else if (!strncmp(line, "Size:", strlen("Size:")))
			size = field(line, "Size:");
		else if (size < guest_kib)
			sum += field(line, memfd ? "Pss:" : "Rss:");
	}
	if (f)
		fclose(f);
	return sum > 0 ? sum : NAN;
}
