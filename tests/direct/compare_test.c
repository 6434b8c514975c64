// SPDX-License-Identifier: Apache-2.0
/*
 * Runs of one guest that must agree: configuration space is the same whichever way it is read, and
 * the same as the monitor's own copy, also after a guest has beaten it.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

TestSuite(compare, .timeout = TEST_TIMEOUT);

/* hash_add() of firmware/string.h. */
static uint64_t hash_add(uint64_t hash, uint32_t value)
{
	return (hash ^ value) * UINT64_C(0x100000001b3);
}

/* Hashes the text of the dump as the guests hash the present functions: rows of 16 bytes, each
 * "OFFSET: " and the bytes, between other lines. */
static int hash_dump(void *opaque, const char *name, const void *data, size_t size)
{
	uint64_t *hash = opaque;
	char *text = strndup(data, size), *save = NULL;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *byte = strstr(line, ": ");
		if (!byte)
			continue;
		byte++;
		for (unsigned dword = 0; dword < 4; dword++) {
			uint32_t value = 0;
			for (unsigned i = 0; i < 4; i++)
				value |= (uint32_t)strtoul(byte, &byte, 16) << 8 * i;
			*hash = hash_add(*hash, value);
		}
	}
	free(text);
	return 0;
}

static uint64_t monitor_hash(const struct outcome *o)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	cr_assert_eq(lacuna_vm_dump(o->vm, "pci", hash_dump, &hash, NULL), 0);
	return hash;
}

struct reading {
	uint64_t header, sample, present;
};

static struct reading read_by(const char *cmdline, const char *pci, unsigned rngs)
{
	struct outcome o;
	guest_run(&(struct guest){ .image = "config",
			  .cmdline = cmdline,
			  .pci = pci,
			  .rng = rngs,
			  .timeout_s = 200 },
		&o);
	struct reading r = {
		.header = outcome_number(&o, "header: "),
		.sample = outcome_number(&o, "sample: "),
	};
	if (strstr(o.output, "present: ")) {
		r.present = outcome_number(&o, "present: ");
		cr_expect_eq(r.present, monitor_hash(&o), "the guest reads what the monitor holds");
	}
	outcome_done(&o);
	return r;
}

Test(compare, ways_to_read)
{
	struct reading memory = read_by("test=equal full", "buses=256,window=memory", 1);
	struct reading trap = read_by("test=equal", "buses=256,window=trap", 1);
	struct reading both = read_by("test=equal mech=type1", "config=both,buses=256", 1);
	struct reading type1 = read_by("test=equal", "config=type1,buses=256", 1);
	cr_assert_neq(memory.present, 0);
	cr_expect_eq(memory.present, trap.present);
	cr_expect_eq(memory.header, trap.header);
	cr_expect_eq(memory.header, both.header);
	cr_expect_eq(memory.header, type1.header);
	cr_expect_eq(memory.sample, trap.sample);
	cr_expect_eq(memory.sample, both.sample);
	cr_expect_eq(memory.sample, type1.sample);
}

/* The same with functions on many buses. */
Test(compare, ways_to_read_behind_ports)
{
	struct reading memory = read_by("test=equal full", "window=memory", 120);
	struct reading trap = read_by("test=equal", "window=trap", 120);
	struct reading type1 = read_by("test=equal mech=type1", "config=both", 120);
	cr_assert_neq(memory.present, 0);
	cr_expect_eq(memory.present, trap.present);
	cr_expect_eq(memory.header, trap.header);
	cr_expect_eq(memory.header, type1.header);
	cr_expect_eq(memory.sample, trap.sample);
	cr_expect_eq(memory.sample, type1.sample);
}

static uint64_t probe_by(const char *cmdline, const char *pci, unsigned rngs)
{
	struct outcome o;
	guest_run(&(struct guest){ .cmdline = cmdline,
			  .pci = pci,
			  .rng = rngs,
			  .reason = LACUNA_END_POWEROFF },
		&o);
	uint64_t checksum = outcome_number(&o, "\"checksum\":\"");
	outcome_done(&o);
	return checksum;
}

Test(compare, probe_checksums)
{
	uint64_t ecam = probe_by("probe.quiet", "buses=256,window=memory", 1);
	cr_expect_eq(ecam, probe_by("probe.quiet probe.scan=all", "buses=256,window=memory", 1));
	cr_expect_eq(ecam, probe_by("probe.quiet", "buses=1,window=trap", 1));
	cr_expect_eq(ecam, probe_by("probe.quiet", "config=type1,buses=256", 1));
	cr_expect_eq(ecam, probe_by("probe.quiet probe.mech=type1", "config=both,buses=256", 1));
}

/* As many buses as there can be, and 300 functions on them. */
Test(compare, probe_checksums_behind_ports)
{
	uint64_t ecam = probe_by("probe.quiet", "ports=255,window=memory", 300);
	cr_expect_eq(ecam, probe_by("probe.quiet probe.scan=all", "ports=255,window=memory", 300));
	cr_expect_eq(ecam, probe_by("probe.quiet", "ports=255,config=type1", 300));
}

static void hammer(
	unsigned cpus, const char *cmdline, const char *pci, unsigned rngs, const char *disk)
{
	const struct guest g = {
		.image = "hammer",
		.cmdline = cmdline,
		.cpus = cpus,
		.pci = pci,
		.disk = disk,
		.rng = rngs,
	};
	struct outcome o;
	guest_run(&g, &o);
	cr_expect_eq(outcome_number(&o, "present "), monitor_hash(&o), "%s, %s", pci, cmdline);
	outcome_done(&o);
}

Test(compare, hammer_memory)
{
	hammer(1, "seed=1 count=10000", "buses=256,window=memory", 1, NULL);
	hammer(2, "seed=2 count=10000", "buses=2,window=memory", 1, scratch_disk(1 << 20));
}

Test(compare, hammer_trap)
{
	hammer(1, "seed=3 count=10000", "buses=256,window=trap", 1, NULL);
	hammer(2, "seed=4 count=10000", "buses=1,window=trap", 1, scratch_disk(1 << 20));
}

Test(compare, hammer_both)
{
	hammer(1, "seed=5 count=10000", "config=both,buses=256,window=memory", 1, NULL);
	hammer(3, "seed=6 count=10000", "config=both,buses=256,window=trap", 1,
		scratch_disk(1 << 20));
}

/* Bridges too: windows, bus mastering and resets come and go over the functions behind. */
Test(compare, hammer_ports)
{
	hammer(1, "seed=7 count=7000", "ports=5,window=memory", 20, NULL);
	hammer(2, "seed=8 count=7000", "ports=31,window=memory", 60, scratch_disk(1 << 20));
}
