// SPDX-License-Identifier: Apache-2.0
/*
 * Requests to a disk as a sequence of system calls.
 *
 * A durable write carries RWF_DSYNC rather than being followed by an fdatasync: one call instead of
 * two, a single write with FUA where device and file system can, and unlike O_DSYNC it can differ
 * from one write to the next, as the driver may change the cache mode at any time.
 */
#include "backend/disk_io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/bytes.h"

#define BOUNCE_MAX (64 * KIB)

/* How zeroes come about; each falls back to the next. */
enum { ZERO_PUNCH, ZERO_RANGE, ZERO_WRITE };

static uint8_t zeroes[64 * KIB] __attribute__((aligned(4096)));

static bool inside(const struct disk *d, uint64_t offset, uint64_t len)
{
	uint64_t size = d->size;
	return offset <= size && len <= size - offset;
}

static uint8_t first_way(const struct disk_range *r)
{
	return r->unmap ? ZERO_PUNCH : ZERO_RANGE;
}

int disk_io_begin(const struct disk *d, struct disk_io *io)
{
	io->left = 0;
	io->rc = 0;
	io->flushed = io->again = false;
	io->bounce = NULL;
	if (d->readonly && io->op != DISK_READ && io->op != DISK_FLUSH)
		return -EROFS;
	switch (io->op) {
	case DISK_READ:
	case DISK_WRITE:
		for (unsigned i = 0; i < io->count; i++)
			io->left += io->iov[i].iov_len;
		return inside(d, io->offset, io->left) ? 0 : -EINVAL;
	case DISK_DISCARD:
	case DISK_ZERO:
		for (unsigned i = 0; i < io->ranges; i++)
			if (!inside(d, io->range[i].offset, io->range[i].len))
				return -EINVAL;
		if (io->ranges)
			io->fallback = first_way(io->range);
		return 0;
	default:
		return 0;
	}
}

/* --- transfers --- */

static bool aligned(uint64_t v, uint32_t align)
{
	return (v & (align - 1)) == 0;
}

static bool memory_aligned(const struct disk *d, const struct disk_io *io)
{
	for (unsigned i = 0; i < io->count; i++)
		if (!aligned((uintptr_t)io->iov[i].iov_base | io->iov[i].iov_len, d->align))
			return false;
	return true;
}

/* Guest memory is copied by the kernel: what is no longer there (a file mapped into the guest may
 * have been truncated) is an error, not a signal. */
static bool bounce_copy(const struct disk_io *io, size_t len, bool in)
{
	struct iovec buffer = { io->bounce, len };
	ssize_t n = in ? process_vm_readv(getpid(), &buffer, 1, io->iov, io->count, 0)
		       : process_vm_writev(getpid(), &buffer, 1, io->iov, io->count, 0);
	return n == (ssize_t)len;
}

static int use_bounce(const struct disk *d, struct disk_io *io, struct disk_call *call)
{
	call->len = min_u64(io->left, BOUNCE_MAX);
	if (!io->bounce)
		io->bounce = aligned_alloc(d->align, align_up(call->len, d->align));
	if (!io->bounce)
		return -ENOMEM;
	if (io->op == DISK_WRITE && !bounce_copy(io, call->len, true))
		return -EFAULT;
	io->one = (struct iovec){ io->bounce, call->len };
	call->iov = &io->one;
	call->count = 1;
	return 0;
}

static bool next_transfer(const struct disk *d, struct disk_io *io, struct disk_call *ret)
{
	if (!io->left)
		return false;
	*ret = (struct disk_call){
		.type = io->op == DISK_READ ? CALL_READ : CALL_WRITE,
		.direct = d->direct_fd >= 0 && aligned(io->offset | io->left, d->align),
		.flags = io->op == DISK_WRITE && io->durable ? RWF_DSYNC : 0,
		.iov = io->iov,
		.count = io->count,
		.offset = io->offset,
		.len = io->left,
	};
	if (ret->direct && !memory_aligned(d, io))
		io->rc = use_bounce(d, io, ret);
	return io->rc == 0;
}

static void transferred(struct disk_io *io, const struct disk_call *call, uint64_t n)
{
	if (!n) { /* the end of a file that was longer when it was measured */
		io->rc = -EIO;
		return;
	}
	if (io->op == DISK_READ && call->iov == &io->one && !bounce_copy(io, n, false)) {
		io->rc = -EFAULT;
		return;
	}
	io->offset += n;
	io->left -= n;
	while (io->count && n >= io->iov->iov_len) {
		n -= io->iov->iov_len;
		io->iov++;
		io->count--;
	}
	if (io->count) {
		io->iov->iov_base = (uint8_t *)io->iov->iov_base + n;
		io->iov->iov_len -= n;
	}
}

/* --- ranges without data --- */

/* True when the host says "can't", not "went wrong". */
static bool unsupported(ssize_t rc)
{
	return rc == -EOPNOTSUPP || rc == -ENOSYS || rc == -EINVAL || rc == -ENODEV;
}

static void next_range(struct disk_io *io)
{
	io->range++;
	io->ranges--;
	if (io->ranges)
		io->fallback = first_way(io->range);
}

static bool next_discard(const struct disk *d, struct disk_io *io, struct disk_call *ret)
{
	while (io->ranges && !io->range->len)
		next_range(io);
	if (!io->ranges)
		return false;
	*ret = (struct disk_call){
		.type = d->device ? CALL_DISCARD : CALL_ALLOCATE,
		.flags = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		.offset = io->range->offset,
		.len = io->range->len,
	};
	return true;
}

static bool next_zero(const struct disk *d, struct disk_io *io, struct disk_call *ret)
{
	if (!next_discard(d, io, ret)) {
		*ret = (struct disk_call){ .type = CALL_FLUSH };
		return io->durable && !io->flushed;
	}
	ret->type = CALL_ALLOCATE;
	if (io->fallback == ZERO_RANGE) {
		ret->flags = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
	} else if (io->fallback == ZERO_WRITE) {
		ret->type = CALL_WRITE;
		ret->flags = 0;
		ret->len = min_u64(ret->len, sizeof(zeroes));
		ret->direct = d->direct_fd >= 0 && aligned(ret->offset | ret->len, d->align);
		io->one = (struct iovec){ zeroes, ret->len };
		ret->iov = &io->one;
		ret->count = 1;
	}
	return true;
}

static void ranged(struct disk_io *io, const struct disk_call *call, ssize_t result)
{
	if (call->type == CALL_WRITE) {
		if (!result)
			io->rc = -EIO;
		io->range->offset += (uint64_t)result;
		io->range->len -= (uint32_t)result;
	} else {
		io->range->len = 0;
	}
}

/* --- the sequence --- */

bool disk_io_next(const struct disk *d, struct disk_io *io)
{
	struct disk_call *ret = &io->call;
	bool more = false;
	if (io->rc == 0) {
		switch (io->op) {
		case DISK_READ:
		case DISK_WRITE:
			more = next_transfer(d, io, ret);
			break;
		case DISK_FLUSH:
			*ret = (struct disk_call){ .type = CALL_FLUSH };
			more = !io->flushed;
			break;
		case DISK_DISCARD:
			more = next_discard(d, io, ret);
			break;
		case DISK_ZERO:
			more = next_zero(d, io, ret);
			break;
		}
	}
	if (!more) {
		free(io->bounce);
		io->bounce = NULL;
	}
	return more;
}

void disk_io_result(struct disk_io *io, ssize_t result)
{
	const struct disk_call *call = &io->call;
	io->again = result == -EAGAIN;
	if (io->again || result == -EINTR)
		return;
	bool ranges = io->op == DISK_DISCARD || io->op == DISK_ZERO;
	if (ranges && call->type != CALL_FLUSH && unsupported(result)) {
		if (io->op == DISK_DISCARD) {
			io->range->len = 0;
			return;
		}
		if (io->fallback < ZERO_WRITE) {
			io->fallback++;
			return;
		}
	}
	if (result < 0)
		io->rc = (int)result;
	else if (call->type == CALL_FLUSH)
		io->flushed = true;
	else if (ranges)
		ranged(io, call, result);
	else
		transferred(io, call, (uint64_t)result);
}

/* --- by the calling thread --- */

static ssize_t make(const struct disk *d, const struct disk_call *c)
{
	int fd = c->direct ? d->direct_fd : d->fd;
	off_t offset = (off_t)c->offset;
	uint64_t range[2] = { c->offset, c->len };
	switch (c->type) {
	case CALL_READ:
		return preadv2(fd, c->iov, (int)c->count, offset, c->flags);
	case CALL_WRITE:
		return pwritev2(fd, c->iov, (int)c->count, offset, c->flags);
	case CALL_FLUSH:
		return fdatasync(fd);
	case CALL_ALLOCATE:
		return fallocate(fd, c->flags, offset, (off_t)c->len);
	default:
		return ioctl(fd, BLKDISCARD, range);
	}
}

ssize_t disk_call_make(const struct disk *d, const struct disk_call *c)
{
	ssize_t n = make(d, c);
	return n < 0 ? -errno : n;
}

int disk_io_run(const struct disk *d, struct disk_io *io)
{
	int rc = disk_io_begin(d, io);
	if (rc < 0)
		return rc;
	while (disk_io_next(d, io))
		disk_io_result(io, disk_call_make(d, &io->call));
	return io->rc;
}
