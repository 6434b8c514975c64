// SPDX-License-Identifier: Apache-2.0
/* What /proc tells of this process. */
#include "held.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

long held_entries(const char *path)
{
	long n = 0;
	DIR *dir = opendir(path);
	for (struct dirent *e; dir && (e = readdir(dir));)
		n += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

#if !SANITIZED
static long lines(const char *path)
{
	char buf[4096];
	long count = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	for (ssize_t n; (n = read(fd, buf, sizeof(buf))) > 0;)
		for (ssize_t i = 0; i < n; i++)
			count += buf[i] == '\n';
	close(fd);
	return count;
}

/* A number of /proc/self/status. */
static long status(const char *label)
{
	char buf[8192] = "";
	long value = 0;
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	const char *at = n > 0 ? strstr(buf, label) : NULL;
	for (at = at ? at + strlen(label) : ""; *at && *at != '\n'; at++)
		if (*at >= '0' && *at <= '9')
			value = value * 10 + *at - '0';
	return value;
}
#endif

struct held held_now(void)
{
	struct held h = {
		.descriptors = held_entries("/proc/self/fd") - 1, /* the folder's own */
		.threads = held_entries("/proc/self/task"),
	};
#if !SANITIZED
	h.mappings = lines("/proc/self/maps");
	h.resident_kib = status("VmRSS:");
#endif
	return h;
}
