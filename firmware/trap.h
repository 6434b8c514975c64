/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions and interrupts. An exception reports itself and ends the guest; interrupts are
 * counted. */
#ifndef FIRMWARE_TRAP_H
#define FIRMWARE_TRAP_H

#include <stdint.h>

#define TRAP_VECTORS  256
#define TRAP_EXTERNAL 32 /* the first vector that is not an exception */
#define TRAP_SPURIOUS 255

/* On the stack when trap_handle() runs; the last five were pushed by the processor. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

/* How often each vector came, on any processor. */
extern volatile uint32_t trap_count[TRAP_VECTORS];

void trap_init(void); /* builds the table and loads it */
void trap_load(void); /* loads it on another processor */

/* Called for @vector before it is acknowledged. */
void trap_set_handler(unsigned vector, void (*handler)(void));

/* Sleeps, with interrupts on, until trap_count[vector] is not @seen. */
void trap_wait(unsigned vector, uint32_t seen);

#endif
