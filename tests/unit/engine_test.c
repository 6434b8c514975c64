// SPDX-License-Identifier: Apache-2.0
/*
 * Disk requests: the calls they become, with results that a real host rarely gives; and both
 * engines at work on real files.
 */
#include "backend/engine.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "util/bytes.h"
#include "util/fd.h"

#define BLOCK  ((uint64_t)4096)
#define BLOCKS ENGINE_DEPTH
#define SIZE   (BLOCK * BLOCKS)

static char path[] = "/tmp/lacuna-engine-XXXXXX";
static struct disk *disk;
static struct engine *engine;

static void set_up(void)
{
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)SIZE), 0);
	close(fd);
}

static void tear_down(void)
{
	engine_free(engine);
	disk_close(disk);
	unlink(path);
}

TestSuite(engine, .init = set_up, .fini = tear_down, .timeout = 120);

/* --- the sequence of calls --- */

static void open_disk(bool direct)
{
	cr_assert_eq(disk_open(path, false, direct, &disk, NULL), 0);
}

static struct iovec *vector(void *a, size_t a_len, void *b, size_t b_len)
{
	static struct iovec iov[2];
	iov[0] = (struct iovec){ a, a_len };
	iov[1] = (struct iovec){ b, b_len };
	return iov;
}

Test(engine, transfers_go_on_where_they_stopped)
{
	static uint8_t a[1000], b[24];
	open_disk(false);
	struct disk_io io = { .op = DISK_READ,
		.offset = 512,
		.count = 2,
		.iov = vector(a, sizeof(a), b, sizeof(b)) };
	cr_assert_eq(disk_io_begin(disk, &io), 0);
	static const struct {
		ssize_t result;
		uint64_t offset, len; /* of the call that follows */
		bool again;
	} step[] = {
		{ -EINTR, 512, 1024, false },
		{ -EAGAIN, 512, 1024, true },
		{ 1, 513, 1023, false },
		{ 998, 1511, 25, false },
		{ -EINTR, 1511, 25, false },
		{ 1, 1512, 24, false },
		{ 23, 1535, 1, false },
	};
	cr_assert(disk_io_next(disk, &io));
	for (unsigned i = 0; i < ARRAY_SIZE(step); i++) {
		disk_io_result(&io, step[i].result);
		cr_expect_eq(io.again, step[i].again, "step %u", i);
		cr_assert(disk_io_next(disk, &io), "step %u", i);
		cr_expect_eq(io.call.offset, step[i].offset, "step %u", i);
		cr_expect_eq(io.call.len, step[i].len, "step %u", i);
	}
	cr_expect_eq(io.call.iov->iov_base, b + 23);
	disk_io_result(&io, 1);
	cr_expect_not(disk_io_next(disk, &io));
	cr_expect_eq(io.rc, 0);
}

Test(engine, the_end_of_the_file_is_an_error)
{
	static uint8_t a[1024];
	open_disk(false);
	for (int op = DISK_READ; op <= DISK_WRITE; op++) {
		struct disk_io io = {
			.op = (enum disk_op)op, .count = 1, .iov = vector(a, sizeof(a), NULL, 0)
		};
		cr_assert_eq(disk_io_begin(disk, &io), 0);
		cr_assert(disk_io_next(disk, &io));
		disk_io_result(&io, 512);
		cr_assert(disk_io_next(disk, &io));
		disk_io_result(&io, 0);
		cr_expect_not(disk_io_next(disk, &io));
		cr_expect_eq(io.rc, -EIO);
	}
}

Test(engine, durable_writes_are_written_through)
{
	static uint8_t a[512];
	open_disk(false);
	struct disk_io io = {
		.op = DISK_WRITE, .durable = true, .count = 1, .iov = vector(a, sizeof(a), NULL, 0)
	};
	cr_assert_eq(disk_io_begin(disk, &io), 0);
	cr_assert(disk_io_next(disk, &io));
	cr_expect_eq(io.call.flags, RWF_DSYNC);
	disk_io_result(&io, 100);
	cr_assert(disk_io_next(disk, &io));
	cr_expect_eq(io.call.flags, RWF_DSYNC, "the rest too");

	struct disk_range range = { 0, 4096, true };
	struct disk_io zero = { .op = DISK_ZERO, .durable = true, .range = &range, .ranges = 1 };
	cr_assert_eq(disk_io_begin(disk, &zero), 0);
	cr_assert(disk_io_next(disk, &zero));
	disk_io_result(&zero, 0);
	cr_assert(disk_io_next(disk, &zero));
	cr_expect_eq(zero.call.type, CALL_FLUSH);
	disk_io_result(&zero, 0);
	cr_expect_not(disk_io_next(disk, &zero));
	cr_expect_eq(zero.rc, 0);
}

/* A host that can neither punch nor zero a range. */
Test(engine, zeroes_are_written_where_nothing_else_works)
{
	open_disk(false);
	struct disk_range range[] = { { 512, 100 * 1024u, true }, { 0, 0, false },
		{ 200 * KIB, 512, false } };
	struct disk_io io = { .op = DISK_ZERO, .range = range, .ranges = 3 };
	cr_assert_eq(disk_io_begin(disk, &io), 0);
	unsigned refused = 0;
	uint64_t written = 0;
	while (disk_io_next(disk, &io)) {
		if (io.call.type == CALL_ALLOCATE) {
			refused++;
			disk_io_result(&io, -EOPNOTSUPP);
			continue;
		}
		cr_assert_eq(io.call.type, CALL_WRITE);
		/* two halves of each write */
		size_t n = io.call.len > 512 ? io.call.len / 2 : io.call.len;
		written += n;
		for (size_t i = 0; i < n; i++)
			cr_assert_eq(((uint8_t *)io.call.iov->iov_base)[i], 0);
		disk_io_result(&io, (ssize_t)n);
		cr_assert_lt(written, 1 << 20);
	}
	cr_expect_eq(io.rc, 0);
	cr_expect_eq(refused, 3, "punch and zero, then zero only: %u", refused);
	cr_expect_eq(written, 100 * 1024 + 512);
}

Test(engine, discard_that_the_host_can_not_do_is_no_error)
{
	open_disk(false);
	struct disk_range range[] = { { 0, 4096, false }, { 8192, 4096, false } };
	struct disk_io io = { .op = DISK_DISCARD, .range = range, .ranges = 2 };
	cr_assert_eq(disk_io_begin(disk, &io), 0);
	cr_assert(disk_io_next(disk, &io));
	disk_io_result(&io, -EOPNOTSUPP);
	cr_assert(disk_io_next(disk, &io));
	cr_expect_eq(io.call.offset, 8192);
	disk_io_result(&io, -EIO);
	cr_expect_not(disk_io_next(disk, &io));
	cr_expect_eq(io.rc, -EIO, "but one that goes wrong is");
}

/* --- both engines --- */

struct kind_case {
	enum engine_kind kind;
	bool direct;
	int handed; /* with these flags; 0: opened by name */
};

static struct kind_case kinds[] = {
	{ ENGINE_URING, false, 0 },
	{ ENGINE_THREADS, false, 0 },
	{ ENGINE_URING, true, 0 },
	{ ENGINE_THREADS, true, 0 },
	{ ENGINE_URING, false, O_RDWR },
	{ ENGINE_AUTO, false, O_RDWR | O_NONBLOCK }, /* which io_uring can't have */
	{ ENGINE_URING, true, O_RDWR },
	{ ENGINE_URING, true, O_RDWR | O_DIRECT },
};

#define EACH_OF(name, n)                                                \
	ParameterizedTestParameters(engine, name)                       \
	{                                                               \
		return cr_make_param_array(struct kind_case, kinds, n); \
	}                                                               \
	ParameterizedTest(struct kind_case *c, engine, name)
#define EACH_KIND(name)        EACH_OF(name, ARRAY_SIZE(kinds))
#define EACH_CACHED_KIND(name) EACH_OF(name, 2)

static void start(const struct kind_case *c)
{
	struct lacuna_error *err = NULL;
	AUTO_CLOSE int fd = c->handed ? open(path, c->handed | O_CLOEXEC) : -1;
	int rc = c->handed ? disk_adopt(fd, false, c->direct, &disk, &err)
			   : disk_open(path, false, c->direct, &disk, &err);
	if (rc == -EINVAL && c->direct)
		cr_skip_test("%s", lacuna_error_message(err));
	cr_assert_not_null(disk);
	if (engine_new(disk, c->kind, &engine, &err) < 0)
		cr_skip_test("%s", lacuna_error_message(err));
	cr_assert_str_eq(engine->ops->name, c->kind == ENGINE_URING ? "io_uring" : "threads");
	engine_start(engine);
}

struct job {
	struct disk_io io;
	struct iovec iov[2];
	int rc;
	bool done;
};

static struct job job[ENGINE_DEPTH];
static unsigned jobs_done;

static void job_done(struct disk_io *io, int rc)
{
	struct job *j = container_of(io, struct job, io);
	cr_assert_not(j->done, "once only");
	j->done = true;
	j->rc = rc;
	jobs_done++;
}

static void begin(struct job *j, enum disk_op op, uint64_t offset, void *data, size_t len)
{
	*j = (struct job){ .io = { .op = op, .offset = offset, .done = job_done } };
	j->iov[0] = (struct iovec){ data, len };
	j->io.iov = j->iov;
	j->io.count = 1;
	engine_add(engine, &j->io);
}

/* As an event loop does. */
static void wait_all(void)
{
	engine_run(engine);
	while (engine->under_way) {
		struct pollfd p = { .fd = engine->fd, .events = POLLIN };
		poll(&p, 1, -1);
		engine_run(engine);
	}
}

static int run_one(enum disk_op op, uint64_t offset, void *data, size_t len)
{
	begin(&job[0], op, offset, data, len);
	wait_all();
	return job[0].rc;
}

static uint8_t *memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(p, MAP_FAILED);
	return p;
}

EACH_KIND(as_many_as_there_may_be)
{
	start(c);
	uint8_t *data = memory(2 * SIZE), *back = data + SIZE;
	for (uint64_t i = 0; i < SIZE; i++)
		data[i] = (uint8_t)(i / BLOCK * 7 + i % 251);
	for (unsigned round = 0; round < 3; round++) {
		memset(back, 0x55, SIZE);
		for (int op = DISK_WRITE; op >= DISK_READ; op--) {
			jobs_done = 0;
			for (unsigned i = 0; i < BLOCKS; i++) {
				uint64_t at = i * 97 % BLOCKS * BLOCK;
				begin(&job[i], (enum disk_op)op, at,
					(op == DISK_WRITE ? data : back) + at, BLOCK);
			}
			cr_assert_eq(engine->under_way + jobs_done, BLOCKS);
			wait_all();
			for (unsigned i = 0; i < BLOCKS; i++)
				cr_assert(job[i].done && job[i].rc == 0, "%u: %d", i, job[i].rc);
		}
		cr_expect_eq(memcmp(data, back, SIZE), 0);
	}
}

EACH_KIND(any_alignment)
{
	start(c);
	uint8_t *data = memory(1 << 20), *back = data + (1 << 19);
	for (unsigned i = 0; i < 1 << 19; i++)
		data[i] = (uint8_t)(i * 3 + i / 256);
	static const struct {
		uint32_t at, len, memory;
	} row[] = { { 0, 4096, 0 }, { 512, 512, 0 }, { 512, 1024, 512 }, { 4096, 4096, 1 },
		{ 0, 200 * 1024, 3 }, { 1536, 130 * 1024 + 512, 77 }, { 8192, 512, 511 } };
	for (unsigned i = 0; i < ARRAY_SIZE(row); i++) {
		memset(back, 0, 1 << 19);
		cr_expect_eq(run_one(DISK_WRITE, row[i].at, data + row[i].memory, row[i].len), 0,
			"row %u: %d", i, job[0].rc);
		cr_expect_eq(run_one(DISK_READ, row[i].at, back + row[i].memory, row[i].len), 0,
			"row %u: %d", i, job[0].rc);
		cr_expect_eq(memcmp(data + row[i].memory, back + row[i].memory, row[i].len), 0,
			"row %u", i);
		cr_expect_eq(back[row[i].memory + row[i].len], 0, "row %u: nothing behind it", i);
	}
}

EACH_KIND(file_that_has_become_shorter)
{
	start(c);
	uint8_t *data = memory(SIZE);
	cr_assert_eq(truncate(path, BLOCK + 1024), 0);
	cr_expect_eq(run_one(DISK_READ, 0, data, BLOCK), 0);
	cr_expect_eq(run_one(DISK_READ, BLOCK, data, BLOCK), -EIO);
	cr_expect_eq(run_one(DISK_READ, 3 * BLOCK, data, BLOCK), -EIO);
	cr_expect_eq(run_one(DISK_READ, 0, data, SIZE), -EIO);
	cr_expect_eq(run_one(DISK_READ, 0, data, BLOCK), 0, "and goes on");
}

/* Addresses that are no memory, as of a file mapped into the guest that was truncated. */
EACH_KIND(memory_that_is_gone)
{
	start(c);
	uint8_t *data = memory(4 * BLOCK);
	munmap(data + BLOCK, 2 * BLOCK);
	cr_expect_eq(run_one(DISK_WRITE, 0, data + BLOCK, BLOCK), -EFAULT);
	cr_expect_eq(run_one(DISK_WRITE, 0, data + BLOCK + 1, 512), -EFAULT);
	cr_expect_eq(run_one(DISK_READ, 0, data + BLOCK + 1, 512), -EFAULT);
	cr_expect_eq(run_one(DISK_READ, 0, data, 512), 0);
}

EACH_KIND(ranges_without_data)
{
	start(c);
	uint8_t *data = memory(SIZE);
	memset(data, 0xa5, SIZE);
	cr_assert_eq(run_one(DISK_WRITE, 0, data, SIZE), 0);
	struct disk_range range[] = { { BLOCK, 2 * (uint32_t)BLOCK, true },
		{ 8 * BLOCK + 512, 512, false } };
	job[0] = (struct job){ .io = { .op = DISK_ZERO,
				       .range = range,
				       .ranges = 2,
				       .durable = true,
				       .done = job_done } };
	engine_add(engine, &job[0].io);
	wait_all();
	cr_assert(job[0].done);
	cr_expect_eq(job[0].rc, 0);
	cr_assert_eq(run_one(DISK_READ, 0, data, SIZE), 0);
	for (uint64_t i = 0; i < SIZE; i++) {
		bool zero = (i >= BLOCK && i < 3 * BLOCK) ||
			    (i >= 8 * BLOCK + 512 && i < 8 * BLOCK + 1024);
		cr_assert_eq(data[i], zero ? 0 : 0xa5, "byte %llu", (unsigned long long)i);
	}
}

/* How many pages of the file wait to be written; -1: this kernel, or file system, can't tell. */
static long dirty_pages(void)
{
	enum { CACHESTAT = 451, TMPFS = 0x01021994 };
	struct {
		uint64_t off, len;
	} range = { 0, 0 };
	struct {
		uint64_t cache, dirty, writeback, evicted, recently;
	} stat;
	struct statfs fs;
	if (fstatfs(disk->fd, &fs) < 0 || fs.f_type == TMPFS ||
		syscall(CACHESTAT, disk->fd, &range, &stat, 0) < 0)
		return -1;
	return (long)(stat.dirty + stat.writeback);
}

/* That a flush reaches the host's stable storage before it is done. */
EACH_KIND(a_flush_leaves_nothing_dirty)
{
	start(c);
	uint8_t *data = memory(SIZE);
	memset(data, 0x11, SIZE);
	for (unsigned i = 0; i < 64; i++)
		begin(&job[i], DISK_WRITE, i * BLOCK, data, BLOCK);
	wait_all();
	long before = dirty_pages();
	if (before < 0)
		cr_skip_test("the kernel does not tell which pages are dirty");
	if (!c->direct)
		cr_expect_gt(before, 0, "or the test shows nothing");
	begin(&job[64], DISK_FLUSH, 0, NULL, 0);
	cr_assert_not(job[64].done);
	wait_all();
	cr_expect_eq(job[64].rc, 0);
	cr_expect_eq(dirty_pages(), 0);

	/* and so does a durable write, for its own range */
	job[0] = (struct job){ .io = { .op = DISK_WRITE, .durable = true, .done = job_done } };
	job[0].iov[0] = (struct iovec){ data, BLOCK };
	job[0].io.iov = job[0].iov;
	job[0].io.count = 1;
	engine_add(engine, &job[0].io);
	wait_all();
	cr_expect_eq(job[0].rc, 0);
	cr_expect_eq(dirty_pages(), 0);
}

EACH_CACHED_KIND(errors_of_the_host)
{
	/* What can be sealed against writing stands for a full disk. */
	int fd = memfd_create("sealed", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	char text[32];
	cr_assert_eq(ftruncate(fd, (off_t)SIZE), 0);
	snprintf(text, sizeof(text), "/proc/self/fd/%d", fd);
	cr_assert_eq(disk_open(text, false, false, &disk, NULL), 0);
	if (engine_new(disk, c->kind, &engine, NULL) < 0)
		cr_skip_test("no io_uring here");
	engine_start(engine);
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	uint8_t *data = memory(SIZE);
	cr_expect_eq(run_one(DISK_WRITE, 0, data, BLOCK), -EPERM);
	cr_expect_eq(run_one(DISK_READ, 0, data, BLOCK), 0);
	cr_expect_eq(run_one(DISK_READ, SIZE, data, BLOCK), -EINVAL);
	cr_expect_eq(run_one(DISK_FLUSH, 0, NULL, 0), 0);
	close(fd);
}

EACH_KIND(drained)
{
	start(c);
	uint8_t *data = memory(SIZE);
	jobs_done = 0;
	for (unsigned i = 0; i < BLOCKS; i++)
		begin(&job[i], i % 8 == 7 ? DISK_FLUSH : DISK_WRITE, i * BLOCK, data, BLOCK);
	engine_drain(engine);
	cr_expect_eq(jobs_done, BLOCKS);
	cr_expect_eq(engine->under_way, 0);
	engine_drain(engine);
}

Test(engine, what_may_not_wait_is_not_for_io_uring)
{
	struct lacuna_error *err = NULL;
	AUTO_CLOSE int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	cr_assert_eq(disk_adopt(fd, false, false, &disk, NULL), 0);
	cr_expect_eq(engine_new(disk, ENGINE_URING, &engine, &err), -EINVAL);
	cr_expect_not_null(strstr(lacuna_error_message(err), "opened with O_NONBLOCK"));
	lacuna_error_free(err);
	cr_expect(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

Test(engine, auto_finds_one)
{
	open_disk(false);
	cr_assert_eq(engine_new(disk, ENGINE_AUTO, &engine, NULL), 0);
	engine_start(engine);
	uint8_t *data = memory(BLOCK);
	cr_expect_eq(run_one(DISK_READ, 0, data, BLOCK), 0);
}

/* --- growing --- */

Test(engine, growing)
{
	struct lacuna_error *err = NULL;
	open_disk(false);
	cr_expect_eq(disk_grow(disk, SIZE, NULL), 0, "to what it is");
	cr_expect_eq(disk_grow(disk, SIZE - 512, &err), -EINVAL);
	cr_expect_not_null(strstr(lacuna_error_message(err), "can only grow"));
	lacuna_error_free(err);
	cr_expect_eq(disk_grow(disk, SIZE + 1, NULL), -EINVAL);
	cr_expect_eq(disk_grow(disk, UINT64_MAX & ~511ull, NULL), -EINVAL);
	cr_expect_eq(disk->size, SIZE);

	cr_assert_eq(disk_grow(disk, 2 * SIZE, NULL), 0);
	cr_expect_eq(disk->size, 2 * SIZE);
	off_t end = lseek(disk->fd, 0, SEEK_END);
	cr_expect_eq(end, (off_t)(2 * SIZE), "the file too");

	cr_assert_eq(truncate(path, (off_t)(5 * SIZE)), 0);
	cr_assert_eq(disk_grow(disk, 3 * SIZE, NULL), 0);
	cr_expect_eq(disk->size, 3 * SIZE);
	end = lseek(disk->fd, 0, SEEK_END);
	cr_expect_eq(end, (off_t)(5 * SIZE), "a file that has grown keeps its size");
}

Test(engine, growing_read_only)
{
	struct lacuna_error *err = NULL;
	cr_assert_eq(disk_open(path, true, false, &disk, NULL), 0);
	cr_expect_eq(disk_grow(disk, 2 * SIZE, &err), -EINVAL);
	cr_expect_not_null(strstr(lacuna_error_message(err), "grow it on the host first"));
	lacuna_error_free(err);
	cr_assert_eq(truncate(path, (off_t)(2 * SIZE)), 0);
	cr_expect_eq(disk_grow(disk, 2 * SIZE, NULL), 0);
}
