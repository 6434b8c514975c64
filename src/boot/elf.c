// SPDX-License-Identifier: Apache-2.0
/* ELF kernels of both classes: System V ABI, chapters 4 and 5. Segments go to their physical
 * addresses. */
#include <abi/layout.h>
#include <elf.h>

#include "boot/kernel.h"
#include "util/err.h"

#define SEGMENTS_MAX 64 /* vmlinux has 5 or so */

bool elf_probe(const struct image *image)
{
	uint8_t magic[SELFMAG];
	return image_read(image, 0, magic, sizeof(magic), NULL) == 0 &&
	       !memcmp(magic, ELFMAG, SELFMAG);
}

static const char *machine_name(unsigned machine)
{
	switch (machine) {
	case EM_386:
		return "i386";
	case EM_X86_64:
		return "x86-64 (x32)";
	case EM_ARM:
		return "ARM";
	case EM_AARCH64:
		return "AArch64";
	case EM_RISCV:
		return "RISC-V";
	case EM_PPC64:
		return "PowerPC64";
	case EM_S390:
		return "s390";
	case EM_LOONGARCH:
		return "LoongArch";
	case EM_MIPS:
		return "MIPS";
	}
	return "another machine";
}

static const char *type_name(unsigned type)
{
	switch (type) {
	case ET_REL:
		return "a relocatable object";
	case ET_DYN:
		return "a shared object or position-independent program";
	case ET_CORE:
		return "a core dump";
	}
	return "of unknown type";
}

/* What is used of a header, of either class. */
struct elf {
	bool wide; /* ELFCLASS64 */
	uint16_t type, machine;
	uint64_t entry, phoff;
	uint16_t phentsize, phnum;
};

/* Copies the fields of a header of the class that @h_ and @wide_ say. */
#define ELF_HEADER(h_, wide_)                                                                \
	(struct elf)                                                                         \
	{                                                                                    \
		.wide = (wide_), .type = (h_).e_type, .machine = (h_).e_machine,             \
		.entry = (h_).e_entry, .phoff = (h_).e_phoff, .phentsize = (h_).e_phentsize, \
		.phnum = (h_).e_phnum,                                                       \
	}
#define ELF_SEGMENT(p_)                                                                   \
	(struct segment)                                                                  \
	{                                                                                 \
		.type = (p_).p_type, .offset = (p_).p_offset, .file_size = (p_).p_filesz, \
		.virtual = (p_).p_vaddr, .gpa = (p_).p_paddr, .size = (p_).p_memsz,       \
		.align = (p_).p_align,                                                    \
	}

static int read_fields(
	const struct image *image, bool wide, struct elf *ret, struct lacuna_error **err)
{
	Elf64_Ehdr h64;
	Elf32_Ehdr h32;
	int rc = wide ? image_read(image, 0, &h64, sizeof(h64), err)
		      : image_read(image, 0, &h32, sizeof(h32), err);
	if (rc < 0)
		return rc;
	*ret = wide ? ELF_HEADER(h64, true) : ELF_HEADER(h32, false);
	return 0;
}

static int read_header(const struct image *image, struct elf *ret, struct lacuna_error **err)
{
	uint8_t ident[EI_NIDENT];
	int rc = image_read(image, 0, ident, sizeof(ident), err);
	if (rc < 0)
		return rc;
	const bool wide = ident[EI_CLASS] == ELFCLASS64;
	if ((!wide && ident[EI_CLASS] != ELFCLASS32) || ident[EI_VERSION] != EV_CURRENT)
		return err_set(err, EINVAL, "is a corrupt ELF file: class %u, version %u",
			ident[EI_CLASS], ident[EI_VERSION]);
	if (ident[EI_DATA] != ELFDATA2LSB)
		return err_set(
			err, ENOEXEC, "is a big-endian ELF file: use a kernel built for x86-64");
	rc = read_fields(image, wide, ret, err);
	if (rc < 0)
		return rc;
	if (ret->machine != (wide ? EM_X86_64 : EM_386))
		return err_set(err, ENOEXEC,
			"is %s ELF file for %s (machine %u): use a kernel built for x86-64",
			wide ? "an" : "a 32-bit", machine_name(ret->machine), ret->machine);
	if (ret->type != ET_EXEC)
		return err_set(err, ENOEXEC, "is an ELF file, but %s: use a vmlinux or a bzImage",
			type_name(ret->type));
	if (ret->phentsize != (wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) || !ret->phnum ||
		ret->phnum > SEGMENTS_MAX)
		return err_set(err, EINVAL, "is a corrupt ELF file: %u program headers of %u bytes",
			ret->phnum, ret->phentsize);
	return 0;
}

static int read_segments(const struct image *image, const struct elf *elf,
	struct segment ret[SEGMENTS_MAX], struct lacuna_error **err)
{
	union {
		Elf64_Phdr h64[SEGMENTS_MAX];
		Elf32_Phdr h32[SEGMENTS_MAX];
	} raw;
	int rc = image_read(image, elf->phoff, &raw, (size_t)elf->phnum * elf->phentsize, err);
	for (unsigned i = 0; rc == 0 && i < elf->phnum; i++)
		ret[i] = elf->wide ? ELF_SEGMENT(raw.h64[i]) : ELF_SEGMENT(raw.h32[i]);
	return rc;
}

/* Both have been checked, so no sum wraps. */
static bool overlap(const struct segment *a, const struct segment *b)
{
	return a->gpa < b->gpa + b->size && b->gpa < a->gpa + a->size;
}

/* What is loaded of a file. */
struct parts {
	struct segment seg[SEGMENTS_MAX];
	unsigned count;
	gpa_t pvh_entry;
	bool has_pvh;
};

/*
 * The entry is virtual by the letter of the ABI and physical in vmlinux: whichever a segment holds.
 * 0 if none does.
 */
static gpa_t find_entry(const struct parts *parts, uint64_t entry)
{
	for (unsigned i = 0; i < parts->count; i++) {
		const struct segment *s = &parts->seg[i];
		if (entry >= s->virtual && entry - s->virtual < s->size)
			return s->gpa + (entry - s->virtual);
	}
	for (unsigned i = 0; i < parts->count; i++)
		if (segment_holds(&parts->seg[i], entry))
			return entry;
	return 0;
}

static gpa_t find_pvh_entry(const struct parts *parts)
{
	for (unsigned i = 0; i < parts->count; i++)
		if (segment_holds(&parts->seg[i], parts->pvh_entry))
			return parts->pvh_entry;
	return 0;
}

/* What the notes of one segment say; 0 or an error. */
static int read_notes(const struct image *image, const struct segment *s, enum pvh_use pvh,
	struct parts *parts, struct kernel *k, struct lacuna_error **err)
{
	int rc = 0;
	if (pvh != PVH_NEVER && !parts->has_pvh)
		rc = pvh_find_entry(
			image, s->offset, s->file_size, s->align, &parts->pvh_entry, err);
	parts->has_pvh |= rc > 0;
	/* notes of others may be broken where nothing depends on them */
	k->is_linux |= notes_find_linux(image, s->offset, s->file_size, s->align, NULL) > 0;
	return rc < 0 ? rc : 0;
}

/* Takes a segment that is to be loaded. */
static int add_segment(const struct image *image, const struct segment *s, const struct gmem *mem,
	struct parts *parts, struct kernel *k, struct lacuna_error **err)
{
	int rc = segment_check(s, image, mem, err);
	if (rc < 0)
		return rc;
	for (unsigned j = 0; j < parts->count; j++)
		if (overlap(s, &parts->seg[j]))
			return err_set(err, EINVAL,
				"is a corrupt ELF file: segments overlap at address 0x%llx",
				(unsigned long long)max_u64(s->gpa, parts->seg[j].gpa));
	parts->seg[parts->count++] = *s;
	k->end = max_u64(k->end, s->gpa + s->size);
	return 0;
}

static int read_parts(const struct image *image, const struct elf *elf, enum pvh_use pvh,
	const struct gmem *mem, struct parts *ret, struct kernel *k, struct lacuna_error **err)
{
	struct segment seg[SEGMENTS_MAX];
	int rc = read_segments(image, elf, seg, err);
	for (unsigned i = 0; rc == 0 && i < elf->phnum; i++) {
		const struct segment *s = &seg[i];
		if (s->type == PT_INTERP)
			rc = err_set(err, ENOEXEC,
				"is a dynamically linked program: use a vmlinux or a bzImage");
		else if (s->type == PT_NOTE)
			rc = read_notes(image, s, pvh, ret, k, err);
		else if (s->type == PT_LOAD && s->size)
			rc = add_segment(image, s, mem, ret, k, err);
	}
	if (rc == 0 && !ret->count)
		rc = err_set(err, EINVAL, "is an ELF file with nothing to load");
	return rc;
}

/*
 * Of several ways in: PVH, of which a kernel that has it knows more than multiboot can say; then
 * multiboot; then, for 64-bit kernels, Linux's.
 */
static int choose_entry(const struct elf *elf, const struct elf_options *o,
	const struct parts *parts, struct kernel *k, struct lacuna_error **err)
{
	const bool linux_entry = elf->wide && o->pvh == PVH_UNLESS_LINUX && k->is_linux;
	const bool pvh = parts->has_pvh && !linux_entry;
	if (!pvh && o->multiboot) {
		int rc = multiboot_check(o->multiboot, err);
		if (rc < 0)
			return rc;
		k->multiboot = true;
	}
	if (!elf->wide && !pvh && !k->multiboot)
		return err_set(err, ENOEXEC,
			"is a 32-bit ELF file with neither a PVH note nor a multiboot header: use a "
			"kernel built for x86-64");
	k->mode = pvh || k->multiboot ? BOOT_MODE_PROT32 : BOOT_MODE_LONG64;
	k->entry = pvh ? find_pvh_entry(parts) : find_entry(parts, elf->entry);
	if (!k->entry)
		return err_set(err, EINVAL,
			"is a corrupt ELF file: its entry 0x%llx is in no segment",
			(unsigned long long)(pvh ? parts->pvh_entry : elf->entry));
	return 0;
}

int elf_load(const struct image *image, const struct elf_options *o, struct gmem *mem,
	struct kernel *ret, struct lacuna_error **err)
{
	struct elf elf = { 0 };
	struct parts parts = { 0 };
	struct kernel k = {
		.initrd_end_max = UINT64_MAX,
		.cmdline_max = LAYOUT_CMDLINE_MAX - 1,
	};
	int rc = read_header(image, &elf, err);
	if (rc == 0)
		rc = read_parts(image, &elf, o->pvh, mem, &parts, &k, err);
	/* address fields of a multiboot header take the place of ELF's (3.1.3) */
	if (rc == 0 && !parts.has_pvh && o->multiboot && o->multiboot->has_addresses)
		return multiboot_load(o->multiboot, image, mem, ret, err);
	if (rc == 0)
		rc = choose_entry(&elf, o, &parts, &k, err);
	if (rc == 0)
		rc = segments_load(parts.seg, parts.count, image, mem, err);
	if (rc == 0)
		*ret = k;
	return rc;
}
