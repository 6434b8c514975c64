// SPDX-License-Identifier: Apache-2.0
/*
 * CPUID for the guest (Intel SDM vol. 2A, CPUID; AMD APM vol. 3, appendix E;
 * Documentation/virt/kvm/x86/cpuid.rst). Rule: what KVM reports stays, except where it describes
 * the host's own layout or a feature a guest must not use.
 */
#include "arch/x86/cpuid.h"

#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm/vcpu.h"
#include "util/bytes.h"
#include "util/err.h"

#define MAX_ENTRIES   512
#define EXTRA_ENTRIES 16

#define KVM_LEAF           0x40000000u
#define KVM_FEATURES_LEAF  0x40000001u
#define KVM_FREQUENCY_LEAF 0x40000010u /* EAX: TSC kHz, EBX: local APIC timer kHz */
#define APIC_BUS_KHZ       1000000u    /* KVM's local APIC counts nanoseconds */

#define LEAF1_ECX_VMX          (1u << 5)
#define LEAF1_ECX_X2APIC       (1u << 21)
#define LEAF1_ECX_TSC_DEADLINE (1u << 24)
#define LEAF1_ECX_HYPERVISOR   (1u << 31)
#define LEAF1_EDX_HTT          (1u << 28)
#define EXT1_ECX_CMP_LEGACY    (1u << 1)
#define EXT1_ECX_SVM           (1u << 2)

int cpuid_supported(int kvm_fd, struct kvm_cpuid2 **ret, struct lacuna_error **err)
{
	for (unsigned n = 128; n <= MAX_ENTRIES; n *= 2) {
		struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + n * sizeof(c->entries[0]));
		if (!c)
			return err_nomem(err);
		c->nent = n;
		if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, c) == 0) {
			*ret = c;
			return 0;
		}
		int saved = errno;
		free(c);
		errno = saved;
		if (errno != E2BIG)
			break;
	}
	return err_errno(err, "KVM_GET_SUPPORTED_CPUID");
}

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < c->nent; i++)
		if (c->entries[i].function == function && c->entries[i].index == index)
			return &c->entries[i];
	return NULL;
}

/* The entry, made if it is not there. The allocation has EXTRA_ENTRIES to spare. */
static struct kvm_cpuid_entry2 *entry(
	struct kvm_cpuid2 *c, uint32_t function, uint32_t index, bool indexed)
{
	struct kvm_cpuid_entry2 *e = find(c, function, index);
	if (!e) {
		e = &c->entries[c->nent++];
		*e = (struct kvm_cpuid_entry2){ .function = function, .index = index };
	}
	e->flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
	return e;
}

static unsigned bits_for(unsigned count)
{
	unsigned bits = 0;
	while ((1u << bits) < count)
		bits++;
	return bits;
}

static bool is_intel(struct kvm_cpuid2 *c)
{
	const struct kvm_cpuid_entry2 *e = find(c, 0, 0);
	return e && e->ebx == 0x756e6547 && e->edx == 0x49656e69 && e->ecx == 0x6c65746e;
}

static void features(struct kvm_cpuid2 *c, const struct cpuid_config *config, unsigned apic_id)
{
	struct kvm_cpuid_entry2 *e = entry(c, 1, 0, false);
	e->ecx &= ~(LEAF1_ECX_VMX | LEAF1_ECX_TSC_DEADLINE);
	e->ecx |= LEAF1_ECX_X2APIC | LEAF1_ECX_HYPERVISOR;
	if (config->tsc_deadline)
		e->ecx |= LEAF1_ECX_TSC_DEADLINE;
	/* EBX: 31:24 initial APIC id, 23:16 logical processors, 15:8 CLFLUSH size in qwords, 7:0
	 * brand */
	unsigned logical = (unsigned)min_u64(1u << bits_for(config->cpus), 255);
	e->ebx = apic_id << 24 | logical << 16 | (e->ebx & 0xffff);
	e->edx &= ~LEAF1_EDX_HTT;
	if (config->cpus > 1)
		e->edx |= LEAF1_EDX_HTT;

	e = find(c, 0x80000001, 0);
	if (e) {
		e->ecx &= ~(EXT1_ECX_SVM | EXT1_ECX_CMP_LEGACY);
		if (config->cpus > 1 && !is_intel(c))
			e->ecx |= EXT1_ECX_CMP_LEGACY;
	}
	e = find(c, 0x8000000a, 0); /* SVM's own leaf */
	if (e)
		e->eax = e->ebx = e->ecx = e->edx = 0;
}

/* Leaves 0xB and 0x1F: one thread a core, all cores in one package (SDM vol. 2A; APM vol. 3,
 * E.3.8). */
static void extended_topology(
	struct kvm_cpuid2 *c, uint32_t leaf, const struct cpuid_config *config, unsigned apic_id)
{
	const uint32_t shift[] = { 0, bits_for(config->cpus) };
	const uint32_t count[] = { 1, config->cpus };
	for (uint32_t level = 0; level < 3; level++) {
		struct kvm_cpuid_entry2 *e = entry(c, leaf, level, true);
		e->eax = level < 2 ? shift[level] : 0;
		e->ebx = level < 2 ? count[level] : 0;
		e->ecx = level | (level < 2 ? (level + 1) << 8 : 0); /* type 1: SMT, 2: core */
		e->edx = apic_id;
	}
	/* Older kernels also report the levels of the host beyond these. */
	for (uint32_t i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];
		if (e->function == leaf && e->index >= 3) {
			e->eax = e->ebx = 0;
			e->ecx = e->index;
			e->edx = apic_id;
		}
	}
}

static void topology(struct kvm_cpuid2 *c, const struct cpuid_config *config, unsigned apic_id)
{
	struct kvm_cpuid_entry2 *e = find(c, 0, 0);
	uint32_t max_leaf = e ? e->eax : 0;
	if (max_leaf >= 0xb)
		extended_topology(c, 0xb, config, apic_id);
	if (max_leaf >= 0x1f)
		extended_topology(c, 0x1f, config, apic_id);

	uint32_t others = config->cpus - 1;
	for (uint32_t i = 0; i < c->nent; i++) {
		e = &c->entries[i];
		if (e->function == 4 && (e->eax & 0x1f)) {
			/* EAX 31:26 cores in the package - 1, 25:14 threads that share the cache -
			 * 1 */
			uint32_t sharing = ((e->eax >> 5) & 7) >= 3 ? others : 0;
			e->eax = (e->eax & 0x3fff) | (uint32_t)min_u64(others, 63) << 26 |
				 sharing << 14;
		} else if (e->function == 0x8000001d && (e->eax & 0x1f)) {
			uint32_t sharing = ((e->eax >> 5) & 7) >= 3 ? others : 0;
			e->eax = (e->eax & 0x3fff) | sharing << 14;
		} else if (e->function == 0x80000008 && !is_intel(c)) {
			/* ECX 15:12 bits of the core id, 7:0 cores - 1 */
			e->ecx = bits_for(config->cpus) << 12 | others;
		} else if (e->function == 0x8000001e) {
			e->eax = apic_id;
			e->ebx = apic_id; /* core id; one thread */
			e->ecx = 0;       /* one node */
			e->edx = 0;
		}
	}
}

static void frequencies(struct kvm_cpuid2 *c, const struct cpuid_config *config)
{
	if (!config->tsc_khz)
		return;
	struct kvm_cpuid_entry2 *e = entry(c, KVM_FREQUENCY_LEAF, 0, false);
	e->eax = config->tsc_khz;
	e->ebx = APIC_BUS_KHZ;
	e->ecx = e->edx = 0;
	/*
	 * Intel's leaf 0x15: TSC = crystal (ECX, Hz) * EBX / EAX. Linux takes the crystal for the
	 * local APIC timer's clock, so it must be that, and multiplies kHz by EBX in 32 bits. AMD
	 * has no such leaf, and nobody looks for it there.
	 */
	const struct kvm_cpuid_entry2 *max = find(c, 0, 0);
	uint32_t mhz = (uint32_t)(((uint64_t)config->tsc_khz + 500) / 1000);
	if (is_intel(c) && max && max->eax >= 0x15 && mhz <= UINT32_MAX / APIC_BUS_KHZ) {
		e = entry(c, 0x15, 0, false);
		e->eax = 1000;
		e->ebx = mhz;
		e->ecx = APIC_BUS_KHZ * 1000;
		e->edx = 0;
	}
}

static void kvm_leaves(struct kvm_cpuid2 *c, const struct cpuid_config *config)
{
	struct kvm_cpuid_entry2 *e = entry(c, KVM_LEAF, 0, false);
	e->eax = config->tsc_khz ? KVM_FREQUENCY_LEAF : KVM_FEATURES_LEAF;
	memcpy(&e->ebx, "KVMK", 4);
	memcpy(&e->ecx, "VMKV", 4);
	memcpy(&e->edx, "M\0\0\0", 4);
	e = entry(c, KVM_FEATURES_LEAF, 0, false);
	if (config->pv_bit >= 0)
		e->eax |= 1u << config->pv_bit;
}

bool cpuid_pv_bit_is_kvms(const struct kvm_cpuid2 *supported, unsigned bit)
{
	for (uint32_t i = 0; i < supported->nent; i++)
		if (supported->entries[i].function == KVM_FEATURES_LEAF)
			return supported->entries[i].eax & (1u << bit);
	return false;
}

unsigned cpuid_phys_bits(const struct kvm_cpuid2 *supported)
{
	for (uint32_t i = 0; i < supported->nent; i++) {
		uint32_t eax = supported->entries[i].eax;
		if (supported->entries[i].function != 0x80000008)
			continue;
		/* EAX 23:16 guest-physical bits if not zero, 7:0 physical bits */
		return eax >> 16 & 0xff ? eax >> 16 & 0xff : eax & 0xff;
	}
	return 36; /* SDM vol. 3A, 4.1.4: without the leaf */
}

int cpuid_complete(const struct kvm_cpuid2 *supported, const struct cpuid_config *config,
	unsigned apic_id, struct kvm_cpuid2 **ret, struct lacuna_error **err)
{
	size_t entry_size = sizeof(supported->entries[0]);
	struct kvm_cpuid2 *c =
		calloc(1, sizeof(*c) + (supported->nent + EXTRA_ENTRIES) * entry_size);
	if (!c)
		return err_nomem(err);
	c->nent = supported->nent;
	memcpy(c->entries, supported->entries, supported->nent * entry_size);
	features(c, config, apic_id);
	topology(c, config, apic_id);
	frequencies(c, config);
	kvm_leaves(c, config);
	*ret = c;
	return 0;
}

int cpuid_set(struct kvm_vcpu *vcpu, const struct kvm_cpuid2 *cpuid, struct lacuna_error **err)
{
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid) < 0)
		return err_errno(err, "KVM_SET_CPUID2 for vCPU %u", vcpu->index);
	return 0;
}
