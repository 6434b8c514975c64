/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What CPUID tells the guest: what KVM supports on this host, without nested virtualisation,
 * completed with topology, x2APIC, timer frequencies and KVM's own leaves.
 */
#ifndef ARCH_X86_CPUID_H
#define ARCH_X86_CPUID_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stdint.h>

struct kvm_cpuid2;
struct kvm_vcpu;
struct kvm_vm;

struct cpuid_config {
	unsigned cpus;     /* one socket, one thread a core */
	bool tsc_deadline; /* KVM's local APIC has the mode */
	uint32_t tsc_khz;  /* 0: unknown */
	int pv_bit;        /* bit of EAX in leaf 0x40000001 to set; -1: none */
};

/* What KVM supports, as the starting point. Freed with free(). */
int cpuid_supported(int kvm_fd, struct kvm_cpuid2 **ret, struct lacuna_error **err);

/* Bits of a guest-physical address that the guest may use. */
unsigned cpuid_phys_bits(const struct kvm_cpuid2 *supported);

/* Completes a copy of @supported for the vCPU with APIC id @apic_id. Pure; freed with free(). */
int cpuid_complete(const struct kvm_cpuid2 *supported, const struct cpuid_config *config,
	unsigned apic_id, struct kvm_cpuid2 **ret, struct lacuna_error **err);

/* KVM_SET_CPUID2 */
int cpuid_set(struct kvm_vcpu *vcpu, const struct kvm_cpuid2 *cpuid, struct lacuna_error **err);

/* True if KVM on this host gives bit @bit of leaf 0x40000001 EAX a meaning of its own. */
bool cpuid_pv_bit_is_kvms(const struct kvm_cpuid2 *supported, unsigned bit);

#endif
