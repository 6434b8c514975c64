// SPDX-License-Identifier: Apache-2.0
/*
 * Unpacked kernels on the host's disk. A kernel's file ends with a record of what is known of it. A
 * memo is a symbolic link to a kernel's file, never followed but read: its name says of which file,
 * and it is made and replaced as a whole.
 */
#include "boot/kernel_cache.h"

#include <assert.h>
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

#include "boot/traits.h"
#include "util/bytes.h"
#include "util/fd.h"

/* The folder may be one that holds other things: what has no such name is not touched. */
#define PREFIX       "lacuna-"
#define PREFIX_SIZE  (sizeof(PREFIX) - 1)
#define PARTIAL      ".lacuna-new."
#define PARTIAL_SIZE (sizeof(PARTIAL) + 16)
#define PARTIAL_LIFE 3600 /* seconds; what was interrupted is removed after that */
#define DIGITS       "0123456789abcdef"
#define MEMO         PREFIX "at-"
/* Seconds after which a file's times differ from those of any change to come: no clock of a file
 * system is coarser than FAT's. */
#define SETTLED 2

/* Of a packed kernel, at each end; its set-up code has less. And how much of their SHA-256. */
#define ENDS_SIZE   ((size_t)16 * KIB)
#define MEMO_DIGEST 16

#define HOLE (64 * KIB)

/* What follows a kernel in its file; the number is another when the fields mean something else, or
 * boot/traits.c something more. */
struct record {
	uint8_t magic[8];
	le64 size;
	le32 traits;
	le32 reserved;
};
static_assert(sizeof(struct record) == 24, "no padding goes to files");
static const uint8_t record_magic[8] = { 'l', 'a', 'c', 'u', 'n', 'a', 0, 1 };

/* The first @size bytes of it, in hexadecimal, and a NUL. */
static void print_digest(struct sha256_ctx *ctx, size_t size, char *ret)
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	sha256_digest(ctx, size, digest);
	for (size_t i = 0; i < size; i++)
		snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

struct kernel_key kernel_key(const void *packed, size_t packed_size, uint64_t size)
{
	struct kernel_key key = { .name = PREFIX, .size = size };
	struct sha256_ctx ctx;
	sha256_init(&ctx);
	sha256_update(&ctx, packed_size, packed);
	print_digest(&ctx, SHA256_DIGEST_SIZE, key.name + PREFIX_SIZE);
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

static bool is_key(const char *name)
{
	return strlen(name) == KERNEL_KEY_SIZE - 1 && !strncmp(name, PREFIX, PREFIX_SIZE) &&
	       strspn(name + PREFIX_SIZE, DIGITS) == (size_t)2 * SHA256_DIGEST_SIZE;
}

static bool is_memo(const char *name)
{
	const size_t prefix = sizeof(MEMO) - 1, len = strlen(name);
	return len > prefix && len < KERNEL_MEMO_SIZE && !strncmp(name, MEMO, prefix) &&
	       !name[prefix + strspn(name + prefix, DIGITS "-")];
}

/* Whether the file ends as one of ours does. */
static bool read_record(int fd, uint64_t file_size, struct kept_kernel *ret)
{
	struct record r;
	if (file_size <= sizeof(r) ||
		pread(fd, &r, sizeof(r), (off_t)(file_size - sizeof(r))) != sizeof(r))
		return false;
	*ret = (struct kept_kernel){ .size = le64toh(r.size), .traits = le32toh(r.traits) };
	return !memcmp(r.magic, record_magic, sizeof(r.magic)) &&
	       ret->size == file_size - sizeof(r) && !(ret->traits & ~TRAITS) && !r.reserved;
}

static int find(int dir, const char *name, struct kept_kernel *ret)
{
	struct stat st;
	AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (!is_ours(fd, S_IFREG, &st))
		return -EPERM;
	if (!read_record(fd, (uint64_t)st.st_size, ret)) /* not what we once wrote: made again */
		return -ENOENT;
	futimens(fd, NULL); /* it was used; one that can't be told so goes earlier */
	ret->fd = TAKE_FD(fd);
	return 0;
}

int kernel_cache_find(const char *folder, const struct kernel_key *key, struct kept_kernel *ret)
{
	AUTO_CLOSE int dir = open_folder(folder);
	if (dir < 0)
		return dir;
	int rc = find(dir, key->name, ret);
	if (rc == 0 && ret->size != key->size) {
		fd_close(&ret->fd);
		return -ENOENT;
	}
	return rc;
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

static int write_all(int fd, const void *data, uint64_t size)
{
	for (const uint8_t *p = data; size;) {
		ssize_t n = write(fd, p, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		size -= (uint64_t)n;
	}
	return 0;
}

/* What there may be only so many of. */
struct kept {
	bool (*is_one)(const char *name);
	mode_t type;
	unsigned max;
};
static const struct kept kernels = { is_key, S_IFREG, KERNEL_CACHE_MAX };
static const struct kept memos = { is_memo, S_IFLNK, KERNEL_MEMO_MAX };

/* How many there are, and which was not used for longest. */
static unsigned find_oldest(DIR *dir, const struct kept *kept, char ret_name[KERNEL_MEMO_SIZE])
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
		if ((st.st_mode & S_IFMT) != kept->type || !kept->is_one(e->d_name))
			continue;
		if (!count++ || st.st_mtim.tv_sec < oldest.tv_sec ||
			(st.st_mtim.tv_sec == oldest.tv_sec &&
				st.st_mtim.tv_nsec < oldest.tv_nsec)) {
			oldest = st.st_mtim;
			memcpy(ret_name, e->d_name, strlen(e->d_name) + 1);
		}
	}
	return count;
}

static void prune(int folder, const struct kept *kept)
{
	char name[KERNEL_MEMO_SIZE];
	AUTO_CLOSE int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir)
		(void)TAKE_FD(fd);
	while (dir && find_oldest(dir, kept, name) > kept->max) {
		if (unlinkat(dirfd(dir), name, 0) < 0)
			break;
		rewinddir(dir);
	}
	if (dir)
		closedir(dir);
}

/* Everything is made under a name of its own, so that no half of a thing ever has its final one. */
static bool name_partial(char ret[PARTIAL_SIZE])
{
	uint64_t unique = 0;
	if (getrandom(&unique, sizeof(unique), 0) != sizeof(unique))
		return false;
	snprintf(ret, PARTIAL_SIZE, PARTIAL "%016" PRIx64, unique);
	return true;
}

/* Gives it its final name after @rc, or removes it. */
static int finish(int folder, const char *partial, const char *name, int rc)
{
	if (rc == 0 && renameat(folder, partial, folder, name) < 0)
		rc = -errno;
	if (rc < 0)
		unlinkat(folder, partial, 0);
	return rc;
}

/* Zeros, of which a kernel has many, become holes. */
static int write_sparse(int fd, const uint8_t *data, uint64_t size)
{
	int rc = 0;
	for (uint64_t at = 0, n; rc == 0 && at < size; at += n) {
		n = min_u64(size - at, HOLE);
		if (!data[at] && !memcmp(data + at, data + at + 1, n - 1))
			rc = lseek(fd, (off_t)n, SEEK_CUR) < 0 ? -errno : 0;
		else
			rc = write_all(fd, data + at, n);
	}
	return rc;
}

static int write_kernel(int folder, const char *name, const struct kernel_key *key,
	const void *data, unsigned traits)
{
	struct record r = { .size = htole64(key->size), .traits = htole32(traits) };
	memcpy(r.magic, record_magic, sizeof(r.magic));
	AUTO_CLOSE int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int rc = write_sparse(fd, data, key->size);
	if (rc == 0)
		rc = write_all(fd, &r, sizeof(r));
	/* before it gets its name: a host that loses power must not leave a name without content */
	return rc == 0 && fdatasync(fd) < 0 ? -errno : rc;
}

int kernel_cache_store(
	const char *folder, const struct kernel_key *key, const void *data, unsigned traits)
{
	char partial[PARTIAL_SIZE];
	int rc = make_folders(folder);
	if (rc < 0)
		return rc;
	AUTO_CLOSE int dir = open_folder(folder);
	if (dir < 0)
		return dir;
	if (!name_partial(partial))
		return -EIO;
	rc = finish(dir, partial, key->name, write_kernel(dir, partial, key, data, traits));
	if (rc == 0)
		prune(dir, &kernels);
	return rc;
}

/* --- memos --- */

/*
 * What two builds differ in, however like their files are: the set-up code, which has the version
 * and when it was built, and the end. Times alone would not do: images of file systems, servers and
 * tmpfs with its mappings can give another content the same ones.
 */
static bool digest_ends(int fd, uint64_t size, char *ret)
{
	uint8_t buf[ENDS_SIZE];
	struct sha256_ctx ctx;
	const uint64_t at[] = { 0, size < sizeof(buf) ? 0 : size - sizeof(buf) };
	sha256_init(&ctx);
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		ssize_t n = pread(fd, buf, sizeof(buf), (off_t)at[i]);
		if (n < 0)
			return false;
		sha256_update(&ctx, (size_t)n, buf);
	}
	print_digest(&ctx, MEMO_DIGEST, ret);
	return true;
}

struct kernel_origin kernel_origin(int fd, const struct timespec *now)
{
	struct kernel_origin o = { .settled = false };
	char ends[2 * MEMO_DIGEST + 1];
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !digest_ends(fd, (uint64_t)st.st_size, ends))
		return o;
	snprintf(o.memo, sizeof(o.memo), MEMO "%jx-%jx-%jx-%jx-%lx-%jx-%lx-%s",
		(uintmax_t)st.st_dev, (uintmax_t)st.st_ino, (uintmax_t)st.st_size,
		(uintmax_t)st.st_mtim.tv_sec, (unsigned long)st.st_mtim.tv_nsec,
		(uintmax_t)st.st_ctim.tv_sec, (unsigned long)st.st_ctim.tv_nsec, ends);
	o.settled = st.st_ctim.tv_sec < now->tv_sec - SETTLED;
	return o;
}

int kernel_cache_recall(
	const char *folder, const struct kernel_origin *origin, struct kept_kernel *ret)
{
	char name[KERNEL_KEY_SIZE + 1];
	struct stat st;
	if (!*origin->memo)
		return -ENOENT;
	AUTO_CLOSE int dir = open_folder(folder);
	if (dir < 0)
		return dir;
	ssize_t n = readlinkat(dir, origin->memo, name, sizeof(name) - 1);
	if (n < 0)
		return -errno;
	name[n] = '\0';
	if (!is_key(name))
		return -ENOENT;
	if (fstatat(dir, origin->memo, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_uid != geteuid())
		return -EPERM;
	utimensat(dir, origin->memo, NULL, AT_SYMLINK_NOFOLLOW);
	return find(dir, name, ret);
}

void kernel_cache_remember(
	const char *folder, const struct kernel_origin *origin, const struct kernel_key *key)
{
	char partial[PARTIAL_SIZE];
	if (!origin->settled)
		return;
	AUTO_CLOSE int dir = open_folder(folder);
	if (dir < 0 || !name_partial(partial))
		return;
	int rc = symlinkat(key->name, dir, partial) < 0 ? -errno : 0;
	if (finish(dir, partial, origin->memo, rc) == 0)
		prune(dir, &memos);
}
