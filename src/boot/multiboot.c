// SPDX-License-Identifier: Apache-2.0
/*
 * Multiboot kernels: the Multiboot Specification, 0.6.96. The header is a promise of the file's
 * maker and is checked like one; the information structure is written below the kernel, where none
 * may be linked to.
 */
#include <abi/layout.h>
#include <assert.h>
#include <stdio.h>

#include "boot/kernel.h"
#include "util/err.h"

#define HEADER_MAGIC  0x1badb002
#define HEADER_WITHIN 8192 /* of the file, 3.1 */

/* flags of the header, 3.1.2: what a loader may not ignore are bits 0 to 15 */
#define WANTS_VIDEO   (1u << 2)
#define WANTS_KNOWN   3u /* modules on pages, which they are; memory sizes, which are there */
#define WANTS_MASK    0xffffu
#define HAS_ADDRESSES (1u << 16)

/* flags of the information, 3.3 */
#define INFO_MEMORY  (1u << 0)
#define INFO_CMDLINE (1u << 2)
#define INFO_MODULES (1u << 3)
#define INFO_MEMMAP  (1u << 6)
#define INFO_LOADER  (1u << 9)

enum {
	HEADER_SIZE = 12,
	HEADER_WITH_ADDRESSES = 32,
	/* fields of the information */
	INFO_FLAGS = 0,
	INFO_MEM_LOWER = 4,
	INFO_MEM_UPPER = 8,
	INFO_CMDLINE_AT = 16,
	INFO_MODULE_COUNT = 20,
	INFO_MODULES_AT = 24,
	INFO_MEMMAP_SIZE = 44,
	INFO_MEMMAP_AT = 48,
	INFO_LOADER_AT = 64,
	INFO_SIZE = 116,
	MODULE_SIZE = 16,
	MEMMAP_SIZE = 24, /* with the field that says 20 */
	/* where we put what it points to */
	LOADER_OFFSET = 0x78,
	MODULES_OFFSET = 0x80,
	MEMMAP_OFFSET = MODULES_OFFSET + MODULES_MAX * MODULE_SIZE,
	NAMES_OFFSET = 0x400,
	NAME_SIZE = 96,
	HAND_OVER_SIZE = NAMES_OFFSET + MODULES_MAX * NAME_SIZE,
};

static_assert(MEMMAP_OFFSET + E820_MAX * MEMMAP_SIZE <= NAMES_OFFSET, "tables overlap");
static_assert(LAYOUT_START_INFO + HAND_OVER_SIZE <= LAYOUT_ZERO_PAGE,
	"multiboot information outgrew its place");

bool multiboot_find(const struct image *image, struct multiboot *ret)
{
	uint8_t head[HEADER_WITHIN];
	const size_t size = (size_t)min_u64(image->size, sizeof(head));
	if (image_read(image, 0, head, size, NULL) < 0)
		return false;
	for (size_t at = 0; at + HEADER_SIZE <= size; at += 4) {
		const uint8_t *p = head + at;
		const uint32_t flags = load_le32(p + 4);
		if (load_le32(p) != HEADER_MAGIC || HEADER_MAGIC + flags + load_le32(p + 8))
			continue;
		*ret = (struct multiboot){ .offset = at, .flags = flags };
		if (!(flags & HAS_ADDRESSES))
			return true;
		if (size - at < HEADER_WITH_ADDRESSES)
			continue;
		ret->has_addresses = true;
		ret->header = load_le32(p + 12);
		ret->load = load_le32(p + 16);
		ret->load_end = load_le32(p + 20);
		ret->bss_end = load_le32(p + 24);
		ret->entry = load_le32(p + 28);
		return true;
	}
	return false;
}

int multiboot_check(const struct multiboot *m, struct lacuna_error **err)
{
	if (m->flags & WANTS_VIDEO)
		return err_set(err, ENOEXEC,
			"has a multiboot header that asks for a video mode, and there is no display: "
			"build it without (flag 2)");
	if (m->flags & WANTS_MASK & ~WANTS_KNOWN)
		return err_set(err, ENOEXEC,
			"has a multiboot header with flags 0x%x, of which 0x%x are unknown here",
			m->flags, m->flags & WANTS_MASK & ~WANTS_KNOWN);
	return 0;
}

/* What the address fields say of the file, 3.1.3; that it fits is segment_check()'s. */
static int describe(const struct multiboot *m, const struct image *image, struct segment *ret,
	struct lacuna_error **err)
{
	if (m->header < m->load || m->header - m->load > m->offset)
		return err_set(err, EINVAL,
			"is corrupt: its multiboot header at %llu says that it goes to 0x%x, and all to 0x%x",
			(unsigned long long)m->offset, m->header, m->load);
	uint64_t offset = m->offset - (m->header - m->load);
	uint64_t load_end = m->load_end ? m->load_end : m->load + (image->size - offset);
	uint64_t end = m->bss_end ? m->bss_end : load_end;
	if (load_end <= m->load || end < load_end)
		return err_set(err, EINVAL,
			"is corrupt: its multiboot header says that it goes to 0x%x, ends at 0x%llx, and "
			"with .bss at 0x%llx",
			m->load, (unsigned long long)load_end, (unsigned long long)end);
	*ret = (struct segment){
		.offset = offset,
		.file_size = load_end - m->load,
		.gpa = m->load,
		.size = end - m->load,
	};
	return 0;
}

int multiboot_load(const struct multiboot *m, const struct image *image, struct gmem *mem,
	struct kernel *ret, struct lacuna_error **err)
{
	struct segment s = { 0 };
	int rc = multiboot_check(m, err);
	if (rc == 0)
		rc = describe(m, image, &s, err);
	if (rc == 0)
		rc = segment_check(&s, image, mem, err);
	if (rc == 0 && !segment_holds(&s, m->entry))
		rc = err_set(err, EINVAL,
			"is corrupt: the entry 0x%x of its multiboot header is outside of what is loaded",
			m->entry);
	if (rc == 0)
		rc = segments_load(&s, 1, image, mem, err);
	if (rc < 0)
		return rc;
	*ret = (struct kernel){
		.mode = BOOT_MODE_PROT32,
		.multiboot = true,
		.entry = m->entry,
		.end = s.gpa + s.size,
		.initrd_end_max = UINT64_MAX,
		.cmdline_max = LAYOUT_CMDLINE_MAX - 1,
	};
	return 0;
}

/* A module's string is the kernel's to make something of (3.3); its file's name is what we know. */
static void store_name(const struct boot_file *file, uint8_t to[NAME_SIZE])
{
	const char *path = file->path ? file->path : "";
	const char *slash = strrchr(path, '/');
	snprintf((char *)to, NAME_SIZE, "%s", slash ? slash + 1 : path);
}

static void store_modules(
	const struct boot_source *src, const struct initrd *initrd, uint8_t info[HAND_OVER_SIZE])
{
	for (size_t i = 0; i < src->initrd_count; i++) {
		const struct module *module = &initrd->module[i];
		uint8_t *p = info + MODULES_OFFSET + i * MODULE_SIZE;
		const size_t name = NAMES_OFFSET + i * NAME_SIZE;
		store_le32(p, (uint32_t)module->gpa);
		store_le32(p + 4, (uint32_t)(module->gpa + module->size));
		store_le32(p + 8, (uint32_t)(LAYOUT_START_INFO + name));
		store_name(&src->initrds[i], info + name);
	}
	store_le32(info + INFO_MODULE_COUNT, (uint32_t)src->initrd_count);
	store_le32(info + INFO_MODULES_AT, LAYOUT_START_INFO + MODULES_OFFSET);
}

/*
 * Where base memory ends, as a PC's BIOS says it: Xen believes the lower of this and mem_lower, and
 * puts its first code below, or below 0 if it finds nothing here.
 */
static void write_bios_data(const struct gmem *mem)
{
	uint8_t ebda[2], base_memory[2];
	store_le16(ebda, LAYOUT_EBDA >> 4);
	store_le16(base_memory, LAYOUT_EBDA / KIB);
	gmem_write(mem, LAYOUT_BDA_EBDA, ebda, sizeof(ebda));
	gmem_write(mem, LAYOUT_BDA_MEMORY, base_memory, sizeof(base_memory));
}

void multiboot_hand_over(
	const struct boot_source *src, const struct initrd *initrd, const struct gmem *mem)
{
	uint8_t info[HAND_OVER_SIZE] = { 0 };
	const struct e820 *map = src->e820;

	store_le32(info + INFO_FLAGS,
		INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MEMMAP | INFO_LOADER);
	store_le32(info + INFO_MEM_LOWER, LAYOUT_EBDA / KIB);
	store_le32(info + INFO_MEM_UPPER, (uint32_t)((mem->region[0].size - MIB) / KIB));
	store_le32(info + INFO_CMDLINE_AT, LAYOUT_CMDLINE);
	store_modules(src, initrd, info);
	store_le32(info + INFO_MEMMAP_SIZE, map->count * MEMMAP_SIZE);
	store_le32(info + INFO_MEMMAP_AT, LAYOUT_START_INFO + MEMMAP_OFFSET);
	for (unsigned i = 0; i < map->count; i++) /* each is preceded by its own size */
		store_le32(info + MEMMAP_OFFSET + (size_t)i * MEMMAP_SIZE, MEMMAP_SIZE - 4);
	e820_store(map, info + MEMMAP_OFFSET + 4, MEMMAP_SIZE);
	store_le32(info + INFO_LOADER_AT, LAYOUT_START_INFO + LOADER_OFFSET);
	memcpy(info + LOADER_OFFSET, "lacuna", sizeof("lacuna"));
	gmem_write(mem, LAYOUT_START_INFO, info, sizeof(info));
	write_bios_data(mem);
}
