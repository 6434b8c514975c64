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
#include "boot/traits.h"
#include "boot/unpack.h"
#include "util/err.h"

/* The payload: compressed data, the last four bytes of which, or those after it, are the size of
 * what is in it (Linux, arch/x86/boot/compressed/mkpiggy.c). */
struct payload {
	uint8_t *data;
	size_t size;
	uint32_t unpacked_size;
};

static int read_payload(const struct image *bzimage, uint64_t offset, uint64_t size,
	struct payload *ret, struct lacuna_error **err)
{
	if (size <= 4)
		return err_set(err, EINVAL, "is a corrupt bzImage: its payload has %u bytes",
			(unsigned)size);
	/* the sizes in the header have 32 bits and were found to be inside the file */
	uint8_t *data = malloc(size);
	if (!data)
		return err_nomem(err);
	int rc = image_read(bzimage, offset, data, size, err);
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

/* A kernel that is to be loaded. */
struct unpacked {
	struct image image;
	unsigned traits;
	bool traits_known;
};

static int unpack_payload(const struct payload *p, struct unpacked *ret, struct lacuna_error **err)
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
	ret->image = (struct image){ .fd = -1, .data = map, .size = p->unpacked_size };
	return 0;
}

static void take_kept(const struct kept_kernel *kept, struct unpacked *ret)
{
	ret->image = (struct image){ .fd = kept->fd, .size = kept->size, .sparse = true };
	ret->traits = kept->traits;
	ret->traits_known = true;
}

/* From the cache if it is there; else unpacked, and put there. */
static int unpack_or_find(const struct payload *p, const struct kernel_origin *origin,
	const struct unpack_options *o, struct unpacked *ret, struct lacuna_error **err)
{
	struct kept_kernel kept;
	if (!o->cache)
		return unpack_payload(p, ret, err);
	const struct kernel_key key = kernel_key(p->data, p->size, p->unpacked_size);
	int found = kernel_cache_find(o->cache, &key, &kept);
	if (found == 0) {
		take_kept(&kept, ret);
		kernel_cache_remember(o->cache, origin, &key);
		return 0;
	}
	if (found == -EPERM)
		log_warning(o->log, "kernel",
			"'%s' holds no unpacked kernels: it or they can be written to by others; chmod go-w them",
			o->cache);
	int rc = unpack_payload(p, ret, err);
	if (rc < 0)
		return rc;
	ret->traits = traits_find(ret->image.data, p->unpacked_size, TRAITS);
	ret->traits_known = true;
	rc = kernel_cache_store(o->cache, &key, ret->image.data, ret->traits);
	if (rc == 0)
		kernel_cache_remember(o->cache, origin, &key);
	else if (rc != -EPERM)
		log_info(o->log, "kernel", "the unpacked kernel is not kept: write to '%s': %s",
			o->cache, strerrordesc_np(-rc));
	return 0;
}

static int check_fits(uint64_t size, const struct gmem *mem, struct lacuna_error **err)
{
	if (size <= mem->region[0].size)
		return 0;
	return err_set(err, EFBIG,
		"does not fit: has %llu MiB when unpacked, the guest %llu MiB: give it more memory",
		(unsigned long long)(align_up(size, MIB) / MIB),
		(unsigned long long)(mem->region[0].size / MIB));
}

static int open_payload(const struct payload *p, const struct kernel_origin *origin,
	const struct unpack_options *o, const struct gmem *mem, struct unpacked *ret,
	struct lacuna_error **err)
{
	if (!unpack_method(p->data, p->size))
		return err_set(err, ENOTSUP,
			"is compressed in a way that only the guest can undo: take kernel-unpack=guest");
	int rc = check_fits(p->unpacked_size, mem, err);
	return rc < 0 ? rc : unpack_or_find(p, origin, o, ret, err);
}

/* Of an image whose file is known, no more than the header is read. */
static int open_unpacked(const struct image *bzimage, const struct unpack_options *o,
	const struct gmem *mem, struct unpacked *ret, struct lacuna_error **err)
{
	uint64_t offset, size;
	struct timespec now;
	struct kept_kernel kept;
	struct payload p = { 0 };
	int rc = linux_find_payload(bzimage, &offset, &size, err);
	if (rc < 0)
		return rc;
	clock_gettime(CLOCK_REALTIME, &now);
	const struct kernel_origin origin = kernel_origin(o->cache ? bzimage->fd : -1, &now);
	if (o->cache && kernel_cache_recall(o->cache, &origin, &kept) == 0) {
		take_kept(&kept, ret);
		return check_fits(kept.size, mem, err);
	}
	rc = read_payload(bzimage, offset, size, &p, err);
	if (rc == 0)
		rc = open_payload(&p, &origin, o, mem, ret, err);
	free(p.data);
	return rc;
}

static void close_unpacked(struct image *image)
{
	if (image->data)
		munmap((void *)(uintptr_t)image->data, image->size);
	image_close(image);
}

static int load_unpacked(
	const struct unpacked *u, struct gmem *mem, struct kernel *ret, struct lacuna_error **err)
{
	if (!elf_probe(&u->image))
		return err_set(err, ENOTSUP, "holds something else than an ELF kernel");
	int rc = elf_load(&u->image, &(struct elf_options){ .pvh = PVH_NEVER }, mem, ret, err);
	if (rc < 0)
		return rc;
	ret->bzimage = ret->is_linux = true;
	ret->traits = u->traits;
	ret->traits_known = u->traits_known;
	return 0;
}

int linux_load_unpacked(const struct image *bzimage, const struct unpack_options *o,
	struct gmem *mem, struct kernel *ret, struct lacuna_error **err)
{
	struct unpacked u = { .image = { .fd = -1 } };
	struct kernel k = { 0 };
	int rc = open_unpacked(bzimage, o, mem, &u, err);
	if (rc == 0)
		rc = load_unpacked(&u, mem, &k, err);
	close_unpacked(&u.image);
	if (rc < 0)
		return rc;
	*ret = k;
	return linux_read_limits(bzimage, ret, err);
}
