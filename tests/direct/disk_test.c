// SPDX-License-Identifier: Apache-2.0
/* Disks driven by the virtio guest: what reaches the file, and what must not. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
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

/* --- descriptors of ours --- */

static struct lacuna_config *config_by_descriptors(int disk, const char *more)
{
	struct lacuna_config *config;
	char path[PATH_MAX], option[64];
	need_kvm();
	guest_path("endings", path, sizeof(path));
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), kernel = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(lacuna_config_new(&config, NULL), 0);
	cr_assert_eq(lacuna_config_set_fd(config, "kvm", kvm, NULL), 0);
	cr_assert_eq(lacuna_config_set_fd(config, "kernel", kernel, NULL), 0);
	cr_assert_eq(lacuna_config_set(config, "cmdline", "test=exit code=7", NULL), 0);
	snprintf(option, sizeof(option), "fd=%d%s", disk, more);
	cr_assert_eq(lacuna_config_set(config, "disk", option, NULL), 0);
	close(kvm);
	close(kernel);
	return config;
}

static void run_and_free(struct lacuna_vm *vm)
{
	enum lacuna_end_reason reason;
	int code;
	cr_assert_eq(lacuna_vm_start(vm, NULL), 0);
	cr_assert_eq(lacuna_vm_wait(vm, &reason, &code, NULL), 0);
	cr_expect(reason == LACUNA_END_EXIT_CODE && code == 7);
	lacuna_vm_free(vm);
}

/* Each has its own duplicates, and neither the configuration nor our descriptor is needed then. */
Test(disk, readers_of_one_descriptor)
{
	struct lacuna_vm *vm[3];
	int disk = open(scratch_disk(DISK_SIZE), O_RDWR | O_CLOEXEC);
	struct lacuna_config *config = config_by_descriptors(disk, ",readonly=on");
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(lacuna_vm_new(config, &vm[i], NULL), 0);
	close(disk);
	lacuna_config_free(config);
	for (unsigned i = 0; i < 3; i++)
		run_and_free(vm[i]);
}

Test(disk, one_writer_of_one_descriptor)
{
	struct lacuna_vm *vm, *other;
	struct lacuna_error *err = NULL;
	int disk = open(scratch_disk(DISK_SIZE), O_RDWR | O_CLOEXEC);
	struct lacuna_config *config = config_by_descriptors(disk, "");
	cr_assert_eq(lacuna_vm_new(config, &vm, NULL), 0);
	cr_expect_eq(lacuna_vm_new(config, &other, &err), -EBUSY);
	cr_expect(strstr(lacuna_error_message(err), "disk0: disk fd "), "%s",
		lacuna_error_message(err));
	lacuna_error_free(err);
	run_and_free(vm);
	cr_assert_eq(lacuna_vm_new(config, &vm, NULL), 0, "free again");
	lacuna_config_free(config);
	run_and_free(vm);
	close(disk);
}
