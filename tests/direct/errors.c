// SPDX-License-Identifier: Apache-2.0
/* Files to go wrong with, and what every error must be like. */
#include "errors.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"

#define LONG 70000

static char folder[64];

char *errors_expand(const char *text)
{
	char many[LONG + 1], *buf = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&buf, &size);
	cr_assert_not_null(out);
	memset(many, 'x', LONG);
	many[LONG] = '\0';
	for (; *text; text++)
		if (strchr("@#~", *text))
			fputs(*text == '@' ? folder : *text == '#' ? guest_folder() : many, out);
		else
			fputc(*text, out);
	cr_assert_eq(fclose(out), 0);
	return buf;
}

static void file(const char *name, const char *content, off_t size)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	cr_assert(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t)strlen(content));
	cr_assert_eq(ftruncate(fd, size), 0);
	close(fd);
}

/* The descriptor is left to the end of the process. */
static int listener(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", folder, name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(fd, 8), 0);
	return fd;
}

static void remove_files(void)
{
	DIR *dir = opendir(folder);
	for (struct dirent *e; dir && (e = readdir(dir));)
		unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(folder);
}

void errors_make_files(void)
{
	char path[PATH_MAX];
	snprintf(folder, sizeof(folder), "/tmp/lacuna-errors-XXXXXX");
	cr_assert(mkdtemp(folder) && chmod(folder, 0755) == 0);
	atexit(remove_files); /* also where a test is skipped */
	file("text", "once upon a time", 16);
	file("empty", "", 0);
	file("odd", "", 1000);
	file("disk", "", 1 << 20);
	file("pmem", "", 2 << 20);
	file("huge", "", 1 << 30);
	snprintf(path, sizeof(path), "%s/fifo", folder);
	cr_assert_eq(mkfifo(path, 0644), 0);
	listener("listener");
	close(listener("stale"));
}

/* "KVM_RUN: ..." and "PCI bus 3 ..." begin with names, "The disk ..." does not. */
static bool begins_well(const char *s)
{
	return !isupper((unsigned char)s[0]) || !islower((unsigned char)s[1]);
}

void errors_check(
	const char *call, int rc, struct lacuna_error *err, int code, const char *mentions)
{
	const char *message = lacuna_error_message(err);
	size_t len = strlen(message);
	cr_expect_eq(rc, -code, "%s: returned %d, not %d: %s", call, rc, -code, message);
	cr_expect_eq(
		err != NULL, rc < 0, "%s: returned %d and %s object", call, rc, err ? "an" : "no");
	if (!err)
		return;
	cr_expect_eq(lacuna_error_code(err), -rc, "%s: returned %d, and the object says %d", call,
		rc, lacuna_error_code(err));
	cr_expect(len > 0 && !strpbrk(message, "\n\r") && begins_well(message) &&
			  message[len - 1] != '.' && !isspace((unsigned char)message[len - 1]),
		"%s: no good sentence: '%s'", call, message);
	char *wanted = errors_expand(mentions);
	cr_expect(strstr(message, wanted), "%s: '%s' is not in '%s'", call, wanted, message);
	free(wanted);
	lacuna_error_free(err);
}
