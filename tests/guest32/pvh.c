// SPDX-License-Identifier: Apache-2.0
/*
 * The same guest by its other way in, a PVH note: checks the state that it starts in and the
 * hvm_start_info (Xen, public/arch-x86/hvm/start_info.h) that it is handed, prints it, and ends as
 * multiboot.c does.
 */
#include <stddef.h>

#include "guest32.h"
#include "serial.h"

#define INFO_MAGIC 0x336ec578u
#define RAM        1u
#define MIB        0x100000u

struct info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};

struct module {
	uint64_t address, size, cmdline, reserved;
};

struct range {
	uint64_t address, size;
	uint32_t type, reserved;
};

_Noreturn void start_pvh(const struct info *info, uint32_t eflags);

/* In KiB, what begins at 1 MiB; 0 if the map is out of order or has nothing below that. */
static uint32_t upper_memory(const struct info *info)
{
	const struct range *r = at(info->memmap);
	uint32_t upper = 0;
	bool low = false;
	uint64_t last = 0;
	for (uint32_t i = 0; i < info->memmap_entries; i++, r++) {
		if (r->address < last || !r->size || r->reserved)
			return 0;
		last = r->address + r->size;
		low |= r->type == RAM && !r->address;
		if (r->type == RAM && r->address == MIB)
			upper = (uint32_t)(r->size >> 10);
	}
	return low ? upper : 0;
}

static bool is_rsdp(const uint8_t *p)
{
	static const char signature[8] = "RSD PTR ";
	uint8_t sum = 0;
	for (unsigned i = 0; i < 20; i++)
		sum = (uint8_t)(sum + p[i]);
	for (unsigned i = 0; i < sizeof(signature); i++)
		if (p[i] != (uint8_t)signature[i])
			return false;
	return !sum;
}

static void put_modules(const struct info *info)
{
	const struct module *m = at(info->modlist);
	for (uint32_t i = 0; i < info->nr_modules; i++, m++) {
		const uint8_t *p = at(m->address);
		uint32_t sum = 0;
		if (m->address >> 32 || m->size >> 32 || m->reserved)
			fail(FAIL_MODULE, "a module out of reach");
		for (uint32_t k = 0; k < (uint32_t)m->size; k++)
			sum += p[k];
		put("module size ");
		put_number((uint32_t)m->size);
		put(" sum ");
		put_number(sum);
		put("\n");
	}
}

void start_pvh(const struct info *info, uint32_t eflags)
{
	serial_init();
	if (info->magic != INFO_MAGIC)
		fail(FAIL_MAGIC, "EBX points to no hvm_start_info");
	if (!state_is_right(eflags))
		fail(FAIL_STATE, "the processor's state");
	if (info->version < 1 || info->flags || info->cmdline >> 32)
		fail(FAIL_FLAGS, "version or flags");
	if (!upper_memory(info))
		fail(FAIL_MEMMAP, "the memory map");
	if (!is_rsdp(at(info->rsdp)))
		fail(FAIL_RSDP, "no RSDP");
	put("PVH version ");
	put_number(info->version);
	put("\nupper ");
	put_number(upper_memory(info));
	put_cmdline(at(info->cmdline));
	put_modules(info);
	put("end\n");
	end(code_of(at(info->cmdline)));
}
