// SPDX-License-Identifier: Apache-2.0
/* What is found in a guest's console. */
#include "bench/boot_log.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void feed(struct boot_log *log, const char *text, uint64_t when)
{
	boot_log_feed(log, text, strlen(text), when);
}

Test(bench_boot_log, marker_in_pieces)
{
	struct boot_log log;
	boot_log_init(&log, "READY");
	feed(&log, "[    0.1] Booting\r\nREA", 10);
	feed(&log, "LLY READ", 20);
	cr_expect_eq(log.marker_ns, 0);
	feed(&log, "Y", 30); /* before its line has ended */
	cr_expect_eq(log.marker_ns, 30);
	feed(&log, "\nREADY\n", 40);
	cr_expect_eq(log.marker_ns, 30, "the first one counts");
}

Test(bench_boot_log, marker_does_not_span_lines)
{
	struct boot_log log;
	boot_log_init(&log, "READY");
	feed(&log, "REA\nDY\n", 10);
	cr_expect_eq(log.marker_ns, 0);
}

static void count(void *opaque)
{
	++*(int *)opaque;
}

/* Wherever it stands in a line that is longer than what is kept of it. */
Test(bench_boot_log, marker_in_a_long_line)
{
	for (size_t before = 0; before < 3000; before += 7) {
		struct boot_log log;
		char text[3008];
		int calls = 0;
		boot_log_init(&log, "READY");
		log.on_marker = count;
		log.opaque = &calls;
		memset(text, 'R', before);
		snprintf(text + before, sizeof("READY"), "READY");
		boot_log_feed(&log, text, before + 5, 7);
		feed(&log, "READY\n", 8);
		cr_expect_eq(log.marker_ns, 7, "after %zu bytes", before);
		cr_expect_eq(calls, 1, "after %zu bytes: %d calls", before, calls);
	}
}

Test(bench_boot_log, a_boot)
{
	struct boot_log log;
	boot_log_init(&log, "READY");
	feed(&log,
		"[    0.000000] Linux version 6.1\r\n"
		"[    0.000002] kvm-clock: using sched offset of 23456789 cycles\r\n"
		"[    0.100000] calling  pci_arch_init+0x0/0x6f @ 1\r\n"
		"[    0.200000] initcall pci_arch_init+0x0/0x6f returned 0 after 1234 usecs\r\n"
		"[    0.300000][    T1] initcall acpi_init+0x0/0x4d9 returned 0 after 99 usecs\r\n"
		"[    0.400000] initcall pci_subsys_init+0x0/0x6b returned -19 after 0 usecs\r\n"
		"[   12.500000] Run /init as init process\r\n"
		"[   12.600000] Run /other as init process\r\n",
		1);
	cr_expect_eq(log.clock_ns, 23456789);
	cr_expect_eq(log.took_us[BOOT_PCI_ARCH_INIT], 1234);
	cr_expect_eq(log.took_us[BOOT_ACPI_INIT], 99);
	cr_expect_eq(log.took_us[BOOT_PCI_SUBSYS_INIT], 0);
	cr_expect(fabs(log.end_us[BOOT_PCI_ARCH_INIT] - 200000) < 0.5);
	cr_expect(fabs(log.end_us[BOOT_ACPI_INIT] - 300000) < 0.5);
	cr_expect(fabs(log.end_us[BOOT_PCI_SUBSYS_INIT] - 400000) < 0.5);
	cr_expect(fabs(log.init_us - 12500000) < 0.5);
}

struct strange { /* no pointers: rows travel to another process */
	char line[120];
};

ParameterizedTestParameters(bench_boot_log, strange)
{
	static struct strange c[] = {
		{ "initcall pci_arch_init+0x0/0x6f returned 0 after 1234 usecs" }, /* no stamp */
		{ "[0.2 initcall pci_arch_init+0x0/0x6f returned 0 after 1234 usecs" },
		{ "[0.2.3] initcall pci_arch_init+0x0/0x6f returned 0 after 1234 usecs" },
		{ "[.] initcall pci_arch_init+0x0/0x6f returned 0 after 1234 usecs" },
		{ "[-0.2] initcall pci_arch_init+0x0/0x6f returned 0 after 1234 usecs" },
		{ "[nan] initcall pci_arch_init+0x0/0x6f returned 0 after 1234 usecs" },
		{ "[0.2]initcall pci_arch_init+0x0/0x6f returned 0 after 1234 usecs" },
		{ "[0.2][ initcall pci_arch_init+0x0/0x6f returned 0 after 1234 usecs" },
		{ "[0.2] initcall pci_arch_init+0x0/0x6f returned 0 after 1234" },
		{ "[0.2] initcall pci_arch_init+0x0/0x6f returned 0 after -4 usecs" },
		{ "[0.2] initcall pci_arch_init+0x0/0x6f returned 0 after usecs" },
		{ "[0.2] initcall pci_arch_init+0x0/0x6f after 12 usecs" },
		{ "[0.2] initcall pci_arch_init+0x0/0x6f returned 0 after "
		  "111111111111111111111111111 usecs" },
		{ "[0.2] initcall pci_arch_initial+0x0/0x6f returned 0 after 1 usecs" },
		{ "[0.2] initcall pci_arch+0x0/0x6f returned 0 after 1 usecs" },
		{ "[0.2] initcall " },
		{ "[0.2] kvm-clock: using sched offset of x cycles" },
		{ "[0.2] kvm-clock: using sched offset of 12 seconds" },
		{ "[0.2] Run /init" },
		{ "[" },
		{ "[]" },
		{ "" },
	};
	return cr_make_param_array(struct strange, c, sizeof(c) / sizeof(c[0]));
}

ParameterizedTest(struct strange *c, bench_boot_log, strange)
{
	struct boot_log log;
	boot_log_init(&log, "READY");
	feed(&log, c->line, 1);
	feed(&log, "\n", 2);
	for (size_t i = 0; i < BOOT_INITCALLS; i++)
		cr_expect(isnan(log.end_us[i]) && isnan(log.took_us[i]), "%s", c->line);
	cr_expect(isnan(log.clock_ns) && isnan(log.init_us), "%s", c->line);
	cr_expect_eq(log.marker_ns, 0, "%s", c->line);
}
