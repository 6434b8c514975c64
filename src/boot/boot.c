// SPDX-License-Identifier: Apache-2.0
/*
 * Loading a guest: recognise and place the kernel, then the initrd above it, then the command line
 * and whatever structure that kind of kernel is handed.
 */
#include "boot/boot.h"

#include <abi/layout.h>

#include "boot/kernel.h"
#include "util/err.h"

#define PAGE 4096u

static int load_kernel(const struct image *image, const struct gmem *mem, struct kernel *ret,
	struct lacuna_error **err)
{
	const char *hint, *found;
	if (linux_probe(image))
		return linux_load(image, mem, ret, err);
	if (elf_probe(image))
		return elf_load(image, mem, ret, err);
	found = image_describe(image, &hint);
	return err_set(err, ENOEXEC,
		"is %s, not a kernel: %s%sa bzImage or a 64-bit x86 ELF file is needed", found,
		hint ? hint : "", hint ? "; " : "");
}

static int open_and_load_kernel(const struct boot_source *src, const struct gmem *mem,
	struct kernel *ret, struct lacuna_error **err)
{
	const char *name = src->kernel_path ? src->kernel_path : "(built in)";
	struct image image = { .fd = -1 };
	int rc = image_open(
		&image, src->kernel_path, src->kernel_image, src->kernel_image_size, err);
	if (rc < 0)
		return err_prefix(err, rc, "kernel '%s'", name);
	rc = load_kernel(&image, mem, ret, err);
	image_close(&image);
	return err_prefix(err, rc, "kernel '%s'", name);
}

/* As high as it goes: what is below is the kernel's to unpack itself into. */
static int load_initrd(const struct image *image, const struct kernel *kernel,
	const struct gmem *mem, struct initrd *ret, struct lacuna_error **err)
{
	uint64_t limit = min_u64(mem->region[0].size, kernel->initrd_end_max);
	uint64_t floor = align_up(kernel->end, PAGE);
	if (image->size > limit || align_down(limit - image->size, PAGE) < floor)
		return err_set(err, EFBIG,
			"does not fit: has %llu KiB, and %llu KiB of RAM are left between the kernel and "
			"%llu MiB: give the guest more memory",
			(unsigned long long)(align_up(image->size, KIB) / KIB),
			(unsigned long long)(limit > floor ? (limit - floor) / KIB : 0),
			(unsigned long long)(limit / MIB));
	gpa_t gpa = align_down(limit - image->size, PAGE);
	int rc = image_load(image, 0, image->size, mem, gpa, err);
	if (rc < 0)
		return rc;
	*ret = (struct initrd){ gpa, image->size };
	return 0;
}

static int open_and_load_initrd(const char *path, const struct kernel *kernel,
	const struct gmem *mem, struct initrd *ret, struct lacuna_error **err)
{
	struct image image = { .fd = -1 };
	int rc = image_open(&image, path, NULL, 0, err);
	if (rc < 0)
		return err_prefix(err, rc, "initrd '%s'", path);
	rc = load_initrd(&image, kernel, mem, ret, err);
	image_close(&image);
	return err_prefix(err, rc, "initrd '%s'", path);
}

static int write_cmdline(const char *cmdline, const struct kernel *kernel, const struct gmem *mem,
	struct lacuna_error **err)
{
	size_t len = strlen(cmdline);
	size_t max = kernel->cmdline_max < LAYOUT_CMDLINE_MAX ? kernel->cmdline_max
							      : LAYOUT_CMDLINE_MAX - 1;
	if (len > max)
		return err_set(err, EINVAL,
			"command line of %zu bytes is too long: this kernel takes %zu; shorten it",
			len, max);
	return gmem_write(mem, LAYOUT_CMDLINE, cmdline, len + 1);
}

int boot_load(const struct boot_source *src, const struct gmem *mem, struct boot_entry *ret,
	struct lacuna_error **err)
{
	struct kernel kernel = { 0 };
	struct initrd initrd = { 0 };
	int rc = open_and_load_kernel(src, mem, &kernel, err);
	if (rc < 0)
		return rc;
	if (src->initrd_path) {
		rc = open_and_load_initrd(src->initrd_path, &kernel, mem, &initrd, err);
		if (rc < 0)
			return rc;
	}
	rc = write_cmdline(src->cmdline, &kernel, mem, err);
	if (rc < 0)
		return rc;

	descriptors_write(mem);
	reset_entry_write(mem);
	*ret = (struct boot_entry){
		.mode = kernel.mode, .bzimage = kernel.bzimage, .ip = kernel.entry
	};
	if (kernel.mode == BOOT_MODE_PROT32) {
		pvh_hand_over(src, &initrd, mem);
		ret->argument = LAYOUT_START_INFO;
	} else {
		linux_hand_over(src, &kernel, &initrd, mem);
		page_tables_write(mem);
		ret->argument = LAYOUT_ZERO_PAGE;
		ret->page_table = LAYOUT_PAGE_TABLE;
	}
	return 0;
}
