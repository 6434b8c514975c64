// SPDX-License-Identifier: Apache-2.0
/* Reset, power-off and the CMOS that isn't there. The only state is the two bits of 0xCF9 that keep
 * what is written to them. */
#include "dev/reset.h"

#include <abi/layout.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "util/bytes.h"
#include "util/err.h"

#define CF9_SYS_RST  0x02 /* kind of reset to come; both kinds are the same here */
#define CF9_RST_CPU  0x04
#define CF9_FULL_RST 0x08

#define I8042_CMD_RESET 0xfe

#define SLEEP_TYPE_SHIFT 2
#define SLEEP_TYPE_MASK  7
#define SLEEP_ENABLE     0x20

enum { I8042, SLEEP, CMOS, REGIONS };

struct reset {
	struct bus *pio;
	struct region region[REGIONS];
	struct end_sink end;
	_Atomic uint8_t cf9;
};

static void end(const struct reset *r, enum end_kind kind)
{
	r->end.end(r->end.opaque, kind, 0);
}

uint8_t reset_cf9_read(struct reset *r)
{
	return atomic_load(&r->cf9);
}

void reset_cf9_write(struct reset *r, uint8_t value)
{
	atomic_store(&r->cf9, value & (CF9_SYS_RST | CF9_FULL_RST));
	if (value & CF9_RST_CPU)
		end(r, END_RESET);
}

/* A status of 0: no data, ready for a command. All ones would say that the input buffer is full,
 * and a guest about to reset would wait for it. */
static uint64_t zero_read(void *opaque, uint64_t offset, unsigned size)
{
	return 0;
}

static void i8042_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	if (value == I8042_CMD_RESET)
		end(opaque, END_RESET);
}

static void sleep_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	if (offset == 0 && value & SLEEP_ENABLE &&
		(value >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK) == LAYOUT_SLEEP_TYPE_S5)
		end(opaque, END_POWEROFF);
}

static uint64_t cmos_read(void *opaque, uint64_t offset, unsigned size)
{
	return ones(size);
}

static void cmos_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

static const struct {
	const char *name;
	uint16_t base, size;
	enum region_class class;
	struct region_ops ops;
} regions[REGIONS] = {
	[I8042] = { "i8042", LAYOUT_PORT_I8042, 1, REGION_RESET, { zero_read, i8042_write, 1, 1 } },
	[SLEEP] = { "sleep", LAYOUT_PORT_SLEEP_CTRL, 2, REGION_RESET,
		{ zero_read, sleep_write, 1, 1 } },
	[CMOS] = { "cmos", LAYOUT_PORT_CMOS, 2, REGION_CMOS, { cmos_read, cmos_write, 1, 1 } },
};

int reset_new(
	struct bus *pio, const struct end_sink *sink, struct reset **ret, struct lacuna_error **err)
{
	struct reset *r = calloc(1, sizeof(*r));
	if (!r)
		return err_nomem(err);
	r->pio = pio;
	r->end = *sink;
	for (unsigned i = 0; i < REGIONS; i++) {
		r->region[i] = (struct region){ .name = regions[i].name,
			.base = regions[i].base,
			.size = regions[i].size,
			.ops = &regions[i].ops,
			.opaque = r,
			.class = regions[i].class };
		int rc = bus_add(pio, &r->region[i], err);
		if (rc) {
			reset_free(r);
			return rc;
		}
	}
	*ret = r;
	return 0;
}

void reset_free(struct reset *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < REGIONS; i++)
		bus_remove(r->pio, &r->region[i]); /* one that was never added is fine */
	free(r);
}
