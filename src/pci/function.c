// SPDX-License-Identifier: Apache-2.0
/* A function: identity, capability lists, BAR registers and reset (PCIe 5.0, 7.5.1 and 6.6). */
#include "pci/function.h"

#include <stdlib.h>
#include <string.h>

#include "pci/bar.h"
#include "pci/host.h"
#include "pci/msix.h"
#include "pci/regs.h"
#include "util/bytes.h"
#include "util/err.h"

int pci_function_init(struct pci_function *f, const char *name, const struct pci_identity *id,
	const struct pci_function_ops *ops, struct lacuna_error **err)
{
	memset(f, 0, sizeof(*f));
	f->private_space = calloc(1, PCI_CONFIG_SIZE);
	if (!f->private_space)
		return err_nomem(err);
	f->name = name;
	f->ops = ops;
	f->next_free = PCI_HEADER_END;
	f->next_ext = PCI_EXT_CAPS;
	for (unsigned i = 0; i < PCI_BARS; i++)
		f->bar[i].base = PCI_BAR_UNMAPPED;

	struct pci_config *c = &f->config;
	pci_config_init(c, f->private_space);
	pci_config_set(c, PCI_VENDOR_ID, id->vendor, 2);
	pci_config_set(c, PCI_DEVICE_ID, id->device, 2);
	pci_config_set(c, PCI_REVISION_ID, id->class_code << 8 | id->revision, 4);
	pci_config_set(c, PCI_SUBSYSTEM_VENDOR_ID, id->subsystem_vendor, 2);
	pci_config_set(c, PCI_SUBSYSTEM_ID, id->subsystem, 2);
	pci_config_writable(c, PCI_COMMAND,
		PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_OFF,
		2);
	pci_config_write_1_clear(c, PCI_STATUS, PCI_STATUS_ERRORS, 2);
	pci_config_writable(c, PCI_CACHE_LINE_SIZE, 0xff, 1);
	pci_config_writable(c, PCI_INTERRUPT_LINE, 0xff, 1);
	return 0;
}

void pci_function_done(struct pci_function *f)
{
	if (f->host)
		pci_host_remove(f->host, f);
	msix_free(f->msix);
	f->msix = NULL;
	pci_config_done(&f->config);
	free(f->private_space);
	f->private_space = NULL;
	f->config.space = NULL;
	f->host = NULL;
}

bool pci_function_add_hook(struct pci_function *f, unsigned offset, unsigned size)
{
	if (f->hook_count == ARRAY_SIZE(f->hook))
		return false;
	f->hook[f->hook_count++] = (struct pci_cap_hook){ (uint16_t)offset, (uint16_t)size };
	return true;
}

uint8_t pci_function_add_cap(
	struct pci_function *f, uint8_t id, const void *body, uint8_t size, bool hook)
{
	unsigned offset = f->next_free;
	if (size < 2 || offset < PCI_HEADER_END || offset + size > PCI_CAPS_END)
		return 0;
	if (hook && !pci_function_add_hook(f, offset, size))
		return 0;
	struct pci_config *c = &f->config;
	pci_config_set(c, offset, id, 1);
	for (unsigned i = 0; i < size - 2u; i++)
		pci_config_set(c, offset + 2 + i, ((const uint8_t *)body)[i], 1);
	if (f->last_cap)
		pci_config_set(c, f->last_cap + 1u, offset, 1);
	else
		pci_config_set(c, PCI_CAPABILITY_LIST, offset, 1);
	pci_config_set(c, PCI_STATUS,
		(uint32_t)pci_config_read(c, PCI_STATUS, 2) | PCI_STATUS_CAP_LIST, 2);
	f->last_cap = (uint8_t)offset;
	/* Capabilities are dword-aligned; 256 wraps to 0, which is below PCI_HEADER_END: full. */
	f->next_free = (uint8_t)align_up(offset + size, 4);
	return (uint8_t)offset;
}

unsigned pci_function_add_ext_cap(
	struct pci_function *f, uint16_t id, unsigned version, unsigned size)
{
	unsigned offset = f->next_ext;
	if (size < PCI_EXT_HEADER || offset + size > PCI_CONFIG_SIZE)
		return 0;
	struct pci_config *c = &f->config;
	pci_config_set(c, offset, id | version << 16, 4);
	if (f->last_ext)
		pci_config_set(c, f->last_ext,
			(uint32_t)pci_config_read(c, f->last_ext, 4) | offset << PCI_EXT_NEXT_SHIFT,
			4);
	f->last_ext = (uint16_t)offset;
	f->next_ext = (uint16_t)align_up(offset + size, 4);
	return offset;
}

void pci_function_add_bar(struct pci_function *f, unsigned bar, uint64_t size, bool is_64,
	bool prefetchable, const struct region_ops *ops, void *opaque)
{
	struct pci_bar *b = &f->bar[bar];
	b->size = size;
	b->is_64 = is_64;
	b->prefetchable = prefetchable;
	b->region = (struct region){
		.name = f->name,
		.size = size,
		.ops = ops,
		.opaque = opaque,
		.class = REGION_BAR,
	};
	/* The bits below the size are wired to zero; that is how a guest sizes a BAR
	 * (PCIe 5.0, 7.5.1.2.1). */
	uint64_t mask = ~(size - 1);
	unsigned reg = PCI_BAR0 + 4 * bar;
	pci_config_set(&f->config, reg,
		(is_64 ? PCI_BAR_MEM_64 : 0) | (prefetchable ? PCI_BAR_MEM_PREFETCH : 0), 4);
	pci_config_writable(&f->config, reg, (uint32_t)mask, 4);
	if (is_64)
		pci_config_writable(&f->config, reg + 4, (uint32_t)(mask >> 32), 4);
	pci_config_writable(&f->config, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
}

/* --- bus mastering and reset --- */

static bool wants_to_master(const struct pci_function *f)
{
	return pci_config_read(&f->config, PCI_COMMAND, 2) & PCI_COMMAND_MASTER;
}

bool pci_function_masters(const struct pci_function *f)
{
	return wants_to_master(f) && (!f->parent || pci_port_masters(f->parent));
}

void pci_function_set_mastering(struct pci_function *f, bool enabled)
{
	if (f->ops && f->ops->bus_master)
		f->ops->bus_master(f, enabled);
	if (f->msix)
		msix_bus_master(f->msix, enabled);
}

void pci_function_upstream_mastering(struct pci_function *f, bool enabled)
{
	if (wants_to_master(f))
		pci_function_set_mastering(f, enabled);
}

void pci_function_reset(struct pci_function *f)
{
	bool mastered = pci_function_masters(f);
	pci_config_reset(&f->config);
	pci_bar_update(f);
	if (mastered)
		pci_function_set_mastering(f, false);
	if (f->msix)
		msix_reset(f->msix);
	if (f->ops && f->ops->reset)
		f->ops->reset(f);
}
