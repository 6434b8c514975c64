/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A UART: eight ports, one interrupt, a chardev behind it. Transmission takes no time: what
 * is written to THR is in the chardev's buffer at once, unless that is full. Then bytes wait in the
 * transmit FIFO and THRE stays clear until the outside has taken some.
 */
#ifndef DEV_SERIAL_H
#define DEV_SERIAL_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus/bus.h"
#include "bus/irq.h"

struct chardev;
struct loop;
struct serial;

/* All that is pointed to must outlive the device. */
struct serial_params {
	struct bus *pio;
	uint16_t base;
	const struct irqline *irq;
	struct chardev *chardev; /* must not have a client */
	struct loop *loop;

	/*
	 * Writes to THR come late and in batches: the caller replays them from KVM's coalesced ring
	 * before it handles any other exit, and calls serial_settle() when both are done. A THR
	 * write then raises no interrupt itself. That saves one useless interrupt for each batch,
	 * since the exit that caused the replay mostly is the guest's read of IIR.
	 */
	bool coalesced;

	/* Told whenever the guest begins or ceases to want transmit interrupts (IER bit 1), so that
	 * coalesced writes can be replayed more often meanwhile. May be NULL. Called under the
	 * device's lock: it may arm a timer, not more. */
	void (*tx_interrupts)(void *opaque, bool wanted);
	void *opaque;
};

/* Takes ports base to base+7 and becomes the client of the chardev. */
int serial_new(const struct serial_params *params, struct serial **ret, struct lacuna_error **err);
void serial_free(struct serial *s);

/* Raises the interrupt that replayed THR writes have made due. Any thread; cheap when none is. */
void serial_settle(struct serial *s);

#endif
