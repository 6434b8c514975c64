/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder of unpacked kernels, each in a file that is named after the SHA-256 of what it was
 * unpacked from; other files in it are left alone. What is in it is taken for what it says, so
 * folder and files must be the user's own and nobody else's to write to. Any number of processes
 * may use one folder; the least recently used kernels go when there are more than KERNEL_CACHE_MAX.
 */
#ifndef BOOT_KERNEL_CACHE_H
#define BOOT_KERNEL_CACHE_H

#include <lacuna/error.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_CACHE_MAX 8
#define KERNEL_KEY_SIZE  (sizeof("lacuna-") + 64)

struct kernel_key {
	char name[KERNEL_KEY_SIZE]; /* "lacuna-" and 64 hexadecimal digits */
	uint64_t size;              /* of the unpacked kernel, bytes */
};

struct kernel_key kernel_key(const void *packed, size_t packed_size, uint64_t size);

/* The kernel's file, opened for reading, the caller's; -ENOENT: not there, -EPERM: there, but
 * others could have written it; or what open() says. */
int kernel_cache_find(const char *folder, const struct kernel_key *key);

/* Puts @data there, making the folder where it is missing. -errno, and then nothing was put. */
int kernel_cache_store(const char *folder, const struct kernel_key *key, const void *data);

#endif
