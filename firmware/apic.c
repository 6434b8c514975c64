// SPDX-License-Identifier: Apache-2.0
/* x2APIC (Intel SDM volume 3, 11.12) and 82093AA IOAPIC. */
#include "apic.h"

#include <abi/layout.h>

#include "io.h"
#include "trap.h"

#define MSR_APIC_BASE    0x1b
#define APIC_BASE_X2APIC 0xc00 /* EXTD, EN */
#define MSR_X2APIC_ID    0x802
#define MSR_X2APIC_EOI   0x80b
#define MSR_X2APIC_SPIV  0x80f
#define MSR_X2APIC_ICR   0x830

#define IOAPIC_SELECT 0x00
#define IOAPIC_WINDOW 0x10
#define IOAPIC_ENTRY  0x10 /* two registers an input */

void apic_enable(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
	wrmsr(MSR_X2APIC_SPIV, 0x100 | TRAP_SPURIOUS);
}

uint32_t apic_id(void)
{
	return rdmsr(MSR_X2APIC_ID);
}

void apic_eoi(void)
{
	wrmsr(MSR_X2APIC_EOI, 0);
}

void apic_send(uint32_t to, uint32_t command)
{
	wrmsr(MSR_X2APIC_ICR, (uint64_t)to << 32 | command);
}

static void ioapic_write(unsigned reg, uint32_t value)
{
	mem_write(LAYOUT_IOAPIC_BASE + IOAPIC_SELECT, reg, 4);
	mem_write(LAYOUT_IOAPIC_BASE + IOAPIC_WINDOW, value, 4);
}

void ioapic_route(unsigned gsi, unsigned vector)
{
	ioapic_write(IOAPIC_ENTRY + gsi * 2 + 1, apic_id() << 24);
	ioapic_write(IOAPIC_ENTRY + gsi * 2, vector);
}
