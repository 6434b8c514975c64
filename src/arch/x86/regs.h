/* SPDX-License-Identifier: Apache-2.0 */
/* Registers and MSRs at reset: the boot processor enters the kernel, the others wait for INIT and
 * SIPI. */
#ifndef ARCH_X86_REGS_H
#define ARCH_X86_REGS_H

#include <lacuna/error.h>
#include <stdint.h>

#include "boot/boot.h"

struct kvm_vcpu;
struct kvm_vm;

/* @vcpu 0 starts as @entry says; others get MSRs only. Before the first run. */
int regs_init(struct kvm_vcpu *vcpu, const struct boot_entry *entry, struct lacuna_error **err);

/* The TSC frequency that the guest sees, in kHz; 0: unknown. */
uint32_t regs_tsc_khz(const struct kvm_vm *vm, const struct kvm_vcpu *vcpu);

#endif
