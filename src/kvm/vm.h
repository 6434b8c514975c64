/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A KVM virtual machine: one typed function per ioctl. All return 0 or -errno and may be called
 * from any thread; KVM does the locking. Addresses and sizes are bytes.
 */
#ifndef KVM_VM_H
#define KVM_VM_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stdint.h>

struct kvm_vm {
	int fd;
	int run_size; /* of a vCPU's shared mapping */
	bool readonly_mem, coalesced_pio, tsc_deadline, get_tsc_khz, stats, pre_fault;
};

int kvm_vm_init(struct kvm_vm *vm, int kvm_fd, struct lacuna_error **err);
void kvm_vm_done(struct kvm_vm *vm); /* also on a zeroed one whose fd is -1 */

int kvm_vm_set_tss(
	struct kvm_vm *vm, uint64_t tss, uint64_t identity_map, struct lacuna_error **err);
int kvm_vm_create_irqchip(struct kvm_vm *vm, struct lacuna_error **err);
/* Masks all inputs of the two 8259s that come with the irqchip. */
int kvm_vm_mask_8259(struct kvm_vm *vm, struct lacuna_error **err);

/* Read-only slots: guest writes arrive as MMIO. @size 0 removes the slot. */
int kvm_vm_set_slot(struct kvm_vm *vm, unsigned slot, uint64_t gpa, uint64_t size, const void *hva,
	bool readonly, struct lacuna_error **err);

/* A write of @size bytes (0: any) to @addr signals @fd. */
int kvm_vm_ioeventfd(struct kvm_vm *vm, uint64_t addr, unsigned size, int fd, bool assign,
	struct lacuna_error **err);

/* A signal of @fd raises @gsi (edge). */
int kvm_vm_irqfd(struct kvm_vm *vm, unsigned gsi, int fd, bool assign, struct lacuna_error **err);

/* Writes into [addr, addr + size) go to the ring and cause no exit until it is full. */
int kvm_vm_coalesce(
	struct kvm_vm *vm, uint64_t addr, uint32_t size, bool pio, struct lacuna_error **err);

struct kvm_msi_route {
	unsigned gsi;
	uint64_t address;
	uint32_t data;
};

/* Replaces all routes by the IOAPIC's 24 inputs (GSI n to pin n) and @count MSI routes. */
int kvm_vm_set_routes(struct kvm_vm *vm, const struct kvm_msi_route *msi, unsigned count,
	struct lacuna_error **err);

/* A descriptor for the binary statistics of a VM or vCPU (api.rst, KVM_GET_STATS_FD), or -1. Like
 * every call on a vCPU it waits while that runs. */
int kvm_stats_open(int fd);
/* Reads them: one call of @fn per scalar counter. Never waits. */
int kvm_stats_read(
	int stats_fd, void (*fn)(void *opaque, const char *name, uint64_t value), void *opaque);

#endif
