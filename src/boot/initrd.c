// SPDX-License-Identifier: Apache-2.0
/*
 * The initrds: archives as files, and directories that become archives on the way, handed over as
 * one block of memory (Documentation/driver-api/early-userspace/buffer-format.rst). All are opened
 * and measured before anything is written, so the block can end where RAM does.
 */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "boot/cpio.h"
#include "boot/kernel.h"
#include "util/err.h"
#include "util/fd.h"

#define PAGE 4096u

/* One of them: an open file, or a directory that has been listed. */
struct part {
	struct image image;
	struct tree *tree; /* NULL: a file */
	uint64_t size;
	uint64_t offset; /* in the block */
};

static int part_error(const struct boot_file *file, int rc, struct lacuna_error **err)
{
	return file->path ? err_prefix(err, rc, "initrd '%s'", file->path)
			  : err_prefix(err, rc, "initrd fd %d", file->number);
}

static int measure_tree(int fd, struct part *p, struct lacuna_error **err)
{
	int rc = tree_read(fd, &p->tree, err);
	return rc == 0 ? cpio_measure(p->tree, &p->size, err) : rc;
}

static int open_part(const struct boot_file *file, struct part *ret, struct lacuna_error **err)
{
	struct stat st;
	AUTO_CLOSE int fd =
		file->path ? image_open_path(file->path, err) : fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return file->path ? fd : err_errno(err, "duplicate");
	if (fstat(fd, &st) < 0)
		return err_errno(err, "stat");
	if (!S_ISDIR(st.st_mode)) {
		int rc = image_open_fd(&ret->image, TAKE_FD(fd), err);
		ret->size = ret->image.size;
		return rc;
	}
	if (file->path)
		return measure_tree(TAKE_FD(fd), ret, err);
	/* The offset of a duplicate is not our own, and may be anywhere. */
	int own = openat(fd, ".", O_RDONLY | O_CLOEXEC | O_DIRECTORY);
	return own < 0 ? err_errno(err, "open") : measure_tree(own, ret, err);
}

static void close_parts(struct part *parts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		image_close(&parts[i].image);
		tree_free(parts[i].tree);
	}
	free(parts);
}

/*
 * Between archives there are zeros up to the next multiple of four, and four more: Linux finds the
 * end of LZ4 data only by what would be a block of no bytes (lib/decompress_unlz4.c).
 */
static uint64_t next_offset(uint64_t end)
{
	return align_up(end, 4) + 4;
}

static int check_count(size_t count, struct lacuna_error **err)
{
	return count <= MODULES_MAX
		       ? 0
		       : err_set(err, E2BIG,
				 "initrd: %zu are too many for a multiboot kernel, which takes "
				 "%d: put some together",
				 count, MODULES_MAX);
}

/* Where the block may lie: it ends at or below @limit. */
struct room {
	uint64_t floor, limit;
	bool apart; /* each begins a page: the kernel knows them one by one */
};

static int no_room(
	uint64_t size, const char *others, const struct room *room, struct lacuna_error **err)
{
	uint64_t left = room->limit > room->floor ? room->limit - room->floor : 0;
	return err_set(err, EFBIG,
		"does not fit%s: needs %llu KiB, and %llu KiB of RAM are left between the kernel and "
		"%llu MiB: give the guest more memory",
		others, (unsigned long long)(align_up(size, KIB) / KIB),
		(unsigned long long)(left / KIB), (unsigned long long)(room->limit / MIB));
}

/* As high as it goes: what is below is the kernel's to unpack itself into. */
static int place(const struct boot_source *src, struct part *parts, const struct room *room,
	struct initrd *ret, struct lacuna_error **err)
{
	const size_t count = src->initrd_count;
	char others[40] = "";
	uint64_t size = 0;
	for (size_t i = 0; i < count; i++) {
		if (parts[i].size > room->limit) /* and no sum of the others wraps */
			return part_error(
				&src->initrds[i], no_room(parts[i].size, "", room, err), err);
		if (i)
			parts[i].offset = room->apart ? align_up(size, PAGE) : next_offset(size);
		size = parts[i].offset + parts[i].size;
	}
	if (count > 1)
		snprintf(others, sizeof(others), ", with %zu more", count - 1);
	if (size > room->limit || align_down(room->limit - size, PAGE) < room->floor)
		return part_error(&src->initrds[0], no_room(size, others, room, err), err);
	*ret = (struct initrd){ .gpa = align_down(room->limit - size, PAGE), .size = size };
	return 0;
}

static int load_part(struct part *p, const struct gmem *mem, gpa_t gpa, struct lacuna_error **err)
{
	if (!p->tree)
		return image_load(&p->image, 0, p->size, mem, gpa, err);
	void *buf = gmem_ptr(mem, gpa, p->size);
	if (!buf)
		return err_set(err, EFBIG, "is outside guest RAM");
	return cpio_write(p->tree, buf, p->size, err);
}

static int load_parts(const struct boot_source *src, struct part *parts, struct gmem *mem,
	const struct initrd *initrd, struct lacuna_error **err)
{
	uint64_t end = 0;
	gmem_expect(mem, initrd->size);
	for (size_t i = 0; i < src->initrd_count; i++) {
		struct part *p = &parts[i];
		void *gap = gmem_ptr(mem, initrd->gpa + end, p->offset - end);
		if (gap)
			memset(gap, 0, p->offset - end);
		int rc = load_part(p, mem, initrd->gpa + p->offset, err);
		if (rc < 0)
			return part_error(&src->initrds[i], rc, err);
		end = p->offset + p->size;
	}
	return 0;
}

static void list_modules(
	const struct boot_source *src, const struct part *parts, struct initrd *ret)
{
	for (size_t i = 0; i < src->initrd_count; i++)
		ret->module[i] = (struct module){ ret->gpa + parts[i].offset, parts[i].size };
}

/* --- what Linux will make of it --- */

static bool has_word(const char *cmdline, const char *beginning)
{
	for (const char *p = cmdline; (p = strstr(p, beginning)); p++)
		if (p == cmdline || isspace((unsigned char)p[-1]))
			return true;
	return false;
}

/*
 * Without /init, Linux drops the whole initramfs and mounts the disk that root= names, so it ends
 * in a panic about a disk that nobody has asked for. What is in archives is not known.
 */
static void warn_of_init(const struct boot_source *src, const struct part *parts)
{
	enum { MISSING, UNKNOWN, FOUND, NOT_EXECUTABLE } init = MISSING;
	for (size_t i = 0; i < src->initrd_count; i++) {
		const struct tree_entry *e =
			parts[i].tree ? tree_find(parts[i].tree, "init") : NULL;
		if (!parts[i].tree)
			init = UNKNOWN;
		else if (e)
			init = S_ISREG(e->mode) && !(e->mode & 0111) ? NOT_EXECUTABLE : FOUND;
	}
	if (!src->initrd_count || has_word(src->cmdline, "rdinit="))
		return;
	if (init == NOT_EXECUTABLE)
		log_warning(&src->log, "initrd",
			"/init is not executable, and Linux will not run it: chmod +x");
	if (init == MISSING && !has_word(src->cmdline, "root="))
		log_warning(&src->log, "initrd",
			"there is no /init, so Linux will look for another root file system: add one, or name "
			"a program with rdinit= or a disk with root= in the command line");
}

int initrd_load(const struct boot_source *src, const struct kernel *kernel, struct gmem *mem,
	struct initrd *ret, struct lacuna_error **err)
{
	const struct room room = {
		.floor = align_up(kernel->end, PAGE),
		.limit = min_u64(mem->region[0].size, kernel->initrd_end_max),
		.apart = kernel->multiboot,
	};
	int rc = room.apart ? check_count(src->initrd_count, err) : 0;
	if (rc < 0)
		return rc;
	struct part *parts = calloc(src->initrd_count + 1, sizeof(*parts));
	if (!parts)
		return err_nomem(err);
	for (size_t i = 0; i < src->initrd_count; i++)
		parts[i].image.fd = -1;
	for (size_t i = 0; i < src->initrd_count && rc == 0; i++)
		rc = part_error(&src->initrds[i], open_part(&src->initrds[i], &parts[i], err), err);
	if (rc == 0 && src->initrd_count)
		rc = place(src, parts, &room, ret, err);
	if (rc == 0)
		rc = load_parts(src, parts, mem, ret, err);
	if (rc == 0 && room.apart)
		list_modules(src, parts, ret);
	else if (rc == 0)
		warn_of_init(src, parts);
	close_parts(parts, src->initrd_count);
	return rc;
}
