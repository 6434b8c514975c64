// SPDX-License-Identifier: Apache-2.0
/*
 * Work that the host can watch in memory. test=count: every processor counts in a word of its own
 * of a block whose address is printed; the first writes what it finds in the block's first word to
 * the exit-code port as soon as that is not zero.
 */
#include "cmdline.h"
#include "guest.h"
#include "io.h"
#include "print.h"
#include "serial.h"
#include "smp.h"

/* The host reads and writes it by address: the first word is its order, then a word a processor. */
static volatile uint64_t block[1 + SMP_MAX];

static void count(unsigned number)
{
	for (;;)
		block[1 + number]++;
}

static int test_count(void)
{
	smp_start(count);
	print("block 0x%lx\n", (uint64_t)(uintptr_t)block);
	serial_drain();
	while (!block[0])
		block[1]++;
	return (int)block[0];
}

int guest_main(void)
{
	static const struct guest_case cases[] = {
		{ "count", test_count },
	};
	return GUEST_CASES(cases);
}
