// SPDX-License-Identifier: Apache-2.0
/* Pending ACPI events. One atomic byte: set, then pulse, so a guest that clears a bit at the same
 * time either sees the new event in what it read or is interrupted again. */
#include "dev/ged.h"

#include <abi/layout.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "util/err.h"

struct ged {
	struct bus *pio;
	struct region region;
	const struct irqline *irq;
	_Atomic uint8_t pending;
};

static uint64_t ged_read(void *opaque, uint64_t offset, unsigned size)
{
	struct ged *g = opaque;
	return atomic_load(&g->pending);
}

static void ged_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct ged *g = opaque;
	atomic_fetch_and(&g->pending, (uint8_t)~value);
}

static const struct region_ops ged_ops = {
	.read = ged_read, .write = ged_write, .min_size = 1, .max_size = 1
};

int ged_new(struct bus *pio, const struct irqline *irq, struct ged **ret, struct lacuna_error **err)
{
	struct ged *g = calloc(1, sizeof(*g));
	if (!g)
		return err_nomem(err);
	g->pio = pio;
	g->irq = irq;
	g->region = (struct region){ .name = "ged",
		.base = LAYOUT_PORT_GED,
		.size = 1,
		.ops = &ged_ops,
		.opaque = g,
		.class = REGION_OTHER };
	int rc = bus_add(pio, &g->region, err);
	if (rc) {
		free(g);
		return rc;
	}
	*ret = g;
	return 0;
}

void ged_free(struct ged *g)
{
	if (!g)
		return;
	bus_remove(g->pio, &g->region);
	free(g);
}

void ged_power_button(struct ged *g)
{
	atomic_fetch_or(&g->pending, LAYOUT_GED_POWER_BUTTON);
	irqline_pulse(g->irq);
}
