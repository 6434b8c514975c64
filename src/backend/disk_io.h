/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to a disk, as a sequence of system calls: what comes next, and what the result of a call
 * means. Who makes the calls, and when, is an engine's business (engine.h). Short transfers go on
 * where they stopped; what the host can't do in one way is done in another.
 *
 * With direct I/O, memory that is not aligned for it goes through a buffer of our own; a range that
 * is not takes the page cache, which the kernel keeps coherent. (On a block device with sectors of
 * 4 KiB that is read, change and write back: a driver that ignores the block size must not write to
 * the rest of the block meanwhile.)
 *
 * What a flush promises: every write that has completed before the flush was begun, on any thread,
 * is on stable storage when the flush completes. Writes under way at that time may or may not be.
 */
#ifndef BACKEND_DISK_IO_H
#define BACKEND_DISK_IO_H

#include <sys/types.h>
#include <sys/uio.h>

#include "backend/disk.h"

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD, DISK_ZERO };

struct disk_range {
	uint64_t offset;
	uint32_t len;
	bool unmap; /* zeroes: the space may be given back */
};

enum disk_call_type { CALL_READ, CALL_WRITE, CALL_FLUSH, CALL_ALLOCATE, CALL_DISCARD };

struct disk_call {
	enum disk_call_type type;
	bool direct; /* on direct_fd */
	int flags;   /* RWF_*, or FALLOC_* */
	struct iovec *iov;
	unsigned count;
	uint64_t offset, len;
};

struct disk_io {
	enum disk_op op;
	bool durable; /* a write or zeroes: on stable storage when it completes */
	/* Reads and writes. At most IOV_MAX elements, which are used up on the way. */
	uint64_t offset;
	struct iovec *iov;
	unsigned count;
	/* Discards (the ranges are not needed any more; a host that can't make use of that is no
	 * error) and zeroes (they read as zeroes afterwards). Used up too. */
	struct disk_range *range;
	unsigned ranges;
	/* Called by the engine, once. 0 or -errno: a range beyond the disk is -EINVAL, a file that
	 * has become shorter -EIO. */
	void (*done)(struct disk_io *io, int rc);

	/* The backend's. */
	struct disk_io *next;
	struct disk_call call; /* the present one */
	uint64_t left;         /* bytes of a transfer */
	int rc;
	uint8_t fallback; /* the way in which zeroes are made */
	bool flushed;
	bool again; /* the last call asked to be repeated by somebody who can wait */
	void *bounce;
	struct iovec one;
};

/* Checks @io and makes it ready: 0 or what done() has to be told. */
int disk_io_begin(const struct disk *disk, struct disk_io *io);
/* Sets io->call, to be made and followed by disk_io_result(). False: over, io->rc is the result. */
bool disk_io_next(const struct disk *disk, struct disk_io *io);
/* @result is what the call returned, or -errno. */
void disk_io_result(struct disk_io *io, ssize_t result);

/* Makes one call here and now. */
ssize_t disk_call_make(const struct disk *disk, const struct disk_call *call);
/* All of it here and now; done() is not called. */
int disk_io_run(const struct disk *disk, struct disk_io *io);

#endif
