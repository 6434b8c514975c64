// SPDX-License-Identifier: Apache-2.0
/* The small port devices: what is read, what ends the machine and what must not. */
#include <abi/layout.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <sys/eventfd.h>

#include "bus/bus.h"
#include "bus/irq.h"
#include "dev/exit.h"
#include "dev/ged.h"
#include "dev/reset.h"
#include "util/bytes.h"
#include "util/err.h"

#define NOTHING (-1)

struct ended {
	int kind, code, calls;
};

static void on_end(void *opaque, enum end_kind kind, int code)
{
	*(struct ended *)opaque =
		(struct ended){ (int)kind, code, ((struct ended *)opaque)->calls + 1 };
}

struct port_case {
	uint16_t port;
	unsigned size;
	uint64_t value;
	int kind, code; /* NOTHING: the machine goes on */
	enum region_class class;
};

ParameterizedTestParameters(ports, writes)
{
	static struct port_case c[] = {
		{ 0x64, 1, 0xfe, END_RESET, 0, REGION_RESET },
		{ 0x64, 1, 0xff, NOTHING, 0, REGION_RESET },
		{ 0x64, 1, 0xd1, NOTHING, 0, REGION_RESET },
		{ 0x600, 1, 0x20 | 5 << 2, END_POWEROFF, 0, REGION_RESET },
		{ 0x600, 1, 0xe3 | 5 << 2, END_POWEROFF, 0, REGION_RESET },
		{ 0x600, 1, 5 << 2, NOTHING, 0, REGION_RESET },
		{ 0x600, 1, 0x20 | 3 << 2, NOTHING, 0, REGION_RESET },
		{ 0x600, 1, 0x20, NOTHING, 0, REGION_RESET },
		{ 0x600, 2, 0x80 << 8 | 0x20 | 5 << 2, END_POWEROFF, 0, REGION_RESET },
		{ 0x601, 1, 0x20 | 5 << 2, NOTHING, 0, REGION_RESET },
		{ 0x601, 1, 0x80, NOTHING, 0, REGION_RESET },
		{ 0x70, 1, 0xfe, NOTHING, 0, REGION_CMOS },
		{ 0x71, 1, 0xff, NOTHING, 0, REGION_CMOS },
		{ 0xf4, 1, 0, END_EXIT_CODE, 0, REGION_RESET },
		{ 0xf4, 1, 42, END_EXIT_CODE, 42, REGION_RESET },
		{ 0xf4, 1, 255, END_EXIT_CODE, 255, REGION_RESET },
		{ 0xf4, 2, 0x0101, END_EXIT_CODE, 1, REGION_RESET },
		{ 0xf4, 4, 0x1207, END_EXIT_CODE, 7, REGION_RESET },
		{ 0xf5, 1, 1, NOTHING, 0, REGION_RESET },
		{ 0xf6, 4, 1, NOTHING, 0, REGION_OTHER },
	};
	return cr_make_param_array(struct port_case, c, ARRAY_SIZE(c));
}

struct ports {
	struct bus pio;
	struct ended ended;
	struct reset *reset;
	struct exit_port *exit;
};

static void ports_init(struct ports *p)
{
	*p = (struct ports){ .ended = { .kind = NOTHING } };
	struct end_sink sink = { on_end, &p->ended };
	bus_init(&p->pio);
	cr_assert_eq(reset_new(&p->pio, &sink, &p->reset, NULL), 0);
	cr_assert_eq(exit_port_new(&p->pio, &sink, &p->exit, NULL), 0);
}

static void ports_done(struct ports *p)
{
	reset_free(p->reset);
	exit_port_free(p->exit);
	cr_expect_eq(p->pio.count, 0u, "a region was left on the bus");
	bus_done(&p->pio);
}

ParameterizedTest(struct port_case *c, ports, writes)
{
	struct ports p;
	ports_init(&p);
	cr_expect_eq(bus_write(&p.pio, c->port, c->value, c->size), c->class);
	cr_expect_eq(p.ended.kind, c->kind);
	cr_expect_eq(p.ended.code, c->code);
	cr_expect_eq(p.ended.calls, c->kind == NOTHING ? 0 : 1);
	ports_done(&p);
}

static uint8_t read_port(struct ports *p, uint16_t port)
{
	uint64_t value = 0;
	bus_read(&p->pio, port, 1, &value);
	return (uint8_t)value;
}

Test(ports, reads)
{
	struct ports p;
	ports_init(&p);
	cr_expect_eq(read_port(&p, 0x64), 0); /* ready for a command */
	cr_expect_eq(read_port(&p, 0x60), 0xff);
	cr_expect_eq(read_port(&p, 0x600), 0);
	cr_expect_eq(read_port(&p, 0x601), 0);
	cr_expect_eq(read_port(&p, 0x70), 0xff);
	cr_expect_eq(read_port(&p, 0x71), 0xff);
	cr_expect_eq(read_port(&p, 0xf4), 0xff);
	cr_expect_eq(p.ended.calls, 0);
	ports_done(&p);
}

struct cf9_case {
	uint8_t value, read;
	bool resets;
};

ParameterizedTestParameters(ports, cf9)
{
	static struct cf9_case c[] = { { 0x06, 0x02, true }, { 0x0e, 0x0a, true },
		{ 0x04, 0x00, true }, { 0x02, 0x02, false }, { 0xfb, 0x0a, false },
		{ 0x00, 0x00, false } };
	return cr_make_param_array(struct cf9_case, c, ARRAY_SIZE(c));
}

/* Reached through the PCI host, which owns the port. */
ParameterizedTest(struct cf9_case *c, ports, cf9)
{
	struct ports p;
	ports_init(&p);
	cr_expect_eq(bus_write(&p.pio, 0xcf9, 0x06, 1), REGION_OTHER);
	cr_expect_eq(p.ended.calls, 0);
	cr_expect_eq(reset_cf9_read(p.reset), 0);
	reset_cf9_write(p.reset, c->value);
	cr_expect_eq(reset_cf9_read(p.reset), c->read);
	cr_expect_eq(p.ended.kind, c->resets ? (int)END_RESET : NOTHING);
	ports_done(&p);
}

Test(ports, taken_port_is_an_error_and_nothing_is_left_behind)
{
	struct bus pio;
	struct end_sink sink = { on_end, NULL };
	struct reset *reset = NULL;
	struct lacuna_error *err = NULL;
	const struct region taken = { .name = "taken", .base = LAYOUT_PORT_CMOS + 1, .size = 1 };
	bus_init(&pio);
	cr_assert_eq(bus_add(&pio, &taken, NULL), 0);
	cr_expect_eq(reset_new(&pio, &sink, &reset, &err), -EEXIST);
	cr_expect_null(reset);
	cr_expect_not_null(err);
	cr_expect_eq(pio.count, 1u);
	lacuna_error_free(err);
	bus_remove(&pio, &taken);
	bus_done(&pio);
	reset_free(NULL);
	exit_port_free(NULL);
	ged_free(NULL);
}

Test(ged, power_button)
{
	struct bus pio;
	struct irqline irq = { eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	struct ged *ged;
	uint64_t value;
	bus_init(&pio);
	cr_assert_eq(ged_new(&pio, &irq, &ged, NULL), 0);

	bus_read(&pio, LAYOUT_PORT_GED, 1, &value);
	cr_expect_eq(value, 0u);
	cr_expect_not(eventfd_drain(irq.fd));

	ged_power_button(ged);
	cr_expect(eventfd_drain(irq.fd));
	bus_read(&pio, LAYOUT_PORT_GED, 1, &value);
	cr_expect_eq(value, (uint64_t)LAYOUT_GED_POWER_BUTTON);
	bus_write(&pio, LAYOUT_PORT_GED, 0xfe, 1); /* other bits: it stays */
	bus_read(&pio, LAYOUT_PORT_GED, 1, &value);
	cr_expect_eq(value, (uint64_t)LAYOUT_GED_POWER_BUTTON);
	ged_power_button(ged); /* pressed again before it was cleared: an interrupt all the same */
	cr_expect(eventfd_drain(irq.fd));
	bus_write(&pio, LAYOUT_PORT_GED, LAYOUT_GED_POWER_BUTTON, 1);
	bus_read(&pio, LAYOUT_PORT_GED, 1, &value);
	cr_expect_eq(value, 0u);
	cr_expect_not(eventfd_drain(irq.fd));

	ged_free(ged);
	cr_expect_eq(pio.count, 0u);
	bus_done(&pio);
}
