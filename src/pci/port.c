// SPDX-License-Identifier: Apache-2.0
/* A root port: type 1 header, windows, and what they mean for the functions behind it. */
#include "pci/port.h"

#include <stdio.h>
#include <string.h>

#include "pci/express.h"
#include "pci/host.h"
#include "pci/regs.h"
#include "util/bytes.h"
#include "util/err.h"

/* Red Hat's QEMU PCIe root port id, which every guest knows as having no quirks. */
static const struct pci_identity port_identity = {
	.vendor = 0x1b36,
	.device = 0x000c,
	.class_code = 0x060400,
};

unsigned pci_port_bus(const struct pci_port *port)
{
	return port->function.config.space[PCI_SECONDARY_BUS];
}

/* An empty window is one that ends before it begins. */
static void open_windows(struct pci_port *port, const struct pci_space *from)
{
	struct pci_config *c = &port->function.config;
	uint64_t base = 0xfff00000, last = 0;
	if (port->space.end32 > from->next32) {
		base = from->next32;
		last = port->space.end32 - 1;
	}
	pci_config_set(c, PCI_MEMORY_BASE, (uint32_t)(base >> 16) & PCI_BRIDGE_WINDOW_MASK, 2);
	pci_config_set(c, PCI_MEMORY_LIMIT, (uint32_t)(last >> 16) & PCI_BRIDGE_WINDOW_MASK, 2);
	base = 0xfff00000;
	last = 0;
	if (port->space.end64 > from->next64) {
		base = from->next64;
		last = port->space.end64 - 1;
	}
	pci_config_set(c, PCI_PREF_BASE,
		((uint32_t)(base >> 16) & PCI_BRIDGE_WINDOW_MASK) | PCI_PREF_64, 2);
	pci_config_set(c, PCI_PREF_LIMIT,
		((uint32_t)(last >> 16) & PCI_BRIDGE_WINDOW_MASK) | PCI_PREF_64, 2);
	pci_config_set(c, PCI_PREF_BASE_UPPER, (uint32_t)(base >> 32), 4);
	pci_config_set(c, PCI_PREF_LIMIT_UPPER, (uint32_t)(last >> 32), 4);
}

static int add_caps(struct pci_function *f, unsigned number, struct lacuna_error **err)
{
	int rc = pci_express_add_port(f, number, err);
	if (rc < 0)
		return rc;
	uint8_t body[EA_CAP_SIZE - 2] = { 0 }; /* no entries but the bus numbers */
	body[EA_SECONDARY - 2] = body[EA_SUBORDINATE - 2] = (uint8_t)number;
	if (!pci_function_add_cap(f, PCI_CAP_ID_EA, body, EA_CAP_SIZE, false))
		return err_set(err, ENOSPC, "no room for capabilities");
	return 0;
}

int pci_port_init(struct pci_port *port, unsigned number, struct lacuna_error **err)
{
	struct pci_function *f = &port->function;
	struct pci_config *c = &f->config;
	memset(port, 0, sizeof(*port));
	snprintf(port->name, sizeof(port->name), "port%u", (uint8_t)number);
	int rc = pci_function_init(f, port->name, &port_identity, NULL, err);
	if (rc < 0)
		return rc;
	f->port = port;
	pci_config_set(c, PCI_HEADER_TYPE, PCI_HEADER_BRIDGE, 1);
	pci_config_set(c, PCI_SECONDARY_BUS, number, 1);
	pci_config_set(c, PCI_SUBORDINATE_BUS, number, 1);
	open_windows(port, &port->space);
	pci_config_writable(c, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	pci_config_write_1_clear(c, PCI_SECONDARY_STATUS, PCI_STATUS_ERRORS, 2);
	pci_config_writable(
		c, PCI_MEMORY_BASE, PCI_BRIDGE_WINDOW_MASK | PCI_BRIDGE_WINDOW_MASK << 16, 4);
	pci_config_writable(
		c, PCI_PREF_BASE, PCI_BRIDGE_WINDOW_MASK | PCI_BRIDGE_WINDOW_MASK << 16, 4);
	pci_config_writable(c, PCI_PREF_BASE_UPPER, UINT32_MAX, 4);
	pci_config_writable(c, PCI_PREF_LIMIT_UPPER, UINT32_MAX, 4);
	pci_config_writable(
		c, PCI_BRIDGE_CONTROL, PCI_BRIDGE_PARITY | PCI_BRIDGE_SERR | PCI_BRIDGE_RESET, 2);
	/* As firmware would leave it; what is set already, Linux does not write. */
	pci_config_set(c, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	pci_config_set(c, PCI_BRIDGE_CONTROL, PCI_BRIDGE_SERR, 2);
	return add_caps(f, number, err);
}

void pci_port_done(struct pci_port *port)
{
	pci_function_done(&port->function);
}

/* --- windows --- */

/* The function after @f (NULL: the first) on the bus behind @port. */
static struct pci_function *behind(const struct pci_port *port, const struct pci_function *f)
{
	const struct pci_host *host = port->function.host;
	unsigned bus = pci_port_bus(port);
	for (unsigned fn = f ? f->devfn + 1u : 0; fn < PCI_FUNCTIONS; fn++)
		if (host->function[bus << 8 | fn])
			return host->function[bus << 8 | fn];
	return NULL;
}

/* Bases and sizes of windows are multiples of 1 MiB. */
static uint64_t close_space(uint64_t next, uint64_t end)
{
	return min_u64(align_up(next, PCI_BRIDGE_GRAIN), end);
}

int pci_port_assign(struct pci_port *port, struct pci_space *root, struct lacuna_error **err)
{
	struct pci_space from = *root;
	from.next32 = close_space(root->next32, root->end32);
	from.next64 = close_space(root->next64, root->end64);
	port->space = from;
	for (struct pci_function *f = NULL; (f = behind(port, f));) {
		int rc = pci_bar_assign(f, &port->space, err);
		if (rc < 0)
			return rc;
	}
	port->space.end32 = close_space(port->space.next32, root->end32);
	port->space.end64 = close_space(port->space.next64, root->end64);
	open_windows(port, &from);
	root->next32 = port->space.end32;
	root->next64 = port->space.end64;
	return 0;
}

static uint64_t window_edge(const struct pci_config *c, unsigned reg)
{
	return (pci_config_read(c, reg, 2) & PCI_BRIDGE_WINDOW_MASK) << 16;
}

static bool inside(uint64_t base, uint64_t size, uint64_t first, uint64_t last)
{
	return base >= first && base <= last && size - 1 <= last - base;
}

bool pci_port_forwards(const struct pci_port *port, uint64_t base, uint64_t size)
{
	const struct pci_config *c = &port->function.config;
	if (!(pci_config_read(c, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY))
		return false;
	if (inside(base, size, window_edge(c, PCI_MEMORY_BASE),
		    window_edge(c, PCI_MEMORY_LIMIT) | (PCI_BRIDGE_GRAIN - 1)))
		return true;
	uint64_t first = pci_config_read(c, PCI_PREF_BASE_UPPER, 4) << 32;
	uint64_t last = pci_config_read(c, PCI_PREF_LIMIT_UPPER, 4) << 32;
	return inside(base, size, first | window_edge(c, PCI_PREF_BASE),
		last | window_edge(c, PCI_PREF_LIMIT) | (PCI_BRIDGE_GRAIN - 1));
}

bool pci_port_masters(const struct pci_port *port)
{
	return pci_config_read(&port->function.config, PCI_COMMAND, 2) & PCI_COMMAND_MASTER;
}

void pci_port_written(
	struct pci_port *port, unsigned offset, unsigned size, uint32_t changed_command)
{
	const struct pci_config *c = &port->function.config;
	bool windows = offset < PCI_PREF_LIMIT_UPPER + 4 && offset + size > PCI_MEMORY_BASE;
	bool reset = offset < PCI_BRIDGE_CONTROL + 2 && offset + size > PCI_BRIDGE_CONTROL &&
		     pci_config_read(c, PCI_BRIDGE_CONTROL, 2) & PCI_BRIDGE_RESET;
	for (struct pci_function *f = NULL; (f = behind(port, f));) {
		if (windows || (changed_command & PCI_COMMAND_MEMORY))
			pci_bar_update(f);
		if (changed_command & PCI_COMMAND_MASTER)
			pci_function_upstream_mastering(f, pci_port_masters(port));
		if (reset)
			pci_function_reset(f);
	}
}
