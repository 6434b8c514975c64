// SPDX-License-Identifier: Apache-2.0
/* Disks on the host: what is refused and how, transfers, and ranges without data. */
#include "backend/disk_io.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/bytes.h"
#include "util/fd.h"

static char dir[] = "/tmp/lacuna-disk-XXXXXX";
static char path[64];

static void make(const char *name, off_t size, int fill)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	AUTO_CLOSE int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, size), 0);
	uint8_t block[4096];
	memset(block, fill, sizeof(block));
	for (off_t at = 0; fill && at < size; at += (off_t)sizeof(block))
		cr_assert_gt(
			pwrite(fd, block, min_u64(sizeof(block), (uint64_t)(size - at)), at), 0);
}

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(dir));
}

static void tear_down(void)
{
	if (!strncmp(path, dir, strlen(dir)) && path[strlen(dir)] == '/')
		unlink(path);
	cr_expect_eq(rmdir(dir), 0);
}

TestSuite(disk, .init = set_up, .fini = tear_down);

static void check_refusal(bool readonly, int code, const char *words)
{
	struct disk *d = NULL;
	struct lacuna_error *err = NULL;
	int rc = disk_open(path, readonly, false, &d, &err);
	cr_expect_eq(rc, -code, "%s: %d", path, rc);
	cr_expect_null(d);
	cr_assert_not_null(err);
	cr_expect_not_null(strstr(lacuna_error_message(err), words), "'%s' lacks '%s'",
		lacuna_error_message(err), words);
	cr_expect_not_null(strstr(lacuna_error_message(err), path));
	cr_expect_null(strchr(lacuna_error_message(err), '\n'));
	lacuna_error_free(err);
	cr_expect_eq(disk_open(path, readonly, false, &d, NULL), -code, "without an error object");
}

struct size_case {
	off_t size;
	int code;
	char words[32]; /* rows are copied into another process: no pointers */
};

ParameterizedTestParameters(disk, sizes)
{
	static struct size_case c[] = {
		{ 0, EINVAL, "empty" },
		{ 1, EINVAL, "not a multiple of 512" },
		{ 511, EINVAL, "not a multiple of 512" },
		{ 512, 0, "" },
		{ 513, EINVAL, "not a multiple of 512" },
		{ (off_t)1 << 40, 0, "" },
		{ ((off_t)1 << 40) + 256, EINVAL, "truncate -s %512" },
	};
	return cr_make_param_array(struct size_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct size_case *c, disk, sizes)
{
	make("a.img", c->size, 0);
	if (c->code) {
		check_refusal(false, c->code, c->words);
		check_refusal(true, c->code, c->words);
		return;
	}
	struct disk *d;
	cr_assert_eq(disk_open(path, false, false, &d, NULL), 0);
	cr_expect_eq(d->size, (uint64_t)c->size);
	cr_expect_eq(d->block_size, 512);
	disk_close(d);
}

Test(disk, not_there)
{
	snprintf(path, sizeof(path), "%s/missing.img", dir);
	check_refusal(false, ENOENT, "No such file");
}

Test(disk, directory)
{
	snprintf(path, sizeof(path), "%s", dir);
	check_refusal(false, EISDIR, "is a directory");
	check_refusal(true, EISDIR, "is a directory");
}

Test(disk, fifo)
{
	snprintf(path, sizeof(path), "%s/fifo", dir);
	cr_assert_eq(mkfifo(path, 0600), 0);
	check_refusal(true, EINVAL, "neither a file nor a block device"); /* and does not hang */
}

Test(disk, character_device)
{
	snprintf(path, sizeof(path), "/dev/null");
	check_refusal(false, EINVAL, "neither a file nor a block device");
}

/* Root may write to what is read-only, so we are nobody for this. */
Test(disk, file_that_may_not_be_written)
{
	make("ro.img", 4096, 0);
	cr_assert_eq(chmod(path, 0444), 0);
	cr_assert_eq(chmod(dir, 0755), 0);
	uid_t me = geteuid();
	if (me == 0)
		cr_assert_eq(seteuid(65534), 0);
	check_refusal(false, EACCES, "readonly=on");
	struct disk *d;
	cr_expect_eq(disk_open(path, true, false, &d, NULL), 0);
	disk_close(d);
	cr_assert_eq(seteuid(me), 0);
}

struct lock_case {
	bool first_ro, second_ro, ok;
};

ParameterizedTestParameters(disk, locks)
{
	static struct lock_case c[] = {
		{ false, false, false },
		{ false, true, false },
		{ true, false, false },
		{ true, true, true },
	};
	return cr_make_param_array(struct lock_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct lock_case *c, disk, locks)
{
	struct disk *first, *second;
	make("a.img", 4096, 0);
	cr_assert_eq(disk_open(path, c->first_ro, false, &first, NULL), 0);
	if (c->ok) {
		cr_assert_eq(disk_open(path, c->second_ro, false, &second, NULL), 0);
		disk_close(second);
	} else {
		check_refusal(c->second_ro, EBUSY, c->second_ro ? "writes to it" : "readonly=on");
	}
	disk_close(first);
	cr_assert_eq(disk_open(path, c->second_ro, false, &second, NULL), 0, "free again");
	disk_close(second);
}

/* --- handed in --- */

static void check_adoption(int flags, bool readonly, bool direct, int code, const char *words)
{
	struct disk *d = NULL;
	struct lacuna_error *err = NULL;
	AUTO_CLOSE int fd = open(path, flags | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_expect_eq(disk_adopt(fd, readonly, direct, &d, &err), -code);
	if (code)
		cr_expect(
			strstr(lacuna_error_message(err), words), "%s", lacuna_error_message(err));
	lacuna_error_free(err);
	disk_close(d);
}

Test(disk, descriptors)
{
	make("a.img", 4096, 0);
	check_adoption(O_RDWR, false, false, 0, "");
	check_adoption(O_RDWR, true, false, 0, "");
	check_adoption(O_RDONLY, true, false, 0, "");
	check_adoption(O_RDONLY, false, false, EACCES, "open it for writing too, or add readonly");
	check_adoption(O_RDWR | O_APPEND, false, false, EINVAL, "opened with O_APPEND");
	check_adoption(O_RDWR | O_APPEND, true, false, 0, "");
	check_adoption(O_RDWR | O_DIRECT, false, false, EINVAL, "O_DIRECT: add direct=on");
	cr_assert_eq(truncate(path, 1000), 0);
	check_adoption(O_RDWR, false, false, EINVAL, "has 1000 bytes, not a multiple of 512");
	cr_assert_eq(truncate(path, 0), 0);
	check_adoption(O_RDWR, false, false, EINVAL, "is empty");
	unlink(path);
	snprintf(path, sizeof(path), "/dev/null");
	check_adoption(O_RDWR, false, false, EINVAL, "neither a file nor a block device");
	snprintf(path, sizeof(path), "%s", dir);
	check_adoption(O_RDONLY, true, false, EISDIR, "is a directory");
}

Test(disk, descriptor_of_a_file_without_a_name)
{
	struct disk *d;
	struct lacuna_error *err = NULL;
	AUTO_CLOSE int fd = memfd_create("disk", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(fd, 8192), 0);
	cr_assert_eq(disk_adopt(fd, false, false, &d, NULL), 0);
	cr_expect_eq(d->size, 8192u);
	cr_expect_eq(disk_grow(d, 4096, &err), -EINVAL);
	cr_expect_not_null(strstr(lacuna_error_message(err), "fd "));
	lacuna_error_free(err);
	cr_expect_eq(disk_grow(d, 16384, NULL), 0);
	disk_close(d);
	cr_expect_eq(lseek(fd, 0, SEEK_END), 16384, "the original is still open");
}

static int transfer_vector(
	struct disk *d, bool writing, struct iovec *iov, unsigned count, uint64_t offset)
{
	struct disk_io io = {
		.op = writing ? DISK_WRITE : DISK_READ,
		.iov = iov,
		.count = count,
		.offset = offset,
	};
	return disk_io_run(d, &io);
}

static int transfer(struct disk *d, bool writing, void *buf, size_t len, uint64_t offset)
{
	struct iovec iov = { buf, len };
	return transfer_vector(d, writing, &iov, 1, offset);
}

static int flush(struct disk *d)
{
	struct disk_io io = { .op = DISK_FLUSH };
	return disk_io_run(d, &io);
}

static int change(struct disk *d, enum disk_op op, uint64_t offset, uint32_t len, bool unmap)
{
	struct disk_range range = { offset, len, unmap };
	struct disk_io io = { .op = op, .range = &range, .ranges = 1 };
	return disk_io_run(d, &io);
}

Test(disk, ranges)
{
	uint8_t buf[1024] = { 0 };
	struct disk *d;
	make("a.img", 4096, 0);
	cr_assert_eq(disk_open(path, false, false, &d, NULL), 0);
	for (int writing = 0; writing < 2; writing++) {
		cr_expect_eq(transfer(d, writing, buf, 512, 3584), 0);
		cr_expect_eq(transfer(d, writing, buf, 0, 4096), 0);
		cr_expect_eq(transfer(d, writing, buf, 1024, 3584), -EINVAL);
		cr_expect_eq(transfer(d, writing, buf, 1, 4096), -EINVAL);
		cr_expect_eq(transfer(d, writing, buf, 1024, UINT64_MAX - 511), -EINVAL);
	}
	cr_expect_eq(change(d, DISK_DISCARD, 4096, 1, false), -EINVAL);
	cr_expect_eq(change(d, DISK_DISCARD, 512, UINT32_MAX, false), -EINVAL);
	cr_expect_eq(change(d, DISK_ZERO, UINT64_MAX, 2, true), -EINVAL);
	cr_expect_eq(change(d, DISK_ZERO, 4096, 0, false), 0);
	struct stat st;
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_size, 4096);
	disk_close(d);
}

Test(disk, readonly_means_it)
{
	uint8_t buf[512] = { 0 };
	struct disk *d;
	make("a.img", 4096, 'x');
	cr_assert_eq(disk_open(path, true, false, &d, NULL), 0);
	cr_expect_eq(transfer(d, true, buf, 512, 0), -EROFS);
	cr_expect_eq(change(d, DISK_DISCARD, 0, 512, false), -EROFS);
	cr_expect_eq(change(d, DISK_ZERO, 0, 512, true), -EROFS);
	cr_expect_eq(flush(d), 0);
	cr_expect_eq(transfer(d, false, buf, 512, 0), 0);
	cr_expect_eq(buf[511], 'x');
	disk_close(d);
}

Test(disk, scattered)
{
	uint8_t out[1536], in[1536];
	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7);
	struct disk *d;
	make("a.img", 8192, 0);
	cr_assert_eq(disk_open(path, false, false, &d, NULL), 0);
	struct iovec w[] = { { out, 1 }, { out + 1, 0 }, { out + 1, 1000 }, { out + 1001, 535 } };
	cr_assert_eq(transfer_vector(d, true, w, 4, 512), 0);
	cr_assert_eq(flush(d), 0);
	struct iovec r[] = { { in, 700 }, { in + 700, 836 } };
	cr_assert_eq(transfer_vector(d, false, r, 2, 512), 0);
	cr_expect_arr_eq(in, out, sizeof(out));
	disk_close(d);
}

Test(disk, file_shrunk_behind_our_back)
{
	uint8_t buf[4096] = { 0 };
	struct disk *d;
	make("a.img", 4096, 'x');
	cr_assert_eq(disk_open(path, false, false, &d, NULL), 0);
	cr_assert_eq(truncate(path, 1024), 0);
	cr_expect_eq(transfer(d, false, buf, 4096, 0), -EIO);
	disk_close(d);
}

static bool all(struct disk *d, uint64_t offset, size_t len, int byte)
{
	uint8_t *buf = malloc(len);
	cr_assert_eq(transfer(d, false, buf, len, offset), 0);
	bool same = true;
	for (size_t i = 0; i < len; i++)
		same &= buf[i] == byte;
	free(buf);
	return same;
}

struct zero_case {
	uint64_t offset;
	uint32_t len;
	int how; /* 0: discard, 1: zeroes, 2: zeroes and unmap */
};

ParameterizedTestParameters(disk, zeroes)
{
	static struct zero_case c[] = {
		{ 0, 1 << 20, 0 },
		{ 65536, 131072, 0 },
		{ 0, 1 << 20, 1 },
		{ 512, 512, 1 },
		{ 4096, 65536, 1 },
		{ 1536, 99840, 1 },
		{ (1 << 20) - 512, 512, 1 },
		{ 65536, 131072, 2 },
		{ 512, 1024, 2 },
		{ 0, 1 << 20, 2 },
	};
	return cr_make_param_array(struct zero_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct zero_case *c, disk, zeroes)
{
	const uint64_t size = 1 << 20;
	struct disk *d;
	struct stat before, after;
	make("a.img", (off_t)size, 0xa5);
	cr_assert_eq(disk_open(path, false, false, &d, NULL), 0);
	cr_assert_eq(flush(d), 0);
	cr_assert_eq(stat(path, &before), 0);
	if (c->how)
		cr_assert_eq(change(d, DISK_ZERO, c->offset, c->len, c->how == 2), 0);
	else
		cr_assert_eq(change(d, DISK_DISCARD, c->offset, c->len, false), 0);
	cr_assert_eq(stat(path, &after), 0);
	cr_expect_eq(after.st_size, before.st_size);
	/* A discard on a host that can't do it changes nothing, and then no block was given back.
	 */
	if (c->how || after.st_blocks < before.st_blocks)
		cr_expect(all(d, c->offset, c->len, 0));
	if (c->how == 1)
		cr_expect_geq(after.st_blocks, before.st_blocks, "space is kept");
	cr_expect(all(d, 0, c->offset, 0xa5), "what lies before");
	cr_expect(all(d, c->offset + c->len, size - c->offset - c->len, 0xa5), "what lies behind");
	disk_close(d);
}
