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

/* The notes that are left of a segment. */
struct notes {
	const struct image *image;
	uint64_t offset, size, align;
};

struct note {
	Elf64_Nhdr header;
	char name[6];  /* its beginning */
	uint64_t desc; /* where its content is in the file */
};

static int notes_open(struct notes *ret, const struct image *image, uint64_t offset, uint64_t size,
	uint64_t align, struct lacuna_error **err)
{
	if (size > NOTES_MAX)
		return err_set(err, EINVAL, "is a corrupt ELF file: %llu bytes of notes",
			(unsigned long long)size);
	/* gABI: 0 and 1 occur, and mean 4 */
	*ret = (struct notes){ image, offset, size, align == 8 ? 8 : 4 };
	return 0;
}

/* Takes the next note: 1; 0 if there is none; -EINVAL if it is broken. */
static int notes_next(struct notes *n, struct note *ret, struct lacuna_error **err)
{
	struct note note = { 0 };
	if (n->size < sizeof(note.header))
		return 0;
	int rc = image_read(n->image, n->offset, &note.header, sizeof(note.header), err);
	if (rc < 0)
		return rc;
	uint64_t desc = align_up(sizeof(note.header) + (uint64_t)note.header.n_namesz, n->align);
	if (desc > n->size || note.header.n_descsz > n->size - desc)
		return err_set(err, EINVAL, "is a corrupt ELF file: a note exceeds its segment");
	rc = image_read(n->image, n->offset + sizeof(note.header), note.name,
		min_u64(note.header.n_namesz, sizeof(note.name)), err);
	if (rc < 0)
		return rc;
	note.desc = n->offset + desc;
	uint64_t total = min_u64(align_up(desc + note.header.n_descsz, n->align), n->size);
	n->offset += total;
	n->size -= total;
	*ret = note;
	return 1;
}

static bool note_is_of(const struct note *note, const char *owner)
{
	size_t size = strlen(owner) + 1;
	return note->header.n_namesz == size && !memcmp(note->name, owner, size);
}

int pvh_find_entry(const struct image *image, uint64_t offset, uint64_t size, uint64_t align,
	gpa_t *ret_entry, struct lacuna_error **err)
{
	struct notes notes = { 0 };
	struct note note = { 0 };
	uint8_t entry[8] = { 0 };
	int rc = notes_open(&notes, image, offset, size, align, err);
	if (rc < 0)
		return rc;
	while ((rc = notes_next(&notes, &note, err)) > 0) {
		uint32_t len = note.header.n_descsz;
		if (note.header.n_type != XEN_ELFNOTE_PHYS32_ENTRY || !note_is_of(&note, "Xen"))
			continue;
		if (len != 4 && len != 8)
			return err_set(
				err, EINVAL, "has a broken PVH note: an entry of %u bytes", len);
		rc = image_read(image, note.desc, entry, len, err);
		if (rc < 0)
			return rc;
		*ret_entry = load_le64(entry);
		return 1;
	}
	return rc;
}

int notes_find_linux(const struct image *image, uint64_t offset, uint64_t size, uint64_t align,
	struct lacuna_error **err)
{
	struct notes notes = { 0 };
	struct note note = { 0 };
	int rc = notes_open(&notes, image, offset, size, align, err);
	while (rc >= 0 && (rc = notes_next(&notes, &note, err)) > 0)
		if (note_is_of(&note, "Linux"))
			return 1;
	return rc;
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
