/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder of unpacked kernels, each in a file that is named after the SHA-256 of what it was
 * unpacked from, and of memos, which tell by a kernel file's place, size, times and both ends which
 * of them is its own, so that no more of it need be read; other files in it are left alone. What is
 * in it is taken for what it says, so folder and files must be the user's own and nobody else's to
 * write to. Any number of processes may use one folder; the least recently used go when there are
 * more than KERNEL_CACHE_MAX kernels or KERNEL_MEMO_MAX memos.
 */
#ifndef BOOT_KERNEL_CACHE_H
#define BOOT_KERNEL_CACHE_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define KERNEL_CACHE_MAX 8
#define KERNEL_MEMO_MAX  16
#define KERNEL_MEMO_SIZE 192 /* of its name */
#define KERNEL_KEY_SIZE  (sizeof("lacuna-") + 64)

struct kernel_key {
	char name[KERNEL_KEY_SIZE]; /* "lacuna-" and 64 hexadecimal digits */
	uint64_t size;              /* of the unpacked kernel, bytes */
};

struct kernel_key kernel_key(const void *packed, size_t packed_size, uint64_t size);

/* A kernel that is kept. */
struct kept_kernel {
	int fd;          /* its file, opened for reading, the caller's */
	uint64_t size;   /* so much of the file, from its beginning; what follows is ours */
	unsigned traits; /* boot/traits.h */
};

/* -ENOENT: not there, -EPERM: there, but others could have written it; or what open() says. */
int kernel_cache_find(const char *folder, const struct kernel_key *key, struct kept_kernel *ret);

/* Puts @data there, making the folder where it is missing. -errno, and then nothing was put. */
int kernel_cache_store(
	const char *folder, const struct kernel_key *key, const void *data, unsigned traits);

/* A packed kernel's file as it is before it is read. */
struct kernel_origin {
	char memo[KERNEL_MEMO_SIZE]; /* the name of its memo; "": it can have none */
	bool settled;                /* a change from now on will give it other times */
};

/* Looks at @fd, -1 for none, at the time @now. */
struct kernel_origin kernel_origin(int fd, const struct timespec *now);

/* The kernel that was once unpacked from that file, as it still is; else as kernel_cache_find(). */
int kernel_cache_recall(
	const char *folder, const struct kernel_origin *origin, struct kept_kernel *ret);

/* To be recalled from now on: what is in that file, if it is settled, has the key @key. */
void kernel_cache_remember(
	const char *folder, const struct kernel_origin *origin, const struct kernel_key *key);

#endif
