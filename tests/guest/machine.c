// SPDX-License-Identifier: Apache-2.0
/*
 * The machine around the devices.
 *   test=cpus      starts every processor that the tables list; each tells its APIC id by three
 * ways test=cpuid     what CPUID shows and hides test=ram       writes and reads every MiB that
 * E820 calls RAM test=unowned   ports and addresses that nobody owns read all ones and swallow
 * writes test=output    prints size=N bytes test=echo      sends back what it receives, by
 * interrupt, up to a full stop test=button    waits for the power button and powers off test=early
 * has interrupts on, but no interrupt controller set up, when the button comes
 */
#include <abi/layout.h>
#include <stdbool.h>
#include <stddef.h>

#include "acpi.h"
#include "apic.h"
#include "cmdline.h"
#include "guest.h"
#include "hypervisor.h"
#include "io.h"
#include "paging.h"
#include "pci.h"
#include "print.h"
#include "serial.h"
#include "smp.h"
#include "string.h"
#include "trap.h"

#define VECTOR_SERIAL 0x40
#define VECTOR_GED    0x41
#define MIB           UINT64_C(0x100000)

/* --- processors --- */

struct identity {
	uint32_t apic, leaf1, leaf11;
};

static struct identity seen[SMP_MAX];
static volatile unsigned arrived;

static void identify(unsigned number)
{
	seen[number] = (struct identity){
		.apic = apic_id(),
		.leaf1 = cpuid(1, 0).ebx >> 24,
		.leaf11 = cpuid(0, 0).eax >= 11 ? cpuid(11, 0).edx : cpuid(1, 0).ebx >> 24,
	};
	__atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
}

static int test_cpus(void)
{
	static bool present[SMP_MAX];
	unsigned others = smp_start(identify);
	identify(0);
	while (arrived != others + 1)
		__asm__ volatile("pause");
	for (unsigned i = 0; i <= others; i++) {
		if (seen[i].apic != seen[i].leaf1 || seen[i].apic != seen[i].leaf11 ||
			seen[i].apic >= SMP_MAX || present[seen[i].apic]) {
			print("FAILED: apic %u leaf1 %u leaf11 %u\n", seen[i].apic, seen[i].leaf1,
				seen[i].leaf11);
			return 1;
		}
		present[seen[i].apic] = true;
	}
	print("cpus: %u logical %u\n", others + 1, cpuid(1, 0).ebx >> 16 & 0xff);
	return 0;
}

static int test_cpuid(void)
{
	uint32_t max = cpuid(0, 0).eax, ecx = cpuid(1, 0).ecx;
	uint32_t extended = cpuid(0x80000000, 0).eax >= 0x80000001 ? cpuid(0x80000001, 0).ecx : 0;
	print("cpuid: vmx %u svm %u x2apic %u hypervisor %u deadline %u\n", ecx >> 5 & 1,
		extended >> 2 & 1, ecx >> 21 & 1, ecx >> 31, ecx >> 24 & 1);
	print("kvm: leaf 0x%x features 0x%08x\n", kvm_leaf(), kvm_features());
	if (max >= 0x15) {
		struct cpuid_regs r = cpuid(0x15, 0);
		print("leaf15: %u %u %u\n", r.eax, r.ebx, r.ecx);
	}
	if (kvm_leaf() && cpuid(kvm_leaf(), 0).eax >= kvm_leaf() + 0x10)
		print("leaf40000010: %u\n", cpuid(kvm_leaf() + 0x10, 0).eax);
	print("tsc: %lu kHz\n", tsc_khz());
	return 0;
}

/* --- memory --- */

#define BP_E820_ENTRIES 0x1e8
#define BP_E820_TABLE   0x2d0
#define E820_ENTRY_SIZE 20
#define E820_RAM        1

static uint64_t pattern(uint64_t addr)
{
	return addr * UINT64_C(0x9e3779b97f4a7c15);
}

/* Walks RAM a MiB at a time, above this image; stores or checks; returns the MiB seen, or 0. */
static uint64_t walk_ram(bool check)
{
	uint64_t count = 0;
	for (unsigned i = 0; i < guest_boot_params[BP_E820_ENTRIES]; i++) {
		const uint8_t *entry =
			guest_boot_params + BP_E820_TABLE + (size_t)i * E820_ENTRY_SIZE;
		uint64_t base, size;
		uint32_t type;
		memcpy(&base, entry, 8);
		memcpy(&size, entry + 8, 8);
		memcpy(&type, entry + 16, 4);
		if (type != E820_RAM || base + size < 4 * MIB)
			continue;
		if (!check && base >= UINT64_C(1) << 32)
			paging_map(base, size);
		for (uint64_t at = base < 4 * MIB ? 4 * MIB : base; at + 8 <= base + size;
			at += MIB) {
			if (!check)
				mem_write(at, pattern(at), 8);
			else if (mem_read(at, 8) != pattern(at))
				return 0;
			count++;
		}
		/* the very last bytes */
		if (!check)
			mem_write(base + size - 8, pattern(size), 8);
		else if (mem_read(base + size - 8, 8) != pattern(size))
			return 0;
	}
	return count;
}

static int test_ram(void)
{
	uint64_t written = walk_ram(false), found = walk_ram(true);
	print("ram: %lu MiB written, %lu MiB found\n", written, found);
	return written && written == found ? 0 : 1;
}

/* Outside RAM, devices and the window; 8 bytes each. */
static const uint64_t empty_memory[] = { LAYOUT_PCI32_BASE + LAYOUT_PCI32_SIZE - 8,
	LAYOUT_ECAM_BASE + LAYOUT_ECAM_MAX_SIZE, 0xfed00000, LAYOUT_IOAPIC_BASE - 8, 0xffc00000 };
static const uint16_t empty_ports[] = { 0x20c, 0x2f8, 0x80, 0x3e8, 0x5658, 0xb000, 0xfffc };

static int test_unowned(void)
{
	unsigned wrong = 0, count = 0;
	for (unsigned i = 0; i < sizeof(empty_ports) / sizeof(empty_ports[0]); i++) {
		uint16_t port = empty_ports[i];
		out8(port, 0);
		out16(port, 0);
		out32(port, 0);
		count += 3;
		wrong += in8(port) != 0xff;
		wrong += in16(port) != 0xffff;
		wrong += in32(port) != 0xffffffff;
	}
	for (unsigned i = 0; i < sizeof(empty_memory) / sizeof(empty_memory[0]); i++)
		for (unsigned size = 1; size <= 8; size *= 2) {
			mem_write(empty_memory[i], 0, size);
			count++;
			wrong += mem_read(empty_memory[i], size) != ones(size);
		}
	print("unowned: %u places, %u wrong\n", count, wrong);
	return wrong ? 1 : 0;
}

/* --- serial port --- */

static int test_output(void)
{
	for (uint64_t left = cmdline_number("size", 1000); left; left--)
		serial_put(left % 64 == 1 ? '\n' : '0' + left % 10);
	return 0;
}

static int test_echo(void)
{
	char c = 0;
	apic_enable();
	ioapic_route(LAYOUT_GSI_SERIAL, VECTOR_SERIAL);
	out8(LAYOUT_PORT_SERIAL + SERIAL_IER, 0x01); /* received data */
	print("ready\n");
	serial_drain();
	while (c != '.') {
		uint32_t count = trap_count[VECTOR_SERIAL];
		while (c != '.' && serial_get(&c))
			serial_put(c);
		if (c != '.')
			trap_wait(VECTOR_SERIAL, count);
	}
	print("\nend\n");
	return 0;
}

/* --- power button --- */

static int test_button(void)
{
	apic_enable();
	ioapic_route(LAYOUT_GSI_GED, VECTOR_GED);
	print("ready\n");
	serial_drain();
	trap_wait(VECTOR_GED, 0);
	if (in8(LAYOUT_PORT_GED) != LAYOUT_GED_POWER_BUTTON)
		return 1;
	out8(LAYOUT_PORT_GED, LAYOUT_GED_POWER_BUTTON);
	if (in8(LAYOUT_PORT_GED))
		return 2;
	guest_power_off();
}

/* The event must be there, and no interrupt, which without a controller has no vector. */
static int test_early(void)
{
	__asm__ volatile("sti");
	print("ready\n");
	serial_drain();
	while (!in8(LAYOUT_PORT_GED))
		__asm__ volatile("pause");
	for (unsigned vector = 0; vector < TRAP_VECTORS; vector++)
		if (trap_count[vector])
			return 1;
	return 0;
}

int guest_main(void)
{
	static const struct guest_case cases[] = {
		{ "cpus", test_cpus },
		{ "cpuid", test_cpuid },
		{ "ram", test_ram },
		{ "unowned", test_unowned },
		{ "output", test_output },
		{ "echo", test_echo },
		{ "button", test_button },
		{ "early", test_early },
	};
	return GUEST_CASES(cases);
}
