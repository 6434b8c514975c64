// SPDX-License-Identifier: Apache-2.0
/* Reading kernel and initrd files, whatever happens to them meanwhile. */
#include "boot/image.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"

int image_open_path(const char *path, struct lacuna_error **err)
{
	/* O_NONBLOCK so that a FIFO without a writer is refused below instead of waited for */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? err_errno(err, "open") : fd;
}

static int check(const struct image *image, struct lacuna_error **err)
{
	return image->size ? 0 : err_set(err, EINVAL, "is empty");
}

int image_open_fd(struct image *ret, int fd, struct lacuna_error **err)
{
	AUTO_CLOSE int own = fd;
	struct stat st;
	if (fstat(own, &st) < 0)
		return err_errno(err, "stat");
	if (S_ISDIR(st.st_mode))
		return err_set(err, EISDIR, "is a directory: name a file in it");
	if (!S_ISREG(st.st_mode))
		return err_set(err, EINVAL, "is not a regular file: copy its content to one");
	int flags = fcntl(own, F_GETFL); /* somebody else may have opened it */
	if (flags & O_PATH || (flags & O_ACCMODE) == O_WRONLY)
		return err_set(err, EBADF, "can't be read: open it for reading");
	const struct image image = { .fd = own, .size = (uint64_t)st.st_size };
	int rc = check(&image, err);
	if (rc < 0)
		return rc;
	*ret = image;
	(void)TAKE_FD(own);
	return 0;
}

int image_open(struct image *ret, const char *path, const void *data, size_t size,
	struct lacuna_error **err)
{
	if (path) {
		int fd = image_open_path(path, err);
		return fd < 0 ? fd : image_open_fd(ret, fd, err);
	}
	const struct image image = { .fd = -1, .data = data, .size = size };
	int rc = check(&image, err);
	if (rc == 0)
		*ret = image;
	return rc;
}

void image_close(struct image *image)
{
	fd_close(&image->fd);
}

int image_read(const struct image *image, uint64_t offset, void *buf, size_t len,
	struct lacuna_error **err)
{
	if (offset > image->size || len > image->size - offset)
		return err_set(err, EINVAL,
			"is truncated: has %llu bytes, but %llu are needed at offset %llu",
			(unsigned long long)image->size, (unsigned long long)len,
			(unsigned long long)offset);
	if (image->fd < 0) {
		memcpy(buf, image->data + offset, len);
		return 0;
	}
	for (size_t done = 0; done < len;) {
		ssize_t n =
			pread(image->fd, (uint8_t *)buf + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "read");
		if (!n) {
			uint64_t now = offset + done;
			return err_set(err, EINVAL,
				"shrank from %llu to %llu bytes while it was read: try again",
				(unsigned long long)image->size, (unsigned long long)now);
		}
		done += (size_t)n;
	}
	return 0;
}

int image_load(const struct image *image, uint64_t offset, size_t len, const struct gmem *mem,
	gpa_t gpa, struct lacuna_error **err)
{
	void *p = gmem_ptr(mem, gpa, len);
	if (!p)
		return err_set(err, EFBIG, "0x%llx bytes at address 0x%llx are outside guest RAM",
			(unsigned long long)len, (unsigned long long)gpa);
	return image_read(image, offset, p, len, err);
}

int image_load_sparse(const struct image *image, uint64_t offset, size_t len,
	const struct gmem *mem, gpa_t gpa, struct lacuna_error **err)
{
	const uint64_t end = offset + len; /* the caller's sum has not wrapped */
	while (image->sparse && offset < end) {
		off_t data = lseek(image->fd, (off_t)offset, SEEK_DATA);
		off_t hole = data < 0 ? -1 : lseek(image->fd, data, SEEK_HOLE);
		if (hole < 0) /* none follow, or it has shrunk: reading tells */
			break;
		uint64_t from = min_u64((uint64_t)data, end), to = min_u64((uint64_t)hole, end);
		gpa += from - offset;
		int rc = from == to ? 0 : image_load(image, from, to - from, mem, gpa, err);
		if (rc < 0)
			return rc;
		gpa += to - from;
		offset = to;
	}
	return offset == end ? 0 : image_load(image, offset, end - offset, mem, gpa, err);
}

struct signature {
	uint32_t offset;
	uint8_t len;
	const char *magic;
	const char *name;
	const char *hint;
};

/* Ordered: the first match wins, so what is also a valid start of something else comes first. */
static const struct signature signatures[] = {
	{ 0, 2, "\x1f\x8b", "gzip-compressed data", "unpack it with gunzip" },
	{ 0, 6,
		"\xfd"
		"7zXZ\0",
		"xz-compressed data", "unpack it with unxz" },
	{ 0, 4, "\x28\xb5\x2f\xfd", "zstd-compressed data", "unpack it with unzstd" },
	{ 0, 4, "\x04\x22\x4d\x18", "lz4-compressed data", "unpack it with unlz4" },
	{ 0, 4, "\x02\x21\x4c\x18", "lz4-compressed data (legacy frame)", "unpack it with unlz4" },
	{ 0, 3, "BZh", "bzip2-compressed data", "unpack it with bunzip2" },
	{ 0, 9, "\x89LZO\0\r\n\x1a\n", "lzop-compressed data", "unpack it with lzop -d" },
	{ 0, 5, "\x5d\0\0\x80\0", "lzma-compressed data", "unpack it with unlzma" },
	{ 0x38, 4, "ARM\x64", "an arm64 Linux Image", "use a kernel built for x86-64" },
	{ 0x38, 4, "RSC\x05", "a RISC-V Linux Image", "use a kernel built for x86-64" },
	{ 0, 8, "MZ\0\0zimg", "a compressed EFI kernel (zboot)", "use a bzImage" },
	{ 0, 4, "\x27\x05\x19\x56", "a U-Boot image", "use a bzImage" },
	{ 0, 4, "\xd0\x0d\xfe\xed", "a flattened device tree or FIT image", "use a bzImage" },
	{ 0, 2, "MZ", "a PE/EFI or DOS program without a Linux boot header", "use a bzImage" },
	{ 0, 5, "07070", "a cpio archive", "it may be the initrd" },
	{ 0, 2, "\xc7\x71", "a cpio archive", "it may be the initrd" },
	{ 0, 2, "#!", "a script", NULL },
	{ 0, 4, "QFI\xfb", "a qcow2 disk image", "attach it as a disk" },
	{ 0, 4, "hsqs", "a squashfs image", "attach it as a disk" },
	{ 0, 7, "!<arch>", "an ar archive or Debian package",
		"unpack it and use the vmlinuz in it" },
	{ 0, 4, "\xed\xab\xee\xdb", "an RPM package", "unpack it and use the vmlinuz in it" },
	{ 0x101, 5, "ustar", "a tar archive", "unpack it" },
	{ 0x8001, 5, "CD001", "an ISO 9660 image", "attach it as a disk" },
	{ 0x438, 2, "\x53\xef", "an ext2/3/4 file system", "attach it as a disk" },
	{ 0x10040, 8, "_BHRfS_M", "a btrfs file system", "attach it as a disk" },
	{ 0, 4, "XFSB", "an XFS file system", "attach it as a disk" },
	{ 0x1fe, 2, "\x55\xaa", "a disk image with a boot sector", "attach it as a disk" },
};

static bool is_text(const struct image *image)
{
	uint8_t head[256];
	size_t len = (size_t)min_u64(image->size, sizeof(head));
	if (image_read(image, 0, head, len, NULL) < 0)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!(head[i] >= ' ' && head[i] < 0x7f) && !strchr("\t\n\r\f", head[i]))
			return false;
	return memchr(head, 0, len) == NULL; /* strchr also finds the final NUL */
}

static bool is_zero(const struct image *image)
{
	uint8_t head[512];
	size_t len = (size_t)min_u64(image->size, sizeof(head));
	if (image_read(image, 0, head, len, NULL) < 0)
		return false;
	for (size_t i = 0; i < len; i++)
		if (head[i])
			return false;
	return true;
}

const char *image_describe(const struct image *image, const char **ret_hint)
{
	*ret_hint = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(signatures); i++) {
		const struct signature *s = &signatures[i];
		uint8_t found[16];
		if (image_read(image, s->offset, found, s->len, NULL) < 0 ||
			memcmp(found, s->magic, s->len))
			continue;
		*ret_hint = s->hint;
		return s->name;
	}
	if (is_text(image))
		return "text";
	if (is_zero(image))
		return "a file that begins with zeros";
	return "data of unknown kind";
}
