// SPDX-License-Identifier: Apache-2.0
/*
 * The PCI Express host and the trap paths to configuration space: mechanism #1 (PCI 3.0, 3.2.2.3.2)
 * and ECAM (PCIe 5.0, 7.2.2). Whatever path a write takes, it ends in function_written(), where the
 * effects are.
 */
#include "pci/host.h"

#include <abi/layout.h>
#include <stdlib.h>

#include "pci/bar.h"
#include "pci/express.h"
#include "pci/msix.h"
#include "pci/regs.h"
#include "pci/topology.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/thread.h"

#define ADDRESS_ENABLE 0x80000000u

/* The host bridge: Red Hat's QEMU PCIe host bridge id, which every guest knows as having no quirks.
 */
static const struct pci_identity bridge_identity = {
	.vendor = 0x1b36,
	.device = 0x0008,
	.subsystem_vendor = 0x1af4,
	.subsystem = 0x1100,
	.class_code = 0x060000,
};

static bool touches(unsigned offset, unsigned size, unsigned reg, unsigned reg_size)
{
	return offset < reg + reg_size && reg < offset + size;
}

/* The effects of a write that has reached the bytes already. Lock held. */
static void function_written(
	struct pci_function *f, unsigned offset, unsigned size, uint32_t old_command)
{
	uint32_t changed = (uint32_t)pci_config_read(&f->config, PCI_COMMAND, 2) ^ old_command;
	if (f->port)
		pci_port_written(f->port, offset, size, changed);
	if ((changed & PCI_COMMAND_MEMORY) || touches(offset, size, PCI_BAR0, 4 * PCI_BARS))
		pci_bar_update(f);
	if ((changed & PCI_COMMAND_MASTER) && (!f->parent || pci_port_masters(f->parent)))
		pci_function_set_mastering(f, pci_function_masters(f));
	if (f->msix && msix_control_touched(f->msix, offset, size))
		msix_control_written(f->msix);
	for (unsigned i = 0; i < f->hook_count; i++)
		if (touches(offset, size, f->hook[i].offset, f->hook[i].size) && f->ops &&
			f->ops->cap_written)
			f->ops->cap_written(f, offset, size);
	if (pci_express_take_reset(f))
		pci_function_reset(f);
}

uint64_t pci_host_read(struct pci_host *host, unsigned bdf, unsigned offset, unsigned size)
{
	const struct pci_function *f = pci_host_find(host, bdf);
	return f ? pci_config_read(&f->config, offset, size) : ones(size);
}

void pci_host_write(
	struct pci_host *host, unsigned bdf, unsigned offset, uint64_t value, unsigned size)
{
	struct pci_function *f = pci_host_find(host, bdf);
	if (!f)
		return;
	LOCK_SCOPE(&host->lock);
	uint32_t old_command = (uint32_t)pci_config_read(&f->config, PCI_COMMAND, 2);
	pci_config_write(&f->config, offset, value, size);
	function_written(f, offset, size, old_command);
}

static void count(struct pci_host *host, _Atomic uint64_t *counter, unsigned bdf)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
	if (!pci_host_find(host, bdf))
		atomic_fetch_add_explicit(&host->stats.absent, 1, memory_order_relaxed);
}

/* --- ECAM: address bits 27:20 bus, 19:12 device and function, 11:0 register --- */

static uint64_t ecam_read(void *opaque, uint64_t offset, unsigned size)
{
	struct pci_host *host = opaque;
	unsigned bdf = (unsigned)(offset >> 12);
	count(host, &host->stats.ecam_read, bdf);
	return pci_host_read(host, bdf, offset & 0xfff, size);
}

static void ecam_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct pci_host *host = opaque;
	unsigned bdf = (unsigned)(offset >> 12);
	count(host, &host->stats.ecam_write, bdf);
	pci_host_write(host, bdf, offset & 0xfff, value, size);
}

static const struct region_ops ecam_ops = { .read = ecam_read, .write = ecam_write };

/* --- mechanism #1: CONFIG_ADDRESS is a dword at 0xCF8, CONFIG_DATA the four bytes at 0xCFC --- */

#define PORT(p) ((p)-LAYOUT_PORT_PCI_ADDRESS)

/* True if CONFIG_DATA leads somewhere; the function and register then are in *@bdf and *@reg. */
static bool type1_target(const struct pci_host *host, uint64_t port, unsigned *bdf, unsigned *reg)
{
	uint32_t address = atomic_load_explicit(&host->address, memory_order_relaxed);
	*bdf = (address >> 8) & 0xffff;
	*reg = (address & 0xfc) | (port & 3);
	return address & ADDRESS_ENABLE;
}

void pci_host_set_address(struct pci_host *host, uint32_t address)
{
	atomic_store_explicit(&host->address, address & ~3u, memory_order_relaxed);
}

static uint64_t type1_read(void *opaque, uint64_t port, unsigned size)
{
	struct pci_host *host = opaque;
	if (port == PORT(LAYOUT_PORT_RESET) && size == 1 && host->config.reset_ops)
		return host->config.reset_ops->read(host->config.reset_opaque, 0, 1);
	atomic_fetch_add_explicit(&host->stats.type1_read, 1, memory_order_relaxed);
	if (!host->config.type1)
		return ones(size);
	if (port == 0 && size == 4)
		return atomic_load_explicit(&host->address, memory_order_relaxed);
	unsigned bdf, reg;
	if (port < PORT(LAYOUT_PORT_PCI_DATA) || !type1_target(host, port, &bdf, &reg))
		return ones(size);
	if (!pci_host_find(host, bdf))
		atomic_fetch_add_explicit(&host->stats.absent, 1, memory_order_relaxed);
	return pci_host_read(host, bdf, reg, size);
}

static void type1_write(void *opaque, uint64_t port, uint64_t value, unsigned size)
{
	struct pci_host *host = opaque;
	if (port == PORT(LAYOUT_PORT_RESET) && size == 1 && host->config.reset_ops) {
		host->config.reset_ops->write(host->config.reset_opaque, 0, value, 1);
		return;
	}
	atomic_fetch_add_explicit(&host->stats.type1_write, 1, memory_order_relaxed);
	if (!host->config.type1)
		return;
	if (port == 0 && size == 4) {
		pci_host_set_address(host, (uint32_t)value);
		return;
	}
	unsigned bdf, reg;
	if (port < PORT(LAYOUT_PORT_PCI_DATA) || !type1_target(host, port, &bdf, &reg))
		return;
	if (!pci_host_find(host, bdf))
		atomic_fetch_add_explicit(&host->stats.absent, 1, memory_order_relaxed);
	pci_host_write(host, bdf, reg, value, size);
}

static const struct region_ops type1_ops = {
	.read = type1_read, .write = type1_write, .max_size = 4
};

/* --- the host --- */

static struct pci_space *space_of(struct pci_host *host, const struct pci_function *f)
{
	return f->parent ? &f->parent->space : &host->space;
}

static int place(
	struct pci_host *host, struct pci_function *f, unsigned bdf, struct lacuna_error **err)
{
	f->host = host;
	f->bus = (uint8_t)(bdf >> 8);
	f->devfn = (uint8_t)bdf;
	f->parent = f->bus ? &host->port[f->bus - 1] : NULL;
	pci_express_placed(f);
	if (f->config.failed)
		return err_nomem(err);
	if (host->powered) {
		int rc = pci_bar_assign(f, space_of(host, f), err);
		if (rc < 0)
			return rc;
	}
	host->function[bdf] = f;
	host->function_count++;
	host->vector_count += msix_count(f->msix);
	/* PCIe 5.0, 7.5.1.1.9: software looks at functions 1 to 7 only where it is told to. */
	struct pci_function *first = host->function[bdf & ~7u];
	if (f != first && first) {
		pci_config_set(&first->config, PCI_HEADER_TYPE,
			(uint32_t)pci_config_read(&first->config, PCI_HEADER_TYPE, 1) |
				PCI_HEADER_MULTI,
			1);
		pci_config_set(&f->config, PCI_HEADER_TYPE,
			(uint32_t)pci_config_read(&f->config, PCI_HEADER_TYPE, 1) |
				PCI_HEADER_MULTI,
			1);
	}
	if (host->powered)
		pci_bar_update(f);
	return 0;
}

static int make_ports(struct pci_host *host, struct lacuna_error **err)
{
	unsigned ports = host->config.ports;
	host->port = calloc(ports + 1, sizeof(*host->port));
	if (!host->port)
		return err_nomem(err);
	for (unsigned n = 1; n <= ports; n++) {
		struct pci_port *port = &host->port[n - 1];
		int rc = pci_port_init(port, n, err);
		if (rc == 0)
			rc = place(host, &port->function, pci_topology_port_devfn(ports, n), err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int add_regions(struct pci_host *host, struct lacuna_error **err)
{
	const struct pci_host_config *c = &host->config;
	if (c->ecam) {
		host->ecam_region = (struct region){
			.name = "ECAM",
			.base = LAYOUT_ECAM_BASE,
			.size = (uint64_t)c->buses * LAYOUT_ECAM_BUS_SIZE,
			.ops = &ecam_ops,
			.opaque = host,
			.class = REGION_ECAM,
		};
		int rc = bus_add(c->mmio, &host->ecam_region, err);
		if (rc < 0)
			return rc;
	}
	host->type1_region = (struct region){
		.name = "PCI type 1",
		.base = LAYOUT_PORT_PCI_ADDRESS,
		.size = 8,
		.ops = &type1_ops,
		.opaque = host,
		.class = REGION_PCI_TYPE1,
	};
	return bus_add(c->pio, &host->type1_region, err);
}

int pci_host_new(
	const struct pci_host_config *config, struct pci_host **ret, struct lacuna_error **err)
{
	struct pci_host *host = calloc(1, sizeof(*host));
	if (!host)
		return err_nomem(err);
	host->config = *config;
	const struct pci_windows *w = &config->windows;
	host->space = (struct pci_space){
		.next32 = w->mem32_base,
		.end32 = w->mem32_base + w->mem32_size,
		.next64 = w->mem64_base,
		.end64 = w->mem64_base + w->mem64_size,
	};
	pthread_mutex_init(&host->lock, NULL);
	host->function = calloc((size_t)config->buses * 256, sizeof(struct pci_function *));
	int rc = host->function ? 0 : err_nomem(err);
	if (rc == 0)
		rc = pci_function_init(&host->bridge, "host bridge", &bridge_identity, NULL, err);
	if (rc == 0)
		rc = place(host, &host->bridge, 0, err);
	if (rc == 0)
		rc = make_ports(host, err);
	if (rc == 0)
		rc = add_regions(host, err);
	if (rc < 0) {
		pci_host_free(host);
		return rc;
	}
	*ret = host;
	return 0;
}

void pci_host_free(struct pci_host *host)
{
	if (!host)
		return;
	bus_remove(host->config.mmio, &host->ecam_region);
	bus_remove(host->config.pio, &host->type1_region);
	for (unsigned i = 0; host->port && i < host->config.ports; i++)
		pci_port_done(&host->port[i]);
	free(host->port);
	pci_function_done(&host->bridge);
	free(host->function);
	pthread_mutex_destroy(&host->lock);
	free(host);
}

int pci_host_add(
	struct pci_host *host, struct pci_function *f, unsigned bus, struct lacuna_error **err)
{
	LOCK_SCOPE(&host->lock);
	if (bus > host->config.ports)
		return err_set(err, ENODEV, "no port leads to PCI bus %u", bus);
	unsigned first = bus << 8, end = first + (bus ? PCI_FUNCTIONS : 256);
	for (unsigned bdf = first; bdf < end; bdf += bus ? 1 : PCI_FUNCTIONS)
		if (!host->function[bdf])
			return place(host, f, bdf, err);
	return err_set(err, ENOSPC, "PCI bus %u is full: use another bus= or fewer devices", bus);
}

static int assign_all(struct pci_host *host, struct lacuna_error **err)
{
	for (unsigned devfn = 0; devfn < 256; devfn++) {
		struct pci_function *f = host->function[devfn];
		int rc = f ? pci_bar_assign(f, &host->space, err) : 0;
		if (rc < 0)
			return rc;
	}
	for (unsigned i = 0; i < host->config.ports; i++) {
		int rc = pci_port_assign(&host->port[i], &host->space, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int pci_host_power_on(struct pci_host *host, struct lacuna_error **err)
{
	LOCK_SCOPE(&host->lock);
	int rc = assign_all(host, err);
	if (rc < 0)
		return rc;
	host->powered = true;
	for (unsigned bdf = 0; bdf < host->config.buses * 256; bdf++)
		if (host->function[bdf])
			pci_bar_update(host->function[bdf]);
	return 0;
}

void pci_host_remove(struct pci_host *host, struct pci_function *f)
{
	LOCK_SCOPE(&host->lock);
	unsigned bdf = (unsigned)f->bus << 8 | f->devfn;
	if (host->function[bdf] != f)
		return;
	host->function[bdf] = NULL;
	host->function_count--;
	host->vector_count -= msix_count(f->msix);
	pci_bar_unmap(f);
}
