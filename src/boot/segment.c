// SPDX-License-Identifier: Apache-2.0
/* Parts of a kernel's file and where they go: what every loader of ours has to check. */
#include <abi/layout.h>

#include "boot/kernel.h"
#include "util/err.h"

int segment_check(const struct segment *s, const struct image *image, const struct gmem *mem,
	struct lacuna_error **err)
{
	uint64_t ram = mem->region[0].size;
	if (s->file_size > s->size)
		return err_set(
			err, EINVAL, "is corrupt: a segment is larger in the file than in memory");
	if (s->offset > image->size || s->file_size > image->size - s->offset)
		return err_set(err, EINVAL,
			"is truncated: has %llu bytes, but a segment of %llu bytes begins at %llu",
			(unsigned long long)image->size, (unsigned long long)s->file_size,
			(unsigned long long)s->offset);
	if (s->gpa < LAYOUT_KERNEL)
		return err_set(err, ENOEXEC,
			"has a segment at address 0x%llx, where the boot data lie: link it at 0x%x or above",
			(unsigned long long)s->gpa, LAYOUT_KERNEL);
	if (s->gpa > ram || s->size > ram - s->gpa)
		return err_set(err, EFBIG,
			"does not fit: a segment of 0x%llx bytes at address 0x%llx, and the guest has %llu MiB "
			"below 4 GiB: give it more memory",
			(unsigned long long)s->size, (unsigned long long)s->gpa,
			(unsigned long long)(ram / MIB));
	return 0;
}

int segments_load(const struct segment *s, unsigned count, const struct image *image,
	struct gmem *mem, struct lacuna_error **err)
{
	int rc = 0;
	uint64_t size = 0;
	/* What is not copied, .bss and the holes of a sparse file, reads as zeros. Whole pages, and
	 * all of them first: then none is touched by that, and no huge page split. */
	for (unsigned i = 0; i < count; i++) {
		uint64_t from = align_down(s[i].gpa, 4096);
		uint64_t to = align_up(s[i].gpa + s[i].size, 4096);
		gmem_clear(mem, from, to - from);
		size += s[i].size;
	}
	gmem_expect(mem, size);
	for (unsigned i = 0; rc == 0 && i < count; i++)
		rc = image_load_sparse(image, s[i].offset, s[i].file_size, mem, s[i].gpa, err);
	return rc;
}

bool segment_holds(const struct segment *s, gpa_t gpa)
{
	return gpa >= s->gpa && gpa - s->gpa < s->size;
}
