// SPDX-License-Identifier: Apache-2.0
/* Initrds in guest RAM: archives and directories one after the other, where they lie, and what is
 * said of those that will not do. */
#include <abi/layout.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot_fixture.h"
#include "cpio_fixture.h"
#include "folder_fixture.h"
#include "util/bytes.h"

#define INITRDS_MAX 4

TestSuite(initrd, .init = folder_enter, .fini = folder_leave);

/* What the guest was given. */
struct block {
	gpa_t gpa;
	uint64_t size;
	const uint8_t *data;
};

struct log_text {
	char text[512];
};

static void note(
	void *opaque, enum lacuna_log_level level, const char *component, const char *message)
{
	struct log_text *log = opaque;
	size_t len = strlen(log->text);
	cr_expect_eq(level, LACUNA_LOG_WARNING);
	cr_expect_str_eq(component, "initrd");
	snprintf(log->text + len, sizeof(log->text) - len, "%s\n", message);
}

static int load(struct gmem *mem, bool pvh, const struct boot_file *initrds, size_t count,
	const char *cmdline, struct block *ret, struct log_text *log, char message[256])
{
	uint8_t image[BZ_SIZE], head[64];
	struct boot_entry entry;
	if (pvh)
		elf_make(image, true);
	else
		bz_make(image);
	struct boot_source src = {
		.kernel_image = image,
		.kernel_image_size = pvh ? ELF_SIZE : BZ_SIZE,
		.initrds = initrds,
		.initrd_count = count,
		.cmdline = cmdline,
		.log = { .fn = note, .opaque = log, .level = LACUNA_LOG_WARNING },
	};
	log->text[0] = '\0';
	int rc = boot_source(mem, src, &entry, message);
	if (rc < 0)
		return rc;
	if (pvh) {
		gmem_read(mem, LAYOUT_START_INFO, head, sizeof(head));
		cr_assert_eq(load_le32(head + 12), 1, "one module, whatever it is made of");
		gmem_read(mem, load_le64(head + 16), head, 16);
		*ret = (struct block){ load_le64(head), load_le64(head + 8), NULL };
	} else {
		gmem_read(mem, LAYOUT_ZERO_PAGE + 0x218, head, 8);
		*ret = (struct block){ load_le32(head), load_le32(head + 4), NULL };
	}
	ret->data = gmem_ptr(mem, ret->gpa, ret->size);
	cr_assert_not_null(ret->data);
	return 0;
}

static struct block load_good(
	struct gmem *mem, bool pvh, const struct boot_file *initrds, size_t count)
{
	struct block b;
	struct log_text log;
	char message[256];
	cr_assert_eq(load(mem, pvh, initrds, count, "", &b, &log, message), 0, "%s", message);
	cr_expect_str_eq(log.text, "");
	return b;
}

static struct boot_file by_path(const char *path)
{
	return (struct boot_file){ .path = (char *)path, .fd = -1 };
}

static size_t by_paths(const char *const paths[INITRDS_MAX], struct boot_file ret[INITRDS_MAX])
{
	size_t n = 0;
	for (; n < INITRDS_MAX && paths[n]; n++)
		ret[n] = by_path(paths[n]);
	return n;
}

/* RAM that has been used before: what is between archives must be written. */
static struct gmem *dirty_ram(void)
{
	struct gmem *mem = ram_new(64 * MIB);
	memset(gmem_ptr(mem, 48 * MIB, 16 * MIB), 0x55, 16 * MIB);
	return mem;
}

ParameterizedTestParameters(initrd, directory)
{
	static bool pvh[] = { false, true };
	return cr_make_param_array(bool, pvh, ARRAY_SIZE(pvh));
}

ParameterizedTest(bool *pvh, initrd, directory)
{
	struct gmem *mem = dirty_ram();
	shell("mkdir in && cp /bin/true in/init && head -c 100001 /dev/urandom >in/x");
	struct archive a = archive_of("in");
	const struct boot_file file = by_path("in");
	struct block b = load_good(mem, *pvh, &file, 1);
	cr_assert_eq(b.size, a.size);
	cr_expect_arr_eq(b.data, a.data, a.size);
	cr_expect_eq(b.gpa, align_down(64 * MIB - a.size, 4096), "as high as it may be");
	free(a.data);
	gmem_free(mem);
}

/* Each at a multiple of four, with four zeros or more before it: an LZ4 archive ends there. */
ParameterizedTestParameters(initrd, several)
{
	static size_t sizes[] = { 1, 2, 3, 4, 5, 4096, 65537 };
	return cr_make_param_array(size_t, sizes, ARRAY_SIZE(sizes));
}

ParameterizedTest(size_t *size, initrd, several)
{
	static uint8_t content[65537];
	const struct boot_file files[] = { by_path("1"), by_path("in"), by_path("2"),
		by_path("1") };
	struct gmem *mem = dirty_ram();
	memset(content, 'x', sizeof(content));
	put_file("1", content, *size, 0644);
	put_file("2", content, 7, 0644);
	shell("mkdir in && touch in/init && chmod +x in/init");
	struct archive a = archive_of("in");
	const struct {
		const void *data;
		size_t size;
	} expected[] = { { content, *size }, { a.data, a.size }, { content, 7 },
		{ content, *size } };
	struct block b = load_good(mem, false, files, ARRAY_SIZE(files));
	uint64_t at = 0;
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		uint64_t start = i ? align_up(at, 4) + 4 : 0;
		for (; at < start; at++)
			cr_expect_eq(b.data[at], 0);
		cr_assert_leq(at + expected[i].size, b.size);
		cr_expect_arr_eq(b.data + at, expected[i].data, expected[i].size);
		at += expected[i].size;
	}
	cr_expect_eq(at, b.size, "nothing after the last one");
	free(a.data);
	gmem_free(mem);
}

/* Descriptors stay the caller's, wherever their offsets are. */
Test(initrd, by_descriptor)
{
	char buf[16];
	struct gmem *mem = dirty_ram();
	put_file("file", "content", 7, 0644);
	shell("mkdir in && touch in/a in/b in/init && chmod +x in/init");
	struct archive a = archive_of("in");
	int fd = open("file", O_RDONLY | O_CLOEXEC), dir = open("in", O_PATH | O_CLOEXEC);
	cr_assert_eq(lseek(fd, 3, SEEK_SET), 3);
	const struct boot_file files[] = { { .fd = dir, .number = 7 }, { .fd = fd, .number = 8 } };
	for (unsigned i = 0; i < 2; i++) {
		struct block b = load_good(mem, false, files, 2);
		cr_assert_eq(b.size, a.size + 4 + 7);
		cr_expect_arr_eq(b.data, a.data, a.size);
		cr_expect_arr_eq(b.data + b.size - 7, "content", 7);
	}
	cr_expect_eq(read(fd, buf, sizeof(buf)), 4, "its offset is where it was");
	cr_expect_eq(faccessat(dir, "init", X_OK, 0), 0);
	close(fd);
	close(dir);
	free(a.data);

	struct block b;
	struct log_text log;
	char message[256];
	cr_expect_eq(load(mem, false, files, 2, "", &b, &log, message), -EBADF);
	cr_expect(strstr(message, "initrd fd 7: "), "%s", message);
	gmem_free(mem);
}

struct failing_case {
	const char *initrds[INITRDS_MAX];
	int rc;
	const char *message;
};

/* 64 MiB of RAM less 16 MiB and the kernel's 2 MiB: 47104 KiB. */
Test(initrd, errors)
{
	static const struct failing_case c[] = {
		{ { "missing" }, -ENOENT, "initrd 'missing': open: No such file" },
		{ { "good", "missing" }, -ENOENT, "initrd 'missing': open: No such file" },
		{ { "good", "/dev/null" }, -EINVAL,
			"initrd '/dev/null': is not a regular file: copy its content to one" },
		{ { "good", "fifo" }, -EINVAL, "initrd 'fifo': is not a regular file" },
		{ { "good", "empty" }, -EINVAL, "initrd 'empty': is empty" },
		{ { "huge" }, -EFBIG,
			"initrd 'huge': 'dir/image' has 4096 MiB, and files in an initramfs end" },
		{ { "large" }, -EFBIG,
			"initrd 'large': does not fit: needs 47105 KiB, and 47104 KiB of RAM are left "
			"between the kernel and 64 MiB: give the guest more memory" },
		{ { "half", "good", "half" }, -EFBIG,
			"initrd 'half': does not fit, with 2 more: needs 47105 KiB, and 47104 KiB" },
		{ { "half", "half" }, 0, "" },
	};
	struct gmem *mem = ram_new(64 * MIB);
	/* the entries "." and "f" take 112 bytes each, the trailer 124 */
	shell("mkdir -p huge/dir large half && truncate -s 4G huge/dir/image && "
	      "truncate -s $((47104 * 1024 - 2 * 112 - 124 + 1)) large/f && "
	      "truncate -s $((23552 * 1024 - 2 * 112 - 124 - 4)) half/f && touch empty && mkfifo fifo && "
	      "printf x >good");
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct boot_file files[INITRDS_MAX];
		struct block b;
		struct log_text log;
		char message[256];
		size_t n = by_paths(c[i].initrds, files);
		int rc = load(mem, false, files, n, "root=x", &b, &log, message);
		cr_expect_eq(rc, c[i].rc, "%s: %d %s", c[i].message, rc, message);
		cr_expect(strstr(message, c[i].message) == message, "%s", message);
	}
	gmem_free(mem);
}

/* Files so large that the sum of their sizes would be a small number. */
Test(initrd, sizes_that_wrap)
{
	struct gmem *mem = ram_new(64 * MIB);
	char path[32], message[256];
	struct boot_file files[4];
	struct block b;
	struct log_text log;
	int fd = file_new("", 0, INT64_MAX / 4096 * 4096, path);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		files[i] = i % 2 ? by_path(path) : (struct boot_file){ .fd = fd };
	for (size_t n = 1; n <= ARRAY_SIZE(files); n++) {
		cr_expect_eq(load(mem, false, files, n, "", &b, &log, message), -EFBIG);
		cr_expect(strstr(message, "does not fit: needs 9007199254740988 KiB, and"), "%s",
			message);
	}
	gmem_free(mem);
}

struct warning_case {
	const char *initrds[INITRDS_MAX];
	const char *cmdline;
	const char *warning; /* NULL: none */
};

/* A warning where the kernel would panic for sure, and silence where nobody can know. */
Test(initrd, warnings)
{
	static const char missing[] = "there is no /init, so Linux will look for another root";
	static const char mode[] = "/init is not executable, and Linux will not run it: chmod +x\n";
	static const struct warning_case c[] = {
		{ { "good" }, "", NULL },
		{ { "link" }, "", NULL },
		{ { "none" }, "", missing },
		{ { "none" }, "console=ttyS0 xroot=1 x.rdinit=2", missing },
		{ { "none" }, "rdinit=/sbin/init", NULL },
		{ { "none" }, "quiet root=/dev/vda", NULL },
		{ { "plain" }, "", mode },
		{ { "plain" }, "root=/dev/vda", mode },
		{ { "plain" }, "quiet rdinit=/x", NULL },
		{ { "none", "good" }, "", NULL },
		{ { "good", "none" }, "", NULL },
		{ { "none", "none" }, "", missing },
		{ { "good", "plain" }, "", mode },
		{ { "plain", "good" }, "", NULL },
		{ { "archive" }, "", NULL },
		{ { "archive", "none" }, "", NULL },
		{ { "none", "archive" }, "", NULL },
		{ { "plain", "archive" }, "", NULL },
		{ { "archive", "plain" }, "", mode },
		{ { NULL }, "", NULL },
	};
	struct gmem *mem = ram_new(64 * MIB);
	shell("mkdir -p good link none/init.d plain && echo x >archive && "
	      "touch good/init plain/init && chmod +x good/init && ln -s /bin/sh link/init");
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct boot_file files[INITRDS_MAX];
		struct block b;
		struct log_text log;
		char message[256];
		size_t n = by_paths(c[i].initrds, files);
		cr_assert_eq(load(mem, false, files, n, c[i].cmdline, &b, &log, message), 0, "%s",
			message);
		if (c[i].warning)
			cr_expect(strstr(log.text, c[i].warning) == log.text, "%zu: '%s'", i,
				log.text);
		else
			cr_expect_str_empty(log.text, "%zu: %s", i, log.text);
	}
	gmem_free(mem);
}
