// SPDX-License-Identifier: Apache-2.0
/*
 * The newc format: for each entry a header of 13 hexadecimal numbers, its path and a NUL, and the
 * content, each padded to 4 bytes; at the end an entry of a reserved name. All choices below are
 * those that init/initramfs.c, GNU cpio and busybox agree about.
 */
#include "boot/cpio.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/image.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"

#define HEADER_SIZE 110
#define PATH_SIZE   4096 /* of the path and its NUL; Linux passes over entries that have more */
#define TRAILER     "TRAILER!!!"
#define ROOT        "."

/* Where the archive goes. */
struct sink {
	uint8_t *next;
	uint64_t left;
};

/* What a header says. */
struct record {
	uint64_t ino, mode, uid, gid, links, mtime, size, rdev_major, rdev_minor;
	const char *name;
};

/*
 * The device of all files. Hard links are recognised by device and inode number until a trailer is
 * seen, and an archive that comes before ours may lack one: no device of Linux has a major number
 * this large, so its files and ours can't be taken for one another.
 */
#define ARCHIVE_MAJOR 0x1000

static void *take(struct sink *s, uint64_t len)
{
	if (len > s->left)
		return NULL;
	void *p = s->next;
	s->next += len;
	s->left -= len;
	return p;
}

/* The same with padding behind it. */
static void *take_padded(struct sink *s, uint64_t len)
{
	uint64_t padded = align_up(len, 4);
	uint8_t *p = take(s, padded);
	if (p)
		memset(p + len, 0, padded - len);
	return p;
}

static uint64_t record_size(size_t name_length, uint64_t content)
{
	return align_up(HEADER_SIZE + name_length + 1, 4) + align_up(content, 4);
}

static bool put_record(struct sink *s, const struct record *r)
{
	size_t name_size = strlen(r->name) + 1;
	char header[HEADER_SIZE + 1];
	snprintf(header, sizeof(header),
		"070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", (uint32_t)r->ino,
		(uint32_t)r->mode, (uint32_t)r->uid, (uint32_t)r->gid, (uint32_t)r->links,
		(uint32_t)r->mtime, (uint32_t)r->size, ARCHIVE_MAJOR, 0, (uint32_t)r->rdev_major,
		(uint32_t)r->rdev_minor, (uint32_t)name_size, 0);
	char *p = take_padded(s, HEADER_SIZE + name_size);
	if (!p)
		return false;
	memcpy(p, header, HEADER_SIZE);
	memcpy(p + HEADER_SIZE, r->name, name_size);
	return true;
}

/* A file that is called as the trailer is no trailer in its directory's name. */
static bool looks_like_trailer(const struct tree_entry *e)
{
	return e->depth == 1 && !strcmp(e->name, TRAILER);
}

static size_t name_length(const struct tree_entry *e)
{
	return e->path_length + (looks_like_trailer(e) ? 2 : 0);
}

static void make_name(const struct tree_entry *e, char name[PATH_SIZE])
{
	if (looks_like_trailer(e)) {
		*name++ = '.';
		*name++ = '/';
	}
	tree_path(e, name);
}

/*
 * The content of a file with several names comes with the first. The format allows it with any of
 * them; with the last, as GNU cpio writes, all names would be empty should that one link fail.
 */
static uint64_t content_size(const struct tree_entry *e)
{
	return e->first == e ? e->size : 0;
}

int cpio_measure(const struct tree *t, uint64_t *ret_size, struct lacuna_error **err)
{
	char shown[TREE_SHOWN_MAX];
	uint64_t size = record_size(strlen(ROOT), 0) + record_size(strlen(TRAILER), 0);
	for (const struct tree_entry *e = NULL; (e = tree_next(t, e));) {
		if (e->size > UINT32_MAX)
			return err_set(err, EFBIG,
				"'%s' has %llu MiB, and files in an initramfs end below 4 GiB: put it on a disk",
				tree_show(e, shown), (unsigned long long)(e->size / MIB));
		if (e->path_length >= PATH_SIZE)
			return err_set(err, ENAMETOOLONG,
				"the path of '%s' has %zu bytes, and Linux unpacks none above %d: shorten it",
				tree_show(e, shown), e->path_length, PATH_SIZE - 1);
		size += record_size(name_length(e), content_size(e));
	}
	*ret_size = size;
	return 0;
}

static int too_large(struct lacuna_error **err)
{
	return err_set(err, EFBIG, "the archive is larger than it was measured to be");
}

/* Exactly what was measured, and then there must be nothing more: the header is written. */
static int put_content(
	struct sink *s, struct tree *t, const struct tree_entry *e, struct lacuna_error **err)
{
	char shown[TREE_SHOWN_MAX], more;
	void *p = take_padded(s, e->size);
	if (!p)
		return too_large(err);
	AUTO_CLOSE int fd = tree_open(t, e, err);
	if (fd < 0)
		return fd;
	const struct image file = { .fd = fd, .size = e->size };
	int rc = image_read(&file, 0, p, e->size, err);
	if (rc < 0)
		return err_prefix(err, rc, "'%s'", tree_show(e, shown));
	if (pread(fd, &more, 1, (off_t)e->size) > 0)
		return err_set(err, EINVAL,
			"'%s' has more than the %llu bytes that its file system said: try again, or copy it",
			tree_show(e, shown), (unsigned long long)e->size);
	return 0;
}

static int put_target(struct sink *s, const struct tree_entry *e, struct lacuna_error **err)
{
	void *p = take_padded(s, e->size);
	if (!p)
		return too_large(err);
	memcpy(p, e->target, e->size);
	return 0;
}

/* Of 32 bits without a sign: 1970 to 2106. */
static uint32_t clamp_time(int64_t time)
{
	return time < 0 ? 0 : (uint32_t)min_u64((uint64_t)time, UINT32_MAX);
}

static int put_entry(
	struct sink *s, struct tree *t, const struct tree_entry *e, struct lacuna_error **err)
{
	char name[PATH_SIZE];
	if (name_length(e) >= sizeof(name))
		return too_large(err);
	make_name(e, name);
	const struct record r = {
		.ino = e->first->number,
		.mode = e->mode,
		.uid = e->uid == geteuid() ? 0 : e->uid,
		.gid = e->gid == getegid() ? 0 : e->gid,
		.links = S_ISDIR(e->mode) ? 2 : e->links,
		.mtime = clamp_time(e->mtime),
		.size = content_size(e),
		.rdev_major = e->major,
		.rdev_minor = e->minor,
		.name = name,
	};
	if (!put_record(s, &r))
		return too_large(err);
	if (S_ISREG(e->mode) && e->first == e)
		return put_content(s, t, e, err);
	return S_ISLNK(e->mode) ? put_target(s, e, err) : 0;
}

int cpio_write(struct tree *t, void *buf, uint64_t size, struct lacuna_error **err)
{
	const struct record root = {
		.mode = S_IFDIR | 0755,
		.links = 2,
		.mtime = clamp_time(tree_root(t)->mtime),
		.name = ROOT,
	};
	const struct record trailer = { .links = 1, .name = TRAILER };
	struct sink s = { buf, size };
	int rc = put_record(&s, &root) ? 0 : too_large(err);
	for (const struct tree_entry *e = NULL; rc == 0 && (e = tree_next(t, e));)
		rc = put_entry(&s, t, e, err);
	if (rc == 0 && (!put_record(&s, &trailer) || s.left))
		rc = too_large(err);
	return rc;
}
