/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One PCI function: identity, capabilities, BARs, MSI-X. A device model embeds struct pci_function,
 * fills it with the calls below and hands it to pci_host_add(); all that happens before the first
 * vCPU runs. A function has a type 0 header unless src/pci/port.c makes it a bridge.
 */
#ifndef PCI_FUNCTION_H
#define PCI_FUNCTION_H

#include <lacuna/error.h>
#include <stdint.h>

#include "bus/bus.h"
#include "pci/config.h"

struct pci_function;
struct pci_host;
struct pci_port;
struct msix;

#define PCI_FUNCTIONS    8 /* of a device */
#define PCI_BARS         6
#define PCI_BAR_UNMAPPED UINT64_MAX

/* All hooks may be NULL. They run on the writing vCPU's thread with the host's lock held, after the
 * bytes have changed. */
struct pci_function_ops {
	/* A capability of the device's own was written. Only accesses that touch what was
	 * registered with pci_function_add_hook() get here. */
	void (*cap_written)(struct pci_function *f, unsigned offset, unsigned size);
	/* BAR @bar now answers at @base (PCI_BAR_UNMAPPED: nowhere): move ioeventfds. The bus
	 * region has been moved already. */
	void (*bar_moved)(struct pci_function *f, unsigned bar, uint64_t base);
	/* Bus master enable changed, the function's own or the one of the port above it (PCIe 5.0,
	 * 7.5.1.1.3): a device that may not master must not touch guest memory. */
	void (*bus_master)(struct pci_function *f, bool enabled);
	/* The function was reset, alone or with its bus (PCIe 5.0, 6.6): its registers are as at
	 * power-on, its BARs answer nowhere and it is no bus master; the rest of the device is to
	 * follow. */
	void (*reset)(struct pci_function *f);
};

struct pci_bar {
	uint64_t size; /* power of two; 0: not implemented */
	bool is_64;    /* the next BAR is its upper half */
	bool prefetchable;
	uint64_t base;        /* where it answers now, or PCI_BAR_UNMAPPED */
	bool blocked;         /* decodes, but another BAR has the range */
	struct region region; /* on the mmio bus while mapped; base is kept by this layer */
};

struct pci_cap_hook {
	uint16_t offset, size;
};

struct pci_function {
	const struct pci_function_ops *ops;
	struct pci_host *host;       /* set by pci_host_add */
	const char *name;            /* for messages; owned by the device */
	struct pci_port *parent;     /* likewise; NULL: on bus 0 */
	uint8_t bus, devfn;          /* likewise */
	uint8_t last_cap, next_free; /* while capabilities are added */
	uint16_t last_ext, next_ext;
	struct pci_config config;
	struct pci_bar bar[PCI_BARS];
	struct msix *msix;     /* NULL: none */
	struct pci_port *port; /* the port that this function is; NULL: it is none */
	uint8_t express;       /* PCI Express capability; 0: none */
	uint16_t serial;       /* and the device serial number's */
	struct pci_cap_hook hook[4];
	unsigned hook_count;
	uint8_t *private_space; /* the config bytes before (or without) a live page */
};

struct pci_identity {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code; /* base class << 16 | subclass << 8 | programming interface */
	uint8_t revision;
};

int pci_function_init(struct pci_function *f, const char *name, const struct pci_identity *id,
	const struct pci_function_ops *ops, struct lacuna_error **err);
void pci_function_done(struct pci_function *f); /* also on one that was zeroed only */

/* Appends a capability of @size bytes (header included) filled from @body (size - 2 bytes after id
 * and next pointer). Returns its offset, or 0 when the 192 bytes are used up. Extra bits become
 * writable by pci_config_writable(). */
uint8_t pci_function_add_cap(
	struct pci_function *f, uint8_t id, const void *body, uint8_t size, bool hook);

/* Appends an extended capability of @size bytes (header included), all zero. Returns its offset, or
 * 0 when the extended space is used up. */
unsigned pci_function_add_ext_cap(
	struct pci_function *f, uint16_t id, unsigned version, unsigned size);

/* Writes that touch [offset, offset + size) are told to cap_written(). A function has room for four
 * such ranges; false: there is none. Capabilities added with hook = true have taken one each. */
bool pci_function_add_hook(struct pci_function *f, unsigned offset, unsigned size);

/* Declares memory BAR @bar of @size bytes (power of two, >= 4096) answered by @ops. A 64-bit one
 * takes two registers. */
void pci_function_add_bar(struct pci_function *f, unsigned bar, uint64_t size, bool is_64,
	bool prefetchable, const struct region_ops *ops, void *opaque);

/* --- for src/pci; the host's lock is held --- */

/* Whether @f may master the bus now, given the state of everything above it. */
bool pci_function_masters(const struct pci_function *f);
/* Tells the function, and its MSI-X, whether it may. */
void pci_function_set_mastering(struct pci_function *f, bool enabled);
/* The port above @f has begun or ceased to pass on what @f masters. */
void pci_function_upstream_mastering(struct pci_function *f, bool enabled);
/* Function Level Reset and what a bus reset does to each function. */
void pci_function_reset(struct pci_function *f);

#endif
