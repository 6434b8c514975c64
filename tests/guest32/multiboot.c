// SPDX-License-Identifier: Apache-2.0
/*
 * A multiboot kernel (Multiboot 0.6.96): checks the state that it starts in and the information
 * that it is handed, and prints what it was given. Ends with the number after code= in its command
 * line, written as kvm-unit-tests do, with four bytes; or, if something is wrong, with 200 and up.
 * 32-bit code, so of firmware/ it has only what needs no 64 bits.
 */
#include <abi/layout.h>
#include <stddef.h>
#include <stdint.h>

#include "guest32.h"
#include "io.h"
#include "serial.h"

#define BOOT_MAGIC  0x2badb002u
#define RAM         1u
#define EFLAGS_IF   (1u << 9)
#define EFLAGS_VM   (1u << 17)
#define CR0_PE      1u
#define CR0_PG      (1u << 31)
#define MIB         0x100000u
#define INFO_WANTED 0x24du /* memory sizes, command line, modules, memory map, loader's name */

struct information { /* 3.3 */
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4],
		mmap_length, mmap_addr, drives[2], config_table, boot_loader_name;
};

struct module {
	uint32_t start, end, string, reserved;
};

struct __attribute__((packed)) range {
	uint32_t size;
	uint64_t base, length;
	uint32_t type;
};

static volatile uint32_t line20; /* in an even MiB */

_Noreturn void start(uint32_t magic, const struct information *info, uint32_t eflags);

_Noreturn void end(uint32_t code)
{
	serial_drain();
	out32(LAYOUT_PORT_EXIT_CODE, code);
	for (;;)
		__asm__ volatile("hlt");
}

void put(const char *s)
{
	for (; *s; s++)
		serial_put(*s);
}

void put_number(uint32_t n)
{
	char digits[11], *p = digits + sizeof(digits) - 1;
	*p = '\0';
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	put(p);
}

void put_cmdline(const char *cmdline)
{
	put("\ncommand line '");
	put(cmdline);
	put("'\n");
}

_Noreturn void fail(uint32_t code, const char *what)
{
	put("FAILED: ");
	put(what);
	put("\n");
	end(code);
}

const void *at(uint64_t address)
{
	return (const void *)(uintptr_t)address;
}

/* Memory an odd MiB further on is other memory: the gate of address line 20 is open. */
static bool a20_is_open(void)
{
	volatile uint32_t *other = (volatile uint32_t *)((uintptr_t)&line20 + MIB);
	line20 = 0;
	*other = 1;
	return !line20 && *other == 1;
}

bool state_is_right(uint32_t eflags)
{
	uint32_t cr0, cs, ds, ss;
	__asm__ volatile("mov %%cr0, %0; mov %%cs, %1; mov %%ds, %2; mov %%ss, %3"
			 : "=r"(cr0), "=r"(cs), "=r"(ds), "=r"(ss));
	return (cr0 & CR0_PE) && !(cr0 & CR0_PG) && !(eflags & (EFLAGS_IF | EFLAGS_VM)) &&
	       cs != ds && ds == ss && a20_is_open();
}

/* RAM above 1 MiB that begins there, in KiB; what mem_upper must say. */
static uint32_t upper_memory(const struct information *info)
{
	uint32_t upper = 0, found = 0;
	uint64_t last = 0;
	for (uint32_t i = 0; i < info->mmap_length;) {
		const struct range *r = at(info->mmap_addr + i);
		if (r->size < sizeof(*r) - 4 || r->base < last)
			fail(FAIL_MEMMAP, "memory map out of order");
		last = r->base + r->length;
		if (r->type == RAM && r->base == MIB)
			upper = (uint32_t)(r->length >> 10);
		found += r->type == RAM;
		i += r->size + 4;
	}
	return found < 2 ? 0 : upper;
}

static void put_modules(const struct information *info)
{
	for (uint32_t i = 0; i < info->mods_count; i++) {
		const struct module *m = (const struct module *)at(info->mods_addr) + i;
		const uint8_t *p = at(m->start);
		uint32_t sum = 0;
		if (m->start & 0xfff)
			fail(FAIL_MODULE, "a module on no page");
		for (; p < (const uint8_t *)at(m->end); p++)
			sum += *p;
		put("module '");
		put(at(m->string));
		put("' size ");
		put_number(m->end - m->start);
		put(" sum ");
		put_number(sum);
		put("\n");
	}
}

uint32_t code_of(const char *cmdline)
{
	uint32_t code = 0;
	for (const char *p = cmdline; *p; p++)
		if (p[0] == 'c' && p[1] == 'o' && p[2] == 'd' && p[3] == 'e' && p[4] == '=')
			for (const char *d = p + 5; *d >= '0' && *d <= '9'; d++)
				code = code * 10 + (uint32_t)(*d - '0');
	return code;
}

void start(uint32_t magic, const struct information *info, uint32_t eflags)
{
	serial_init();
	if (magic != BOOT_MAGIC)
		fail(FAIL_MAGIC, "EAX is not the magic number");
	if (!state_is_right(eflags))
		fail(FAIL_STATE, "the processor's state");
	if ((info->flags & INFO_WANTED) != INFO_WANTED)
		fail(FAIL_FLAGS, "something is not in the information");
	if (!info->mem_upper || info->mem_upper != upper_memory(info))
		fail(FAIL_MEMMAP, "memory map and memory size differ");
	put("multiboot from ");
	put(at(info->boot_loader_name));
	put("\nlower ");
	put_number(info->mem_lower);
	put(" upper ");
	put_number(info->mem_upper);
	put_cmdline(at(info->cmdline));
	put_modules(info);
	put("end\n");
	end(code_of(at(info->cmdline)));
}
