/* SPDX-License-Identifier: Apache-2.0 */
/* What the two ways into the 32-bit guest share: words on the serial port, and the end. */
#ifndef GUEST32_H
#define GUEST32_H

#include <stdbool.h>
#include <stdint.h>

enum { FAIL_MAGIC = 200, FAIL_STATE, FAIL_FLAGS, FAIL_MEMMAP, FAIL_MODULE, FAIL_RSDP };

void put(const char *s);
void put_number(uint32_t n);
const void *at(uint64_t address);
void put_cmdline(const char *cmdline);

/* Writes @code to the exit port, as kvm-unit-tests do, with four bytes. */
_Noreturn void end(uint32_t code);
_Noreturn void fail(uint32_t code, const char *what);

/* The number after code= in a command line; 0 if there is none. */
uint32_t code_of(const char *cmdline);

/* Protected mode without paging and interrupts, flat segments, address line 20 open (Multiboot
 * 0.6.96, 3.2; Xen's docs/misc/pvh.pandoc). */
bool state_is_right(uint32_t eflags);

#endif
