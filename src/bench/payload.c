// SPDX-License-Identifier: Apache-2.0
/* ELF and firmware images made by hand. The code is the same in 16, 32 and 64 bits. */
#include "bench/payload.h"

#include <abi/layout.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define FIRMWARE_SIZE            0x10000
#define RESET_VECTOR             0xfff0

const uint8_t payload_exit[] = {
	0xe6, LAYOUT_PORT_EXIT_CODE, /* out %al, $port */
	0xf4,                        /* hlt */
	0xeb, 0xfd,                  /* jmp to it */
};
const size_t payload_exit_size = sizeof(payload_exit);

/* Writes to the serial port may be kept by KVM; the read makes it hand them out. In 32 bits. */
const uint8_t payload_halt[] = {
	0x66, 0xba, 0xf8, 0x03, /* mov $0x3f8, %dx */
	0xee,                   /* out %al, %dx */
	0x66, 0xba, 0xfd, 0x03, /* mov $0x3fd, %dx: line status */
	0xec,                   /* in %dx, %al */
	0xf4,                   /* hlt */
	0xeb, 0xfd,             /* jmp to it */
};
const size_t payload_halt_size = sizeof(payload_halt);

int payload_blank(struct payload *p, const char *name, uint64_t size, struct why *why)
{
	p->fd = memfd_create(name, MFD_CLOEXEC);
	if (p->fd < 0 || ftruncate(p->fd, (off_t)size) < 0) {
		why_set(why, "make '%s' in memory: %s", name, strerror(errno));
		payload_close(p);
		return -1;
	}
	snprintf(p->path, sizeof(p->path), "/proc/%d/fd/%d", getpid(), p->fd);
	return 0;
}

static int make_file(
	struct payload *p, const char *name, const void *data, size_t size, struct why *why)
{
	if (payload_blank(p, name, 0, why) < 0)
		return -1;
	if (pwrite(p->fd, data, size, 0) == (ssize_t)size)
		return 0;
	why_set(why, "make a guest: %s", strerror(errno));
	payload_close(p);
	return -1;
}

int payload_elf(struct payload *p, const uint8_t *code, size_t size, struct why *why)
{
	struct {
		Elf64_Ehdr header;
		Elf64_Phdr load, note;
		struct {
			Elf64_Nhdr header;
			char name[4];
			uint64_t entry;
		} pvh;
		uint8_t code[64];
	} image = {
		.header = {
			.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
				EV_CURRENT },
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_entry = LAYOUT_KERNEL,
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 2,
		},
		.load = {
			.p_type = PT_LOAD,
			.p_flags = PF_R | PF_X,
			.p_vaddr = LAYOUT_KERNEL,
			.p_paddr = LAYOUT_KERNEL,
			.p_filesz = size,
			.p_memsz = size,
			.p_align = 1,
		},
		.note = { .p_type = PT_NOTE, .p_flags = PF_R, .p_align = 4 },
		.pvh = {
			.header = { sizeof(image.pvh.name), sizeof(image.pvh.entry),
				XEN_ELFNOTE_PHYS32_ENTRY },
			.name = "Xen",
			.entry = LAYOUT_KERNEL,
		},
	};
	const char *base = (const char *)&image;
	image.header.e_phoff = (uint64_t)((const char *)&image.load - base);
	image.load.p_offset = (uint64_t)((const char *)image.code - base);
	image.note.p_offset = (uint64_t)((const char *)&image.pvh - base);
	image.note.p_filesz = image.note.p_memsz = sizeof(image.pvh);
	if (size > sizeof(image.code))
		return why_set(why, "a guest of %zu bytes is too large", size);
	memcpy(image.code, code, size);
	return make_file(p, "lacuna-bench-elf", &image, sizeof(image), why);
}

int payload_firmware(struct payload *p, const uint8_t *code, size_t size, struct why *why)
{
	uint8_t image[FIRMWARE_SIZE];
	memset(image, 0xf4, sizeof(image));
	memcpy(image + RESET_VECTOR, code, size < 16 ? size : 16);
	return make_file(p, "lacuna-bench-firmware", image, sizeof(image), why);
}

void payload_close(struct payload *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}
