// SPDX-License-Identifier: Apache-2.0
/* Kernel images with holes. */
#include "boot/image.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "boot_fixture.h"
#include "util/bytes.h"

#define RAM  (32 * MIB)
#define SIZE (256 * KIB)

/* Data, a hole from 4 KiB to 192 KiB, data, a hole from 196 KiB on. */
static int sparse_file(uint8_t ret[SIZE])
{
	int fd = memfd_create("sparse", MFD_CLOEXEC);
	cr_assert_geq(fd, 0);
	memset(ret, 0, SIZE);
	for (unsigned i = 0; i < 4096; i++)
		ret[i] = ret[192 * KIB + i] = (uint8_t)(1 + i % 255);
	cr_assert_eq(pwrite(fd, ret, 4096, 0), 4096);
	cr_assert_eq(pwrite(fd, ret, 4096, 192 * KIB), 4096);
	cr_assert_eq(ftruncate(fd, SIZE), 0);
	return fd;
}

struct range {
	uint64_t offset, len;
};

ParameterizedTestParameters(image, holes)
{
	static struct range c[] = {
		{ 0, SIZE },
		{ 0, 4096 },
		{ 64 * KIB, 64 * KIB },
		{ 100, 192 * KIB },
		{ 4096, 188 * KIB },
		{ 4097, 188 * KIB },
		{ 192 * KIB, 4096 },
		{ 192 * KIB, 64 * KIB },
		{ 196 * KIB, 60 * KIB },
		{ SIZE - 1, 1 },
	};
	return CASES(c);
}

/* Each to the first of RAM and to its end. */
ParameterizedTest(struct range *c, image, holes)
{
	static uint8_t whole[SIZE], found[SIZE];
	const struct image image = { .fd = sparse_file(whole), .size = SIZE, .sparse = true };
	for (unsigned i = 0; i < 2; i++) {
		struct gmem *mem = ram_new(RAM);
		gpa_t gpa = i ? RAM - c->len : 0;
		cr_assert_eq(image_load_sparse(&image, c->offset, c->len, mem, gpa, NULL), 0);
		cr_assert_eq(gmem_read(mem, gpa, found, c->len), 0);
		cr_expect_eq(memcmp(found, whole + c->offset, c->len), 0);
		gmem_free(mem);
	}
	close(image.fd);
}

/* It may become shorter at any time. */
Test(image, shrunken)
{
	static uint8_t whole[SIZE];
	const struct image image = { .fd = sparse_file(whole), .size = SIZE, .sparse = true };
	static const off_t sizes[] = { 255 * KIB, 193 * KIB, 100 * KIB, 4096, 100, 0 };
	struct gmem *mem = ram_new(RAM);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		cr_assert_eq(ftruncate(image.fd, sizes[i]), 0);
		cr_expect_lt(
			image_load_sparse(&image, 0, SIZE, mem, 0, NULL), 0, "%ld", (long)sizes[i]);
	}
	gmem_free(mem);
	close(image.fd);
}
