// SPDX-License-Identifier: Apache-2.0
/* Folders and files for the tests of what reads them. */
#include "folder_fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/lacuna-unit-XXXXXX";

void folder_enter(void)
{
	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(chdir(folder), 0);
	cr_assert_eq(chmod(".", 0755), 0);
	umask(022);
}

void folder_leave(void)
{
	cr_assert_eq(chdir("/"), 0);
	shell("chmod -R u+rwx %s && rm -rf %s", folder, folder);
}

void put_file(const char *name, const void *data, size_t len, mode_t mode)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0, "%s", name);
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	cr_assert_eq(fchmod(fd, mode), 0);
	cr_assert_eq(close(fd), 0);
}

void shell(const char *fmt, ...)
{
	char command[4096];
	va_list ap;
	va_start(ap, fmt);
	cr_assert_lt(vsnprintf(command, sizeof(command), fmt, ap), (int)sizeof(command));
	va_end(ap);
	int status = system(command); /* NOLINT(cert-env33-c): ours, not input */
	cr_assert_eq(status, 0, "%s", command);
}
