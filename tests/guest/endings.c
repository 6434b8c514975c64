// SPDX-License-Identifier: Apache-2.0
/*
 * Every way a guest can end, or not end. test=poweroff, cf9, acpi-reset, i8042, triple-fault, hang,
 * exit code=N.
 */
#include <abi/layout.h>

#include "acpi.h"
#include "cmdline.h"
#include "guest.h"
#include "io.h"
#include "print.h"
#include "serial.h"
#include "string.h"

#define FADT_RESET_REG   116 /* ACPI 6.5, table 5.9 */
#define FADT_RESET_VALUE 128
#define GAS_IO           1

static int still_here(void)
{
	print("FAILED: the machine goes on\n");
	return 1;
}

static int test_poweroff(void)
{
	guest_power_off();
}

/* As Linux does (arch/x86/kernel/reboot.c, BOOT_CF9_FORCE). */
static int test_cf9(void)
{
	uint8_t value = in8(LAYOUT_PORT_RESET) & ~0x0e;
	out8(LAYOUT_PORT_RESET, value | 0x02);
	out8(LAYOUT_PORT_RESET, value | 0x0e);
	return still_here();
}

static int test_acpi_reset(void)
{
	const uint8_t *fadt = acpi_find("FACP");
	uint64_t address;
	if (!fadt || fadt[FADT_RESET_REG] != GAS_IO) {
		print("FAILED: no reset register in I/O space\n");
		return 1;
	}
	memcpy(&address, fadt + FADT_RESET_REG + 4, 8);
	print("reset register 0x%lx value 0x%x\n", address, fadt[FADT_RESET_VALUE]);
	serial_drain();
	out8(address, fadt[FADT_RESET_VALUE]);
	return still_here();
}

static int test_i8042(void)
{
	out8(LAYOUT_PORT_I8042, 0xfe); /* pulse the reset line */
	return still_here();
}

static int test_triple_fault(void)
{
	struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} none = { 0, 0 };
	__asm__ volatile("lidt %0; ud2" : : "m"(none));
	return still_here();
}

static int test_hang(void)
{
	print("hang\n");
	serial_drain();
	guest_hang();
}

static int test_exit(void)
{
	return cmdline_number("code", 0);
}

int guest_main(void)
{
	static const struct guest_case cases[] = {
		{ "poweroff", test_poweroff },
		{ "cf9", test_cf9 },
		{ "acpi-reset", test_acpi_reset },
		{ "i8042", test_i8042 },
		{ "triple-fault", test_triple_fault },
		{ "hang", test_hang },
		{ "exit", test_exit },
	};
	return GUEST_CASES(cases);
}
