// SPDX-License-Identifier: Apache-2.0
/* The exit-code port of guests made for tests and jobs: write-only. As wide as QEMU's
 * isa-debug-exit, since payloads made for that write four bytes; the lowest counts. */
#include "dev/exit.h"

#include <abi/layout.h>
#include <stdlib.h>

#include "util/bytes.h"
#include "util/err.h"

struct exit_port {
	struct bus *pio;
	struct region region;
	struct end_sink end;
};

static uint64_t exit_read(void *opaque, uint64_t offset, unsigned size)
{
	return ones(size);
}

static void exit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	const struct exit_port *e = opaque;
	if (!offset)
		e->end.end(e->end.opaque, END_EXIT_CODE, (int)(value & 0xff));
}

static const struct region_ops exit_ops = {
	.read = exit_read, .write = exit_write, .min_size = 1, .max_size = 4
};

int exit_port_new(struct bus *pio, const struct end_sink *end, struct exit_port **ret,
	struct lacuna_error **err)
{
	struct exit_port *e = malloc(sizeof(*e));
	if (!e)
		return err_nomem(err);
	*e = (struct exit_port){
		.pio = pio,
		.region = { .name = "exit",
			.base = LAYOUT_PORT_EXIT_CODE,
			.size = 4,
			.ops = &exit_ops,
			.opaque = e,
			.class = REGION_RESET },
		.end = *end,
	};
	int rc = bus_add(pio, &e->region, err);
	if (rc) {
		free(e);
		return rc;
	}
	*ret = e;
	return 0;
}

void exit_port_free(struct exit_port *e)
{
	if (!e)
		return;
	bus_remove(e->pio, &e->region);
	free(e);
}
