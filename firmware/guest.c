// SPDX-License-Identifier: Apache-2.0
/* From entry to guest_main(), and the ways to end. */
#include "guest.h"

#include <abi/layout.h>

#include "cmdline.h"
#include "io.h"
#include "print.h"
#include "serial.h"
#include "string.h"
#include "trap.h"

const uint8_t *guest_boot_params;

_Noreturn void guest_start(const uint8_t *boot_params); /* called by start.S */

_Noreturn void guest_start(const uint8_t *boot_params)
{
	guest_boot_params = boot_params;
	trap_init();
	serial_init();
	guest_exit(guest_main());
}

_Noreturn void guest_hang(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

_Noreturn void guest_exit(uint8_t code)
{
	serial_drain();
	out8(LAYOUT_PORT_EXIT_CODE, code);
	guest_hang();
}

_Noreturn void guest_power_off(void)
{
	serial_drain();
	out8(LAYOUT_PORT_SLEEP_CTRL, LAYOUT_SLEEP_TYPE_S5 << 2 | 1 << 5); /* SLP_TYP, SLP_EN */
	guest_hang();
}

int guest_run_case(const struct guest_case *cases, unsigned count)
{
	char name[32];
	cmdline_get("test", name, sizeof(name));
	for (unsigned i = 0; i < count; i++)
		if (str_equal(cases[i].name, name))
			return cases[i].run();
	print("no test '%s' here\n", name);
	return GUEST_EXIT_USAGE;
}
