// SPDX-License-Identifier: Apache-2.0
/* The interrupt descriptor table (Intel SDM volume 3, 6.14) and what happens behind it. */
#include "trap.h"

#include "apic.h"
#include "guest.h"
#include "io.h"
#include "print.h"

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "Intel SDM volume 3, figure 6-8");

extern const uint8_t trap_vectors[]; /* vectors.S */
volatile uint32_t trap_count[TRAP_VECTORS];

static struct gate idt[TRAP_VECTORS];
static void (*handlers[TRAP_VECTORS])(void);

void trap_handle(const struct trap_frame *frame); /* called by vectors.S */

void trap_load(void)
{
	struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} pointer = { sizeof(idt) - 1, (uint64_t)idt };
	__asm__ volatile("lidt %0" : : "m"(pointer));
}

void trap_init(void)
{
	for (unsigned i = 0; i < TRAP_VECTORS; i++) {
		uint64_t entry = (uint64_t)(trap_vectors + i * 16ul);
		idt[i] = (struct gate){
			.offset_low = entry,
			.selector = 0x10,
			.type = 0x8e, /* present, interrupt gate */
			.offset_middle = entry >> 16,
			.offset_high = entry >> 32,
		};
	}
	trap_load();
}

void trap_set_handler(unsigned vector, void (*handler)(void))
{
	handlers[vector] = handler;
}

void trap_handle(const struct trap_frame *frame)
{
	if (frame->vector < TRAP_EXTERNAL) {
		uint64_t cr2;
		__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
		print("exception %lu error 0x%lx rip 0x%lx rsp 0x%lx cr2 0x%lx\n", frame->vector,
			frame->error, frame->rip, frame->rsp, cr2);
		guest_exit(GUEST_EXIT_TRAP);
	}
	if (handlers[frame->vector])
		handlers[frame->vector]();
	__atomic_add_fetch(&trap_count[frame->vector], 1, __ATOMIC_SEQ_CST);
	if (frame->vector != TRAP_SPURIOUS)
		apic_eoi();
}

void trap_wait(unsigned vector, uint32_t seen)
{
	for (;;) {
		__asm__ volatile("cli" : : : "memory");
		if (trap_count[vector] != seen)
			break;
		__asm__ volatile("sti; hlt" : : : "memory"); /* sti takes effect after hlt began */
	}
	__asm__ volatile("sti" : : : "memory");
}
