// SPDX-License-Identifier: Apache-2.0
/* The four ways in which distributions compress their kernels. */
#include "boot/unpack.h"

#include <limits.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "boot/lz4.h"
#include "util/bytes.h"
#include "util/err.h"

/* A kernel's own dictionary has 128 MiB at the most (Linux, scripts/xz_wrap.sh). */
#define XZ_MEMORY_MAX (160 * MIB)

/* Each decoder: how many bytes it has made, or one of these. */
#define UNPACK_CORRUPT SIZE_MAX
#define UNPACK_NOMEM   (SIZE_MAX - 1)
#define UNPACK_LARGE   (SIZE_MAX - 2) /* it wants more memory than a kernel does */

static size_t unpack_gzip(const uint8_t *data, size_t size, uint8_t *ret, size_t ret_size)
{
	z_stream z = { .next_in = (uint8_t *)(uintptr_t)data,
		.avail_in = (unsigned)min_u64(size, UINT_MAX),
		.next_out = ret,
		.avail_out = (unsigned)min_u64(ret_size, UINT_MAX) };
	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) /* with a gzip header */
		return UNPACK_NOMEM;
	int rc = inflate(&z, Z_FINISH);
	size_t made = z.total_out;
	inflateEnd(&z);
	return rc == Z_STREAM_END ? made : rc == Z_MEM_ERROR ? UNPACK_NOMEM : UNPACK_CORRUPT;
}

static size_t unpack_xz(const uint8_t *data, size_t size, uint8_t *ret, size_t ret_size)
{
	uint64_t memory = XZ_MEMORY_MAX;
	size_t taken = 0, made = 0;
	lzma_ret rc = lzma_stream_buffer_decode(
		&memory, 0, NULL, data, &taken, size, ret, &made, ret_size);
	switch (rc) {
	case LZMA_OK:
		return made;
	case LZMA_MEM_ERROR:
		return UNPACK_NOMEM;
	case LZMA_MEMLIMIT_ERROR:
		return UNPACK_LARGE;
	default:
		return UNPACK_CORRUPT;
	}
}

static size_t unpack_zstd(const uint8_t *data, size_t size, uint8_t *ret, size_t ret_size)
{
	/* One frame: what follows is not its business, and would be an error to the library. */
	size_t frame = ZSTD_findFrameCompressedSize(data, size);
	if (ZSTD_isError(frame))
		return UNPACK_CORRUPT;
	size_t made = ZSTD_decompress(ret, ret_size, data, frame);
	if (!ZSTD_isError(made))
		return made;
	return ZSTD_getErrorCode(made) == ZSTD_error_memory_allocation ? UNPACK_NOMEM
								       : UNPACK_CORRUPT;
}

/* The legacy frame of lz4: a magic number, then blocks of at most 8 MiB when unpacked, each after
 * its size (lz4 doc/lz4_Frame_format.md). It has no end mark: the output tells. */
#define LZ4_BLOCK_MAX (8 * MIB)

static size_t unpack_lz4(const uint8_t *data, size_t size, uint8_t *ret, size_t ret_size)
{
	size_t at = 4, made = 0;
	while (made < ret_size) {
		if (size - at < 4)
			return UNPACK_CORRUPT;
		uint32_t block = load_le32(data + at);
		at += 4;
		if (block > size - at)
			return UNPACK_CORRUPT;
		size_t n = lz4_unpack(
			data + at, block, ret + made, min_u64(ret_size - made, LZ4_BLOCK_MAX));
		if (n == LZ4_CORRUPT || n == 0) /* 0: it would never end */
			return UNPACK_CORRUPT;
		at += block;
		made += n;
	}
	return made;
}

static const struct method {
	const char *name;
	size_t magic_size;
	const char *magic;
	size_t (*unpack)(const uint8_t *data, size_t size, uint8_t *ret, size_t ret_size);
} methods[] = {
	{ "gzip", 2, "\x1f\x8b", unpack_gzip },
	{ "xz", 6,
		"\xfd"
		"7zXZ\0",
		unpack_xz },
	{ "zstd", 4, "\x28\xb5\x2f\xfd", unpack_zstd },
	{ "lz4", 4, "\x02\x21\x4c\x18", unpack_lz4 },
};

static const struct method *find(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (size >= methods[i].magic_size &&
			!memcmp(data, methods[i].magic, methods[i].magic_size))
			return &methods[i];
	return NULL;
}

const char *unpack_method(const uint8_t *data, size_t size)
{
	const struct method *m = find(data, size);
	return m ? m->name : NULL;
}

int unpack(
	const uint8_t *data, size_t size, uint8_t *ret, size_t ret_size, struct lacuna_error **err)
{
	const struct method *m = find(data, size);
	size_t made = m ? m->unpack(data, size, ret, ret_size) : UNPACK_CORRUPT;
	if (made == UNPACK_NOMEM)
		return err_nomem(err);
	if (made == UNPACK_LARGE)
		return err_set(err, ENOTSUP,
			"has a dictionary beyond what the host spends on it: take kernel-unpack=guest");
	if (made != ret_size)
		return err_set(err, EINVAL,
			"is a corrupt bzImage: its %s data do not unpack to the %zu bytes that they announce",
			m ? m->name : "compressed", ret_size);
	return 0;
}
