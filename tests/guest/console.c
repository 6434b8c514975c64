// SPDX-License-Identifier: Apache-2.0
/*
 * The other end of the serial port. test=echo: says "ready", sends back what it receives and powers
 * off at 'q'. test=flood: prints until it receives 'q'.
 */
#include "guest.h"
#include "print.h"
#include "serial.h"

static int test_echo(void)
{
	char c = 0;
	print("ready\n");
	do {
		while (!serial_get(&c))
			__asm__ volatile("pause");
		serial_put(c);
	} while (c != 'q');
	guest_power_off();
}

static int test_flood(void)
{
	char c = 0;
	while (!serial_get(&c) || c != 'q')
		print("the quick brown fox jumps over the lazy dog\n");
	guest_power_off();
}

int guest_main(void)
{
	static const struct guest_case cases[] = {
		{ "echo", test_echo },
		{ "flood", test_flood },
	};
	return GUEST_CASES(cases);
}
