// SPDX-License-Identifier: Apache-2.0
/*
 * What a program in the guest sees of KVM's CPUID leaves, found as a kernel finds them
 * (Documentation/virt/kvm/x86/cpuid.rst): another hypervisor's leaves may take 0x40000000, and
 * KVM's then lie a multiple of 0x100 above.
 */
#include <cpuid.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	for (unsigned base = 0x40000000; base < 0x40010000; base += 0x100) {
		unsigned eax, signature[3], edx;
		__cpuid(base, eax, signature[0], signature[1], signature[2]);
		if (memcmp(signature, "KVMKVMKVM\0\0\0", sizeof(signature)))
			continue;
		__cpuid(base + 1, eax, signature[0], signature[1], edx);
		printf("guest kvm-base 0x%08x\nguest kvm-features 0x%08x\n", base, eax);
		return 0;
	}
	puts("guest kvm-base none");
	return 1;
}
