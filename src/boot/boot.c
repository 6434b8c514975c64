// SPDX-License-Identifier: Apache-2.0
/*
 * Loading a guest: recognise and place the kernel, then the initrds above it, then the command line
 * and whatever structure that kind of kernel is handed.
 */
#include "boot/boot.h"

#include <abi/layout.h>
#include <fcntl.h>
#include <stdio.h>

#include "boot/kernel.h"
#include "boot/traits.h"
#include "util/err.h"

static int load_bzimage(const struct boot_source *src, const struct image *image, struct gmem *mem,
	struct kernel *ret, struct lacuna_error **err)
{
	if (src->unpack == BOOT_UNPACK_GUEST)
		return linux_load(image, mem, ret, err);
	struct unpack_options o = { .cache = src->kernel_cache, .log = &src->log };
	struct lacuna_error *why = NULL;
	int rc = linux_load_unpacked(image, &o, mem, ret, &why);
	if ((rc == -ENOTSUP || rc == -ENOMEM) && src->unpack == BOOT_UNPACK_AUTO) {
		log_info(&src->log, "kernel", "left to the guest to unpack: %s",
			lacuna_error_message(why));
		lacuna_error_free(why);
		return linux_load(image, mem, ret, err);
	}
	if (rc < 0)
		err_set(err, -rc, "%s", lacuna_error_message(why));
	lacuna_error_free(why);
	return rc;
}

static int load_kernel(const struct boot_source *src, const struct image *image, struct gmem *mem,
	struct kernel *ret, struct lacuna_error **err)
{
	struct multiboot multiboot;
	const char *hint, *found;
	if (linux_probe(image))
		return load_bzimage(src, image, mem, ret, err);
	const bool has_multiboot = multiboot_find(image, &multiboot);
	const struct elf_options o = {
		.pvh = src->fdt ? PVH_UNLESS_LINUX : PVH_ALWAYS,
		.multiboot = has_multiboot ? &multiboot : NULL,
	};
	if (elf_probe(image))
		return elf_load(image, &o, mem, ret, err);
	if (has_multiboot && multiboot.has_addresses)
		return multiboot_load(&multiboot, image, mem, ret, err);
	found = image_describe(image, &hint);
	return err_set(err, ENOEXEC,
		"is %s, not a kernel: %s%sa bzImage, an x86 ELF file or a multiboot kernel is needed",
		found, hint ? hint : "", hint ? "; " : "");
}

static int open_kernel(const struct boot_source *src, struct image *ret, struct lacuna_error **err)
{
	const struct boot_file *file = src->kernel;
	if (!file || file->path)
		return image_open(ret, file ? file->path : NULL, src->kernel_image,
			src->kernel_image_size, err);
	int fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? err_errno(err, "duplicate") : image_open_fd(ret, fd, err);
}

/* Who hands over to a kernel that starts in BOOT_MODE_PROT32. */
static const char *protocol_name(const struct kernel *kernel)
{
	return kernel->multiboot ? "multiboot" : "PVH";
}

/* How warnings call it. */
static const char *kernel_name(const struct boot_source *src, char number[24])
{
	if (!src->kernel)
		return "(built in)";
	snprintf(number, 24, "fd %d", src->kernel->number);
	return src->kernel->path ? src->kernel->path : number;
}

static int open_and_load_kernel(const struct boot_source *src, struct gmem *mem, struct kernel *ret,
	struct lacuna_error **err)
{
	const struct boot_file *file = src->kernel;
	struct image image = { .fd = -1 };
	int rc = open_kernel(src, &image, err);
	if (rc == 0)
		rc = load_kernel(src, &image, mem, ret, err);
	image_close(&image);
	if (rc == 0 && ret->mode == BOOT_MODE_PROT32 && src->fdt && !src->rsdp)
		rc = err_set(err, ENOEXEC,
			"is entered by %s, which hands over no device tree: give tables=acpi",
			protocol_name(ret));
	if (file && !file->path)
		return err_prefix(err, rc, "kernel fd %d", file->number);
	return err_prefix(err, rc, "kernel '%s'", file ? file->path : "(built in)");
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

/* What came through the unpacker was looked through then; else it is now, in RAM. */
static bool has_trait(const struct kernel *kernel, const struct gmem *mem, unsigned trait)
{
	if (kernel->traits_known)
		return kernel->traits & trait;
	const size_t size = kernel->end - LAYOUT_KERNEL;
	const void *image = gmem_ptr(mem, LAYOUT_KERNEL, size);
	return image && traits_find(image, size, trait);
}

/* Old or small kernels: with ACPI they are up, but without a single device. */
static void warn_of_mcfg(
	const struct boot_source *src, const struct kernel *kernel, const struct gmem *mem)
{
	char number[24];
	if (src->no_type1 && src->rsdp && kernel->is_linux && !has_trait(kernel, mem, TRAIT_MCFG))
		log_warning(&src->log, "kernel",
			"'%s' is built without CONFIG_PCI_MMCONFIG and will find no PCI with "
			"config=ecam; give --pci config=both or config=type1",
			kernel_name(src, number));
}

/* A kernel that finds no PCI ends without a word of why. */
static void warn_of_fdt(
	const struct boot_source *src, const struct kernel *kernel, const struct gmem *mem)
{
	char number[24];
	const char *name = kernel_name(src, number);
	if (kernel->mode == BOOT_MODE_PROT32)
		log_warning(&src->log, "kernel",
			"'%s' is entered by %s, which hands over no device tree: it gets the ACPI "
			"tables only",
			name, protocol_name(kernel));
	else if (src->rsdp)
		return;
	else if (kernel->packed)
		log_warning(&src->log, "kernel",
			"'%s' is packed, so it can't be seen whether it reads device trees; stock "
			"kernels don't: they need ACPI and will find no PCI; for those give tables=acpi or "
			"both",
			name);
	else if (kernel->is_linux && !has_trait(kernel, mem, TRAIT_FDT))
		log_warning(&src->log, "kernel",
			"'%s' is built without CONFIG_OF_EARLY_FLATTREE and reads no device tree: it "
			"needs ACPI and will find no PCI; give tables=acpi or both",
			name);
}

static int linux_hand_over_all(const struct boot_source *src, const struct kernel *kernel,
	const struct initrd *initrd, const struct gmem *mem, struct lacuna_error **err)
{
	struct dtb dtb = { 0 };
	if (src->fdt) {
		struct dtb_config config = *src->fdt;
		config.cmdline = src->cmdline;
		config.initrd = initrd->gpa;
		config.initrd_size = initrd->size;
		int rc = dtb_build(&config, &dtb, err);
		if (rc < 0)
			return rc;
	}
	linux_hand_over(src, kernel, initrd, src->fdt ? &dtb : NULL, mem);
	page_tables_write(mem);
	dtb_done(&dtb);
	return 0;
}

int boot_load(const struct boot_source *src, struct gmem *mem, struct boot_entry *ret,
	struct lacuna_error **err)
{
	struct kernel kernel = { 0 };
	struct initrd initrd = { 0 };
	int rc = open_and_load_kernel(src, mem, &kernel, err);
	if (rc < 0)
		return rc;
	rc = initrd_load(src, &kernel, mem, &initrd, err);
	if (rc < 0)
		return rc;
	const size_t skip = kernel.multiboot ? src->cmdline_linux : 0;
	rc = write_cmdline(src->cmdline + skip, &kernel, mem, err);
	if (rc < 0)
		return rc;

	descriptors_write(mem);
	reset_entry_write(mem);
	*ret = (struct boot_entry){
		.mode = kernel.mode,
		.bzimage = kernel.bzimage,
		.cmdline_skip = skip,
		.ip = kernel.entry,
		.initrd = initrd.gpa,
		.initrd_size = initrd.size,
	};
	if (src->fdt)
		warn_of_fdt(src, &kernel, mem);
	warn_of_mcfg(src, &kernel, mem);
	if (kernel.multiboot) {
		multiboot_hand_over(src, &initrd, mem);
		ret->argument = LAYOUT_START_INFO;
		ret->magic = BOOT_MULTIBOOT_MAGIC;
	} else if (kernel.mode == BOOT_MODE_PROT32) {
		pvh_hand_over(src, &initrd, mem);
		ret->argument = LAYOUT_START_INFO;
	} else {
		rc = linux_hand_over_all(src, &kernel, &initrd, mem, err);
		ret->argument = LAYOUT_ZERO_PAGE;
		ret->page_table = LAYOUT_PAGE_TABLE;
	}
	return rc;
}
