// SPDX-License-Identifier: Apache-2.0
/* Placement of devices on buses: counts only, so that it can be decided before the first device. */
#include "pci/topology.h"

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"

#define SLOTS     32u
#define FUNCTIONS 8u
#define BUSES     256u

/* Whole slots of bus 0 that @ports take. The last seven may also sit beside the host bridge. */
static unsigned port_slots(unsigned ports)
{
	return (ports + FUNCTIONS - 1) / FUNCTIONS;
}

unsigned pci_topology_port_devfn(unsigned ports, unsigned port)
{
	unsigned slots = port_slots(ports);
	unsigned first = slots < SLOTS ? (SLOTS - slots) * FUNCTIONS : SLOTS * FUNCTIONS - ports;
	return first + port - 1;
}

/* How many devices fit on @bus. */
static unsigned room(unsigned ports, unsigned bus)
{
	if (bus)
		return bus <= ports ? FUNCTIONS : 0;
	return port_slots(ports) < SLOTS ? SLOTS - 1 - port_slots(ports) : 0;
}

struct load {
	unsigned on[BUSES]; /* devices that must be there */
	unsigned anywhere, last;
};

static int check_bus(const struct load *l, unsigned ports, unsigned bus, struct lacuna_error **err)
{
	if (l->on[bus] <= room(ports, bus))
		return 0;
	if (bus)
		return err_set(err, ENOSPC,
			"bus=%u: %u devices are too many behind one port, which has room for %u: use other buses for some",
			bus, l->on[bus], FUNCTIONS);
	return err_set(err, ENOSPC,
		"bus=0: %u devices are too many, with ports=%u it has %u free slots: send some behind a port (bus=1)",
		l->on[0], ports, room(ports, 0));
}

/* How many devices with no wish find room, given that the others do. */
static unsigned spare(const struct load *l, unsigned ports)
{
	unsigned n = 0;
	for (unsigned bus = 0; bus <= ports; bus++)
		n += room(ports, bus) - l->on[bus];
	return n;
}

static bool fits(const struct load *l, unsigned ports)
{
	for (unsigned bus = 0; bus <= ports; bus++)
		if (check_bus(l, ports, bus, NULL) < 0)
			return false;
	return spare(l, ports) >= l->anywhere;
}

/* The fewest ports that do; else as many as it takes to see why there is no way. More ports mean
 * fewer slots for what must be on bus 0. */
static unsigned choose_ports(const struct load *l)
{
	unsigned ports = l->last;
	while (ports < PCI_PORTS_MAX && check_bus(l, ports, 0, NULL) == 0 && !fits(l, ports))
		ports++;
	return ports;
}

static int check(const struct load *l, int asked, unsigned ports, struct lacuna_error **err)
{
	if (l->last > ports)
		return err_set(err, ENODEV,
			"bus=%u: there is no such bus, ports=%u make buses 0 to %u: give more ports, or leave ports= out",
			l->last, ports, ports);
	for (unsigned bus = 0; bus <= ports; bus++) {
		int rc = check_bus(l, ports, bus, err);
		if (rc < 0)
			return rc;
	}
	unsigned found = spare(l, ports);
	if (found >= l->anywhere)
		return 0;
	if (asked == PCI_ANY)
		return err_set(err, ENOSPC,
			"%u devices are too many: there is no room for %u of them, even with %u ports: use fewer",
			l->anywhere, l->anywhere - found, ports);
	return err_set(err, ENOSPC,
		"ports=%u: there is no room for %u of the devices: give more ports, or leave ports= out",
		ports, l->anywhere - found);
}

static void distribute(struct load *l, unsigned ports, int bus[], unsigned count)
{
	unsigned next = 0;
	for (unsigned i = 0; i < count; i++) {
		if (bus[i] != PCI_ANY)
			continue;
		while (l->on[next] == room(ports, next))
			next++;
		l->on[next]++;
		bus[i] = (int)next;
	}
}

int pci_topology_plan(int asked, unsigned buses, int bus[], unsigned count,
	struct pci_topology *ret, struct lacuna_error **err)
{
	struct load l = { .last = 0 };
	for (unsigned i = 0; i < count; i++) {
		if (bus[i] == PCI_ANY) {
			l.anywhere++;
			continue;
		}
		l.on[bus[i]]++;
		if ((unsigned)bus[i] > l.last)
			l.last = (unsigned)bus[i];
	}
	unsigned ports = asked == PCI_ANY ? choose_ports(&l) : (unsigned)asked;
	int rc = check(&l, asked, ports, err);
	if (rc < 0)
		return rc;
	if (buses && buses <= ports)
		return err_set(err, EINVAL,
			"buses=%u is too few for bus 0 and the buses behind %u port%s: give at least %u, or leave buses= out",
			buses, ports, ports == 1 ? "" : "s", ports + 1);
	distribute(&l, ports, bus, count);
	*ret = (struct pci_topology){ .ports = ports, .buses = buses ? buses : ports + 1 };
	return 0;
}
