// SPDX-License-Identifier: Apache-2.0
/* ELF64 kernels: System V ABI, chapters 4 and 5. Segments go to their physical addresses. */
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

static int read_header(const struct image *image, Elf64_Ehdr *ret, struct lacuna_error **err)
{
	uint8_t ident[EI_NIDENT];
	int rc = image_read(image, 0, ident, sizeof(ident), err);
	if (rc < 0)
		return rc;
	if (ident[EI_CLASS] == ELFCLASS32)
		return err_set(err, ENOEXEC, "is a 32-bit ELF file: use a kernel built for x86-64");
	if (ident[EI_CLASS] != ELFCLASS64 || ident[EI_VERSION] != EV_CURRENT)
		return err_set(err, EINVAL, "is a corrupt ELF file: class %u, version %u",
			ident[EI_CLASS], ident[EI_VERSION]);
	if (ident[EI_DATA] != ELFDATA2LSB)
		return err_set(
			err, ENOEXEC, "is a big-endian ELF file: use a kernel built for x86-64");
	rc = image_read(image, 0, ret, sizeof(*ret), err);
	if (rc < 0)
		return rc;
	if (ret->e_machine != EM_X86_64)
		return err_set(err, ENOEXEC,
			"is an ELF file for %s (machine %u): use a kernel built for x86-64",
			machine_name(ret->e_machine), ret->e_machine);
	if (ret->e_type != ET_EXEC)
		return err_set(err, ENOEXEC, "is an ELF file, but %s: use a vmlinux or a bzImage",
			type_name(ret->e_type));
	if (ret->e_phentsize != sizeof(Elf64_Phdr) || !ret->e_phnum || ret->e_phnum > SEGMENTS_MAX)
		return err_set(err, EINVAL, "is a corrupt ELF file: %u program headers of %u bytes",
			ret->e_phnum, ret->e_phentsize);
	return 0;
}

static int check_segment(const struct image *image, const Elf64_Phdr *p, const struct gmem *mem,
	struct lacuna_error **err)
{
	uint64_t ram = mem->region[0].size;
	if (p->p_filesz > p->p_memsz)
		return err_set(err, EINVAL,
			"is a corrupt ELF file: a segment is larger in the file than in memory");
	if (p->p_offset > image->size || p->p_filesz > image->size - p->p_offset)
		return err_set(err, EINVAL,
			"is a truncated ELF file: has %llu bytes, but a segment of %llu bytes begins at %llu",
			(unsigned long long)image->size, (unsigned long long)p->p_filesz,
			(unsigned long long)p->p_offset);
	if (p->p_paddr < LAYOUT_KERNEL)
		return err_set(err, ENOEXEC,
			"has a segment at address 0x%llx, where the boot data lie: link it at 0x%x or above",
			(unsigned long long)p->p_paddr, LAYOUT_KERNEL);
	if (p->p_paddr > ram || p->p_memsz > ram - p->p_paddr)
		return err_set(err, EFBIG,
			"does not fit: a segment of 0x%llx bytes at address 0x%llx, and the guest has %llu MiB "
			"below 4 GiB: give it more memory",
			(unsigned long long)p->p_memsz, (unsigned long long)p->p_paddr,
			(unsigned long long)(ram / MIB));
	return 0;
}

/* Both have been checked, so no sum wraps. */
static bool overlap(const Elf64_Phdr *a, const Elf64_Phdr *b)
{
	return a->p_paddr < b->p_paddr + b->p_memsz && b->p_paddr < a->p_paddr + a->p_memsz;
}

/*
 * e_entry is virtual by the letter of the ABI and physical in vmlinux: whichever a segment holds.
 * @count counts @seg. 0 if none does.
 */
static gpa_t find_entry(const Elf64_Phdr *seg, unsigned count, uint64_t entry)
{
	for (unsigned i = 0; i < count; i++)
		if (entry >= seg[i].p_vaddr && entry - seg[i].p_vaddr < seg[i].p_memsz)
			return seg[i].p_paddr + (entry - seg[i].p_vaddr);
	for (unsigned i = 0; i < count; i++)
		if (entry >= seg[i].p_paddr && entry - seg[i].p_paddr < seg[i].p_memsz)
			return entry;
	return 0;
}

static bool holds(const Elf64_Phdr *seg, unsigned count, gpa_t gpa)
{
	for (unsigned i = 0; i < count; i++)
		if (gpa >= seg[i].p_paddr && gpa - seg[i].p_paddr < seg[i].p_memsz)
			return true;
	return false;
}

static int load_segment(const struct image *image, const Elf64_Phdr *p, const struct gmem *mem,
	struct lacuna_error **err)
{
	int rc = image_load(image, p->p_offset, p->p_filesz, mem, p->p_paddr, err);
	if (rc < 0)
		return rc;
	/* .bss: RAM need not be fresh, the VM may have been reset */
	uint64_t bss = p->p_memsz - p->p_filesz;
	void *hva = gmem_ptr(mem, p->p_paddr + p->p_filesz, bss);
	if (bss && hva)
		memset(hva, 0, bss);
	return 0;
}

/* What the notes of one segment say; 0 or an error. */
static int read_notes(const struct image *image, const Elf64_Phdr *p, enum pvh_use pvh,
	struct kernel *k, gpa_t *pvh_entry, struct lacuna_error **err)
{
	int rc = 0;
	if (pvh != PVH_NEVER && k->mode != BOOT_MODE_PROT32)
		rc = pvh_find_entry(image, p->p_offset, p->p_filesz, p->p_align, pvh_entry, err);
	if (rc > 0)
		k->mode = BOOT_MODE_PROT32;
	/* notes of others may be broken where nothing depends on them */
	k->is_linux |= notes_find_linux(image, p->p_offset, p->p_filesz, p->p_align, NULL) > 0;
	return rc < 0 ? rc : 0;
}

int elf_load(const struct image *image, enum pvh_use pvh, const struct gmem *mem,
	struct kernel *ret, struct lacuna_error **err)
{
	Elf64_Ehdr eh = { 0 };
	Elf64_Phdr seg[SEGMENTS_MAX] = { 0 }; /* all headers, then [0, count): what is loaded */
	struct kernel k = {
		.mode = BOOT_MODE_LONG64,
		.initrd_end_max = UINT64_MAX,
		.cmdline_max = LAYOUT_CMDLINE_MAX - 1,
	};
	unsigned count = 0;
	gpa_t pvh_entry = 0;

	int rc = read_header(image, &eh, err);
	if (rc < 0)
		return rc;
	rc = image_read(image, eh.e_phoff, seg, eh.e_phnum * sizeof(seg[0]), err);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr p = seg[i];
		if (p.p_type == PT_INTERP)
			return err_set(err, ENOEXEC,
				"is a dynamically linked program: use a vmlinux or a bzImage");
		if (p.p_type == PT_NOTE) {
			rc = read_notes(image, &p, pvh, &k, &pvh_entry, err);
			if (rc < 0)
				return rc;
		}
		if (p.p_type != PT_LOAD || !p.p_memsz)
			continue;
		rc = check_segment(image, &p, mem, err);
		if (rc < 0)
			return rc;
		for (unsigned j = 0; j < count; j++)
			if (overlap(&p, &seg[j]))
				return err_set(err, EINVAL,
					"is a corrupt ELF file: segments overlap at address 0x%llx",
					(unsigned long long)max_u64(p.p_paddr, seg[j].p_paddr));
		seg[count++] = p;
		k.end = max_u64(k.end, p.p_paddr + p.p_memsz);
	}
	if (!count)
		return err_set(err, EINVAL, "is an ELF file with nothing to load");
	if (pvh == PVH_UNLESS_LINUX && k.is_linux)
		k.mode = BOOT_MODE_LONG64;
	if (k.mode == BOOT_MODE_PROT32)
		k.entry = holds(seg, count, pvh_entry) ? pvh_entry : 0;
	else
		k.entry = find_entry(seg, count, eh.e_entry);
	if (!k.entry)
		return err_set(err, EINVAL,
			"is a corrupt ELF file: its entry 0x%llx is in no segment",
			(unsigned long long)(k.mode == BOOT_MODE_PROT32 ? pvh_entry : eh.e_entry));
	for (unsigned i = 0; i < count; i++) {
		rc = load_segment(image, &seg[i], mem, err);
		if (rc < 0)
			return rc;
	}
	*ret = k;
	return 0;
}
