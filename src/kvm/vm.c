// SPDX-License-Identifier: Apache-2.0
/* VM ioctls (Documentation/virt/kvm/api.rst). */
#include "kvm/vm.h"

#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "kvm/kvm.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"

#define IOAPIC_PINS 24

#ifndef KVM_CAP_PRE_FAULT_MEMORY /* headers older than Linux 6.11 */
#define KVM_CAP_PRE_FAULT_MEMORY 236
#endif

static bool has(const struct kvm_vm *vm, int capability)
{
	return ioctl(vm->fd, KVM_CHECK_EXTENSION, capability) > 0;
}

int kvm_vm_init(struct kvm_vm *vm, int kvm_fd, struct lacuna_error **err)
{
	*vm = (struct kvm_vm){ .fd = -1 };
	int size = kvm_vcpu_mmap_size(kvm_fd, err);
	if (size < 0)
		return size;
	/* KVM_CREATE_VM may be interrupted by a signal before it did anything */
	do
		vm->fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0)
		return err_errno(err, "KVM_CREATE_VM");
	vm->run_size = size;
	/* asked of the VM, not of /dev/kvm: what a VM can do depends on its type */
	vm->readonly_mem = has(vm, KVM_CAP_READONLY_MEM);
	vm->coalesced_pio = has(vm, KVM_CAP_COALESCED_PIO);
	vm->tsc_deadline = has(vm, KVM_CAP_TSC_DEADLINE_TIMER);
	vm->get_tsc_khz = has(vm, KVM_CAP_GET_TSC_KHZ);
	vm->stats = has(vm, KVM_CAP_BINARY_STATS_FD);
	vm->pre_fault = has(vm, KVM_CAP_PRE_FAULT_MEMORY);
	return 0;
}

void kvm_vm_done(struct kvm_vm *vm)
{
	fd_close(&vm->fd);
}

int kvm_vm_set_tss(
	struct kvm_vm *vm, uint64_t tss, uint64_t identity_map, struct lacuna_error **err)
{
	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0)
		return err_errno(err, "KVM_SET_IDENTITY_MAP_ADDR");
	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, tss) < 0)
		return err_errno(err, "KVM_SET_TSS_ADDR");
	return 0;
}

int kvm_vm_create_irqchip(struct kvm_vm *vm, struct lacuna_error **err)
{
	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return err_errno(err, "KVM_CREATE_IRQCHIP");
	return 0;
}

int kvm_vm_mask_8259(struct kvm_vm *vm, struct lacuna_error **err)
{
	static const uint32_t chips[] = { KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE };
	for (size_t i = 0; i < ARRAY_SIZE(chips); i++) {
		struct kvm_irqchip chip = { .chip_id = chips[i] };
		if (ioctl(vm->fd, KVM_GET_IRQCHIP, &chip) < 0)
			return err_errno(err, "KVM_GET_IRQCHIP");
		chip.chip.pic.imr = 0xff;
		if (ioctl(vm->fd, KVM_SET_IRQCHIP, &chip) < 0)
			return err_errno(err, "KVM_SET_IRQCHIP");
	}
	return 0;
}

int kvm_vm_set_slot(struct kvm_vm *vm, unsigned slot, uint64_t gpa, uint64_t size, const void *hva,
	bool readonly, struct lacuna_error **err)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = readonly ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};
	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return err_errno(err, "memory slot %u at 0x%llx, %llu KiB", slot,
			(unsigned long long)gpa, (unsigned long long)(size / KIB));
	return 0;
}

int kvm_vm_ioeventfd(struct kvm_vm *vm, uint64_t addr, unsigned size, int fd, bool assign,
	struct lacuna_error **err)
{
	struct kvm_ioeventfd e = {
		.addr = addr,
		.len = size,
		.fd = fd,
		.flags = assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN,
	};
	if (ioctl(vm->fd, KVM_IOEVENTFD, &e) < 0)
		return err_errno(err, "KVM_IOEVENTFD at 0x%llx", (unsigned long long)addr);
	return 0;
}

int kvm_vm_irqfd(struct kvm_vm *vm, unsigned gsi, int fd, bool assign, struct lacuna_error **err)
{
	struct kvm_irqfd e = {
		.fd = (uint32_t)fd,
		.gsi = gsi,
		.flags = assign ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
	};
	if (ioctl(vm->fd, KVM_IRQFD, &e) < 0)
		return err_errno(err, "KVM_IRQFD for GSI %u", gsi);
	return 0;
}

int kvm_vm_coalesce(
	struct kvm_vm *vm, uint64_t addr, uint32_t size, bool pio, struct lacuna_error **err)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = addr, .size = size, .pio = pio };
	if (ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone) < 0)
		return err_errno(
			err, "KVM_REGISTER_COALESCED_MMIO at 0x%llx", (unsigned long long)addr);
	return 0;
}

int kvm_vm_set_routes(struct kvm_vm *vm, const struct kvm_msi_route *msi, unsigned count,
	struct lacuna_error **err)
{
	size_t entries = IOAPIC_PINS + (size_t)count;
	struct kvm_irq_routing *table =
		calloc(1, sizeof(*table) + entries * sizeof(table->entries[0]));
	if (!table)
		return err_nomem(err);
	table->nr = (uint32_t)entries;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		struct kvm_irq_routing_entry *e = &table->entries[pin];
		e->gsi = pin;
		e->type = KVM_IRQ_ROUTING_IRQCHIP;
		e->u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		e->u.irqchip.pin = pin;
	}
	for (unsigned i = 0; i < count; i++) {
		struct kvm_irq_routing_entry *e = &table->entries[IOAPIC_PINS + i];
		e->gsi = msi[i].gsi;
		e->type = KVM_IRQ_ROUTING_MSI;
		e->u.msi.address_lo = (uint32_t)msi[i].address;
		e->u.msi.address_hi = (uint32_t)(msi[i].address >> 32);
		e->u.msi.data = msi[i].data;
	}
	int rc = ioctl(vm->fd, KVM_SET_GSI_ROUTING, table) < 0
			 ? err_errno(err, "KVM_SET_GSI_ROUTING with %u MSI routes", count)
			 : 0;
	free(table);
	return rc;
}

static int read_descriptors(int stats_fd, const struct kvm_stats_header *h,
	void (*fn)(void *opaque, const char *name, uint64_t value), void *opaque)
{
	size_t size = sizeof(struct kvm_stats_desc) + h->name_size;
	struct kvm_stats_desc *desc = malloc(size + 1);
	if (!desc)
		return -ENOMEM;
	int rc = 0;
	for (uint32_t i = 0; i < h->num_desc && rc == 0; i++) {
		uint64_t value;
		if (pread(stats_fd, desc, size, h->desc_offset + (off_t)(i * size)) !=
			(ssize_t)size) {
			rc = -EIO;
			break;
		}
		((char *)desc)[size] = '\0';
		if (desc->size != 1) /* a histogram */
			continue;
		if (pread(stats_fd, &value, sizeof(value), h->data_offset + (off_t)desc->offset) !=
			sizeof(value))
			rc = -EIO;
		else
			fn(opaque, desc->name, value);
	}
	free(desc);
	return rc;
}

int kvm_stats_open(int fd)
{
	return ioctl(fd, KVM_GET_STATS_FD, NULL);
}

int kvm_stats_read(
	int stats_fd, void (*fn)(void *opaque, const char *name, uint64_t value), void *opaque)
{
	struct kvm_stats_header header;
	if (pread(stats_fd, &header, sizeof(header), 0) != sizeof(header))
		return -EIO;
	return read_descriptors(stats_fd, &header, fn, opaque);
}
