// SPDX-License-Identifier: Apache-2.0
/* The MSI part of the GSI routing table, and the irqfds that feed it. */
#include "kvm/irq.h"

#include <stdlib.h>
#include <string.h>

#include "util/err.h"
#include "util/thread.h"

void kvm_irq_init(struct kvm_irq *irq, struct kvm_vm *vm, unsigned first_gsi, unsigned end_gsi)
{
	*irq = (struct kvm_irq){ .vm = vm, .first = first_gsi, .end = end_gsi };
	pthread_mutex_init(&irq->lock, NULL);
}

void kvm_irq_done(struct kvm_irq *irq)
{
	free(irq->route);
	free(irq->fd);
	pthread_mutex_destroy(&irq->lock);
}

/* Linear, as what KVM does with the table at each change is, and a hundred times faster than that.
 */
static int find(const struct kvm_irq *irq, int gsi)
{
	for (unsigned i = 0; i < irq->count; i++)
		if (gsi >= 0 && irq->route[i].gsi == (unsigned)gsi)
			return (int)i;
	return -1;
}

static bool gsi_taken(const struct kvm_irq *irq, unsigned gsi)
{
	return find(irq, (int)gsi) >= 0;
}

/* Appends a route with a free GSI. */
static int append(struct kvm_irq *irq, struct lacuna_error **err)
{
	if (irq->first + irq->count >= irq->end)
		return err_set(err, ENOSPC, "all %u MSI routes are in use", irq->count);
	if (irq->count == irq->capacity) {
		unsigned capacity = irq->capacity ? 2 * irq->capacity : 16;
		struct kvm_msi_route *route = realloc(irq->route, capacity * sizeof(*route));
		if (route)
			irq->route = route;
		int *fd = route ? realloc(irq->fd, capacity * sizeof(*fd)) : NULL;
		if (!fd)
			return err_nomem(err);
		irq->fd = fd;
		irq->capacity = capacity;
	}
	/* The numbers in use are dense unless something was released, so the first guess is nearly
	 * always free. */
	unsigned gsi = irq->first + irq->count;
	while (gsi_taken(irq, gsi))
		gsi = gsi > irq->first ? gsi - 1 : irq->end - 1;
	irq->route[irq->count].gsi = gsi;
	irq->fd[irq->count] = -1;
	return (int)irq->count++;
}

int kvm_irq_connect(
	void *opaque, int *gsi, uint64_t addr, uint32_t data, int fd, struct lacuna_error **err)
{
	struct kvm_irq *irq = opaque;
	LOCK_SCOPE(&irq->lock);
	int at = find(irq, *gsi);
	bool fresh = at < 0;
	if (fresh)
		at = append(irq, err);
	if (at < 0)
		return at;
	struct kvm_msi_route old = irq->route[at];
	irq->route[at].address = addr;
	irq->route[at].data = data;
	int rc = kvm_vm_set_routes(irq->vm, irq->route, irq->count, err);
	if (rc == 0 && irq->fd[at] != fd) {
		rc = kvm_vm_irqfd(irq->vm, irq->route[at].gsi, fd, true, err);
		if (rc == 0)
			irq->fd[at] = fd;
	}
	if (rc < 0) {
		if (fresh)
			irq->count--;
		else
			irq->route[at] = old;
		return rc;
	}
	*gsi = (int)irq->route[at].gsi;
	return 0;
}

void kvm_irq_disconnect(void *opaque, int gsi, int fd)
{
	struct kvm_irq *irq = opaque;
	LOCK_SCOPE(&irq->lock);
	int at = find(irq, gsi);
	if (at < 0 || irq->fd[at] != fd)
		return;
	kvm_vm_irqfd(irq->vm, (unsigned)gsi, fd, false, NULL);
	irq->fd[at] = -1;
}

/* The route stays in KVM's table until the next change; nothing signals it any more. */
void kvm_irq_release(void *opaque, int gsi)
{
	struct kvm_irq *irq = opaque;
	LOCK_SCOPE(&irq->lock);
	int at = find(irq, gsi);
	if (at < 0)
		return;
	irq->count--;
	irq->route[at] = irq->route[irq->count];
	irq->fd[at] = irq->fd[irq->count];
}
