/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk: a raw file or a block device of the host, locked against a second writer. Any number of
 * threads may use one disk at once.
 *
 * Requests return 0 or -errno. A range beyond the disk is -EINVAL, so the size never changes.
 */
#ifndef BACKEND_DISK_H
#define BACKEND_DISK_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define DISK_SECTOR 512u

struct disk {
	int fd;
	bool readonly;
	bool device;            /* a block device */
	uint64_t size;          /* bytes; a multiple of block_size */
	uint32_t block_size;    /* what is addressed: 512, or more on a block device */
	uint32_t physical_size; /* what is written well: a multiple of block_size */
};

/*
 * Opens @path. Errors name the path and what to try: -ENOENT, -EACCES and whatever open() says;
 * -EISDIR; -EINVAL for what is not a disk or has a size that is none; -EBUSY when another VM uses
 * it (many may read, or one may write).
 */
int disk_open(const char *path, bool readonly, struct disk **ret, struct lacuna_error **err);
void disk_close(struct disk *disk);

/* All @count elements, which are used up on the way. @count is at most IOV_MAX. */
int disk_read(const struct disk *disk, struct iovec *iov, unsigned count, uint64_t offset);
int disk_write(const struct disk *disk, struct iovec *iov, unsigned count, uint64_t offset);

/* What was written before is on stable storage. */
int disk_flush(const struct disk *disk);

/* The range is not needed any more; a host that can't make use of that is no error. */
int disk_discard(const struct disk *disk, uint64_t offset, uint64_t len);

/* The range reads as zeros afterwards; @unmap allows its space to be given back. */
int disk_write_zeroes(const struct disk *disk, uint64_t offset, uint64_t len, bool unmap);

#endif
