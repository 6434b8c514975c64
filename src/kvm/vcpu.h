/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU: its descriptor, its shared page and one run. All calls but kicks belong to the vCPU's
 * own thread (or to the thread that builds the VM, before that thread exists).
 */
#ifndef KVM_VCPU_H
#define KVM_VCPU_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stdint.h>

#include "kvm/vm.h"

struct kvm_run;
struct kvm_cpuid2;

struct kvm_vcpu {
	int fd, stats_fd; /* stats_fd: -1 if KVM keeps none */
	unsigned index;   /* and APIC id */
	struct kvm_run *run;
	int run_size;
};

enum kvm_exit_kind {
	KVM_VCPU_INTERRUPTED, /* a signal or a kick */
	KVM_VCPU_IO,
	KVM_VCPU_MMIO,
	KVM_VCPU_SHUTDOWN, /* triple fault */
	KVM_VCPU_FAILED,   /* KVM can't go on; see kvm_vcpu_describe_failure() */
	KVM_VCPU_IGNORED,  /* nothing to do, run again */
};

struct kvm_exit {
	enum kvm_exit_kind kind;
	unsigned reason; /* KVM_EXIT_* */
	uint64_t addr;   /* port or guest-physical address */
	unsigned size;   /* of one access: 1, 2, 4; MMIO also 8, or odd when split at a page */
	unsigned count;  /* IO: accesses of a string instruction; else 1 */
	bool write;
	uint8_t *data; /* size * count bytes; to be filled for reads */
};

int kvm_vcpu_init(
	struct kvm_vcpu *vcpu, struct kvm_vm *vm, unsigned index, struct lacuna_error **err);
void kvm_vcpu_done(struct kvm_vcpu *vcpu);

/* Runs the guest until it exits. -errno if KVM_RUN itself fails, with EINTR and EAGAIN reported as
 * KVM_VCPU_INTERRUPTED. */
int kvm_vcpu_run(struct kvm_vcpu *vcpu, struct kvm_exit *ret);

/* Makes the run under way, or else the next one, return KVM_VCPU_INTERRUPTED at once, with a signal
 * to its thread; so does every later one until kvm_vcpu_unkick(). Any thread; callers of the two
 * serialise themselves. */
void kvm_vcpu_kick(struct kvm_vcpu *vcpu);
void kvm_vcpu_unkick(struct kvm_vcpu *vcpu);

/* Tells a guest with kvmclock that the host did not run it for a while, so that its watchdogs do
 * not take that for a lockup (KVM api.rst, KVM_KVMCLOCK_CTRL). */
void kvm_vcpu_was_paused(struct kvm_vcpu *vcpu);

/*
 * Fills the second-level page tables for [gpa, gpa + size), both multiples of 4 KiB, as reads would
 * (KVM_PRE_FAULT_MEMORY, Linux 6.11). -ENOTSUP where this kernel or this MMU can't; nothing depends
 * on it but time. Before the first run.
 */
int kvm_vcpu_pre_fault(struct kvm_vcpu *vcpu, uint64_t gpa, uint64_t size);

/* Why the last run ended in KVM_VCPU_FAILED or KVM_VCPU_SHUTDOWN, with the instruction pointer: one
 * line. */
void kvm_vcpu_describe_failure(struct kvm_vcpu *vcpu, char *buf, unsigned size);

/* --- the coalesced ring: one per VM, mapped by every vCPU --- */

struct kvm_coalesced_write {
	uint64_t addr;
	uint64_t value;
	unsigned size;
	bool pio;
};

#define KVM_VCPU_RING_MAX 170 /* entries the ring can hold; KVM leaves one free */

/* Any thread. True: every write made before has been taken out with kvm_vcpu_ring_done(). */
bool kvm_vcpu_ring_empty(const struct kvm_vcpu *vcpu);
/* The oldest entry; false if there is none. kvm_vcpu_ring_done() takes it out, to be called once
 * the write has taken effect. Callers of these two serialise themselves. */
bool kvm_vcpu_ring_peek(const struct kvm_vcpu *vcpu, struct kvm_coalesced_write *ret);
void kvm_vcpu_ring_done(struct kvm_vcpu *vcpu);

#endif
