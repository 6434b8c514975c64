/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All-ones memory: what configuration space without a function reads as. One copy serves every VM
 * of the process. It is the one piece of file-scope state in the library: constant contents and a
 * reference count behind a lock.
 */
#ifndef PCI_ONES_H
#define PCI_ONES_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stddef.h>

#include "util/hugepage.h"

#define ONES_FILE_FIRST 0x10000u  /* enough for one VM, and soon made */
#define ONES_FILE_SIZE  0x100000u /* what a bus needs: fewer mappings for each of many VMs */
#define ONES_LARGE_SIZE HUGEPAGE_SIZE

struct ones {
	int fd; /* memfd of ones, to be mapped again and again between live pages */
	_Atomic size_t file_size; /* only grows */
	const void *large;  /* ONES_LARGE_SIZE bytes, aligned to their size; NULL until asked for */
	bool large_is_huge; /* one transparent huge page lies behind it */
};

/* Takes a reference; with @large, the large region is made too. The second holder of one makes the
 * file as large as it gets. Any thread. */
int ones_get(bool large, const struct ones **ret, struct lacuna_error **err);
void ones_put(void);

#endif
