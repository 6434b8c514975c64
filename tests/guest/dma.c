// SPDX-License-Identifier: Apache-2.0
/*
 * A driver for the DMA engine of examples/custom-pci.c, whose registers are told there.
 *   test=copy    copies and checksums, awaited by MSI-X interrupt
 *   test=limit   the capability that lets the driver set a limit
 *   test=bad     no bus mastering, addresses that are no RAM, registers accessed in parts, commands
 *                while busy, interrupts that are masked
 *   test=reset   resets of the function while it is at work
 */
#include <stdbool.h>
#include <stddef.h>

#include "apic.h"
#include "guest.h"
#include "io.h"
#include "pci.h"
#include "print.h"
#include "string.h"
#include "trap.h"

#define VENDOR 0x1234
#define DEVICE 0xd3a0
#define VECTOR 0x51

#define SOURCE  0x00
#define TARGET  0x08
#define LENGTH  0x10
#define COMMAND 0x18
#define STATUS  0x20
#define RESULT  0x28

#define COPY     1
#define CHECKSUM 2

#define IDLE   0
#define BUSY   1
#define DONE   2
#define FAILED 3

#define E_PERM    1
#define E_FAULT   14
#define E_MSGSIZE 90

#define LIMIT     4 /* in the capability */
#define LIMIT_MAX (1 << 20)

#define SIZE 100001

static uint8_t from[SIZE], to[SIZE + 1];
static unsigned bdf;
static uint64_t regs;

static int fail(const char *what)
{
	print("FAILED: %s\n", what);
	return 1;
}

static uint64_t reg(unsigned at)
{
	return mem_read(regs + at, 8);
}

static void set(unsigned at, uint64_t value)
{
	mem_write(regs + at, value, 8);
}

static void master(bool on)
{
	pci_write(pci_preferred(), bdf, PCI_COMMAND, 2,
		PCI_COMMAND_MEMORY | (on ? PCI_COMMAND_MASTER : 0));
}

static bool find(void)
{
	uint64_t state = 1;
	pci_init();
	int found = pci_find(VENDOR, DEVICE);
	if (found < 0)
		return false;
	bdf = found;
	regs = pci_bar_map(bdf, 0);
	apic_enable();
	for (unsigned i = 0; i < SIZE; i++)
		from[i] = random_next(&state);
	master(true);
	return pci_msix_route(bdf, 0, VECTOR);
}

static void begin(uint64_t command, uint64_t source, uint64_t target, uint64_t length)
{
	set(SOURCE, source);
	set(TARGET, target);
	set(LENGTH, length);
	set(COMMAND, command);
}

static uint64_t end(void)
{
	while (reg(STATUS) == BUSY)
		;
	return reg(STATUS);
}

/* By interrupt; one of what was begun before may come late. */
static uint64_t carry_out(uint64_t command, uint64_t source, uint64_t target, uint64_t length)
{
	uint32_t seen = trap_count[VECTOR];
	begin(command, source, target, length);
	do {
		trap_wait(VECTOR, seen);
		seen = trap_count[VECTOR];
	} while (reg(STATUS) == BUSY);
	return reg(STATUS);
}

static bool copy_works(void)
{
	memset(to, 0, sizeof(to));
	if (carry_out(COPY, (uint64_t)from, (uint64_t)to, SIZE) != DONE)
		return false;
	return memcmp(from, to, SIZE) == 0 && to[SIZE] == 0;
}

static uint64_t checksum(const uint8_t *bytes, size_t size)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	for (size_t i = 0; i < size; i++)
		sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
	return sum;
}

static int test_copy(void)
{
	static const uint32_t sizes[] = { 0, 1, 7, 4095, 4096, 4097, SIZE };
	if (!find())
		return fail("no engine");
	if (reg(STATUS) != IDLE || !copy_works())
		return fail("the copy is not the original");
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (carry_out(CHECKSUM, (uint64_t)from, 0, sizes[i]) != DONE ||
			reg(RESULT) != checksum(from, sizes[i]))
			return fail("checksum");
	}
	print("copy: %u bytes, %u interrupts\n", SIZE, trap_count[VECTOR]);
	return 0;
}

static int test_limit(void)
{
	if (!find())
		return fail("no engine");
	enum pci_mechanism m = pci_preferred();
	unsigned cap = pci_find_capability(bdf, PCI_CAP_VENDOR, 0);
	if (!cap || pci_read(m, bdf, cap + 2, 2) != 0x0108)
		return fail("no capability");
	if (pci_read(m, bdf, cap + LIMIT, 4) != LIMIT_MAX)
		return fail("the limit at first");
	pci_write(m, bdf, cap + 2, 2, 0xffff);
	pci_write(m, bdf, cap, 2, 0);
	if (pci_read(m, bdf, cap + 2, 2) != 0x0108 || pci_read(m, bdf, cap, 1) != PCI_CAP_VENDOR)
		return fail("what is read-only was written");
	pci_write(m, bdf, cap + LIMIT, 4, 64);
	if (carry_out(CHECKSUM, (uint64_t)from, 0, 65) != FAILED || reg(RESULT) != E_MSGSIZE)
		return fail("65 bytes with a limit of 64");
	if (carry_out(CHECKSUM, (uint64_t)from, 0, 64) != DONE)
		return fail("64 bytes with a limit of 64");
	pci_write(m, bdf, cap + LIMIT + 3, 1, 0xff);
	if (pci_read(m, bdf, cap + LIMIT, 4) != LIMIT_MAX)
		return fail("a limit that is too large");
	pci_write(m, bdf, cap + LIMIT, 4, 1);
	pci_function_reset(bdf);
	if (pci_read(m, bdf, cap + LIMIT, 4) != LIMIT_MAX)
		return fail("the limit after a reset");
	print("limit: kept\n");
	return 0;
}

static bool parts_are_ignored(void)
{
	set(SOURCE, 0x1122334455667788);
	for (unsigned size = 1; size <= 4; size *= 2)
		for (unsigned at = 0; at < 0x30; at += size) {
			mem_write(regs + at, UINT64_MAX, size);
			if (mem_read(regs + at, size))
				return false;
		}
	mem_write(regs + 4, UINT64_MAX, 8);
	mem_write(regs + 4096 - 8, UINT64_MAX, 8);
	return mem_read(regs + 4, 8) == 0 && mem_read(regs + 4096 - 8, 8) == 0 &&
	       reg(SOURCE) == 0x1122334455667788 && reg(STATUS) != BUSY;
}

static bool masked_interrupt_waits(void)
{
	uint32_t seen = trap_count[VECTOR];
	pci_msix_mask(bdf, 0);
	begin(CHECKSUM, (uint64_t)from, 0, 8);
	if (end() != DONE || trap_count[VECTOR] != seen)
		return false;
	pci_msix_route(bdf, 0, VECTOR); /* unmasks, and then it comes */
	trap_wait(VECTOR, seen);
	return true;
}

/* Interrupts are writes to memory, too: this one comes when it may. */
static bool nothing_without_mastering(void)
{
	uint32_t seen = trap_count[VECTOR];
	master(false);
	begin(COPY, (uint64_t)from, (uint64_t)to, 8);
	if (end() != FAILED || reg(RESULT) != E_PERM || to[0] || trap_count[VECTOR] != seen)
		return false;
	master(true);
	trap_wait(VECTOR, seen);
	return true;
}

static int test_bad(void)
{
	static const uint64_t places[] = { UINT64_C(0xe0000000), UINT64_C(0xc0000000),
		UINT64_C(0xfee00000), UINT64_C(0x1000000000000), UINT64_MAX, UINT64_MAX - 4095,
		UINT64_C(0x8000000000000000) };
	if (!find())
		return fail("no engine");
	if (!nothing_without_mastering())
		return fail("memory was reached without bus mastering");
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (carry_out(COPY, places[i], (uint64_t)to, 16) != FAILED ||
			reg(RESULT) != E_FAULT)
			return fail("read of what is no RAM");
		if (carry_out(COPY, (uint64_t)from, places[i], 16) != FAILED ||
			reg(RESULT) != E_FAULT)
			return fail("write to what is no RAM");
	}
	if (carry_out(COPY, (uint64_t)from, regs, 16) != FAILED)
		return fail("write to its own registers");
	if (carry_out(COPY, (uint64_t)from, (uint64_t)to, UINT64_MAX) != FAILED)
		return fail("more bytes than there are");
	if (!parts_are_ignored())
		return fail("a register was reached in parts");
	if (!masked_interrupt_waits())
		return fail("an interrupt that was masked");
	set(COMMAND, 0);
	set(COMMAND, 3);
	set(STATUS, BUSY);
	if (reg(STATUS) != DONE)
		return fail("a command that there isn't");
	if (!copy_works())
		return fail("no service in the end");
	print("bad: refused\n");
	return 0;
}

static bool untouched(void)
{
	for (unsigned i = 0; i < sizeof(to); i++)
		if (to[i] != 0xee)
			return false;
	return true;
}

static int test_reset(void)
{
	if (!find())
		return fail("no engine");
	for (unsigned round = 0; round < 50; round++) {
		begin(COPY, (uint64_t)from, (uint64_t)to, SIZE);
		set(SOURCE, 0); /* while busy: ignored, or it is done already */
		pci_function_reset(bdf);
		if (reg(STATUS) != IDLE || reg(SOURCE) || reg(LENGTH))
			return fail("registers after a reset");
		memset(to, 0xee, sizeof(to));
		if (!pci_msix_route(bdf, 0, VECTOR))
			return fail("no MSI-X");
		if (round % 2) /* the next piece of work comes while the old one may be under way */
			begin(CHECKSUM, (uint64_t)from, 0, 1000 + round);
		if (round % 2 && (end() != DONE || reg(RESULT) != checksum(from, 1000 + round)))
			return fail("the work after a reset");
		if (!untouched())
			return fail("a copy went on after the reset");
	}
	if (!copy_works())
		return fail("no service in the end");
	print("reset: works\n");
	return 0;
}

int guest_main(void)
{
	static const struct guest_case cases[] = {
		{ "copy", test_copy },
		{ "limit", test_limit },
		{ "bad", test_bad },
		{ "reset", test_reset },
	};
	return GUEST_CASES(cases);
}
