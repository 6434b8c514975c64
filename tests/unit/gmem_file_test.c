// SPDX-License-Identifier: Apache-2.0
/* Files as guest memory: found by devices, not taken for RAM, and no danger when they are
 * truncated; and the places they get in the guest's physical address space. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/devmem.h"
#include "smaps.h"
#include "util/err.h"
#include "virtio_guest.h"

#define RAM_SIZE  (32 * MIB)
#define FILE_AT   (4 * GIB)
#define FILE_SIZE (2 * MIB)
#define RO_AT     (4 * GIB + 128 * MIB)

static struct gmem *mem;
static int fd, ro_fd;
static const struct gmem_file *file, *ro;

static void set_up(void)
{
	cr_assert_eq(gmem_new(RAM_SIZE, false, &mem, NULL), 0);
	fd = memfd_create("file", MFD_CLOEXEC);
	ro_fd = memfd_create("read-only", MFD_CLOEXEC);
	cr_assert(ftruncate(fd, FILE_SIZE) == 0 && ftruncate(ro_fd, FILE_SIZE) == 0);
	cr_assert_eq(gmem_add_file(mem, FILE_AT, FILE_SIZE, "file", fd, false, &file, NULL), 0);
	cr_assert_eq(gmem_add_file(mem, RO_AT, FILE_SIZE, "ro", ro_fd, true, &ro, NULL), 0);
}

static void tear_down(void)
{
	gmem_free(mem);
	close(fd);
	close(ro_fd);
}

TestSuite(gmem_file, .init = set_up, .fini = tear_down);

enum where { NOWHERE, RAM, FILE_MEMORY };

struct place_case {
	gpa_t gpa;
	size_t len;
	enum where where;
};

ParameterizedTestParameters(gmem_file, places)
{
	static struct place_case c[] = {
		{ 0, 1, RAM },
		{ RAM_SIZE - 1, 1, RAM },
		{ RAM_SIZE - 1, 2, NOWHERE },
		{ FILE_AT - 1, 1, NOWHERE },
		{ FILE_AT - 1, 2, NOWHERE },
		{ FILE_AT, 1, FILE_MEMORY },
		{ FILE_AT, FILE_SIZE, FILE_MEMORY },
		{ FILE_AT, FILE_SIZE + 1, NOWHERE },
		{ FILE_AT, SIZE_MAX, NOWHERE },
		{ FILE_AT + FILE_SIZE - 1, 1, FILE_MEMORY },
		{ FILE_AT + FILE_SIZE - 1, 2, NOWHERE },
		{ FILE_AT + FILE_SIZE, 1, NOWHERE },
		{ RO_AT, FILE_SIZE, FILE_MEMORY },
		{ RO_AT + FILE_SIZE, 0, NOWHERE },
		{ UINT64_MAX, 2, NOWHERE },
	};
	return cr_make_param_array(struct place_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct place_case *c, gmem_file, places)
{
	void *p = gmem_buffer(mem, c->gpa, c->len);
	cr_expect_eq(p != NULL, c->where != NOWHERE, "0x%lx, 0x%zx", c->gpa, c->len);
	cr_expect_eq(gmem_ptr(mem, c->gpa, c->len) != NULL, c->where == RAM);
	uint8_t byte;
	if (c->where == FILE_MEMORY)
		cr_expect_eq(gmem_read(mem, c->gpa, &byte, 1), -EFAULT);
}

Test(gmem_file, copies)
{
	char out[8] = "", in[8] = "written";
	cr_expect_eq(gmem_copy_to(mem->file, file->region.hva + 4092, in, 8), 0);
	cr_expect_eq(pread(fd, out, 8, 4092), 8);
	cr_expect_str_eq(out, "written");
	cr_expect_eq(gmem_copy_from(mem->file, out, ro->region.hva + FILE_SIZE - 8, 8), 0);
	cr_expect_eq(out[0], 0);
	cr_expect_eq(gmem_copy_to(mem->file, ro->region.hva, in, 8), -EFAULT, "it is read-only");
	cr_expect_eq(pread(ro_fd, out, 8, 0), 8);
	cr_expect_eq(out[0], 0);
}

Test(gmem_file, truncated)
{
	char out[8], in[8] = "written";
	cr_assert_eq(ftruncate(fd, 4096), 0);
	cr_expect_eq(gmem_copy_from(mem->file, out, file->region.hva + 4092, 4), 0);
	cr_expect_eq(gmem_copy_from(mem->file, out, file->region.hva + 4092, 8), -EFAULT);
	cr_expect_eq(gmem_copy_from(mem->file, out, file->region.hva + FILE_SIZE - 8, 8), -EFAULT);
	cr_expect_eq(gmem_copy_to(mem->file, file->region.hva + 8192, in, 8), -EFAULT);
	cr_expect_eq(lseek(fd, 0, SEEK_END), 4096, "a guest doesn't make files longer");
}

Test(gmem_file, not_to_be_mapped)
{
	struct lacuna_error *err = NULL;
	const struct gmem_file *f;
	cr_expect_eq(
		gmem_add_file(mem, 8 * GIB, FILE_SIZE, "'x.img'", -1, false, &f, &err), -EBADF);
	cr_expect_str_eq(lacuna_error_message(err), "map 'x.img', 2 MiB: Bad file descriptor");
	lacuna_error_free(err);
	cr_expect_eq(gmem_discard(mem, file->region.hva, FILE_SIZE), 0, "a file is not RAM");
}

/* --- giving RAM back --- */

struct discard_case {
	size_t at, len;
	uint64_t given;
};

ParameterizedTestParameters(gmem_file, discards)
{
	static struct discard_case c[] = {
		{ 0, 4096, 4096 },
		{ 1, 8191, 4096 },
		{ 4095, 4098, 4096 },
		{ 1, 8190, 0 },
		{ 4096, 4095, 0 },
		{ 4096, 0, 0 },
		{ RAM_SIZE - 4096, 4096, 4096 },
		{ RAM_SIZE - 4096, 8192, 0 },
		{ RAM_SIZE, 4096, 0 },
		{ 0, RAM_SIZE, RAM_SIZE },
		{ 4096, SIZE_MAX, 0 },
	};
	return cr_make_param_array(struct discard_case, c, ARRAY_SIZE(c));
}

/* Also where the program has locked all that it has. */
Test(gmem_file, locked_memory_is_discarded)
{
	memset(mem->map, 0xff, 8192);
	if (mlock(mem->map, 8192) < 0) {
		cr_log_warn("mlock: %s", strerror(errno));
		return;
	}
	cr_expect_eq(gmem_discard(mem, mem->map, 4096), 4096);
	cr_expect_eq(mem->map[0], 0);
	cr_expect_eq(mem->map[4096], 0xff);
}

ParameterizedTest(struct discard_case *c, gmem_file, discards)
{
	memset(mem->map, 0xff, RAM_SIZE);
	cr_expect_eq(gmem_discard(mem, mem->map + c->at, c->len), c->given);
	uint64_t zeroes = 0;
	for (uint64_t i = 0; i < RAM_SIZE; i += 4096)
		zeroes += mem->map[i] ? 0 : 4096;
	cr_expect_eq(zeroes, c->given, "at 0x%zx, 0x%zx", c->at, c->len);
}

/* One that was given up might not be there when it is needed again. */
Test(gmem_file, pages_of_a_pool_are_kept)
{
	memset(mem->map, 0xff, 4096);
	mem->hugepages = true;
	cr_expect_eq(gmem_discard(mem, mem->map, RAM_SIZE), 0);
	cr_expect_eq(mem->map[0], 0xff);
}

/* --- before a guest runs --- */

struct clear_case {
	size_t at, len;
	bool cleared;
};

ParameterizedTestParameters(gmem_file, clears)
{
	static struct clear_case c[] = {
		{ 0, 4096, true },
		{ 1, 8191, true },
		{ 4095, 4098, true },
		{ 1, 8190, true },
		{ 4097, 17, true },
		{ 4096, 0, true },
		{ MIB - 3, 5 * MIB + 5, true },
		{ 0, RAM_SIZE, true },
		{ RAM_SIZE - 4096, 8192, false },
	};
	return cr_make_param_array(struct clear_case, c, ARRAY_SIZE(c));
}

static bool all(const uint8_t *p, size_t len, uint8_t byte)
{
	return !len || (*p == byte && !memcmp(p, p + 1, len - 1));
}

static void expect_cleared(const struct clear_case *c)
{
	const uint8_t *end = mem->map + RAM_SIZE, *p = mem->map + c->at;
	const size_t len = c->cleared ? c->len : 0;
	cr_expect(all(mem->map, c->at, 0xff), "before it");
	cr_expect(all(p, len, 0), "it");
	cr_expect(all(p + len, (size_t)(end - p) - len, 0xff), "after it");
}

/* Nothing beside it is touched, however RAM is backed: by small pages, by huge ones, or by those of
 * a hugetlb pool, which are kept. */
ParameterizedTest(struct clear_case *c, gmem_file, clears)
{
	for (unsigned i = 0; i < 3; i++) {
		gmem_discard(mem, mem->map, RAM_SIZE);
		gmem_expect(mem, i == 1 ? 2 * MIB : 0);
		mem->hugepages = i == 2;
		memset(mem->map, 0xff, RAM_SIZE);
		gmem_clear(mem, c->at, c->len);
		expect_cleared(c);
	}
}

Test(gmem_file, huge_pages_for_what_is_large)
{
	cr_expect_eq((uintptr_t)mem->map % (2 * MIB), 0);
	gmem_expect(mem, 2 * MIB - 1);
	cr_expect(!huge_wanted(mem->map), "too little to be worth one");
	memset(mem->map, 0xff, 4 * MIB);
	cr_expect_eq(huge_kib(mem->map), 0);
	gmem_expect(mem, 2 * MIB);
	cr_expect_eq(huge_wanted(mem->map), huge_if_there_are());
	memset(mem->map + 4 * MIB, 0xff, 4 * MIB);
	if (huge_kib(mem->map) != 4096)
		cr_log_warn("this host made no two huge pages");
	gmem_spare_host(mem, true);
	cr_expect(!huge_wanted(mem->map));
	gmem_expect(mem, 8 * MIB);
	cr_expect(!huge_wanted(mem->map));
	gmem_spare_host(mem, false);
	cr_expect_eq(huge_wanted(mem->map), huge_if_there_are());
}

Test(gmem_file, small_guests_stay_small)
{
	gmem_spare_host(mem, true);
	gmem_spare_host(mem, false);
	cr_expect(!huge_wanted(mem->map));
}

Test(gmem_file, a_pool_takes_no_advice)
{
	mem->hugepages = true;
	gmem_expect(mem, 4 * MIB);
	cr_expect(!huge_wanted(mem->map));
}

/* Or each page that the guest writes to meanwhile is copied. */
Test(gmem_file, a_child_has_no_ram)
{
	unsigned char there;
	pid_t child = fork();
	if (child == 0)
		_exit(mincore(mem->map, 4096, &there) < 0 && errno == ENOMEM ? 0 : 1);
	int status = -1;
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect_eq(status, 0);
}

/* --- queues of which parts are in a file --- */

static struct virtq_chain chain;

static void queue_in_ram(struct virtq *q)
{
	virtq_init(q, mem, RING_SIZE);
	q->desc = DESC_AT;
	q->driver = AVAIL_AT;
	q->device = USED_AT;
	q->indirect = true;
}

Test(gmem_file, rings_are_in_ram)
{
	struct virtq q;
	queue_in_ram(&q);
	cr_expect_eq(virtq_enable(&q), 0);
	queue_in_ram(&q);
	q.desc = FILE_AT;
	cr_expect_eq(virtq_enable(&q), -EINVAL);
	queue_in_ram(&q);
	q.device = FILE_AT;
	cr_expect_eq(virtq_enable(&q), -EINVAL);
	queue_in_ram(&q);
	cr_expect_eq(virtq_enable(&q), 0);
	put(mem, 0, FILE_AT, 32, INDIRECT, 0);
	offer(mem, 0);
	cr_expect_eq(virtq_pop(&q, &chain), -EIO, "a table neither");
}

Test(gmem_file, buffers_may_be_in_files)
{
	struct virtq q;
	char text[8] = "";
	queue_in_ram(&q);
	cr_assert_eq(virtq_enable(&q), 0);
	cr_assert_eq(pwrite(fd, "file", 4, 0), 4);
	memcpy(mem->map + DATA_AT, "ram", 4);
	put(mem, 0, FILE_AT, 4, NEXT, 1);
	put(mem, 1, DATA_AT, 4, NEXT, 2);
	put(mem, 2, DATA_AT + 8, 4, NEXT | WRITE, 3);
	put(mem, 3, FILE_AT + 4096, 4, WRITE, 0);
	put(mem, 4, DATA_AT, 4, 0, 0);
	put(mem, 5, RO_AT, 4, WRITE, 0);
	offer(mem, 0);
	cr_assert_eq(virtq_pop(&q, &chain), 1);
	cr_expect(virtq_chain_read(&chain, 0, text, 8));
	cr_expect_str_eq(text, "fileram");
	cr_expect(virtq_chain_write(&chain, 0, "RAMfile", 8));
	cr_expect_arr_eq(mem->map + DATA_AT + 8, "RAMf", 4);
	cr_expect_eq(pread(fd, text, 4, 4096), 4);
	cr_expect_arr_eq(text, "ile", 4);

	cr_assert_eq(ftruncate(fd, 0), 0);
	cr_expect_not(virtq_chain_read(&chain, 0, text, 8));
	cr_expect_not(virtq_chain_write(&chain, 0, "RAMfile", 8));
	cr_expect_eq(lseek(fd, 0, SEEK_END), 0);

	offer(mem, 4);
	cr_assert_eq(virtq_pop(&q, &chain), 1);
	cr_expect(virtq_chain_read(&chain, 0, text, 4), "RAM is still there");
	offer(mem, 5);
	cr_assert_eq(virtq_pop(&q, &chain), 1);
	cr_expect_not(virtq_chain_write(&chain, 0, "RAM", 4), "it is read-only");
}

/* --- places --- */

struct space_case {
	uint64_t ram;
	unsigned phys_bits;
	uint64_t window, window_size; /* in GiB */
	uint64_t size[3];             /* in MiB, one after the other */
	uint64_t at[3];               /* in MiB; 0: no place */
};

ParameterizedTestParameters(gmem_file, spaces)
{
	static struct space_case c[] = {
		{ 256 * MIB, 40, 64, 64, { 2, 2, 300 }, { 4096, 4096 + 128, 4096 + 256 } },
		{ 3 * GIB, 40, 64, 64, { 130, 2, 2 }, { 4096, 4096 + 256, 4096 + 384 } },
		{ 5 * GIB + 2 * MIB, 40, 64, 64, { 2, 2, 2 },
			{ 6144 + 128, 6144 + 256, 6144 + 384 } },
		/* exactly what is left below the window, then above it */
		{ 256 * MIB, 40, 64, 64, { 61440, 2, 2 }, { 4096, 131072, 131072 + 128 } },
		{ 256 * MIB, 40, 64, 64, { 61442, 2, 917504 }, { 131072, 4096, 0 } },
		{ 256 * MIB, 37, 64, 64, { 61440, 2, 2 }, { 4096, 0, 0 } },
		{ 256 * MIB, 36, 32, 32, { 30000, 2, 100 }, { 0, 4096, 4096 + 128 } },
		/* no window at all */
		{ 256 * MIB, 33, 0, 0, { 4096, 2, 2 }, { 4096, 0, 0 } },
		{ 256 * MIB, 32, 0, 0, { 2, 2, 2 }, { 0, 0, 0 } },
		/* more than KVM's page tables reach */
		{ 256 * MIB, 57, 64, 64, { 4294967296, 4294836224, 2 }, { 0, 131072, 4096 } },
		{ 256 * MIB, 57, 64, 64, { 1ull << 43, UINT64_MAX / MIB, 2 }, { 0, 0, 4096 } },
	};
	return cr_make_param_array(struct space_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct space_case *c, gmem_file, spaces)
{
	struct devmem_space space;
	const struct pci_windows w = {
		.mem64_base = c->window * GIB,
		.mem64_size = c->window_size * GIB,
	};
	devmem_space_init(&space, c->ram, c->phys_bits, &w);
	for (unsigned i = 0; i < 3; i++) {
		gpa_t gpa = 0;
		int rc = devmem_take(&space, c->size[i] * MIB, &gpa, NULL);
		cr_expect_eq(rc, c->at[i] ? 0 : -ENOSPC, "%u bits, file %u", c->phys_bits, i);
		cr_expect_eq(gpa, c->at[i] * MIB, "%u bits, file %u at %lu MiB", c->phys_bits, i,
			gpa / MIB);
	}
}
