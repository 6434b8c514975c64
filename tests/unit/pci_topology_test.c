// SPDX-License-Identifier: Apache-2.0
/* Placement of devices on buses: what fits, where it goes, and one line for what does not. */
#include "pci/topology.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>

#include "pci_fixture.h"

#define MANY 2100

/* @count devices without a wish, then @extra that want bus @bus. */
struct plan_case {
	int ports;
	unsigned buses, count;
	unsigned extra, bus;
	unsigned ret_ports, ret_buses;
};

static unsigned make_wishes(const struct plan_case *c, int wish[MANY])
{
	for (unsigned i = 0; i < c->count; i++)
		wish[i] = PCI_ANY;
	for (unsigned i = 0; i < c->extra; i++)
		wish[c->count + i] = (int)c->bus;
	return c->count + c->extra;
}

ParameterizedTestParameters(pci_topology, fits)
{
	static struct plan_case c[] = {
		{ PCI_ANY, 0, 0, 0, 0, 0, 1 },
		{ PCI_ANY, 0, 31, 0, 0, 0, 1 },     /* every slot but the host bridge's */
		{ PCI_ANY, 256, 31, 0, 0, 0, 256 }, /* more buses may be announced */
		{ PCI_ANY, 0, 32, 0, 0, 1, 2 },     /* one more: a port, which takes a slot */
		{ PCI_ANY, 0, 38, 0, 0, 1, 2 },     /* 30 + 8 */
		{ PCI_ANY, 0, 39, 0, 0, 2, 3 },
		{ PCI_ANY, 0, 94, 0, 0, 8, 9 }, /* 30 + 64: eight ports in one slot */
		{ PCI_ANY, 0, 95, 0, 0, 9, 10 },
		{ PCI_ANY, 0, 300, 0, 0, 35, 36 },
		{ PCI_ANY, 0, 500, 0, 0, 60, 61 },
		{ PCI_ANY, 0, 1984, 0, 0, 248, 249 }, /* ports in all slots */
		{ PCI_ANY, 0, 1985, 0, 0, 249, 250 }, /* and beside the host bridge */
		{ PCI_ANY, 0, 2040, 0, 0, 255, 256 },
		{ PCI_ANY, 256, 2040, 0, 0, 255, 256 },
		{ 0, 0, 31, 0, 0, 0, 1 },
		{ 1, 0, 0, 0, 0, 1, 2 }, /* a port with nothing behind it */
		{ 5, 0, 3, 0, 0, 5, 6 },
		{ 5, 10, 3, 0, 0, 5, 10 },
		{ 255, 0, 2040, 0, 0, 255, 256 },
		/* bus= makes ports */
		{ PCI_ANY, 0, 0, 1, 1, 1, 2 },
		{ PCI_ANY, 0, 2, 8, 7, 7, 8 },
		{ PCI_ANY, 0, 0, 8, 255, 255, 256 },
		{ PCI_ANY, 0, 2032, 8, 255, 255, 256 }, /* all there is */
		{ PCI_ANY, 0, 8, 1, 249, 249, 250 },    /* no slot is left on bus 0 */
		{ PCI_ANY, 0, 0, 31, 0, 0, 1 },
		{ 4, 0, 0, 30, 0, 4, 5 },
		{ 4, 5, 40, 1, 4, 4, 5 },
	};
	return cr_make_param_array(struct plan_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct plan_case *c, pci_topology, fits)
{
	int bus[MANY];
	unsigned on[256] = { 0 }, count = make_wishes(c, bus);
	struct pci_topology t;
	struct lacuna_error *err = NULL;
	cr_assert_eq(pci_topology_plan(c->ports, c->buses, bus, count, &t, &err), 0, "%s",
		err ? lacuna_error_message(err) : "");
	cr_expect_eq(t.ports, c->ret_ports, "%u ports", t.ports);
	cr_expect_eq(t.buses, c->ret_buses, "%u buses", t.buses);
	for (unsigned i = 0; i < count; i++) {
		cr_assert(bus[i] >= 0 && (unsigned)bus[i] <= t.ports);
		cr_assert(i < c->count || (unsigned)bus[i] == c->bus);
		cr_assert(i == 0 || i >= c->count || bus[i] >= bus[i - 1], "not in order");
		on[bus[i]]++;
	}
	/* Every port and every device has its own place, and no slot is without function 0. */
	bool taken[256] = { [0] = true };
	for (unsigned port = 1; port <= t.ports; port++) {
		unsigned devfn = pci_topology_port_devfn(t.ports, port);
		cr_assert_lt(devfn, 256);
		cr_assert(!taken[devfn]);
		cr_assert(taken[devfn & ~7u] || devfn % 8 == 0);
		taken[devfn] = true;
		cr_expect_leq(on[port], 8);
	}
	unsigned slots = 0;
	for (unsigned slot = 0; slot < 32; slot++)
		slots += !taken[slot << 3];
	cr_expect_leq(on[0], slots);
	/* with one port less it would not have done */
	if (c->ports == PCI_ANY && t.ports > c->bus && c->count) {
		make_wishes(c, bus);
		cr_expect_eq(pci_topology_plan((int)t.ports - 1, 0, bus, count, &t, NULL), -ENOSPC);
	}
}

struct refusal_case {
	struct plan_case plan;
	int rc;
	char message[160];
};

ParameterizedTestParameters(pci_topology, refusals)
{
	static struct refusal_case c[] = {
		{ { .ports = 0, .count = 32 }, -ENOSPC,
			"ports=0: there is no room for 1 of the devices: give more ports, or leave ports= out" },
		{ { .ports = 2, .count = 100 }, -ENOSPC,
			"ports=2: there is no room for 54 of the" },
		{ { .ports = PCI_ANY, .count = 2041 }, -ENOSPC,
			"2041 devices are too many: there is no room for 1 of them, even with 255 ports: use fewer" },
		{ { .ports = PCI_ANY, .count = 2033, .extra = 8, .bus = 255 }, -ENOSPC,
			"2033 devices are too many: there is no room for 1 of them" },
		{ { .ports = 3, .extra = 1, .bus = 4 }, -ENODEV,
			"bus=4: there is no such bus, ports=3 make buses 0 to 3: give more ports, or leave ports= out" },
		{ { .ports = 0, .extra = 1, .bus = 1 }, -ENODEV, "bus=1: there is no such bus" },
		{ { .ports = PCI_ANY, .extra = 9, .bus = 1 }, -ENOSPC,
			"bus=1: 9 devices are too many behind one port, which has room for 8: use other buses" },
		{ { .ports = PCI_ANY, .extra = 32 }, -ENOSPC,
			"bus=0: 32 devices are too many, with ports=0 it has 31 free slots: send some behind a port (bus=1)" },
		{ { .ports = PCI_ANY, .count = 1, .extra = 31 }, -ENOSPC,
			"bus=0: 31 devices are too many, with ports=1 it has 30 free slots" },
		{ { .ports = 9, .extra = 30 }, -ENOSPC,
			"bus=0: 30 devices are too many, with ports=9 it has 29 free slots" },
		{ { .ports = PCI_ANY, .buses = 1, .count = 32 }, -EINVAL,
			"buses=1 is too few for bus 0 and the buses behind 1 port: give at least 2, or leave buses= out" },
		{ { .ports = PCI_ANY, .buses = 35, .count = 300 }, -EINVAL,
			"buses=35 is too few for bus 0 and the buses behind 35 ports: give at least 36" },
		{ { .ports = 4, .buses = 4 }, -EINVAL, "buses=4 is too few" },
		{ { .ports = PCI_ANY, .buses = 200, .extra = 1, .bus = 200 }, -EINVAL,
			"buses=200 is too few" },
	};
	return cr_make_param_array(struct refusal_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct refusal_case *c, pci_topology, refusals)
{
	int bus[MANY];
	struct pci_topology t;
	struct lacuna_error *err = NULL;
	unsigned count = make_wishes(&c->plan, bus);
	cr_expect_eq(pci_topology_plan(c->plan.ports, c->plan.buses, bus, count, &t, &err), c->rc);
	cr_assert_not_null(err);
	cr_expect(strstr(lacuna_error_message(err), c->message), "%s", lacuna_error_message(err));
	lacuna_error_free(err);
}
