// SPDX-License-Identifier: Apache-2.0
/* CPUID as completed for the guest, from tables such as KVM gives on Intel and AMD hosts (Intel SDM
 * vol. 2A; AMD APM vol. 3, appendix E; KVM cpuid.rst). */
#include "arch/x86/cpuid.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>

#include "util/bytes.h"

#define ROWS(table) cr_make_param_array(__typeof__((table)[0]), table, ARRAY_SIZE(table))

#define INDEXED  KVM_CPUID_FLAG_SIGNIFCANT_INDEX
#define VMX      (1u << 5)
#define X2APIC   (1u << 21)
#define DEADLINE (1u << 24)
#define HYPER    (1u << 31)
#define HTT      (1u << 28)
#define SVM      (1u << 2)
#define LEGACY   (1u << 1)

#define KVM_FEATURES 0x01007efbu
#define BRAND_CLFLSH 0x0800u

/* function, index, flags, eax, ebx, ecx, edx */
static const struct kvm_cpuid_entry2 intel[] = {
	{ 0, 0, 0, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69, { 0 } },
	{ 1, 0, 0, 0x000606a6, 0x7f400800, 0xfffaf3bf & ~HYPER, 0xbfebfbff, { 0 } },
	{ 4, 0, INDEXED, 0x7c004121, 0x02c0003f, 0x3f, 0, { 0 } },
	{ 4, 1, INDEXED, 0x7c004122, 0x01c0003f, 0x3f, 0, { 0 } },
	{ 4, 2, INDEXED, 0x7c004143, 0x04c0003f, 0x3ff, 0, { 0 } },
	{ 4, 3, INDEXED, 0x7c0fc163, 0x02c0003f, 0xbfff, 4, { 0 } },
	{ 4, 4, INDEXED, 0, 0, 0, 0, { 0 } },
	{ 7, 0, INDEXED, 0, 0xf3bfa7eb, 0x18415f5e, 0xfc004510, { 0 } },
	/* what older kernels tell of the host's own layout */
	{ 0xb, 0, INDEXED, 1, 2, 0x100, 0x55, { 0 } },
	{ 0xb, 1, INDEXED, 6, 64, 0x201, 0x55, { 0 } },
	{ 0x1f, 0, INDEXED, 1, 2, 0x100, 0x55, { 0 } },
	{ 0x1f, 1, INDEXED, 5, 32, 0x201, 0x55, { 0 } },
	{ 0x1f, 2, INDEXED, 6, 64, 0x502, 0x55, { 0 } },
	{ 0x1f, 3, INDEXED, 7, 128, 0x603, 0x55, { 0 } },
	{ 0x1f, 4, INDEXED, 0, 0, 4, 0x55, { 0 } },
	{ 0x40000000, 0, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d, { 0 } },
	{ 0x40000001, 0, 0, KVM_FEATURES, 0, 0, 0, { 0 } },
	{ 0x80000000, 0, 0, 0x80000008, 0, 0, 0, { 0 } },
	{ 0x80000001, 0, 0, 0, 0, 0x121, 0x2c100800, { 0 } },
	{ 0x80000008, 0, 0, 0x00003934, 0x200, 0, 0, { 0 } },
};

static const struct kvm_cpuid_entry2 amd[] = {
	{ 0, 0, 0, 0x10, 0x68747541, 0x444d4163, 0x69746e65, { 0 } },
	{ 1, 0, 0, 0x00830f10, 0x33400800, 0x76f8320b, 0x178bfbff, { 0 } },
	{ 7, 0, INDEXED, 0, 0x219c91a9, 0x400004, 0, { 0 } },
	{ 0xb, 0, INDEXED, 1, 2, 0x100, 0x33, { 0 } },
	{ 0xb, 1, INDEXED, 7, 128, 0x201, 0x33, { 0 } },
	{ 0x40000001, 0, 0, KVM_FEATURES, 0, 0, 0, { 0 } },
	{ 0x80000000, 0, 0, 0x8000001f, 0x68747541, 0x444d4163, 0x69746e65, { 0 } },
	{ 0x80000001, 0, 0, 0x00830f10, 0x40000000, 0x75c237ff, 0x2fd3fbff, { 0 } },
	{ 0x80000008, 0, 0, 0x00003030, 0x91ef757, 0x707f, 0, { 0 } },
	{ 0x8000000a, 0, 0, 1, 8, 0, 0xbcff, { 0 } },
	{ 0x8000001d, 0, INDEXED, 0x4121, 0x1c0003f, 0x3f, 0, { 0 } },
	{ 0x8000001d, 1, INDEXED, 0x4122, 0x1c0003f, 0x3f, 0, { 0 } },
	{ 0x8000001d, 2, INDEXED, 0x4143, 0x1c0003f, 0x3ff, 2, { 0 } },
	{ 0x8000001d, 3, INDEXED, 0x1c163, 0x3c0003f, 0x3fff, 1, { 0 } },
	{ 0x8000001d, 4, INDEXED, 0, 0, 0, 0, { 0 } },
	{ 0x8000001e, 0, 0, 0x33, 0x119, 0x301, 0, { 0 } },
};

struct cpu_case {
	bool intel;
	unsigned cpus, apic_id;
	unsigned bits; /* of the APIC id that number the CPUs of the package */
};

static struct kvm_cpuid2 *table(bool is_intel)
{
	const struct kvm_cpuid_entry2 *from = is_intel ? intel : amd;
	size_t size = is_intel ? sizeof(intel) : sizeof(amd);
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + size); /* exactly: ASan watches its end */
	c->nent = (uint32_t)(size / sizeof(*from));
	memcpy(c->entries, from, size);
	return c;
}

/* As a guest reads it; the test fails if KVM would have two answers. */
static const struct kvm_cpuid_entry2 *leaf(
	const struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
	static const struct kvm_cpuid_entry2 none;
	const struct kvm_cpuid_entry2 *found = NULL;
	for (uint32_t i = 0; i < c->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &c->entries[i];
		if (e->function != function || ((e->flags & INDEXED) && e->index != index))
			continue;
		cr_assert_null(found, "leaf 0x%x.%u twice", function, index);
		found = e;
	}
	return found ? found : &none;
}

static struct kvm_cpuid2 *complete(const struct cpu_case *c, const struct cpuid_config *config)
{
	struct kvm_cpuid2 *from = table(c->intel), *ret = NULL;
	cr_assert_eq(cpuid_complete(from, config, c->apic_id, &ret, NULL), 0);
	cr_expect_arr_eq(from->entries, c->intel ? intel : amd,
		from->nent * sizeof(from->entries[0]), "what KVM supports was changed");
	free(from);
	return ret;
}

static struct cpu_case cpu_cases[] = {
	{ true, 1, 0, 0 },
	{ true, 2, 1, 1 },
	{ true, 3, 2, 2 },
	{ true, 8, 5, 3 },
	{ true, 64, 63, 6 },
	{ true, 65, 64, 7 },
	{ true, 254, 253, 8 },
	{ false, 1, 0, 0 },
	{ false, 2, 1, 1 },
	{ false, 3, 2, 2 },
	{ false, 8, 0, 3 },
	{ false, 254, 253, 8 },
};

ParameterizedTestParameters(cpuid, features)
{
	return ROWS(cpu_cases);
}

ParameterizedTest(struct cpu_case *c, cpuid, features)
{
	struct cpuid_config config = { .cpus = c->cpus, .tsc_deadline = true, .pv_bit = -1 };
	const struct kvm_cpuid_entry2 *was = &(c->intel ? intel : amd)[1];
	struct kvm_cpuid2 *t = complete(c, &config);
	const struct kvm_cpuid_entry2 *e = leaf(t, 1, 0);
	cr_expect(!(e->ecx & VMX));
	cr_expect_eq(e->ecx & (X2APIC | HYPER | DEADLINE), X2APIC | HYPER | DEADLINE);
	cr_expect_eq(e->ecx | VMX | X2APIC | HYPER | DEADLINE,
		was->ecx | VMX | X2APIC | HYPER | DEADLINE, "the other features are KVM's");
	cr_expect_eq(e->eax, was->eax);
	cr_expect_eq(e->edx | HTT, was->edx | HTT);
	cr_expect_eq(!!(e->edx & HTT), c->cpus > 1);
	cr_expect_eq(e->ebx >> 24, c->apic_id);
	cr_expect_eq(e->ebx & 0xffff, BRAND_CLFLSH);
	unsigned logical = (e->ebx >> 16) & 0xff;
	cr_expect(logical == (1u << c->bits) || (c->bits == 8 && logical == 255));

	e = leaf(t, 0x80000001, 0);
	cr_expect(!(e->ecx & SVM));
	cr_expect_eq(!!(e->ecx & LEGACY), !c->intel && c->cpus > 1);
	e = leaf(t, 0x8000000a, 0);
	cr_expect(!(e->eax | e->ebx | e->ecx | e->edx), "SVM's own leaf");
	free(t);

	config.tsc_deadline = false;
	t = complete(c, &config);
	cr_expect(!(leaf(t, 1, 0)->ecx & DEADLINE));
	free(t);
}

ParameterizedTestParameters(cpuid, extended_topology)
{
	return ROWS(cpu_cases);
}

/* Leaves 0xB and 0x1F, enumerated until a level of type 0, and nothing of the host's behind it. */
ParameterizedTest(struct cpu_case *c, cpuid, extended_topology)
{
	struct cpuid_config config = { .cpus = c->cpus, .pv_bit = -1 };
	struct kvm_cpuid2 *t = complete(c, &config);
	static const uint32_t leaves[] = { 0xb, 0x1f };
	for (unsigned l = 0; l < (c->intel ? 2 : 1); l++) {
		const struct kvm_cpuid_entry2 *smt = leaf(t, leaves[l], 0);
		const struct kvm_cpuid_entry2 *core = leaf(t, leaves[l], 1);
		cr_expect_eq(smt->ecx, 0x100);
		cr_expect_eq(smt->eax, 0);
		cr_expect_eq(smt->ebx, 1);
		cr_expect_eq(core->ecx, 0x201);
		cr_expect_eq(core->eax, c->bits);
		cr_expect_eq(core->ebx, c->cpus);
		cr_expect_eq(c->apic_id >> core->eax, 0, "all are in package 0");
		for (uint32_t level = 0; level < 3; level++) {
			cr_expect_eq(leaf(t, leaves[l], level)->edx, c->apic_id);
			cr_expect(leaf(t, leaves[l], level)->flags & INDEXED);
		}
		for (uint32_t level = 2; level < 6; level++) {
			const struct kvm_cpuid_entry2 *e = leaf(t, leaves[l], level);
			cr_expect_eq(e->ecx & 0xff00, 0, "0x%x.%u", leaves[l], level);
			cr_expect_eq(e->eax | e->ebx, 0, "0x%x.%u", leaves[l], level);
		}
	}
	if (!c->intel)
		for (uint32_t i = 0; i < t->nent; i++)
			cr_expect_neq(t->entries[i].function, 0x1f, "beyond the last leaf");
	free(t);
}

ParameterizedTestParameters(cpuid, caches)
{
	return ROWS(cpu_cases);
}

static unsigned round_up(unsigned v)
{
	unsigned p = 1;
	while (p < v)
		p *= 2;
	return p;
}

/* Levels 1 and 2 belong to a core, level 3 to all; their geometry is the host's. */
ParameterizedTest(struct cpu_case *c, cpuid, caches)
{
	struct cpuid_config config = { .cpus = c->cpus, .pv_bit = -1 };
	struct kvm_cpuid2 *t = complete(c, &config), *from = table(c->intel);
	uint32_t function = c->intel ? 4 : 0x8000001d;
	for (uint32_t i = 0; i < 4; i++) {
		const struct kvm_cpuid_entry2 *e = leaf(t, function, i);
		const struct kvm_cpuid_entry2 *was = leaf(from, function, i);
		cr_expect_eq(e->eax & 0x3fff, was->eax & 0x3fff);
		cr_expect(e->ebx == was->ebx && e->ecx == was->ecx && e->edx == was->edx);
		unsigned sharing = ((e->eax >> 14) & 0xfff) + 1;
		cr_expect_eq(round_up(sharing), i == 3 ? round_up(c->cpus) : 1);
		if (c->intel) {
			unsigned cores = (e->eax >> 26) + 1;
			cr_expect_eq(round_up(cores), round_up(c->cpus < 64 ? c->cpus : 64));
		}
	}
	cr_expect_eq(leaf(t, function, 4)->eax, 0, "the end of the list");
	free(from);
	free(t);
}

ParameterizedTestParameters(cpuid, amd_topology)
{
	return ROWS(cpu_cases);
}

ParameterizedTest(struct cpu_case *c, cpuid, amd_topology)
{
	struct cpuid_config config = { .cpus = c->cpus, .pv_bit = -1 };
	struct kvm_cpuid2 *t = complete(c, &config);
	const struct kvm_cpuid_entry2 *e = leaf(t, 0x80000008, 0);
	cr_expect_eq(e->eax, c->intel ? 0x3934 : 0x3030);
	cr_expect_eq(e->ebx, c->intel ? 0x200 : 0x91ef757);
	if (c->intel) {
		cr_expect_eq(e->ecx, 0, "reserved there");
	} else {
		cr_expect_eq((e->ecx & 0xff) + 1, c->cpus);
		cr_expect_eq(e->ecx >> 12 & 0xf, c->bits);
		e = leaf(t, 0x8000001e, 0);
		cr_expect_eq(e->eax, c->apic_id);
		cr_expect_eq(e->ebx, c->apic_id, "one thread a core");
		cr_expect_eq(e->ecx, 0, "one node");
	}
	free(t);
}

/* An old CPU without topology leaves gets none: they would lie beyond its last leaf. */
Test(cpuid, short_table)
{
	static const struct cpuid_config config = { .cpus = 4, .tsc_khz = 2000000, .pv_bit = 31 };
	struct kvm_cpuid2 *from = calloc(1, sizeof(*from) + 2 * sizeof(from->entries[0]));
	struct kvm_cpuid2 *t;
	from->nent = 2;
	from->entries[0] = intel[0];
	from->entries[0].eax = 0xa;
	from->entries[1] = intel[1];
	cr_assert_eq(cpuid_complete(from, &config, 3, &t, NULL), 0);
	for (uint32_t i = 0; i < t->nent; i++)
		cr_expect(t->entries[i].function <= 0xa || t->entries[i].function >= 0x40000000);
	cr_expect_eq(leaf(t, 1, 0)->ebx >> 24, 3);
	cr_expect_eq(leaf(t, 0x40000001, 0)->eax, 1u << 31);
	free(t);
	free(from);
	/* nothing at all to start from */
	from = calloc(1, sizeof(*from));
	cr_assert_eq(cpuid_complete(from, &config, 1, &t, NULL), 0);
	cr_expect_eq(leaf(t, 0x40000000, 0)->ebx, 0x4b4d564b);
	cr_expect_eq(cpuid_phys_bits(from), 36);
	cr_expect(!cpuid_pv_bit_is_kvms(from, 15));
	free(t);
	free(from);
}

/* --- KVM's leaves --- */

struct pv_case {
	bool intel;
	int bit;
	uint32_t features;
};

ParameterizedTestParameters(cpuid, pv_bit)
{
	static struct pv_case c[] = {
		{ true, -1, KVM_FEATURES },
		{ true, 31, KVM_FEATURES | 1u << 31 },
		{ true, 15, KVM_FEATURES | 1u << 15 },
		{ true, 0, KVM_FEATURES | 1u },
		{ false, -1, KVM_FEATURES },
		{ false, 31, KVM_FEATURES | 1u << 31 },
		{ false, 20, KVM_FEATURES | 1u << 20 },
	};
	return ROWS(c);
}

ParameterizedTest(struct pv_case *c, cpuid, pv_bit)
{
	const struct cpu_case cpu = { .intel = c->intel };
	struct cpuid_config config = { .cpus = 1, .pv_bit = c->bit };
	for (unsigned khz = 0; khz <= 2000000; khz += 2000000) {
		config.tsc_khz = khz;
		struct kvm_cpuid2 *t = complete(&cpu, &config);
		const struct kvm_cpuid_entry2 *e = leaf(t, 0x40000000, 0);
		char signature[13] = { 0 };
		memcpy(signature, &e->ebx, 4);
		memcpy(signature + 4, &e->ecx, 4);
		memcpy(signature + 8, &e->edx, 4);
		cr_expect_str_eq(signature, "KVMKVMKVM");
		cr_expect_eq(e->eax, khz ? 0x40000010 : 0x40000001);
		cr_expect_eq(leaf(t, 0x40000001, 0)->eax, c->features);
		e = leaf(t, 0x40000010, 0);
		cr_expect_eq(e->eax, khz);
		cr_expect_eq(e->ebx, khz ? 1000000 : 0);
		free(t);
	}
	struct kvm_cpuid2 *from = table(c->intel);
	if (c->bit >= 0)
		cr_expect_eq(cpuid_pv_bit_is_kvms(from, (unsigned)c->bit),
			!!(KVM_FEATURES & (1u << c->bit)));
	free(from);
}

struct tsc_case {
	uint32_t khz;
};

ParameterizedTestParameters(cpuid, crystal)
{
	static struct tsc_case c[] = { { 1000000 }, { 1999999 }, { 2399998 }, { 2445406 },
		{ 3600000 }, { 4294000 }, { 4300000 }, { 5700123 } };
	return ROWS(c);
}

/*
 * Leaf 0x15: the TSC as a multiple of a crystal that also drives the local APIC's timer, which in
 * KVM counts nanoseconds. Linux multiplies in 32 bits (native_calibrate_tsc) and then sets the
 * timer's rate by the crystal's; where that would overflow, the leaf says nothing.
 */
ParameterizedTest(struct tsc_case *c, cpuid, crystal)
{
	struct cpu_case cpu = { .intel = true };
	struct cpuid_config config = { .cpus = 1, .pv_bit = -1, .tsc_khz = c->khz };
	struct kvm_cpuid2 *t = complete(&cpu, &config);
	const struct kvm_cpuid_entry2 *e = leaf(t, 0x15, 0);
	if (e->eax && e->ebx) {
		uint32_t crystal_khz = e->ecx / 1000;
		cr_expect_eq(crystal_khz, leaf(t, 0x40000010, 0)->ebx);
		uint32_t khz = crystal_khz * e->ebx / e->eax;
		int32_t off = (int32_t)(khz - c->khz);
		cr_expect(off >= -500 && off <= 500, "%u for %u kHz", khz, c->khz);
	}
	cr_expect_eq(e->ebx != 0, c->khz < 4294500);
	free(t);
	cpu.intel = false; /* AMD has no such leaf */
	t = complete(&cpu, &config);
	cr_expect_eq(leaf(t, 0x15, 0)->ebx, 0);
	free(t);
}

struct bits_case {
	uint32_t eax;
	unsigned bits;
};

ParameterizedTestParameters(cpuid, phys_bits)
{
	static struct bits_case c[] = { { 0x3934, 52 }, { 0x3030, 48 }, { 0x302b, 43 },
		{ 0x303030, 48 }, { 0x283034, 40 }, { 0x24, 36 } };
	return ROWS(c);
}

ParameterizedTest(struct bits_case *c, cpuid, phys_bits)
{
	struct kvm_cpuid2 *from = table(false);
	for (uint32_t i = 0; i < from->nent; i++)
		if (from->entries[i].function == 0x80000008)
			from->entries[i].eax = c->eax;
	cr_expect_eq(cpuid_phys_bits(from), c->bits);
	free(from);
}
