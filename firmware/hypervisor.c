// SPDX-License-Identifier: Apache-2.0
/* KVM's CPUID leaves and its clock (Linux Documentation/virt/kvm/x86/cpuid.rst and msr.rst). */
#include "hypervisor.h"

#include "io.h"
#include "string.h"

#define KVM_FEATURE_CLOCKSOURCE2 3
#define MSR_KVM_SYSTEM_TIME_NEW  0x4b564d01

uint32_t kvm_leaf(void)
{
	if (!(cpuid(1, 0).ecx & UINT32_C(1) << 31)) /* no hypervisor */
		return 0;
	for (uint32_t base = 0x40000000; base < 0x40010000; base += 0x100) {
		struct cpuid_regs r = cpuid(base, 0);
		if (memcmp(&r.ebx, "KVMKVMKVM\0\0\0", 12) == 0)
			return base;
	}
	return 0;
}

uint32_t kvm_features(void)
{
	uint32_t base = kvm_leaf();
	return base ? cpuid(base + 1, 0).eax : 0;
}

struct pvclock {
	uint32_t version, pad;
	uint64_t tsc, system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags, pad2[2];
};
_Static_assert(sizeof(struct pvclock) == 32, "msr.rst, MSR_KVM_SYSTEM_TIME_NEW");

static uint64_t pvclock_khz(void)
{
	static volatile struct pvclock clock __attribute__((aligned(32)));
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (uint64_t)&clock | 1);
	while (!clock.version || clock.version & 1)
		;
	uint64_t khz = (UINT64_C(1000000) << 32) / clock.tsc_to_system_mul;
	return clock.tsc_shift < 0 ? khz << -clock.tsc_shift : khz >> clock.tsc_shift;
}

uint64_t tsc_khz(void)
{
	uint32_t base = kvm_leaf();
	if (cpuid(0, 0).eax >= 0x15) {
		struct cpuid_regs r = cpuid(0x15, 0);
		if (r.eax && r.ebx && r.ecx)
			return (uint64_t)r.ecx * r.ebx / r.eax / 1000;
	}
	if (base && cpuid(base, 0).eax >= base + 0x10)
		return cpuid(base + 0x10, 0).eax;
	if (kvm_features() & 1 << KVM_FEATURE_CLOCKSOURCE2)
		return pvclock_khz();
	return 0;
}
