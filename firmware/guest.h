/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a freestanding guest is given, and the ways it can end. Each guest defines guest_main();
 * what it returns is written to the exit-code port.
 */
#ifndef FIRMWARE_GUEST_H
#define FIRMWARE_GUEST_H

#include <stdint.h>

/* Exit codes of the library itself. */
#define GUEST_EXIT_TRAP  254 /* an exception that nobody expected */
#define GUEST_EXIT_USAGE 253 /* the command line asks for nothing we know */

int guest_main(void);

/* boot_params of the Linux boot protocol. */
extern const uint8_t *guest_boot_params;

_Noreturn void guest_exit(uint8_t code); /* port 0xF4 */
_Noreturn void guest_power_off(void);    /* ACPI S5 through the sleep control register */
_Noreturn void guest_hang(void);         /* for ever, with interrupts off */

/* A guest of many parts: runs the one that the command line names with test=NAME. */
struct guest_case {
	const char *name;
	int (*run)(void);
};
int guest_run_case(const struct guest_case *cases, unsigned count);

#define GUEST_CASES(cases) guest_run_case(cases, sizeof(cases) / sizeof((cases)[0]))

#endif
