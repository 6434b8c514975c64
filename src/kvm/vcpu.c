// SPDX-License-Identifier: Apache-2.0
/* vCPU ioctls and the shared run page (api.rst, "The kvm_run structure"). */
#include "kvm/vcpu.h"

#include <assert.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"

#define PAGE 4096

#define RESET_RIP 0xfff0

#ifndef KVM_PRE_FAULT_MEMORY /* headers older than Linux 6.11 */
struct kvm_pre_fault_memory {
	__u64 gpa;
	__u64 size;
	__u64 flags;
	__u64 padding[5];
};
#define KVM_PRE_FAULT_MEMORY _IOWR(KVMIO, 0xd5, struct kvm_pre_fault_memory)
#endif
static_assert(sizeof(struct kvm_pre_fault_memory) == _IOC_SIZE(KVM_PRE_FAULT_MEMORY), "api.rst");

int kvm_vcpu_init(
	struct kvm_vcpu *vcpu, struct kvm_vm *vm, unsigned index, struct lacuna_error **err)
{
	*vcpu = (struct kvm_vcpu){
		.fd = -1, .stats_fd = -1, .index = index, .run_size = vm->run_size
	};
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)index);
	if (vcpu->fd < 0)
		return err_errno(err, "create vCPU %u", index);
	if (vm->stats) {
		vcpu->stats_fd = kvm_stats_open(vcpu->fd);
		if (vcpu->stats_fd < 0)
			return err_errno(err, "statistics of vCPU %u", index);
	}
	void *run =
		mmap(NULL, (size_t)vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED)
		return err_errno(err, "map vCPU %u", index);
	vcpu->run = run;
	return 0;
}

void kvm_vcpu_done(struct kvm_vcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, (size_t)vcpu->run_size);
	vcpu->run = NULL;
	fd_close(&vcpu->stats_fd);
	fd_close(&vcpu->fd);
}

static enum kvm_exit_kind decode(struct kvm_run *run, struct kvm_exit *e)
{
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		e->addr = run->io.port;
		e->size = run->io.size;
		e->count = run->io.count;
		e->write = run->io.direction == KVM_EXIT_IO_OUT;
		e->data = (uint8_t *)run + run->io.data_offset;
		return KVM_VCPU_IO;
	case KVM_EXIT_MMIO:
		e->addr = run->mmio.phys_addr;
		e->size = run->mmio.len;
		e->write = run->mmio.is_write;
		e->data = run->mmio.data;
		return KVM_VCPU_MMIO;
	case KVM_EXIT_SHUTDOWN:
		return KVM_VCPU_SHUTDOWN;
	case KVM_EXIT_INTR:
		return KVM_VCPU_INTERRUPTED;
	case KVM_EXIT_HLT: /* not with the in-kernel irqchip, but harmless */
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR:
		return KVM_VCPU_IGNORED;
	default:
		return KVM_VCPU_FAILED;
	}
}

int kvm_vcpu_run(struct kvm_vcpu *vcpu, struct kvm_exit *ret)
{
	*ret = (struct kvm_exit){ .count = 1 };
	if (ioctl(vcpu->fd, KVM_RUN, 0) < 0) {
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
		ret->kind = KVM_VCPU_INTERRUPTED;
		ret->reason = KVM_EXIT_INTR;
		return 0;
	}
	ret->reason = vcpu->run->exit_reason;
	ret->kind = decode(vcpu->run, ret);
	return 0;
}

void kvm_vcpu_kick(struct kvm_vcpu *vcpu)
{
	/* Read by KVM_RUN at entry, so a kick between two runs is not lost. */
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_RELAXED);
}

void kvm_vcpu_unkick(struct kvm_vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_RELAXED);
}

void kvm_vcpu_was_paused(struct kvm_vcpu *vcpu)
{
	/* -EINVAL from a guest that has no kvmclock is as good */
	ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
}

int kvm_vcpu_pre_fault(struct kvm_vcpu *vcpu, uint64_t gpa, uint64_t size)
{
	/* KVM moves gpa and size past what it has done, so an interrupted call goes on where it
	 * stopped. */
	struct kvm_pre_fault_memory range = { .gpa = gpa, .size = size };
	while (range.size > 0) {
		uint64_t left = range.size;
		if (ioctl(vcpu->fd, KVM_PRE_FAULT_MEMORY, &range) < 0 && errno != EINTR)
			return errno == EAGAIN ? -EAGAIN : -ENOTSUP;
		if (range.size == left)
			return -EAGAIN;
	}
	return 0;
}

void kvm_vcpu_describe_failure(struct kvm_vcpu *vcpu, char *buf, unsigned size)
{
	const struct kvm_run *run = vcpu->run;
	struct kvm_regs regs = { .rip = 0 };
	ioctl(vcpu->fd, KVM_GET_REGS, &regs);
	unsigned long long rip = regs.rip;
	switch (run->exit_reason) {
	case KVM_EXIT_SHUTDOWN:
		/* On AMD KVM has reset the vCPU by now, and the address of the fault is gone. */
		if (rip == RESET_RIP)
			snprintf(buf, size, "vCPU %u: triple fault", vcpu->index);
		else
			snprintf(
				buf, size, "vCPU %u: triple fault at RIP 0x%llx", vcpu->index, rip);
		return;
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(buf, size,
			"vCPU %u: the CPU refused to enter the guest, hardware reason 0x%llx, RIP 0x%llx",
			vcpu->index,
			(unsigned long long)run->fail_entry.hardware_entry_failure_reason, rip);
		return;
	case KVM_EXIT_INTERNAL_ERROR:
		snprintf(buf, size, "vCPU %u: KVM internal error %u%s at RIP 0x%llx", vcpu->index,
			run->internal.suberror,
			run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
				? " (an instruction it can't emulate)"
				: "",
			rip);
		return;
	default:
		snprintf(buf, size, "vCPU %u: unknown exit, reason %u, RIP 0x%llx", vcpu->index,
			run->exit_reason, rip);
	}
}

/* --- ring: `first` is ours, `last` is KVM's (api.rst, KVM_CAP_COALESCED_MMIO) --- */

static struct kvm_coalesced_mmio_ring *ring_of(const struct kvm_vcpu *vcpu)
{
	return (struct kvm_coalesced_mmio_ring *)(void *)((uint8_t *)vcpu->run +
							  (size_t)KVM_COALESCED_MMIO_PAGE_OFFSET *
								  PAGE);
}

#define RING_ENTRIES \
	((PAGE - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))
static_assert(RING_ENTRIES == KVM_VCPU_RING_MAX, "the ring fills its page");

bool kvm_vcpu_ring_empty(const struct kvm_vcpu *vcpu)
{
	const struct kvm_coalesced_mmio_ring *ring = ring_of(vcpu);
	/* pairs with the store in kvm_vcpu_ring_done(): if empty, all that was in it has taken
	 * effect */
	return __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE) ==
	       __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE);
}

bool kvm_vcpu_ring_peek(const struct kvm_vcpu *vcpu, struct kvm_coalesced_write *ret)
{
	const struct kvm_coalesced_mmio_ring *ring = ring_of(vcpu);
	uint32_t first = READ_ONCE(ring->first);
	/* pairs with KVM's smp_wmb() between filling the entry and moving `last` */
	if (first == __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE))
		return false;
	const struct kvm_coalesced_mmio *entry = &ring->coalesced_mmio[first % RING_ENTRIES];
	unsigned size = (unsigned)min_u64(entry->len, 8);
	*ret = (struct kvm_coalesced_write){
		.addr = entry->phys_addr,
		.value = load_le(entry->data, size),
		.size = size,
		.pio = entry->pio,
	};
	return true;
}

void kvm_vcpu_ring_done(struct kvm_vcpu *vcpu)
{
	struct kvm_coalesced_mmio_ring *ring = ring_of(vcpu);
	/* the entry is ours until this store; KVM may fill it again right after */
	__atomic_store_n(
		&ring->first, (READ_ONCE(ring->first) + 1) % RING_ENTRIES, __ATOMIC_RELEASE);
}
