// SPDX-License-Identifier: Apache-2.0
/* Opens a file of the host, and says what to do when it can't be. */
#include "backend/hostfile.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "util/err.h"

int hostfile_open(const char *what, const char *path, bool readonly, struct lacuna_error **err)
{
	/* Without O_NONBLOCK, opening a FIFO would wait for its other end. */
	int fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0)
		return fd;
	int code = errno;
	if (code == EISDIR)
		return err_set(err, EISDIR, "%s'%s' is a directory: name a file in it", what, path);
	if (!readonly && (code == EACCES || code == EROFS || code == EPERM) &&
		access(path, R_OK) == 0)
		return err_set(err, code,
			"%s'%s' can't be written to: make it writable or add readonly=on", what,
			path);
	errno = code; /* access() may have changed it */
	return err_errno(err, "open %s'%s'", what, path);
}
