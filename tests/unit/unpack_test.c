// SPDX-License-Identifier: Apache-2.0
/* bzImages unpacked on the host: each compression, what a hostile image can say, and that it is
 * kept. */
#include <abi/layout.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <lz4hc.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "boot/kernel_cache.h"
#include "boot/unpack.h"
#include "boot_fixture.h"
#include "folder_fixture.h"
#include "util/bytes.h"
#include "util/fd.h"

#define PACKED_MAX 8192

/* --- packing, as Linux's build does it --- */

static size_t pack_gzip(const void *data, size_t size, uint8_t *ret)
{
	z_stream z = { .next_in = (uint8_t *)(uintptr_t)data,
		.avail_in = (unsigned)size,
		.next_out = ret,
		.avail_out = PACKED_MAX };
	cr_assert_eq(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out; /* its last four bytes are the size */
}

static size_t pack_xz(const void *data, size_t size, uint8_t *ret)
{
	lzma_options_lzma o;
	size_t at = 0;
	lzma_lzma_preset(&o, 6);
	lzma_filter filters[] = { { LZMA_FILTER_X86, NULL }, { LZMA_FILTER_LZMA2, &o },
		{ LZMA_VLI_UNKNOWN, NULL } };
	cr_assert_eq(lzma_stream_buffer_encode(
			     filters, LZMA_CHECK_CRC32, NULL, data, size, ret, &at, PACKED_MAX),
		LZMA_OK);
	store_le32(ret + at, (uint32_t)size);
	return at + 4;
}

static size_t pack_zstd(const void *data, size_t size, uint8_t *ret)
{
	size_t n = ZSTD_compress(ret, PACKED_MAX, data, size, 19);
	cr_assert_not(ZSTD_isError(n));
	store_le32(ret + n, (uint32_t)size);
	return n + 4;
}

/* Two blocks, which the tool would only make of more than 8 MiB. */
static size_t pack_lz4(const void *data, size_t size, uint8_t *ret)
{
	size_t at = 4, half = size / 2;
	store_le32(ret, 0x184c2102);
	for (unsigned i = 0; i < 2; i++) {
		int n = LZ4_compress_HC((const char *)data + i * half, (char *)ret + at + 4,
			(int)(i ? size - half : half), PACKED_MAX / 2, 9);
		cr_assert_gt(n, 0);
		store_le32(ret + at, (uint32_t)n);
		at += 4 + (size_t)n;
	}
	store_le32(ret + at, (uint32_t)size);
	return at + 4;
}

static const struct packer {
	const char *name;
	size_t (*pack)(const void *data, size_t size, uint8_t *ret);
} packers[] = {
	{ "gzip", pack_gzip },
	{ "xz", pack_xz },
	{ "zstd", pack_zstd },
	{ "lz4", pack_lz4 },
};

/* A bzImage with @payload in it; returns its size. */
static size_t bz_with(uint8_t *ret, const uint8_t *payload, size_t size)
{
	uint8_t base[BZ_SIZE];
	size_t code = align_up(0x300 + size, 16);
	bz_make(base);
	memset(ret, 0, BZ_SETUP + code);
	memcpy(ret, base, BZ_SETUP + 0x300);
	memcpy(ret + BZ_SETUP + 0x300, payload, size);
	store_le32(ret + 0x1f4, (uint32_t)(code / 16));
	store_le32(ret + 0x24c, (uint32_t)size);
	return BZ_SETUP + code;
}

static int load(struct gmem *mem, const uint8_t *image, size_t size, enum boot_unpack unpack,
	const char *cache, struct boot_entry *ret, char message[256])
{
	struct boot_source src = {
		.kernel_image = image,
		.kernel_image_size = size,
		.unpack = unpack,
		.kernel_cache = cache,
		.cmdline = "",
	};
	return boot_source(mem, src, ret, message);
}

static void check_method(const struct packer *p)
{
	uint8_t elf[ELF_SIZE], packed[PACKED_MAX], image[BZ_SETUP + PACKED_MAX], text[ELF_TEXT_LEN];
	uint8_t bp[4096];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(64 * MIB);
	elf_make(elf, true);
	size_t n = p->pack(elf, sizeof(elf), packed);
	cr_assert_str_eq(unpack_method(packed, n), p->name);
	size_t size = bz_with(image, packed, n);
	cr_assert_eq(
		load(mem, image, size, BOOT_UNPACK_HOST, NULL, &entry, message), 0, "%s", message);
	/* entered in long mode with the bzImage's header, though the ELF file has a PVH note */
	cr_expect_eq(entry.mode, BOOT_MODE_LONG64);
	cr_expect_eq(entry.ip, ELF_TEXT + 0x10);
	gmem_read(mem, ELF_TEXT, text, sizeof(text));
	cr_expect_arr_eq(text, elf + ELF_TEXT_AT, sizeof(text));
	gmem_read(mem, LAYOUT_ZERO_PAGE, bp, sizeof(bp));
	cr_expect_arr_eq(bp + 0x212, image + 0x212, 4);
	cr_expect_eq(load_le32(bp + 0x22c), BZ_INITRD_MAX);
	gmem_free(mem);
}

Test(unpack, each_method)
{
	for (size_t i = 0; i < ARRAY_SIZE(packers); i++)
		check_method(&packers[i]);
}

/* The image as it is when the guest is to unpack it, or the host can't. */
Test(unpack, left_to_the_guest)
{
	uint8_t elf[ELF_SIZE], packed[PACKED_MAX], image[BZ_SETUP + PACKED_MAX];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(64 * MIB);
	elf_make(elf, false);
	size_t n = pack_gzip(elf, sizeof(elf), packed), size = bz_with(image, packed, n);
	cr_assert_eq(load(mem, image, size, BOOT_UNPACK_GUEST, NULL, &entry, message), 0);
	cr_expect_eq(entry.ip, BZ_PREF + 0x200);
	packed[0] = 'B'; /* as bzip2 does it */
	size = bz_with(image, packed, n);
	cr_assert_eq(load(mem, image, size, BOOT_UNPACK_AUTO, NULL, &entry, message), 0);
	cr_expect_eq(entry.ip, BZ_PREF + 0x200);
	cr_expect_eq(load(mem, image, size, BOOT_UNPACK_HOST, NULL, &entry, message), -ENOTSUP);
	cr_expect(strstr(message, "kernel-unpack=guest"), "%s", message);
	gmem_free(mem);
}

/* --- hostile images --- */

struct lie {
	const char *what;
	int size_delta;  /* of the announced size */
	int truncate_by; /* bytes that the payload lacks */
	int flip;        /* byte of the payload that is another; -1: none */
	int code;
	const char *message;
};

static const struct lie lies[] = {
	{ "more announced", 1, 0, -1, -EINVAL, "do not unpack to the" },
	{ "less announced", -1, 0, -1, -EINVAL, "do not unpack to the" },
	{ "nothing announced", -(int)ELF_SIZE, 0, -1, -EINVAL, "nothing in its payload" },
	{ "4 GiB announced", INT32_MIN, 0, -1, -EFBIG, "does not fit" },
	{ "an end too early", 0, 40, -1, -EINVAL, "corrupt bzImage" },
	{ "broken data", 0, 0, 30, -EINVAL, NULL },
	{ "no more than a magic number", 0, -1, -1, -EINVAL, "corrupt bzImage" },
};

static void check_lie(const struct lie *c)
{
	uint8_t elf[ELF_SIZE], packed[PACKED_MAX], image[BZ_SETUP + PACKED_MAX];
	struct gmem *mem = ram_new(64 * MIB);
	elf_make(elf, false);
	for (size_t i = 0; i < ARRAY_SIZE(packers); i++) {
		char message[256];
		struct boot_entry entry;
		size_t n = packers[i].pack(elf, sizeof(elf), packed);
		if (c->truncate_by < 0)
			n = 12;
		else
			n -= (size_t)c->truncate_by;
		store_le32(packed + n - 4, (uint32_t)ELF_SIZE + (uint32_t)c->size_delta);
		if (c->flip >= 0)
			packed[c->flip] ^= 0xff;
		size_t size = bz_with(image, packed, n);
		int rc = load(mem, image, size, BOOT_UNPACK_AUTO, NULL, &entry, message);
		if (!c->message && rc == 0)
			continue; /* lz4 has no checksum: the ELF loader has looked at it */
		cr_expect_eq(rc, c->code, "%s, %s: %d '%s'", c->what, packers[i].name, rc, message);
		cr_expect(!c->message || strstr(message, c->message), "%s, %s: '%s'", c->what,
			packers[i].name, message);
	}
	gmem_free(mem);
}

Test(unpack, lies)
{
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++)
		check_lie(&lies[i]);
}

/* Every byte of every packed kernel, changed: an error or a kernel, and no more than that. */
Test(unpack, any_byte)
{
	uint8_t elf[ELF_SIZE], good[PACKED_MAX], image[BZ_SETUP + PACKED_MAX];
	struct gmem *mem = ram_new(64 * MIB);
	elf_make(elf, false);
	unsigned refused = 0;
	for (size_t i = 0; i < ARRAY_SIZE(packers); i++) {
		size_t n = packers[i].pack(elf, sizeof(elf), good);
		for (size_t at = 0; at < n; at++) {
			char message[256];
			struct boot_entry entry;
			size_t size = bz_with(image, good, n);
			image[BZ_SETUP + 0x300 + at] ^= 0x41;
			refused +=
				load(mem, image, size, BOOT_UNPACK_HOST, NULL, &entry, message) < 0;
		}
	}
	cr_expect_gt(refused, 0);
	gmem_free(mem);
}

/* What it announces is all the decoder looks at before it asks for memory. */
Test(unpack, dictionary_beyond_the_limit_is_left_to_the_guest)
{
	uint8_t elf[ELF_SIZE], packed[PACKED_MAX], image[BZ_SETUP + PACKED_MAX];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(64 * MIB);
	elf_make(elf, true);
	size_t n = pack_xz(elf, sizeof(elf), packed);
	uint8_t *header = packed + 12; /* xz file format, 3.1 */
	size_t header_size = ((size_t)header[0] + 1) * 4, at = 2;
	while (header[at] != 0x21 || header[at + 1] != 1) /* LZMA2, one byte of properties */
		cr_assert_lt(++at, header_size);
	header[at + 2] = 38; /* 2 GiB: 5.3.1 */
	store_le32(header + header_size - 4, lzma_crc32(header, header_size - 4, 0));
	size_t size = bz_with(image, packed, n);
	cr_expect_eq(load(mem, image, size, BOOT_UNPACK_HOST, NULL, &entry, message), -ENOTSUP);
	cr_expect(strstr(message, "kernel-unpack=guest"), "%s", message);
	cr_expect_eq(load(mem, image, size, BOOT_UNPACK_AUTO, NULL, &entry, message), 0);
	cr_expect_eq(entry.ip, BZ_PREF + 0x200);
	gmem_free(mem);
}

Test(unpack, no_kernel_inside)
{
	uint8_t packed[PACKED_MAX], image[BZ_SETUP + PACKED_MAX];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(64 * MIB);
	size_t n = pack_zstd("not an ELF file", 16, packed), size = bz_with(image, packed, n);
	cr_expect_eq(load(mem, image, size, BOOT_UNPACK_HOST, NULL, &entry, message), -ENOTSUP);
	cr_expect_eq(load(mem, image, size, BOOT_UNPACK_AUTO, NULL, &entry, message), 0);
	cr_expect_eq(entry.ip, BZ_PREF + 0x200);
	gmem_free(mem);
}

/* --- the cache --- */

/* What is in the cache is what is booted, which shows that it was looked at. */
static void spoil(const char *name)
{
	shell("cd cache && printf KEPT | dd of=%s bs=1 seek=%u conv=notrunc status=none", name,
		ELF_TEXT_AT);
}

Test(unpack, boot_takes_it_from_the_cache, .init = folder_enter, .fini = folder_leave)
{
	uint8_t elf[ELF_SIZE], packed[PACKED_MAX], image[BZ_SETUP + PACKED_MAX], text[4];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(64 * MIB);
	elf_make(elf, false);
	size_t n = pack_lz4(elf, sizeof(elf), packed), size = bz_with(image, packed, n);
	cr_assert_eq(load(mem, image, size, BOOT_UNPACK_AUTO, "cache", &entry, message), 0);
	struct kernel_key key = kernel_key(packed, n, ELF_SIZE);
	spoil(key.name);
	cr_assert_eq(load(mem, image, size, BOOT_UNPACK_AUTO, "cache", &entry, message), 0);
	gmem_read(mem, ELF_TEXT, text, sizeof(text));
	cr_expect_arr_eq(text, "KEPT", 4);
	gmem_free(mem);
}

/* With a memo the payload is not read: it may as well be another kernel's. */
Test(unpack, boot_takes_what_the_memo_says, .init = folder_enter, .fini = folder_leave)
{
	uint8_t elf[ELF_SIZE], packed[PACKED_MAX], image[BZ_SETUP + PACKED_MAX], text[4];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(64 * MIB);
	struct boot_file file = { .path = (char *)(uintptr_t) "kernel" };
	struct boot_source src = { .kernel = &file, .kernel_cache = "cache", .cmdline = "" };
	elf_make(elf, false);
	store_le32(elf + ELF_TEXT_AT, 0x4f4d454d); /* "MEMO" */
	struct kernel_key key = kernel_key("another", 7, ELF_SIZE);
	cr_assert_eq(kernel_cache_store("cache", &key, elf, 0), 0);
	size_t n = pack_zstd(elf, sizeof(elf), packed), size = bz_with(image, packed, n);
	image[BZ_SETUP + 0x300] = 0; /* nothing that could be unpacked */
	put_file("kernel", image, size, 0600);
	int fd = open("kernel", O_RDONLY | O_CLOEXEC);
	const struct timespec now = { INT32_MAX, 0 };
	const struct kernel_origin origin = kernel_origin(fd, &now);
	fd_close(&fd);
	kernel_cache_remember("cache", &origin, &key);
	cr_assert_eq(boot_source(mem, src, &entry, message), 0, "%s", message);
	gmem_read(mem, ELF_TEXT, text, sizeof(text));
	cr_expect_arr_eq(text, "MEMO", 4);
	cr_expect_eq(entry.ip, ELF_TEXT + 0x10);
	/* and the header is still looked at */
	shell("truncate -s 3000 kernel");
	cr_expect_eq(boot_source(mem, src, &entry, message), -EINVAL);
	gmem_free(mem);
}
