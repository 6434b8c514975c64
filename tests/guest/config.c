// SPDX-License-Identifier: Apache-2.0
/*
 * Reads of configuration space. Everything printed after a colon depends on the machine's functions
 * only, not on the way that configuration space is reached: the harness compares runs.
 *   test=scan passes=N   first dword of all functions of all buses
 *   test=equal           present functions whole, absent ones by sample; with "full", whole as well
 *   test=absent-write    writes of every size to absent functions are lost and change nothing
 *   test=pv-bit          KVM's feature leaf
 * mech=ecam|type1 chooses the mechanism; MCFG decides without it.
 */
#include <stdbool.h>

#include "cmdline.h"
#include "guest.h"
#include "hypervisor.h"
#include "io.h"
#include "pci.h"
#include "print.h"
#include "string.h"

#define PAGE_DWORDS 1024
#define SEED        UINT64_C(0x6c6163756e61)

static enum pci_mechanism mechanism;

static void init(void)
{
	pci_init();
	mechanism = cmdline_is("mech", "type1") ? PCI_TYPE1 : pci_preferred();
}

static int fail(const char *what, unsigned bdf, unsigned offset)
{
	print("FAILED: %s at %04x+%03x\n", what, bdf, offset);
	return 1;
}

static int test_scan(void)
{
	uint64_t first = 0;
	unsigned functions = 0;
	init();
	for (unsigned pass = cmdline_number("passes", 2); pass; pass--) {
		uint64_t hash = HASH_START;
		unsigned end = pci.buses * 256, bdf = 0;
		functions = 0;
		while ((bdf = pci_next(mechanism, bdf, end, 1)) < end) {
			hash = hash_add(
				hash_add(hash, bdf), pci_read(mechanism, bdf, PCI_VENDOR_ID, 4));
			functions++;
			bdf++;
		}
		if (first && hash != first)
			return fail("a later pass differs", 0, 0);
		first = hash;
	}
	print("scan: buses %u functions %u hash 0x%016lx\n", pci.buses, functions, first);
	return 0;
}

/* The first @dwords of all present functions. */
static uint64_t present_hash(unsigned dwords)
{
	uint64_t hash = HASH_START;
	unsigned end = pci.buses * 256;
	for (unsigned bdf = 0; (bdf = pci_next(mechanism, bdf, end, 1)) < end; bdf++)
		for (unsigned i = 0; i < dwords; i++)
			hash = hash_add(hash, pci_read(mechanism, bdf, i * 4, 4));
	return hash;
}

/* One register of each slot, and of each function of the first and last bus; all ones wherever the
 * function is absent. Reads below 256 so that both mechanisms reach it. */
static int sample(uint64_t *ret_hash)
{
	uint64_t state = SEED, hash = HASH_START;
	unsigned end = pci.buses * 256;
	for (unsigned bdf = 0; bdf < end;) {
		unsigned size = 1 << random_next(&state) % 3;
		unsigned offset = random_next(&state) & 0xff & -size;
		uint32_t value = pci_read(mechanism, bdf, offset, size);
		bool absent = pci_read(mechanism, bdf, PCI_VENDOR_ID, 4) == PCI_ABSENT;
		if (absent && value != (uint32_t)ones(size))
			return fail("an absent function answers", bdf, offset);
		hash = hash_add(hash_add(hash, bdf), value);
		bdf += bdf < 256 || bdf >= end - 256 ? 1 : 8;
	}
	*ret_hash = hash;
	return 0;
}

/* Every dword of the window. */
static int full(uint64_t *ret_hash)
{
	uint64_t hash = HASH_START;
	for (unsigned bdf = 0; bdf < pci.buses * 256; bdf++) {
		const volatile uint32_t *page = (void *)pci_ecam_address(bdf, 0);
		size_t count = count_ones(page, PAGE_DWORDS);
		if (count == PAGE_DWORDS)
			continue;
		if (count)
			return fail("an absent function answers", bdf, count * 4);
		hash = hash_add(hash, bdf);
		for (unsigned i = 0; i < PAGE_DWORDS; i++)
			hash = hash_add(hash, page[i]);
	}
	*ret_hash = hash;
	return 0;
}

static int test_equal(void)
{
	uint64_t hash;
	char unused[2];
	init();
	print("header: 0x%016lx\n", present_hash(64));
	int rc = sample(&hash);
	if (rc)
		return rc;
	print("sample: 0x%016lx\n", hash);
	if (mechanism == PCI_ECAM)
		print("present: 0x%016lx\n", present_hash(PAGE_DWORDS));
	if (mechanism == PCI_ECAM && cmdline_get("full", unused, sizeof(unused))) {
		rc = full(&hash);
		print("full: 0x%016lx\n", hash);
	}
	return rc;
}

static int test_absent_write(void)
{
	uint64_t state = SEED;
	unsigned end, writes = 0;
	init();
	end = pci.buses * 256;
	uint64_t before = present_hash(PAGE_DWORDS);
	for (unsigned bdf = 0; bdf < end; bdf += bdf < 256 || bdf >= end - 256 ? 1 : 8) {
		if (pci_read(mechanism, bdf, PCI_VENDOR_ID, 4) != PCI_ABSENT)
			continue;
		for (unsigned size = 1; size <= 8; size *= 2) {
			uint64_t at = pci_ecam_address(bdf, random_next(&state) & 0xfff & -size);
			mem_write(at, random_next(&state), size);
			writes++;
			if (mem_read(at, size) != ones(size))
				return fail("a write stuck", bdf, at & 0xfff);
		}
	}
	for (unsigned bdf = 0; bdf < end; bdf += 256)
		if (pci_read(mechanism, bdf | 0xff, 0, 4) == PCI_ABSENT &&
			count_ones((void *)pci_ecam_address(bdf | 0xff, 0), PAGE_DWORDS) !=
				PAGE_DWORDS)
			return fail("a write went elsewhere", bdf | 0xff, 0);
	if (present_hash(PAGE_DWORDS) != before)
		return fail("a write to an absent function changed a present one", 0, 0);
	print("absent-write: writes %u present 0x%016lx\n", writes, before);
	return 0;
}

static int test_pv_bit(void)
{
	print("pv-bit: features 0x%08x\n", kvm_features());
	return 0;
}

int guest_main(void)
{
	static const struct guest_case cases[] = {
		{ "scan", test_scan },
		{ "equal", test_equal },
		{ "absent-write", test_absent_write },
		{ "pv-bit", test_pv_bit },
	};
	return GUEST_CASES(cases);
}
