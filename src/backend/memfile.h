/* SPDX-License-Identifier: Apache-2.0 */
/* A regular file that a guest shall see as memory: opened, measured and locked against a second
 * writer, as disks are. */
#ifndef BACKEND_MEMFILE_H
#define BACKEND_MEMFILE_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stdint.h>

#define MEMFILE_GRAIN (2ull << 20)

/*
 * The descriptor is the caller's. -EINVAL when the size is no multiple of 2 MiB or zero, or it is
 * no regular file; -EISDIR; -EBUSY when another VM uses it (many may read, or one may write); and
 * what open() says. Messages name the path and what to try.
 */
int memfile_open(const char *path, bool readonly, int *ret_fd, uint64_t *ret_size,
	struct lacuna_error **err);

#endif
