// SPDX-License-Identifier: Apache-2.0
/* All-ones memory of the process: a small memfd, and a region of one transparent huge page. */
#include "pci/ones.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "util/err.h"
#include "util/fd.h"
#include "util/thread.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ones shared = { .fd = -1 };
static unsigned references;

/* Ones up to @size; -1 and errno if that can't be. */
static int fill(int fd, size_t from, size_t size)
{
	uint8_t page[4096];
	struct iovec all[ONES_FILE_SIZE / sizeof(page)];
	int pages = (int)((size - from) / sizeof(page));
	memset(page, 0xff, sizeof(page));
	for (int i = 0; i < pages; i++)
		all[i] = (struct iovec){ page, sizeof(page) };
	ssize_t n = pwritev(fd, all, pages, (off_t)from);
	if (n >= 0 && (size_t)n < size - from)
		errno = ENOSPC;
	return n == (ssize_t)(size - from) ? 0 : -1;
}

static int make_file(struct lacuna_error **err)
{
	AUTO_CLOSE int fd = memfd_create("lacuna-ones", MFD_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "memfd_create");
	if (fill(fd, 0, ONES_FILE_FIRST) < 0)
		return err_errno(err, "fill all-ones memory");
	shared.fd = TAKE_FD(fd);
	shared.file_size = ONES_FILE_FIRST;
	return 0;
}

/*
 * A mapping costs more than its own making: whenever a process makes a VM, KVM locks all mappings
 * that the process has (mmu_notifier_register). What can't be had is done without.
 */
static void grow_file(void)
{
	if (shared.file_size < ONES_FILE_SIZE &&
		fill(shared.fd, shared.file_size, ONES_FILE_SIZE) == 0)
		shared.file_size = ONES_FILE_SIZE;
}

/*
 * Whether one huge page lies behind the mapping that begins at @start: AnonHugePages says so
 * (Documentation/filesystems/proc.rst, smaps). Where that may not be read, MADV_COLLAPSE tells, for
 * it succeeds only if there is one afterwards. It is not the first choice, as it would make one on
 * a host that has them switched off, too.
 */
static bool backed_by_huge_page(void *start)
{
	static const char field[] = "AnonHugePages:";
	FILE *smaps = fopen("/proc/self/smaps", "re");
	if (!smaps)
		return madvise(start, ONES_LARGE_SIZE, MADV_COLLAPSE) == 0;
	char *line = NULL;
	size_t capacity = 0;
	bool inside = false;
	unsigned long huge_kib = 0;
	while (getline(&line, &capacity, smaps) > 0) {
		char *end; /* strtoul(): sscanf() would add 80 KiB to a static program */
		unsigned long low = strtoul(line, &end, 16);
		if (*end == '-')
			inside = low <= (uintptr_t)start &&
				 (uintptr_t)start < strtoul(end + 1, NULL, 16);
		else if (inside && !strncmp(line, field, strlen(field))) {
			huge_kib = strtoul(line + strlen(field), NULL, 10);
			break;
		}
	}
	free(line);
	fclose(smaps);
	return huge_kib >= ONES_LARGE_SIZE / 1024;
}

static int make_large(struct lacuna_error **err)
{
	void *large = map_huge_aligned(ONES_LARGE_SIZE);
	if (large == MAP_FAILED)
		return err_errno(err, "map all-ones memory");
	/* Without huge pages the same region works with 4 KiB pages: more faults, same contents. */
	madvise(large, ONES_LARGE_SIZE, MADV_HUGEPAGE);
	memset(large, 0xff, ONES_LARGE_SIZE);
	mprotect(large, ONES_LARGE_SIZE, PROT_READ);
	shared.large = large;
	shared.large_is_huge = backed_by_huge_page(large);
	return 0;
}

static void release(void)
{
	fd_close(&shared.fd);
	if (shared.large)
		munmap((void *)(uintptr_t)shared.large, ONES_LARGE_SIZE);
	shared = (struct ones){ .fd = -1 };
}

int ones_get(bool large, const struct ones **ret, struct lacuna_error **err)
{
	LOCK_SCOPE(&lock);
	int rc = shared.fd < 0 ? make_file(err) : 0;
	if (rc == 0 && large && !shared.large)
		rc = make_large(err);
	if (rc < 0) {
		if (!references)
			release();
		return rc;
	}
	if (references++)
		grow_file();
	*ret = &shared;
	return 0;
}

void ones_put(void)
{
	LOCK_SCOPE(&lock);
	if (--references == 0)
		release();
}
