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

#define DISK_SECTOR 512u

struct disk {
	char *path;
	int fd;        /* through the page cache */
	int direct_fd; /* past it, or -1 */
	bool readonly;
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
void disk_close(struct disk *disk);

/* Makes the disk @size bytes large, and the file too if it is smaller. -EINVAL for less than there
 * is now. One call at a time; others may use the disk meanwhile. */
int disk_grow(struct disk *disk, uint64_t size, struct lacuna_error **err);

#endif
