// SPDX-License-Identifier: Apache-2.0
/* PVH direct boot: Xen's docs/misc/pvh.pandoc, public/elfnote.h and
 * public/arch-x86/hvm/start_info.h. */
#include <abi/layout.h>
#include <assert.h>
#include <elf.h>

#include "boot/kernel.h"
#include "util/err.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define NOTES_MAX                (1 * MIB) /* real kernels have less than 4 KiB */

enum {
	START_INFO_MAGIC_OFFSET = 0,
	START_INFO_VERSION = 4,
	START_INFO_NR_MODULES = 12,
	START_INFO_MODLIST = 16,
	START_INFO_CMDLINE = 24,
	START_INFO_RSDP = 32,
	START_INFO_MEMMAP = 40,
	START_INFO_MEMMAP_ENTRIES = 48,
	START_INFO_SIZE = 56,
	MODULE_SIZE = 32,
	MEMMAP_ENTRY_SIZE = 24,
	/* where we put the two tables, from the start of the start info */
	MODLIST_OFFSET = 0x40,
	MEMMAP_OFFSET = 0x80,
	HAND_OVER_SIZE = MEMMAP_OFFSET + E820_MAX * MEMMAP_ENTRY_SIZE,
};

#define START_INFO_MAGIC 0x336ec578

static_assert(START_INFO_SIZE <= MODLIST_OFFSET && MODLIST_OFFSET + MODULE_SIZE <= MEMMAP_OFFSET,
	"tables overlap");
static_assert(
	LAYOUT_START_INFO + HAND_OVER_SIZE <= LAYOUT_ZERO_PAGE, "start info outgrew its place");

int pvh_find_entry(const struct image *image, uint64_t offset, uint64_t size, uint64_t align,
	gpa_t *ret_entry, struct lacuna_error **err)
{
	if (size > NOTES_MAX)
		return err_set(err, EINVAL, "is a corrupt ELF file: %llu bytes of notes",
			(unsigned long long)size);
	if (align != 8)
		align = 4; /* gABI: 0 and 1 occur, and mean 4 */
	while (size >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		int rc = image_read(image, offset, &note, sizeof(note), err);
		if (rc < 0)
			return rc;
		uint64_t desc = align_up(sizeof(note) + (uint64_t)note.n_namesz, align);
		uint64_t total = align_up(desc + note.n_descsz, align);
		if (desc > size || note.n_descsz > size - desc)
			return err_set(
				err, EINVAL, "is a corrupt ELF file: a note exceeds its segment");
		char name[4];
		uint8_t entry[8] = { 0 };
		if (note.n_type == XEN_ELFNOTE_PHYS32_ENTRY && note.n_namesz == sizeof(name)) {
			rc = image_read(image, offset + sizeof(note), name, sizeof(name), err);
			if (rc < 0)
				return rc;
			if (!memcmp(name, "Xen", sizeof(name))) {
				if (note.n_descsz != 4 && note.n_descsz != 8)
					return err_set(err, EINVAL,
						"has a broken PVH note: an entry of %u bytes",
						note.n_descsz);
				rc = image_read(image, offset + desc, entry, note.n_descsz, err);
				if (rc < 0)
					return rc;
				*ret_entry = load_le64(entry);
				return 1;
			}
		}
		if (total >= size)
			break;
		offset += total;
		size -= total;
	}
	return 0;
}

void pvh_hand_over(
	const struct boot_source *src, const struct initrd *initrd, const struct gmem *mem)
{
	uint8_t info[HAND_OVER_SIZE] = { 0 };

	store_le32(info + START_INFO_MAGIC_OFFSET, START_INFO_MAGIC);
	store_le32(info + START_INFO_VERSION, 1);
	store_le64(info + START_INFO_CMDLINE, LAYOUT_CMDLINE);
	store_le64(info + START_INFO_RSDP, src->rsdp);
	if (initrd->size) {
		store_le32(info + START_INFO_NR_MODULES, 1);
		store_le64(info + START_INFO_MODLIST, LAYOUT_START_INFO + MODLIST_OFFSET);
		store_le64(info + MODLIST_OFFSET, initrd->gpa);
		store_le64(info + MODLIST_OFFSET + 8, initrd->size);
	}
	store_le64(info + START_INFO_MEMMAP, LAYOUT_START_INFO + MEMMAP_OFFSET);
	store_le32(info + START_INFO_MEMMAP_ENTRIES, src->e820->count);
	e820_store(src->e820, info + MEMMAP_OFFSET, MEMMAP_ENTRY_SIZE);
	gmem_write(mem, LAYOUT_START_INFO, info, sizeof(info));
}
