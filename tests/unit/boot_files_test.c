// SPDX-License-Identifier: Apache-2.0
/* Files that are no kernel, are not there or change while they are read. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/image.h"
#include "boot_fixture.h"
#include "folder_fixture.h"
#include "util/bytes.h"

#define MAGIC(offset, string, name)                      \
	{                                                \
		offset, sizeof(string) - 1, string, name \
	}

struct foreign_case {
	unsigned offset, len;
	char magic[32];
	char name[40];
};

ParameterizedTestParameters(boot_files, foreign)
{
	static struct foreign_case c[] = {
		MAGIC(0, "\x1f\x8b\x08", "is gzip-compressed data"),
		MAGIC(0,
			"\xfd"
			"7zXZ\0",
			"is xz-compressed data"),
		MAGIC(0, "\x28\xb5\x2f\xfd", "is zstd-compressed data"),
		MAGIC(0, "\x04\x22\x4d\x18", "is lz4-compressed data"),
		MAGIC(0, "\x02\x21\x4c\x18", "is lz4-compressed data"),
		MAGIC(0, "BZh91AY", "is bzip2-compressed data"),
		MAGIC(0, "\x5d\0\0\x80\0", "is lzma-compressed data"),
		MAGIC(0x38, "ARM\x64", "is an arm64 Linux Image"),
		MAGIC(0x38, "RSC\x05", "is a RISC-V Linux Image"),
		MAGIC(0, "MZ\0\0zimg", "is a compressed EFI kernel"),
		MAGIC(0, "MZ\x90", "is a PE/EFI or DOS program"),
		MAGIC(0, "070701", "is a cpio archive, not a kernel"),
		MAGIC(0, "#!/bin/sh\n", "is a script"),
		MAGIC(0, "QFI\xfb", "is a qcow2 disk image"),
		MAGIC(0, "!<arch>\ndebian-binary", "Debian package"),
		MAGIC(0x101, "ustar", "is a tar archive"),
		MAGIC(0x8001, "CD001", "is an ISO 9660 image"),
		MAGIC(0x438, "\x53\xef", "is an ext2/3/4 file system"),
		MAGIC(0x1fe, "\x55\xaa", "is a disk image with a boot sector"),
		MAGIC(0,
			"\x7f"
			"EL",
			"is data of unknown kind"),
		MAGIC(0, "", "is a file that begins with zeros"),
	};
	return CASES(c);
}

ParameterizedTest(struct foreign_case *c, boot_files, foreign)
{
	static uint8_t image[0x9000];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(32 * MIB);
	memcpy(image + c->offset, c->magic, c->len);
	cr_expect_eq(boot_image(mem, image, sizeof(image), NULL, "", &entry, message), -ENOEXEC);
	cr_expect(strstr(message, c->name), "%s", message);
	cr_expect(strstr(message, "a bzImage, an x86 ELF file or a multiboot kernel is needed"),
		"%s", message);
	/* the same cut right behind the magic, and every shorter piece of it, is found or unknown
	 * but never read beyond */
	for (size_t size = 1; size <= c->offset + c->len; size += size < c->offset ? 0x33 : 1)
		cr_expect_lt(boot_image(mem, image, size, NULL, "", &entry, message), 0);
	gmem_free(mem);
}

Test(boot_files, text)
{
	static const char text[] = "root:x:0:0:root\n";
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(32 * MIB);
	cr_expect_eq(boot_image(mem, text, sizeof(text) - 1, NULL, "", &entry, message), -ENOEXEC);
	cr_expect(strstr(message, "is text, not a kernel"), "%s", message);
	gmem_free(mem);
}

struct path_case {
	char kernel[16], initrd[16]; /* in the test's folder; "" for a good kernel or no initrd */
	int rc;
	char message[48];
};

ParameterizedTestParameters(boot_files, paths)
{
	static struct path_case c[] = {
		{ "missing", "", -ENOENT, "kernel 'missing': open: No such file" },
		{ "empty", "", -EINVAL, "kernel 'empty': is empty" },
		{ "folder", "", -EISDIR, "kernel 'folder': is a directory" },
		{ "fifo", "", -EINVAL, "kernel 'fifo': is not a regular file" },
		{ "secret", "", -EACCES, "kernel 'secret': open: Permission denied" },
		{ "", "missing", -ENOENT, "initrd 'missing': open: No such file" },
		{ "", "empty", -EINVAL, "initrd 'empty': is empty" },
		{ "", "fifo", -EINVAL, "initrd 'fifo': is not a regular file" },
		{ "", "secret", -EACCES, "initrd 'secret': open: Permission denied" },
	};
	return CASES(c);
}

ParameterizedTest(struct path_case *c, boot_files, paths)
{
	uint8_t image[BZ_SIZE];
	char message[256];
	struct boot_entry entry;
	struct gmem *mem = ram_new(64 * MIB);
	bz_make(image);
	folder_enter();
	put_file("good", image, sizeof(image), 0644);
	put_file("empty", "", 0, 0644);
	put_file("secret", image, sizeof(image), 0);
	cr_assert_eq(mkdir("folder", 0755), 0);
	cr_assert_eq(mkfifo("fifo", 0644), 0);

	uid_t uid = geteuid();
	if (!uid) /* root reads everything */
		cr_assert_eq(seteuid(65534), 0);
	int rc = boot_file(mem, c->kernel[0] ? c->kernel : "good", c->initrd[0] ? c->initrd : NULL,
		"", &entry, message);
	cr_assert_eq(seteuid(uid), 0);
	cr_expect_eq(rc, c->rc);
	cr_expect(strstr(message, c->message) == message, "%s", message);
	folder_leave();
	gmem_free(mem);
}

static int boot_descriptor(struct gmem *mem, int fd, char message[256])
{
	struct boot_entry entry;
	const struct boot_file kernel = { .fd = fd, .number = 7 };
	return boot_source(
		mem, (struct boot_source){ .kernel = &kernel, .cmdline = "" }, &entry, message);
}

Test(boot_files, kernel_by_descriptor)
{
	static const struct {
		int flags, rc;
		const char *name, *message;
	} wrong[] = {
		{ O_WRONLY, -EBADF, "good", "kernel fd 7: can't be read: open it for reading" },
		{ O_RDONLY, -EINVAL, "empty", "kernel fd 7: is empty" },
		{ O_RDONLY, -EISDIR, ".", "kernel fd 7: is a directory" },
		{ O_RDONLY, -EINVAL, "/dev/null", "kernel fd 7: is not a regular file" },
	};
	uint8_t image[BZ_SIZE];
	char message[256];
	struct gmem *mem = ram_new(64 * MIB);
	bz_make(image);
	folder_enter();
	put_file("good", image, sizeof(image), 0644);
	put_file("empty", "", 0, 0644);
	int fd = open("good", O_RDONLY);
	cr_assert_eq(lseek(fd, 100, SEEK_SET), 100);
	for (unsigned i = 0; i < 2; i++)
		cr_expect_eq(boot_descriptor(mem, fd, message), 0, "%s", message);
	cr_expect_eq(lseek(fd, 0, SEEK_CUR), 100);
	close(fd);
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		fd = open(wrong[i].name, wrong[i].flags);
		cr_assert_geq(fd, 0);
		cr_expect_eq(boot_descriptor(mem, fd, message), wrong[i].rc);
		cr_expect(strstr(message, wrong[i].message) == message, "%s", message);
		close(fd);
	}
	cr_expect_eq(boot_descriptor(mem, fd, message), -EBADF);
	folder_leave();
	gmem_free(mem);
}

Test(boot_files, file_that_shrinks)
{
	char path[32];
	uint8_t buf[4096];
	struct image image;
	struct lacuna_error *err = NULL;
	int fd = file_new("data", 4, 3 * 4096ul, path);
	cr_assert_eq(image_open(&image, path, NULL, 0, &err), 0);
	cr_assert_eq(ftruncate(fd, 4096 + 100), 0);
	cr_expect_eq(image_read(&image, 0, buf, 4096, &err), 0);
	cr_expect_eq(image_read(&image, 4096, buf, 4096, &err), -EINVAL);
	cr_expect(strstr(lacuna_error_message(err), "shrank from 12288 to 4196 bytes"), "%s",
		lacuna_error_message(err));
	lacuna_error_free(err);
	image_close(&image);
}

Test(boot_files, file_that_grows)
{
	char path[32];
	uint8_t buf[8];
	struct image image;
	int fd = file_new("data", 4, 4, path);
	cr_assert_eq(image_open(&image, path, NULL, 0, NULL), 0);
	cr_assert_eq(ftruncate(fd, 8), 0);
	cr_expect_eq(image_read(&image, 0, buf, 4, NULL), 0);
	cr_expect_eq(image_read(&image, 0, buf, 5, NULL), -EINVAL,
		"more than the file had when it was opened");
	cr_expect_eq(image_read(&image, 5, buf, 0, NULL), -EINVAL);
	cr_expect_eq(image_read(&image, UINT64_MAX, buf, 2, NULL), -EINVAL);
	image_close(&image);
}

Test(boot_files, target_outside_ram)
{
	uint8_t data[4096] = { 1 };
	struct image image;
	struct gmem *mem = ram_new(32 * MIB);
	cr_assert_eq(image_open(&image, NULL, data, sizeof(data), NULL), 0);
	cr_expect_eq(image_load(&image, 0, 4096, mem, 32 * MIB - 4096, NULL), 0);
	cr_expect_eq(image_load(&image, 0, 4096, mem, 32 * MIB - 4095, NULL), -EFBIG);
	cr_expect_eq(image_load(&image, 0, 4096, mem, UINT64_MAX, NULL), -EFBIG);
	gmem_free(mem);
}
