/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How devices reach the guest's interrupt controllers, without knowing KVM. Injection is always a
 * write to an eventfd, so it may come from any thread and takes no lock; the machine connects the
 * eventfds to GSIs (irqfd).
 */
#ifndef BUS_IRQ_H
#define BUS_IRQ_H

#include <lacuna/error.h>
#include <stdint.h>

#include "util/fd.h"

/* An edge-triggered IOAPIC input (serial, GED). */
struct irqline {
	int fd; /* eventfd, owned by the machine; -1: not connected */
};

static inline void irqline_pulse(const struct irqline *line)
{
	if (line->fd >= 0)
		eventfd_signal(line->fd);
}

/*
 * MSI routes. connect makes writes to @fd raise the message (@addr, @data), giving the route a GSI
 * at first use (*@gsi < 0) and keeping it afterwards; disconnect breaks the link of @fd but keeps
 * the GSI; release gives it back. Any thread. -ENOSPC: all routes are in use.
 */
struct msi_ops {
	int (*connect)(void *opaque, int *gsi, uint64_t addr, uint32_t data, int fd,
		struct lacuna_error **err);
	void (*disconnect)(void *opaque, int gsi, int fd);
	void (*release)(void *opaque, int gsi);
};

#endif
