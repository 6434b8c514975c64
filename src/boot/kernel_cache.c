// SPDX-License-Identifier: Apache-2.0
/* Unpacked kernels on the host's disk. */
#include "boot/kernel_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <nettle/sha2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "util/bytes.h"
#include "util/fd.h"

/* The folder may be one that holds other things: what has no such name is not touched. */
#define PREFIX       "lacuna-"
#define PREFIX_SIZE  (sizeof(PREFIX) - 1)
#define PARTIAL      ".lacuna-new."
#define PARTIAL_LIFE 3600 /* seconds; what was interrupted is removed after that */

struct kernel_key kernel_key(const void *packed, size_t packed_size, uint64_t size)
{
	struct kernel_key key = { .name = PREFIX, .size = size };
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx ctx;
	sha256_init(&ctx);
	sha256_update(&ctx, packed_size, packed);
	sha256_digest(&ctx, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(key.name + PREFIX_SIZE + 2 * i, 3, "%02x", digest[i]);
	return key;
}

/* The user's own, and nobody else may write to it. */
static bool is_ours(int fd, mode_t type, struct stat *ret)
{
	return fstat(fd, ret) == 0 && (ret->st_mode & S_IFMT) == type && ret->st_uid == geteuid() &&
	       !(ret->st_mode & (S_IWGRP | S_IWOTH));
}

static int open_folder(const char *folder)
{
	struct stat st;
	AUTO_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return is_ours(fd, S_IFDIR, &st) ? TAKE_FD(fd) : -EPERM;
}

int kernel_cache_find(const char *folder, const struct kernel_key *key)
{
	struct stat st;
	AUTO_CLOSE int dir = open_folder(folder);
	if (dir < 0)
		return dir;
	AUTO_CLOSE int fd = openat(dir, key->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (!is_ours(fd, S_IFREG, &st))
		return -EPERM;
	if ((uint64_t)st.st_size != key->size) /* not what we once wrote: made again */
		return -ENOENT;
	futimens(fd, NULL); /* it was used; one that can't be told so goes earlier */
	return TAKE_FD(fd);
}

/* --- storing --- */

static int make_folders(const char *folder)
{
	char *path = strdup(folder);
	if (!path)
		return -ENOMEM;
	int rc = 0;
	for (char *p = path + 1; rc == 0 && *p; p++)
		if (*p == '/') {
			*p = '\0';
			rc = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
			*p = '/';
		}
	if (rc == 0 && mkdir(path, 0700) < 0 && errno != EEXIST)
		rc = -errno;
	free(path);
	return rc;
}

static int write_all(int fd, const uint8_t *data, uint64_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		size -= (uint64_t)n;
	}
	/* before it gets its name: a host that loses power must not leave a name without content */
	return fdatasync(fd) < 0 ? -errno : 0;
}

static bool is_key(const char *name)
{
	return strlen(name) == KERNEL_KEY_SIZE - 1 && !strncmp(name, PREFIX, PREFIX_SIZE) &&
	       strspn(name + PREFIX_SIZE, "0123456789abcdef") == (size_t)2 * SHA256_DIGEST_SIZE;
}

/* How many kernels there are, and which one was not used for longest. */
static unsigned find_oldest(DIR *dir, char ret_name[KERNEL_KEY_SIZE])
{
	struct timespec oldest = { 0 };
	unsigned count = 0;
	for (const struct dirent *e; (e = readdir(dir));) {
		struct stat st;
		if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (!strncmp(e->d_name, PARTIAL, strlen(PARTIAL)) &&
			st.st_mtim.tv_sec < time(NULL) - PARTIAL_LIFE)
			unlinkat(dirfd(dir), e->d_name, 0);
		if (!is_key(e->d_name))
			continue;
		if (!count++ || st.st_mtim.tv_sec < oldest.tv_sec ||
			(st.st_mtim.tv_sec == oldest.tv_sec &&
				st.st_mtim.tv_nsec < oldest.tv_nsec)) {
			oldest = st.st_mtim;
			memcpy(ret_name, e->d_name, KERNEL_KEY_SIZE);
		}
	}
	return count;
}

static void prune(int folder)
{
	char name[KERNEL_KEY_SIZE];
	AUTO_CLOSE int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir)
		(void)TAKE_FD(fd);
	while (dir && find_oldest(dir, name) > KERNEL_CACHE_MAX) {
		if (unlinkat(dirfd(dir), name, 0) < 0)
			break;
		rewinddir(dir);
	}
	if (dir)
		closedir(dir);
}

/* Written under another name, so that no half of a kernel ever has its own. */
static int write_partial(
	int folder, const char *name, const struct kernel_key *key, const void *data)
{
	AUTO_CLOSE int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : write_all(fd, data, key->size);
}

static int store(int folder, const struct kernel_key *key, const void *data)
{
	char partial[sizeof(PARTIAL) + 16];
	uint64_t unique = 0;
	if (getrandom(&unique, sizeof(unique), 0) != sizeof(unique))
		return -EIO;
	snprintf(partial, sizeof(partial), PARTIAL "%016" PRIx64, unique);
	int rc = write_partial(folder, partial, key, data);
	if (rc == 0 && renameat(folder, partial, folder, key->name) < 0)
		rc = -errno;
	if (rc < 0)
		unlinkat(folder, partial, 0);
	return rc;
}

int kernel_cache_store(const char *folder, const struct kernel_key *key, const void *data)
{
	int rc = make_folders(folder);
	if (rc < 0)
		return rc;
	AUTO_CLOSE int dir = open_folder(folder);
	if (dir < 0)
		return dir;
	rc = store(dir, key, data);
	if (rc == 0)
		prune(dir);
	return rc;
}
