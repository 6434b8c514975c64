// SPDX-License-Identifier: Apache-2.0
/* Starting processors: INIT, start-up, start-up (Intel SDM volume 3, 9.4.4.1). */
#include "smp.h"

#include "acpi.h"
#include "apic.h"
#include "fdt.h"
#include "string.h"
#include "trap.h"

extern const uint8_t trampoline[]; /* trampoline.S */
extern const uint32_t trampoline_size, trampoline_cr3_at;

/* Used by trampoline.S: the stack of number n ends at smp_stacks + n * SMP_STACK_SIZE. */
uint8_t smp_stacks[SMP_MAX * SMP_STACK_SIZE] __attribute__((aligned(16)));
uint32_t smp_next = 1;

static void (*entry)(unsigned number);

void smp_enter(unsigned number); /* called by trampoline.S */

void smp_enter(unsigned number)
{
	trap_load();
	apic_enable();
	entry(number);
}

unsigned smp_start(void (*run)(unsigned number))
{
	uint32_t ids[SMP_MAX];
	unsigned count = acpi_processors(ids, SMP_MAX), started = 0;
	if (!count)
		count = fdt_processors(ids, SMP_MAX);
	uint64_t cr3;
	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	uint8_t *copy = (uint8_t *)SMP_TRAMPOLINE;
	memcpy(copy, trampoline, trampoline_size);
	memcpy(copy + trampoline_cr3_at, &cr3, 4);
	entry = run;
	apic_enable();
	for (unsigned i = 0; i < count; i++) {
		if (ids[i] == apic_id())
			continue;
		apic_send(ids[i], APIC_ICR_INIT);
		apic_send(ids[i], APIC_ICR_STARTUP | SMP_TRAMPOLINE >> 12);
		apic_send(ids[i], APIC_ICR_STARTUP | SMP_TRAMPOLINE >> 12);
		started++;
	}
	return started;
}
