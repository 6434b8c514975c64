/* SPDX-License-Identifier: Apache-2.0 */
/* The other processors. */
#ifndef FIRMWARE_SMP_H
#define FIRMWARE_SMP_H

#include <stdint.h>

#define SMP_TRAMPOLINE 0x10000 /* as in trampoline.S */
#define SMP_STACK_SIZE 4096
#define SMP_MAX        255

/*
 * Starts every other processor that the MADT or, without one, the device tree lists; each runs
 * @run(number) on its own stack, with interrupts off, and halts when that returns. Numbers count
 * from 1 in order of arrival. Returns how many were started, without waiting for them. Once per
 * guest.
 */
unsigned smp_start(void (*run)(unsigned number));

#endif
