/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compressed kernel inside a bzImage, unpacked on the host, where that is faster than in a
 * guest that has just been born. Whoever made the image is not trusted: output goes to a buffer of
 * a size fixed before, decoders have a limit of memory, and what comes out is checked as any ELF
 * file is.
 */
#ifndef BOOT_UNPACK_H
#define BOOT_UNPACK_H

#include <lacuna/error.h>
#include <stddef.h>
#include <stdint.h>

/* How @data is compressed: "gzip", "xz", "zstd", "lz4"; NULL: by none of these. */
const char *unpack_method(const uint8_t *data, size_t size);

/*
 * Unpacks @data, which unpack_method() knows, into @ret of @ret_size bytes; -EINVAL when it is
 * corrupt or has not exactly that size, -ENOTSUP when that takes too much memory, -ENOMEM. What
 * follows the compressed data is ignored.
 */
int unpack(
	const uint8_t *data, size_t size, uint8_t *ret, size_t ret_size, struct lacuna_error **err);

#endif
