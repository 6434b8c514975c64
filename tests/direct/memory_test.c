// SPDX-License-Identifier: Apache-2.0
/* Balloon and persistent memory, driven by the memory guest. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

TestSuite(memory, .timeout = TEST_TIMEOUT);

#define SIZE (2 << 20)
#define PAGE 4096

static const char *pmem_file(void)
{
	const char *path = scratch_disk(SIZE);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert(fd >= 0 && pwrite(fd, "hi", 2, 0) == 2);
	close(fd);
	return path;
}

/* "hi" and zeros; @written: with a pattern in the second page and in the last one. */
static void expect_contents(const char *path, bool written)
{
	static uint8_t bytes[SIZE + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert(fd >= 0);
	cr_assert_eq(pread(fd, bytes, sizeof(bytes), 0), SIZE);
	close(fd);
	cr_expect_arr_eq(bytes, "hi", 3);
	for (unsigned i = 0; i < PAGE; i++) {
		uint8_t wanted = written ? (uint8_t)('a' + i % 26) : 0;
		cr_assert_eq(bytes[PAGE + i], wanted, "byte %u", PAGE + i);
		cr_assert_eq(bytes[SIZE - PAGE + i], wanted, "byte %u", SIZE - PAGE + i);
	}
}

Test(memory, balloon)
{
	guest_check(&(struct guest){ .image = "memory",
		.cmdline = "test=balloon",
		.balloon = "size=4M",
		.output = "balloon: done\r\n" });
}

Test(memory, pmem)
{
	const char *path = pmem_file();
	guest_check(&(struct guest){ .image = "memory",
		.cmdline = "test=pmem",
		.pmem = path,
		.output = "pmem: 2097152 bytes at 0x100000000\r\n" });
	expect_contents(path, true);
}

Test(memory, pmem_beside_much_memory)
{
	const char *path = pmem_file();
	guest_check(&(struct guest){ .image = "memory",
		.cmdline = "test=pmem",
		.memory = "5G",
		.pmem = path,
		.output = "pmem: 2097152 bytes at 0x180000000\r\n" });
	expect_contents(path, true);
}

Test(memory, pmem_read_only)
{
	char option[256];
	const char *path = pmem_file();
	snprintf(option, sizeof(option), "%s,readonly=on", path);
	guest_check(&(struct guest){ .image = "memory",
		.cmdline = "test=read-only",
		.pmem = option,
		.output = "read-only: done\r\n" });
	expect_contents(path, false);
}

/* The host takes the file away while the guest reads it: the machine ends and names it. */
Test(memory, pmem_truncated)
{
	need_kvm();
	int out[2];
	char text[4096] = "";
	const char *path = pmem_file();
	const struct guest g = { .image = "memory", .cmdline = "test=gone", .pmem = path };
	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	struct lacuna_vm *vm = guest_new(&g, open("/dev/null", O_RDONLY | O_CLOEXEC), out[1]);
	cr_assert_eq(lacuna_vm_start(vm, NULL), 0);
	for (size_t at = 0; !strstr(text, "ready"); at += 1)
		cr_assert(at < sizeof(text) - 1 && read(out[0], text + at, 1) == 1);
	cr_assert_eq(truncate(path, PAGE), 0);
	enum lacuna_end_reason reason;
	cr_assert_eq(lacuna_vm_wait(vm, &reason, NULL, NULL), 0);
	cr_expect_eq(reason, LACUNA_END_FAILED, "%s", lacuna_vm_end_message(vm));
	snprintf(text, sizeof(text),
		"memory of the guest is gone: '%s' was truncated from 2097152 to 4096 bytes", path);
	cr_expect_str_eq(lacuna_vm_end_message(vm), text);
	lacuna_vm_free(vm);
	close(out[0]);
	close(out[1]);
}
