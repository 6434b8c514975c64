// SPDX-License-Identifier: Apache-2.0
/*
 * A bzImage without its decompressor: the kernel proper is unpacked here and entered where the
 * decompressor would have jumped to, with the same boot_params (Documentation/arch/x86/boot.rst,
 * "64-bit Boot Protocol"). What the decompressor does besides is lost: it chooses where the kernel
 * goes (KASLR) and turns on five-level paging. Where the kernel goes is where it was linked to, so
 * the relocations that follow it in the payload are not needed.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "boot/kernel.h"
#include "boot/kernel_cache.h"
#include "boot/unpack.h"
#include "util/err.h"

/* The payload: compressed data, the last four bytes of which, or those after it, are the size of
 * what is in it (Linux, arch/x86/boot/compressed/mkpiggy.c). */
struct payload {
	uint8_t *data;
	size_t size;
	uint32_t unpacked_size;
};

static int read_payload(const struct image *bzimage, struct payload *ret, struct lacuna_error **err)
{
	uint64_t offset, size;
	int rc = linux_find_payload(bzimage, &offset, &size, err);
	if (rc < 0)
		return rc;
	if (size <= 4)
		return err_set(err, EINVAL, "is a corrupt bzImage: its payload has %u bytes",
			(unsigned)size);
	/* the sizes in the header have 32 bits and were found to be inside the file */
	uint8_t *data = malloc(size);
	if (!data)
		return err_nomem(err);
	rc = image_read(bzimage, offset, data, size, err);
	if (rc < 0) {
		free(data);
		return rc;
	}
	uint32_t unpacked_size = load_le32(data + size - 4);
	if (!unpacked_size) {
		free(data);
		err_set(err, EINVAL, "is a corrupt bzImage: there is nothing in its payload");
		return -EINVAL;
	}
	*ret = (struct payload){ data, size, unpacked_size };
	return 0;
}

static int unpack_payload(const struct payload *p, struct image *ret, struct lacuna_error **err)
{
	void *map = mmap(NULL, p->unpacked_size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return err_errno(err, "unpack it: %u bytes", p->unpacked_size);
	int rc = unpack(p->data, p->size, map, p->unpacked_size, err);
	if (rc < 0) {
		munmap(map, p->unpacked_size);
		return rc;
	}
	*ret = (struct image){ .fd = -1, .data = map, .size = p->unpacked_size };
	return 0;
}

/* From the cache if it is there; else unpacked, and put there. */
static int open_unpacked(const struct payload *p, const struct unpack_options *o, struct image *ret,
	struct lacuna_error **err)
{
	struct kernel_key key = { 0 };
	if (o->cache) {
		key = kernel_key(p->data, p->size, p->unpacked_size);
		int fd = kernel_cache_find(o->cache, &key);
		if (fd >= 0) {
			*ret = (struct image){ .fd = fd, .size = p->unpacked_size };
			return 0;
		}
		if (fd == -EPERM)
			log_warning(o->log, "kernel",
				"'%s' holds no unpacked kernels: it or they can be written to by others; chmod go-w them",
				o->cache);
	}
	int rc = unpack_payload(p, ret, err);
	if (rc < 0 || !o->cache)
		return rc;
	rc = kernel_cache_store(o->cache, &key, ret->data);
	if (rc < 0 && rc != -EPERM)
		log_info(o->log, "kernel", "the unpacked kernel is not kept: write to '%s': %s",
			o->cache, strerrordesc_np(-rc));
	return 0;
}

static void close_unpacked(struct image *image)
{
	if (image->data)
		munmap((void *)(uintptr_t)image->data, image->size);
	image_close(image);
}

int linux_load_unpacked(const struct image *bzimage, const struct unpack_options *o,
	const struct gmem *mem, struct kernel *ret, struct lacuna_error **err)
{
	struct payload p = { 0 };
	struct image image = { .fd = -1 };
	int rc = read_payload(bzimage, &p, err);
	if (rc < 0)
		return rc;
	if (!unpack_method(p.data, p.size))
		rc = err_set(err, ENOTSUP,
			"is compressed in a way that only the guest can undo: take kernel-unpack=guest");
	else if (p.unpacked_size > mem->region[0].size)
		rc = err_set(err, EFBIG,
			"does not fit: has %llu MiB when unpacked, the guest %llu MiB: give it more memory",
			(unsigned long long)(align_up(p.unpacked_size, MIB) / MIB),
			(unsigned long long)(mem->region[0].size / MIB));
	else
		rc = open_unpacked(&p, o, &image, err);
	free(p.data);
	if (rc < 0)
		return rc;
	struct kernel k = { 0 };
	if (!elf_probe(&image))
		rc = err_set(err, ENOTSUP, "holds something else than an ELF kernel");
	else
		rc = elf_load(&image, &(struct elf_options){ .pvh = PVH_NEVER }, mem, &k, err);
	close_unpacked(&image);
	if (rc < 0)
		return rc;
	k.bzimage = k.is_linux = true;
	*ret = k;
	return linux_read_limits(bzimage, ret, err);
}
