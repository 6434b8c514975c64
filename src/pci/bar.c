// SPDX-License-Identifier: Apache-2.0
/*
 * BAR decoding. A BAR answers while memory space is enabled and its whole range lies in one of the
 * host bridge's windows, in one of its port's windows where it is behind one, and overlaps nothing
 * that answers already; otherwise it answers nowhere, as on a real bus where no bridge forwards the
 * address. That covers the sizing protocol too: a BAR
 * that holds all ones lies in no window.
 */
#include "pci/bar.h"

#include "pci/host.h"
#include "pci/regs.h"
#include "util/bytes.h"
#include "util/err.h"

static uint64_t register_value(const struct pci_function *f, unsigned bar)
{
	unsigned reg = PCI_BAR0 + 4 * bar;
	return pci_config_read(&f->config, reg, f->bar[bar].is_64 ? 8 : 4) & ~(uint64_t)0xf;
}

static bool inside(uint64_t base, uint64_t size, uint64_t window, uint64_t window_size)
{
	return base >= window && size <= window_size && base - window <= window_size - size;
}

static uint64_t wanted_base(const struct pci_function *f, unsigned bar)
{
	const struct pci_windows *w = &f->host->config.windows;
	uint64_t base = register_value(f, bar), size = f->bar[bar].size;
	if (!(pci_config_read(&f->config, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY))
		return PCI_BAR_UNMAPPED;
	if (!inside(base, size, w->mem32_base, w->mem32_size) &&
		!inside(base, size, w->mem64_base, w->mem64_size))
		return PCI_BAR_UNMAPPED;
	if (f->parent && !pci_port_forwards(f->parent, base, size))
		return PCI_BAR_UNMAPPED;
	return base;
}

static void set_blocked(struct pci_function *f, struct pci_bar *b, bool blocked)
{
	if (b->blocked != blocked)
		f->host->blocked_bars += blocked ? 1 : -1u;
	b->blocked = blocked;
}

static void move(struct pci_function *f, unsigned bar, uint64_t base)
{
	struct pci_bar *b = &f->bar[bar];
	struct bus *mmio = f->host->config.mmio;
	uint64_t old = b->base;
	if (old != PCI_BAR_UNMAPPED)
		bus_remove(mmio, &b->region);
	bool blocked = false;
	if (base != PCI_BAR_UNMAPPED) {
		b->region.base = base;
		blocked = bus_add(mmio, &b->region, NULL) < 0;
	}
	set_blocked(f, b, blocked);
	b->base = blocked ? PCI_BAR_UNMAPPED : base;
	if (b->base != old && f->ops && f->ops->bar_moved)
		f->ops->bar_moved(f, bar, b->base);
}

/* True if a range became free. */
static bool update(struct pci_function *f)
{
	bool freed = false;
	for (unsigned i = 0; i < PCI_BARS; i++) {
		if (!f->bar[i].size)
			continue;
		uint64_t old = f->bar[i].base, base = wanted_base(f, i);
		if (base == old && !f->bar[i].blocked)
			continue;
		move(f, i, base);
		freed |= old != PCI_BAR_UNMAPPED;
	}
	return freed;
}

/* A BAR that was blocked may have its range now, as when two BARs change places. */
static void retry_blocked(struct pci_host *host)
{
	for (unsigned bdf = 0; host->blocked_bars && bdf < host->config.buses * 256; bdf++)
		if (host->function[bdf])
			update(host->function[bdf]);
}

void pci_bar_update(struct pci_function *f)
{
	if (update(f))
		retry_blocked(f->host);
}

void pci_bar_unmap(struct pci_function *f)
{
	for (unsigned i = 0; i < PCI_BARS; i++)
		if (f->bar[i].base != PCI_BAR_UNMAPPED || f->bar[i].blocked)
			move(f, i, PCI_BAR_UNMAPPED);
	retry_blocked(f->host);
}

static int take(uint64_t *next, uint64_t size, uint64_t end, uint64_t *ret)
{
	uint64_t base = align_up(*next, size);
	if (base < *next || base >= end || size > end - base)
		return -ENOSPC;
	*next = base + size;
	*ret = base;
	return 0;
}

int pci_bar_assign(struct pci_function *f, struct pci_space *space, struct lacuna_error **err)
{
	struct pci_space s = *space;
	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *b = &f->bar[i];
		if (!b->size)
			continue;
		uint64_t base;
		int rc = -ENOSPC;
		/* Wide ones go high first, as Linux does it. A port's window there is prefetchable
		 * (PCIe 5.0, 7.5.1.3.9), so behind a port the BAR has to be too. */
		if (b->is_64 && (b->prefetchable || !f->parent))
			rc = take(&s.next64, b->size, s.end64, &base);
		if (rc < 0)
			rc = take(&s.next32, b->size, s.end32, &base);
		if (rc < 0)
			return err_set(err, ENOSPC,
				"%s: no PCI memory is left for BAR %u of %llu bytes: use fewer devices",
				f->name, i, (unsigned long long)b->size);
		unsigned reg = PCI_BAR0 + 4 * i;
		uint32_t flags = (uint32_t)pci_config_read(&f->config, reg, 4) & 0xf;
		pci_config_set(&f->config, reg, (uint32_t)base | flags, 4);
		if (b->is_64)
			pci_config_set(&f->config, reg + 4, (uint32_t)(base >> 32), 4);
		pci_config_set(&f->config, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	}
	*space = s;
	return 0;
}
