// SPDX-License-Identifier: Apache-2.0
/* Register state at entry: Linux's 64-bit protocol, or the 32-bit protected mode of PVH and
 * multiboot. */
#include "arch/x86/regs.h"

#include <abi/layout.h>
#include <assert.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm/vcpu.h"
#include "util/bytes.h"
#include "util/err.h"

#define CR0_PE   (1ull << 0)
#define CR0_ET   (1ull << 4)
#define CR0_PG   (1ull << 31)
#define CR4_PAE  (1ull << 5)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)

#define MSR_MISC_ENABLE      0x1a0
#define MISC_ENABLE_FAST_STR 1
#define MSR_MTRR_DEF_TYPE    0x2ff
#define MTRR_ENABLE          (1u << 11)
#define MTRR_WRITE_BACK      6

/* Flat segments as both protocols want them; the GDT that the loader put at LAYOUT_GDT says the
 * same. */
static struct kvm_segment code_segment(bool long_mode)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = long_mode ? BOOT_CODE64_SELECTOR : BOOT_CODE32_SELECTOR,
		.type = 0xb, /* execute, read, accessed */
		.present = 1,
		.db = !long_mode,
		.s = 1,
		.l = long_mode,
		.g = 1,
	};
}

static struct kvm_segment data_segment(void)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = BOOT_DATA_SELECTOR,
		.type = 0x3, /* read, write, accessed */
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};
}

static int set_sregs(
	struct kvm_vcpu *vcpu, const struct boot_entry *entry, struct lacuna_error **err)
{
	bool long_mode = entry->mode == BOOT_MODE_LONG64;
	struct kvm_sregs s;
	if (ioctl(vcpu->fd, KVM_GET_SREGS, &s) < 0)
		return err_errno(err, "KVM_GET_SREGS");
	s.cs = code_segment(long_mode);
	s.ds = s.es = s.fs = s.gs = s.ss = data_segment();
	s.tr = (struct kvm_segment){
		.limit = 0x67,
		.type = 0xb,
		.present = 1,
	};
	s.gdt.base = LAYOUT_GDT;
	s.gdt.limit = BOOT_GDT_SIZE - 1;
	s.idt.base = 0;
	s.idt.limit = 0;
	s.cr0 = CR0_PE | CR0_ET;
	s.cr4 = 0;
	s.efer = 0;
	if (long_mode) {
		s.cr0 |= CR0_PG;
		s.cr3 = entry->page_table;
		s.cr4 = CR4_PAE;
		s.efer = EFER_LME | EFER_LMA;
	}
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &s) < 0)
		return err_errno(err, "KVM_SET_SREGS");
	return 0;
}

static int set_regs(
	struct kvm_vcpu *vcpu, const struct boot_entry *entry, struct lacuna_error **err)
{
	struct kvm_regs r = { .rflags = 2, .rip = entry->ip };
	if (entry->mode == BOOT_MODE_LONG64) {
		r.rsi = entry->argument;
		r.rsp = r.rbp = LAYOUT_STACK_TOP;
	} else {
		r.rax = entry->magic;
		r.rbx = entry->argument;
	}
	if (ioctl(vcpu->fd, KVM_SET_REGS, &r) < 0)
		return err_errno(err, "KVM_SET_REGS");
	return 0;
}

/* What firmware would have set: memory is write-back unless the guest says otherwise. */
static int set_msrs(struct kvm_vcpu *vcpu, struct lacuna_error **err)
{
	struct { /* struct kvm_msrs, whose entries have no number of their own */
		uint32_t nmsrs, pad;
		struct kvm_msr_entry entry[2];
	} msrs = {
		.nmsrs = ARRAY_SIZE(msrs.entry),
		.entry = {
			{ .index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLE | MTRR_WRITE_BACK },
			{ .index = MSR_MISC_ENABLE, .data = MISC_ENABLE_FAST_STR },
		},
	};
	static_assert(offsetof(__typeof__(msrs), entry) == sizeof(struct kvm_msrs), "KVM ABI");
	int n = ioctl(vcpu->fd, KVM_SET_MSRS, &msrs);
	if (n < 0)
		return err_errno(err, "KVM_SET_MSRS");
	if ((unsigned)n != msrs.nmsrs)
		return err_set(err, ENOTSUP, "KVM refuses MSR 0x%x", msrs.entry[n].index);
	return 0;
}

int regs_init(struct kvm_vcpu *vcpu, const struct boot_entry *entry, struct lacuna_error **err)
{
	int rc = set_msrs(vcpu, err);
	if (rc == 0 && vcpu->index == 0)
		rc = set_sregs(vcpu, entry, err);
	if (rc == 0 && vcpu->index == 0)
		rc = set_regs(vcpu, entry, err);
	return rc < 0 ? err_prefix(err, rc, "vCPU %u", vcpu->index) : 0;
}

uint32_t regs_tsc_khz(const struct kvm_vm *vm, const struct kvm_vcpu *vcpu)
{
	int khz = vm->get_tsc_khz ? ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0) : 0;
	return khz > 0 ? (uint32_t)khz : 0;
}
