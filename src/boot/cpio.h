/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a directory tree as a cpio archive in the "newc" format, which Linux unpacks into its root
 * file system (Documentation/driver-api/early-userspace/buffer-format.rst; init/initramfs.c says
 * what it makes of it). The same tree gives the same bytes.
 *
 * The directory itself is the guest's "/": its entry, ".", says root and 755, whatever its own
 * owner and mode are. As they are, a folder that mktemp made would shut everybody but root out of
 * the guest's files; and without an entry Linux would leave "/" open for all to write to. Owners
 * are those of the tree, except that what belongs to whoever runs this is root's. What the format
 * has no place for is left out: extended attributes, access lists, parts of a second.
 */
#ifndef BOOT_CPIO_H
#define BOOT_CPIO_H

#include "boot/tree.h"

/* How many bytes the archive has, a multiple of 4. -EFBIG for a file that is too large for the
 * format, -ENAMETOOLONG for a path that Linux does not unpack. */
int cpio_measure(const struct tree *t, uint64_t *ret_size, struct lacuna_error **err);

/*
 * Writes the archive to @buf, reading the files straight into it. -EFBIG if it has not the @size
 * that cpio_measure() said; as tree_open(); -EINVAL for a file that changed its size; -errno of
 * read.
 */
int cpio_write(struct tree *t, void *buf, uint64_t size, struct lacuna_error **err);

#endif
