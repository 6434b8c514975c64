// SPDX-License-Identifier: Apache-2.0
/* Files of the host that guests see as memory. */
#include "backend/memfile.h"

#include <sys/stat.h>

#include "util/err.h"

static int check(const struct hostfile *f, uint64_t *ret_size, struct lacuna_error **err)
{
	struct stat st;
	if (fstat(f->fd, &st) < 0)
		return err_errno(err, "%s", f->name);
	if (S_ISDIR(st.st_mode))
		return err_set(err, EISDIR, "%s is a directory: name a file in it", f->name);
	if (!S_ISREG(st.st_mode))
		return err_set(err, EINVAL, "%s is not a regular file", f->name);
	if (!st.st_size)
		return err_set(
			err, EINVAL, "%s is empty: give it a size with truncate -s", f->name);
	if ((uint64_t)st.st_size % MEMFILE_GRAIN)
		return err_set(err, EINVAL,
			"%s has %llu bytes, not a multiple of 2M: enlarge it with truncate -s %%2M",
			f->name, (unsigned long long)st.st_size);
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

int memfile_open(struct hostfile *f, const char *path, int fd, bool readonly, uint64_t *ret_size,
	struct lacuna_error **err)
{
	int rc = hostfile_open(f, "", path, fd, readonly, err);
	if (rc == 0)
		rc = check(f, ret_size, err);
	return rc < 0 ? rc : hostfile_lock(f, readonly, err);
}
