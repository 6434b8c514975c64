// SPDX-License-Identifier: Apache-2.0
/* /proc/self (Documentation/filesystems/proc.rst). */
#include "bench/process.h"

#include <dirent.h>
#include <stdio.h>
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

bool process_weigh(struct process_weight *ret)
{
	char line[4352], path[4097];
	enum mapping kind = OF_FILE;
	FILE *f = fopen("/proc/self/smaps", "re");
	*ret = (struct process_weight){ 0 };
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long low, high, kib;
		path[0] = '\0';
		if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %4096s", &low, &high, path) >= 2)
			kind = kind_of(path);
		else if (sscanf(line, "Rss: %lu", &kib) == 1 && kind != OF_FILE)
			*(kind == RAM ? &ret->ram_kib : &ret->resident_kib) += (double)kib;
		else if (sscanf(line, "Pss: %lu", &kib) == 1 && kind == OWN)
			ret->pss_kib += (double)kib;
		else if (sscanf(line, "Anonymous: %lu", &kib) == 1 && kind == OF_FILE) {
			ret->resident_kib += (double)kib;
			ret->pss_kib += (double)kib;
		}
	}
	if (f)
		fclose(f);
	ret->fds = entries("/proc/self/fd");
	ret->threads = entries("/proc/self/task");
	return f && ret->threads;
}
