/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI routes of a VM (implements struct msi_ops of bus/irq.h). KVM takes the whole table at each
 * change, so the table is kept here. GSIs are given out from LAYOUT_GSI_MSI up. Any thread.
 */
#ifndef KVM_IRQ_H
#define KVM_IRQ_H

#include <pthread.h>

#include "kvm/vm.h"

struct kvm_irq {
	struct kvm_vm *vm;
	pthread_mutex_t lock;
	unsigned first, end;         /* GSIs that may be given out */
	struct kvm_msi_route *route; /* sorted by nothing; count in use */
	int *fd;                     /* of each route; -1: not connected */
	unsigned count, capacity;
};

void kvm_irq_init(struct kvm_irq *irq, struct kvm_vm *vm, unsigned first_gsi, unsigned end_gsi);
void kvm_irq_done(struct kvm_irq *irq);

int kvm_irq_connect(
	void *opaque, int *gsi, uint64_t addr, uint32_t data, int fd, struct lacuna_error **err);
void kvm_irq_disconnect(void *opaque, int gsi, int fd);
void kvm_irq_release(void *opaque, int gsi);

#endif
