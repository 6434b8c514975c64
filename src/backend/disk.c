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
#include <time.h>

#include "backend/hostfile.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"

#define LOCK_TRIES    50u
#define LOCK_PAUSE_NS 20000000
#define FILE_PHYSICAL 4096u /* page cache and common file systems */
#define ALIGN_MAX     4096u /* no host asks for more */

static int lock(int fd, const char *path, bool readonly, struct lacuna_error **err)
{
	/* These locks belong to the open file, not to the process, so two VMs of one process
	 * collide too. */
	struct flock l = { .l_type = readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
	/* A monitor that was killed keeps its images open until the kernel has ended its last
	 * requests, some time after the process: whoever starts it again at once waits for that. */
	for (unsigned i = 0; fcntl(fd, F_OFD_SETLK, &l) < 0; i++) {
		if ((errno != EAGAIN && errno != EACCES) || i == LOCK_TRIES)
			goto failed;
		nanosleep(&(struct timespec){ .tv_nsec = LOCK_PAUSE_NS }, NULL);
	}
	return 0;
failed:
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
		return err_errno(err, "disk '%s'", d->path);
	if (S_ISDIR(st.st_mode))
		return err_set(err, EISDIR, "disk '%s' is a directory: name a file in it", d->path);
	if (S_ISBLK(st.st_mode)) {
		int block = 0;
		unsigned physical = 0;
		d->device = true;
		if (ioctl(d->fd, BLKSSZGET, &block) < 0 || ioctl(d->fd, BLKPBSZGET, &physical) < 0)
			return err_errno(err, "disk '%s': block size", d->path);
		d->block_size = block < (int)DISK_SECTOR ? DISK_SECTOR : (uint32_t)block;
		d->physical_size = physical < d->block_size ? d->block_size : physical;
	} else if (S_ISREG(st.st_mode)) {
		d->physical_size = FILE_PHYSICAL;
	} else {
		return err_set(
			err, EINVAL, "disk '%s' is neither a file nor a block device", d->path);
	}
	uint64_t size = 0;
	int rc = host_size(d, &size);
	if (rc < 0) {
		errno = -rc;
		return err_errno(err, "disk '%s': size", d->path);
	}
	d->size = size;
	if (!size)
		return err_set(err, EINVAL, "disk '%s' is empty: give it a size with truncate -s",
			d->path);
	return 0;
}

static int check_size(const struct disk *d, struct lacuna_error **err)
{
	uint64_t size = d->size;
	if (size % d->block_size == 0)
		return 0;
	return err_set(err, EINVAL,
		"disk '%s' has %llu bytes, not a multiple of %u%s: pad it with truncate -s %%%u",
		d->path, (unsigned long long)size, d->block_size,
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

static int open_direct(struct disk *d, struct lacuna_error **err)
{
	char self[32];
	snprintf(self, sizeof(self), "/proc/self/fd/%d", d->fd);
	d->direct_fd = open(self, (d->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_DIRECT);
	int rc = d->direct_fd < 0 ? -errno : probe_alignment(d);
	if (rc == -EINVAL || rc == -EOPNOTSUPP)
		return err_set(err, EINVAL,
			"disk '%s': its file system has no direct I/O: leave direct=on out",
			d->path);
	if (rc < 0) {
		errno = -rc;
		return err_errno(err, "disk '%s': direct I/O", d->path);
	}
	if (d->align > d->block_size)
		d->block_size = d->align;
	if (d->block_size > d->physical_size)
		d->physical_size = d->block_size;
	return 0;
}

static int prepare(struct disk *d, const char *path, bool direct, struct lacuna_error **err)
{
	d->path = strdup(path);
	if (!d->path)
		return err_nomem(err);
	d->fd = hostfile_open("disk ", path, d->readonly, err);
	if (d->fd < 0)
		return d->fd;
	int rc = measure(d, err);
	/* Now it is known not to be a FIFO; for a disk, io_uring would take the flag to mean that
	 * nothing may wait. */
	if (rc == 0 && fcntl(d->fd, F_SETFL, 0) < 0)
		rc = err_errno(err, "disk '%s'", path);
	if (rc == 0 && direct)
		rc = open_direct(d, err);
	if (rc == 0)
		rc = check_size(d, err);
	return rc < 0 ? rc : lock(d->fd, path, d->readonly, err);
}

int disk_open(
	const char *path, bool readonly, bool direct, struct disk **ret, struct lacuna_error **err)
{
	struct disk *d = calloc(1, sizeof(*d));
	if (!d)
		return err_nomem(err);
	d->fd = d->direct_fd = -1;
	d->readonly = readonly;
	d->block_size = DISK_SECTOR;
	int rc = prepare(d, path, direct, err);
	if (rc < 0) {
		disk_close(d);
		return rc;
	}
	*ret = d;
	return 0;
}

void disk_close(struct disk *disk)
{
	if (!disk)
		return;
	fd_close(&disk->direct_fd);
	fd_close(&disk->fd);
	free(disk->path);
	free(disk);
}

int disk_grow(struct disk *d, uint64_t size, struct lacuna_error **err)
{
	uint64_t now = d->size, host = 0;
	if (size < now)
		return err_set(err, EINVAL, "'%s' has %llu bytes and can only grow: not to %llu",
			d->path, (unsigned long long)now, (unsigned long long)size);
	if (size % d->block_size || size > INT64_MAX)
		return err_set(err, EINVAL, "size %llu is not a multiple of %u, or too large",
			(unsigned long long)size, d->block_size);
	int rc = host_size(d, &host);
	if (rc < 0) {
		errno = -rc;
		return err_errno(err, "'%s': size", d->path);
	}
	if (host < size && (d->device || d->readonly))
		return err_set(err, EINVAL, "'%s' has %llu bytes: grow it on the host first",
			d->path, (unsigned long long)host);
	if (host < size && ftruncate(d->fd, (off_t)size) < 0)
		return err_errno(err, "grow '%s' to %llu bytes", d->path, (unsigned long long)size);
	d->size = size;
	return 0;
}
