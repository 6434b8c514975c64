// SPDX-License-Identifier: Apache-2.0
/* Disks driven by the virtio guest: what reaches the file, and what must not. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

TestSuite(disk, .timeout = TEST_TIMEOUT);

#define SECTOR    512
#define DISK_SIZE (1 << 20)

/* The guest writes two sectors from the third on, and nothing else. */
static void expect_contents(const char *path, bool written)
{
	static uint8_t disk[DISK_SIZE + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert(fd >= 0);
	cr_assert_eq(pread(fd, disk, sizeof(disk), 0), DISK_SIZE, "the file keeps its size");
	close(fd);
	for (unsigned i = 0; i < DISK_SIZE; i++) {
		unsigned at = i - 3 * SECTOR;
		uint8_t wanted = written && at < 2 * SECTOR ? (uint8_t)('a' + at % 26) : 0;
		cr_assert_eq(disk[i], wanted, "byte %u", i);
	}
}

Test(disk, write_flush_read)
{
	const char *path = scratch_disk(DISK_SIZE);
	guest_check(&(struct guest){ .image = "virtio",
		.cmdline = "test=blk",
		.disk = path,
		.output = "blk: capacity 2048 id direct-test\r\n" });
	expect_contents(path, true);
}

Test(disk, type1)
{
	const char *path = scratch_disk(DISK_SIZE);
	guest_check(&(struct guest){
		.image = "virtio", .cmdline = "test=blk", .disk = path, .pci = "config=type1" });
	expect_contents(path, true);
}

Test(disk, bad_requests)
{
	const char *path = scratch_disk(DISK_SIZE);
	guest_check(
		&(struct guest){ .image = "virtio", .cmdline = "test=bad-request", .disk = path });
	expect_contents(path, false);
}

/* The chains begin with an all-zero header, so whatever is followed is a read. */
Test(disk, resets_race_kicks)
{
	const char *path = scratch_disk(DISK_SIZE);
	guest_check(&(struct guest){
		.image = "virtio", .cmdline = "test=race", .disk = path, .cpus = 2 });
	expect_contents(path, false);
}

Test(disk, reset_during_reads)
{
	const char *path = scratch_disk(DISK_SIZE);
	guest_check(
		&(struct guest){ .image = "virtio", .cmdline = "test=mid-reset", .disk = path });
	expect_contents(path, false);
}
