// SPDX-License-Identifier: Apache-2.0
/* Raw files and block devices as disks. */
#include "backend/disk.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"

#define FILE_PHYSICAL 4096u /* page cache and common file systems */
#define ALIGN_MAX     4096u /* no host asks for more */

/* The host's idea of the size. */
static int host_size(const struct disk *d, uint64_t *ret)
{
	struct stat st;
	if (d->device)
		return ioctl(d->fd, BLKGETSIZE64, ret) < 0 ? -errno : 0;
	if (fstat(d->fd, &st) < 0)
		return -errno;
	*ret = (uint64_t)st.st_size;
	return 0;
}

static int measure(struct disk *d, struct lacuna_error **err)
{
	struct stat st;
	if (fstat(d->fd, &st) < 0)
		return err_errno(err, "%s", d->file.name);
	if (S_ISDIR(st.st_mode))
		return err_set(err, EISDIR, "%s is a directory: name a file in it", d->file.name);
	if (S_ISBLK(st.st_mode)) {
		int block = 0;
		unsigned physical = 0;
		d->device = true;
		if (ioctl(d->fd, BLKSSZGET, &block) < 0 || ioctl(d->fd, BLKPBSZGET, &physical) < 0)
			return err_errno(err, "%s: block size", d->file.name);
		d->block_size = block < (int)DISK_SECTOR ? DISK_SECTOR : (uint32_t)block;
		d->physical_size = physical < d->block_size ? d->block_size : physical;
	} else if (S_ISREG(st.st_mode)) {
		d->physical_size = FILE_PHYSICAL;
	} else {
		return err_set(
			err, EINVAL, "%s is neither a file nor a block device", d->file.name);
	}
	uint64_t size = 0;
	int rc = host_size(d, &size);
	if (rc < 0) {
		errno = -rc;
		return err_errno(err, "%s: size", d->file.name);
	}
	d->size = size;
	if (!size)
		return err_set(
			err, EINVAL, "%s is empty: give it a size with truncate -s", d->file.name);
	return 0;
}

static int check_size(const struct disk *d, struct lacuna_error **err)
{
	uint64_t size = d->size;
	if (size % d->block_size == 0)
		return 0;
	return err_set(err, EINVAL,
		"%s has %llu bytes, not a multiple of %u%s: pad it with truncate -s %%%u",
		d->file.name, (unsigned long long)size, d->block_size,
		d->direct_fd >= 0 ? ", which direct=on needs here" : "", d->block_size);
}

/* What no interface tells on every kernel: the least alignment with which a read is accepted. */
static int probe_alignment(struct disk *d)
{
	uint8_t *buf = aligned_alloc(ALIGN_MAX, 2 * (size_t)ALIGN_MAX);
	if (!buf)
		return -ENOMEM;
	int rc = -EINVAL;
	for (uint32_t align = DISK_SECTOR; align <= ALIGN_MAX && rc == -EINVAL; align *= 2) {
		/* aligned so much and no more */
		rc = pread(d->direct_fd, buf + align, align, 0) < 0 ? -errno : 0;
		if (rc == 0)
			d->align = align;
	}
	free(buf);
	return rc;
}

static int direct_failed(const struct disk *d, int rc, struct lacuna_error **err)
{
	if (rc == -EINVAL || rc == -EOPNOTSUPP)
		return err_set(err, EINVAL,
			"%s: its file system has no direct I/O: leave direct=on out", d->file.name);
	errno = -rc;
	return err_errno(err, "%s: direct I/O", d->file.name);
}

static int set_up_direct(struct disk *d, struct lacuna_error **err)
{
	int rc = probe_alignment(d);
	if (rc < 0)
		return direct_failed(d, rc, err);
	if (d->align > d->block_size)
		d->block_size = d->align;
	if (d->block_size > d->physical_size)
		d->physical_size = d->block_size;
	return 0;
}

/* A second description of the file, since flags belong to that. */
static int open_direct(struct disk *d, struct lacuna_error **err)
{
	d->direct_fd = d->other_fd = hostfile_reopen(&d->file, d->readonly, O_DIRECT);
	if (d->direct_fd >= 0)
		return set_up_direct(d, err);
	if (!d->file.shared || d->direct_fd == -EINVAL || d->direct_fd == -EOPNOTSUPP)
		return direct_failed(d, d->direct_fd, err);
	errno = -d->direct_fd;
	return err_errno(err,
		"%s: direct=on wants a descriptor opened with O_DIRECT where the file can't be opened anew",
		d->file.name);
}

/* It was opened for direct I/O by somebody else. What is not aligned for that goes through the page
 * cache where a second description may be had, and else fails. */
static int adopt_direct(struct disk *d, bool direct, struct lacuna_error **err)
{
	if (!direct)
		return err_set(err, EINVAL,
			"%s was opened with O_DIRECT: add direct=on, or open it without",
			d->file.name);
	d->direct_fd = d->file.fd;
	d->other_fd = hostfile_reopen(&d->file, d->readonly, 0);
	if (d->other_fd == -EMFILE || d->other_fd == -ENFILE || d->other_fd == -ENOMEM)
		return direct_failed(d, d->other_fd, err);
	if (d->other_fd >= 0)
		d->fd = d->other_fd;
	return set_up_direct(d, err);
}

static int set_up_flags(struct disk *d, struct lacuna_error **err)
{
	if (!d->file.shared) {
		/* Now it is known not to be a FIFO; for a disk, io_uring would take the flag to
		 * mean that nothing may wait. */
		return fcntl(d->fd, F_SETFL, 0) < 0 ? err_errno(err, "%s", d->file.name) : 0;
	}
	d->nonblocking = d->file.flags & O_NONBLOCK;
	if (!d->readonly && d->file.flags & O_APPEND) /* pwrite(2), BUGS */
		return err_set(err, EINVAL,
			"%s was opened with O_APPEND, and all that is written would go to its end: open it without",
			d->file.name);
	return 0;
}

static int prepare(struct disk *d, const char *path, int fd, bool direct, struct lacuna_error **err)
{
	int rc = hostfile_open(&d->file, "disk ", path, fd, d->readonly, err);
	d->fd = d->file.fd;
	if (rc == 0)
		rc = measure(d, err);
	if (rc == 0)
		rc = set_up_flags(d, err);
	if (rc == 0 && d->file.shared && d->file.flags & O_DIRECT)
		rc = adopt_direct(d, direct, err);
	else if (rc == 0 && direct)
		rc = open_direct(d, err);
	if (rc == 0)
		rc = check_size(d, err);
	return rc < 0 ? rc : hostfile_lock(&d->file, d->readonly, err);
}

static int open_disk(const char *path, int fd, bool readonly, bool direct, struct disk **ret,
	struct lacuna_error **err)
{
	struct disk *d = calloc(1, sizeof(*d));
	if (!d)
		return err_nomem(err);
	d->fd = d->direct_fd = d->other_fd = -1;
	d->readonly = readonly;
	d->block_size = DISK_SECTOR;
	int rc = prepare(d, path, fd, direct, err);
	if (rc < 0) {
		disk_close(d);
		return rc;
	}
	*ret = d;
	return 0;
}

int disk_open(
	const char *path, bool readonly, bool direct, struct disk **ret, struct lacuna_error **err)
{
	return open_disk(path, -1, readonly, direct, ret, err);
}

int disk_adopt(int fd, bool readonly, bool direct, struct disk **ret, struct lacuna_error **err)
{
	return open_disk(NULL, fd, readonly, direct, ret, err);
}

void disk_close(struct disk *disk)
{
	if (!disk)
		return;
	fd_close(&disk->other_fd);
	hostfile_close(&disk->file);
	free(disk);
}

int disk_grow(struct disk *d, uint64_t size, struct lacuna_error **err)
{
	uint64_t now = d->size, host = 0;
	if (size < now)
		return err_set(err, EINVAL, "%s has %llu bytes and can only grow: not to %llu",
			d->file.bare_name, (unsigned long long)now, (unsigned long long)size);
	if (size % d->block_size || size > INT64_MAX)
		return err_set(err, EINVAL, "size %llu is not a multiple of %u, or too large",
			(unsigned long long)size, d->block_size);
	int rc = host_size(d, &host);
	if (rc < 0) {
		errno = -rc;
		return err_errno(err, "%s: size", d->file.bare_name);
	}
	if (host < size && (d->device || d->readonly))
		return err_set(err, EINVAL, "%s has %llu bytes: grow it on the host first",
			d->file.bare_name, (unsigned long long)host);
	if (host < size && ftruncate(d->fd, (off_t)size) < 0)
		return err_errno(
			err, "grow %s to %llu bytes", d->file.bare_name, (unsigned long long)size);
	d->size = size;
	return 0;
}
