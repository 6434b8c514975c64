// SPDX-License-Identifier: Apache-2.0
/* Raw files and block devices as disks. */
#include "backend/disk.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"

#define FILE_PHYSICAL 4096u /* page cache and common file systems */

static int open_path(const char *path, bool readonly, struct lacuna_error **err)
{
	/* Without O_NONBLOCK, opening a FIFO would wait for its other end. */
	int fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0)
		return fd;
	int code = errno;
	switch (code) {
	case EISDIR:
		return err_set(err, EISDIR, "disk '%s' is a directory: name a file in it", path);
	case EACCES:
	case EROFS:
	case EPERM:
		if (readonly || access(path, R_OK) < 0)
			break;
		return err_set(err, code,
			"disk '%s' can't be written to: make it writable or add readonly=on", path);
	default:
		break;
	}
	errno = code; /* access() may have changed it */
	return err_errno(err, "open disk '%s'", path);
}

static int lock(int fd, const char *path, bool readonly, struct lacuna_error **err)
{
	/* These locks belong to the open file, not to the process, so two VMs of one process
	 * collide too. */
	struct flock l = { .l_type = readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
	if (!fcntl(fd, F_OFD_SETLK, &l))
		return 0;
	switch (errno) {
	case EAGAIN:
	case EACCES:
		return err_set(err, EBUSY,
			readonly
				? "disk '%s' is in use by a VM that writes to it: end that VM first"
				: "disk '%s' is in use: given twice, or another VM has it; end that, or add readonly=on to both",
			path);
	case EINVAL:
	case ENOLCK:
	case ENOSYS:
	case EOPNOTSUPP: /* a file system without locks: nobody can be kept out */
		return 0;
	default:
		return err_errno(err, "lock disk '%s'", path);
	}
}

static int measure(struct disk *d, const char *path, struct lacuna_error **err)
{
	struct stat st;
	if (fstat(d->fd, &st) < 0)
		return err_errno(err, "disk '%s'", path);
	if (S_ISDIR(st.st_mode))
		return err_set(err, EISDIR, "disk '%s' is a directory: name a file in it", path);
	if (S_ISBLK(st.st_mode)) {
		int block = 0;
		unsigned physical = 0;
		d->device = true;
		if (ioctl(d->fd, BLKGETSIZE64, &d->size) < 0 ||
			ioctl(d->fd, BLKSSZGET, &block) < 0 ||
			ioctl(d->fd, BLKPBSZGET, &physical) < 0)
			return err_errno(err, "disk '%s': size", path);
		d->block_size = block < (int)DISK_SECTOR ? DISK_SECTOR : (uint32_t)block;
		d->physical_size = physical < d->block_size ? d->block_size : physical;
	} else if (S_ISREG(st.st_mode)) {
		d->size = (uint64_t)st.st_size;
		d->block_size = DISK_SECTOR;
		d->physical_size = FILE_PHYSICAL;
	} else {
		return err_set(err, EINVAL, "disk '%s' is neither a file nor a block device", path);
	}
	if (!d->size)
		return err_set(
			err, EINVAL, "disk '%s' is empty: give it a size with truncate -s", path);
	if (d->size % d->block_size)
		return err_set(err, EINVAL,
			"disk '%s' has %llu bytes, not a multiple of %u: pad it with truncate -s %%%u",
			path, (unsigned long long)d->size, d->block_size, d->block_size);
	return 0;
}

int disk_open(const char *path, bool readonly, struct disk **ret, struct lacuna_error **err)
{
	AUTO_CLOSE int fd = open_path(path, readonly, err);
	if (fd < 0)
		return fd;
	struct disk d = { .fd = fd, .readonly = readonly };
	int rc = measure(&d, path, err);
	if (!rc)
		rc = lock(fd, path, readonly, err);
	if (rc < 0)
		return rc;
	struct disk *disk = malloc(sizeof(*disk));
	if (!disk)
		return err_nomem(err);
	*disk = d;
	(void)TAKE_FD(fd);
	*ret = disk;
	return 0;
}

void disk_close(struct disk *disk)
{
	if (!disk)
		return;
	fd_close(&disk->fd);
	free(disk);
}

static bool inside(const struct disk *d, uint64_t offset, uint64_t len)
{
	return offset <= d->size && len <= d->size - offset;
}

/* --- reading and writing --- */

typedef ssize_t (*transfer_fn)(int fd, const struct iovec *iov, int count, off_t offset);

/* The kernel may move less than asked, by a signal or beyond 2 GiB: goes on where it stopped. */
static int transfer(
	const struct disk *d, transfer_fn fn, struct iovec *iov, unsigned count, uint64_t offset)
{
	uint64_t len = 0;
	for (unsigned i = 0; i < count; i++)
		len += iov[i].iov_len;
	if (!inside(d, offset, len))
		return -EINVAL;
	while (len) {
		ssize_t n = fn(d->fd, iov, (int)count, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n) /* somebody truncated the file */
			return -EIO;
		offset += (uint64_t)n;
		len -= (uint64_t)n;
		while (count && (size_t)n >= iov->iov_len) {
			n -= (ssize_t)iov->iov_len;
			iov++;
			count--;
		}
		if (count) {
			iov->iov_base = (uint8_t *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

int disk_read(const struct disk *disk, struct iovec *iov, unsigned count, uint64_t offset)
{
	return transfer(disk, preadv, iov, count, offset);
}

int disk_write(const struct disk *disk, struct iovec *iov, unsigned count, uint64_t offset)
{
	return disk->readonly ? -EROFS : transfer(disk, pwritev, iov, count, offset);
}

int disk_flush(const struct disk *disk)
{
	while (fdatasync(disk->fd) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* --- ranges without data --- */

static int allocate(const struct disk *d, int mode, uint64_t offset, uint64_t len)
{
	while (fallocate(d->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* True when the host says "can't", not "went wrong". */
static bool unsupported(int rc)
{
	return rc == -EOPNOTSUPP || rc == -ENOSYS || rc == -EINVAL || rc == -ENODEV;
}

static int check_change(const struct disk *disk, uint64_t offset, uint64_t len)
{
	if (disk->readonly)
		return -EROFS;
	return inside(disk, offset, len) ? 0 : -EINVAL;
}

int disk_discard(const struct disk *disk, uint64_t offset, uint64_t len)
{
	int rc = check_change(disk, offset, len);
	if (rc < 0 || !len)
		return rc;
	if (disk->device) {
		uint64_t range[2] = { offset, len };
		rc = ioctl(disk->fd, BLKDISCARD, range) < 0 ? -errno : 0;
	} else {
		rc = allocate(disk, FALLOC_FL_PUNCH_HOLE, offset, len);
	}
	return unsupported(rc) ? 0 : rc;
}

static int write_zeroes_slowly(const struct disk *disk, uint64_t offset, uint64_t len)
{
	static const uint8_t zeroes[64 * KIB];
	while (len) {
		struct iovec iov[16];
		unsigned count = 0;
		uint64_t step = 0;
		for (; count < ARRAY_SIZE(iov) && step < len; count++) {
			uint64_t n = min_u64(sizeof(zeroes), len - step);
			iov[count] = (struct iovec){ (void *)(uintptr_t)zeroes, n };
			step += n;
		}
		int rc = disk_write(disk, iov, count, offset);
		if (rc < 0)
			return rc;
		offset += step;
		len -= step;
	}
	return 0;
}

int disk_write_zeroes(const struct disk *disk, uint64_t offset, uint64_t len, bool unmap)
{
	int rc = check_change(disk, offset, len);
	if (rc < 0 || !len)
		return rc;
	rc = unmap ? allocate(disk, FALLOC_FL_PUNCH_HOLE, offset, len) : -EOPNOTSUPP;
	if (unsupported(rc))
		rc = allocate(disk, FALLOC_FL_ZERO_RANGE, offset, len);
	if (unsupported(rc))
		rc = write_zeroes_slowly(disk, offset, len);
	return rc;
}
