/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk: a raw file or a block device of the host, locked against a second writer. What is done
 * with it is in disk_io.h; any number of threads may use one disk at once.
 */
#ifndef BACKEND_DISK_H
#define BACKEND_DISK_H

#include <lacuna/error.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend/hostfile.h"

#define DISK_SECTOR 512u

struct disk {
	struct hostfile file;
	int fd;        /* through the page cache; that of the file, or other_fd */
	int direct_fd; /* past it, likewise, or negative: none */
	int other_fd;  /* a second description of the file, or negative */
	bool readonly;
	bool nonblocking;      /* its description has O_NONBLOCK, and that is not ours to clear */
	bool device;           /* a block device */
	_Atomic uint64_t size; /* bytes; a multiple of block_size; grows only */
	uint32_t block_size;   /* what is addressed: 512, or more if device or direct I/O need it */
	uint32_t physical_size; /* what is written well: a multiple of block_size */
	uint32_t align;         /* of offset, length and memory, for direct_fd */
};

/*
 * Opens @path. Errors name the path and what to try: -ENOENT, -EACCES and whatever open() says;
 * -EISDIR; -EINVAL for what is not a disk, has a size that is none, or can't be used directly when
 * @direct asks for that; -EBUSY when another VM uses it (many may read, or one may write).
 */
int disk_open(
	const char *path, bool readonly, bool direct, struct disk **ret, struct lacuna_error **err);
/* The same with a duplicate of @fd, which must be open for what is asked for: -EBADF, -EACCES. */
int disk_adopt(int fd, bool readonly, bool direct, struct disk **ret, struct lacuna_error **err);
void disk_close(struct disk *disk);

/* Makes the disk @size bytes large, and the file too if it is smaller. -EINVAL for less than there
 * is now. One call at a time; others may use the disk meanwhile. */
int disk_grow(struct disk *disk, uint64_t size, struct lacuna_error **err);

#endif
