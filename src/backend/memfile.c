// SPDX-License-Identifier: Apache-2.0
/* Files of the host that guests see as memory. */
#include "backend/memfile.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "backend/hostfile.h"
#include "util/err.h"
#include "util/fd.h"

static int check(int fd, const char *path, uint64_t *ret_size, struct lacuna_error **err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_errno(err, "'%s'", path);
	if (S_ISDIR(st.st_mode))
		return err_set(err, EISDIR, "'%s' is a directory: name a file in it", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, EINVAL, "'%s' is not a regular file", path);
	if (!st.st_size)
		return err_set(err, EINVAL, "'%s' is empty: give it a size with truncate -s", path);
	if ((uint64_t)st.st_size % MEMFILE_GRAIN)
		return err_set(err, EINVAL,
			"'%s' has %llu bytes, not a multiple of 2M: enlarge it with truncate -s %%2M",
			path, (unsigned long long)st.st_size);
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

static int lock(int fd, const char *path, bool readonly, struct lacuna_error **err)
{
	/* Of the open file, not of the process: two VMs of one process collide too. A file system
	 * without locks keeps nobody out. */
	struct flock l = { .l_type = readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
	if (fcntl(fd, F_OFD_SETLK, &l) < 0 && (errno == EAGAIN || errno == EACCES))
		return err_set(err, EBUSY,
			"'%s' is in use: given twice, or another VM has it; end that, or add readonly=on to both",
			path);
	return 0;
}

int memfile_open(
	const char *path, bool readonly, int *ret_fd, uint64_t *ret_size, struct lacuna_error **err)
{
	AUTO_CLOSE int fd = hostfile_open("", path, readonly, err);
	if (fd < 0)
		return fd;
	int rc = check(fd, path, ret_size, err);
	if (rc == 0)
		rc = lock(fd, path, readonly, err);
	if (rc == 0)
		*ret_fd = TAKE_FD(fd);
	return rc;
}
