/* SPDX-License-Identifier: Apache-2.0 */
/* A regular file that a guest shall see as memory: opened, measured and locked against a second
 * writer, as disks are. */
#ifndef BACKEND_MEMFILE_H
#define BACKEND_MEMFILE_H

#include <stdint.h>

#include "backend/hostfile.h"

#define MEMFILE_GRAIN (2ull << 20)

/*
 * Opens @path, or a duplicate of @fd if that is NULL. -EINVAL when the size is no multiple of 2 MiB
 * or zero, or it is no regular file; -EISDIR; -EBUSY when another VM uses it (many may read, or one
 * may write); and what hostfile_open() says. Messages name the file and what to try.
 * hostfile_close() is due in any case.
 */
int memfile_open(struct hostfile *f, const char *path, int fd, bool readonly, uint64_t *ret_size,
	struct lacuna_error **err);

#endif
