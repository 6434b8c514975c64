/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device behind the ACPI generic event device (ACPI 6.5, 5.6.9): a port that holds pending
 * events, one bit each (LAYOUT_GED_*), cleared by writing ones, and an interrupt that says that a
 * bit was set. The AML method _EVT reads and clears it.
 */
#ifndef DEV_GED_H
#define DEV_GED_H

#include <lacuna/error.h>

#include "bus/bus.h"
#include "bus/irq.h"

struct ged;

/* @irq is not owned and must outlive the device. */
int ged_new(
	struct bus *pio, const struct irqline *irq, struct ged **ret, struct lacuna_error **err);
void ged_free(struct ged *g);

/* Any thread. */
void ged_power_button(struct ged *g);

#endif
