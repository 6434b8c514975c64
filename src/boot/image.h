/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel or initrd to be read: a regular file, or bytes in memory. Files are read with pread and
 * never mapped, so one that shrinks meanwhile is an error and not a SIGBUS. Messages say what is
 * wrong; the caller puts the file's name before them.
 */
#ifndef BOOT_IMAGE_H
#define BOOT_IMAGE_H

#include "mem/gmem.h"

/* Opens a file, or whatever has that name, for reading without waiting for anything. Returns the
 * descriptor, the caller's, or -errno. */
int image_open_path(const char *path, struct lacuna_error **err);

struct image {
	int fd; /* -1: bytes in memory */
	const uint8_t *data;
	uint64_t size; /* when it was opened; at least 1 */
	bool sparse;   /* a file with holes, which nobody else reads through this descriptor */
};

/* Opens a file or, with @path NULL, takes @data, which must outlive the image. -errno of open,
 * -EINVAL if it is empty. */
int image_open(struct image *ret, const char *path, const void *data, size_t size,
	struct lacuna_error **err);
/* The same of an open descriptor, which becomes the image's also after an error. */
int image_open_fd(struct image *ret, int fd, struct lacuna_error **err);
void image_close(struct image *image);

/* Reads exactly [offset, offset+len): -EINVAL if the image ends before. */
int image_read(const struct image *image, uint64_t offset, void *buf, size_t len,
	struct lacuna_error **err);

/* As image_read, into guest RAM; -EFBIG if the target is not RAM. */
int image_load(const struct image *image, uint64_t offset, size_t len, const struct gmem *mem,
	gpa_t gpa, struct lacuna_error **err);

/* Likewise, to where there are zeros: those of the image's holes are not copied. */
int image_load_sparse(const struct image *image, uint64_t offset, size_t len,
	const struct gmem *mem, gpa_t gpa, struct lacuna_error **err);

/* What a file that is no kernel looks like: "gzip-compressed data". @ret_hint is what to try, or
 * NULL. */
const char *image_describe(const struct image *image, const char **ret_hint);

#endif
