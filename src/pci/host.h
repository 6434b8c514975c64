/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PCI Express host: which functions exist, the host bridge at 00:00.0, the root ports,
 * placement of functions and BARs, and the two trap paths to configuration space (ports
 * 0xCF8-0xCFF, and ECAM accesses that KVM passes on). src/pci/ecam.c adds the window that is
 * memory.
 */
#ifndef PCI_HOST_H
#define PCI_HOST_H

#include <pthread.h>

#include "bus/bus.h"
#include "bus/irq.h"
#include "pci/function.h"
#include "pci/port.h"
#include "util/log.h"

/* How configuration accesses reached userspace. `absent` counts those of the others that addressed
 * no function. */
struct pci_access_stats {
	_Atomic uint64_t type1_read, type1_write, ecam_read, ecam_write, absent;
};

struct pci_windows {
	uint64_t mem32_base, mem32_size;
	uint64_t mem64_base, mem64_size;
};

struct pci_host_config {
	unsigned buses; /* 1 to 256 */
	unsigned ports; /* below @buses; port n leads to bus n */
	bool type1; /* ports 0xCF8-0xCFF answer; else they read all ones (zeros would look like type
		       2) */
	bool ecam;  /* the window at LAYOUT_ECAM_BASE answers */
	struct pci_windows windows;
	struct bus *pio, *mmio;
	const struct msi_ops *msi;
	void *msi_opaque;
	/* port 0xCF9 lies inside CONFIG_ADDRESS; byte accesses to it go here */
	const struct region_ops *reset_ops;
	void *reset_opaque;
	const struct log *log;
};

struct pci_host {
	struct pci_host_config config;
	pthread_mutex_t lock;           /* config writes, BAR moves */
	struct pci_function **function; /* [buses * 256], by bus << 8 | devfn; NULL: absent */
	unsigned function_count, vector_count; /* vectors: the MSI-X tables of all functions */
	bool powered;                          /* BARs answer from now on */
	unsigned blocked_bars;                 /* see struct pci_bar */
	struct pci_space space;                /* what nobody has taken yet of the windows */
	_Atomic uint32_t address;              /* CONFIG_ADDRESS, PCI 3.0, 3.2.2.3.2 */
	struct pci_function bridge;
	struct pci_port *port; /* [ports]; the first is port 1 */
	struct region type1_region, ecam_region;
	struct pci_access_stats stats;
};

int pci_host_new(
	const struct pci_host_config *config, struct pci_host **ret, struct lacuna_error **err);
void pci_host_free(struct pci_host *host);

/*
 * Puts @f on @bus: on bus 0 into the next free slot, behind a port as the next function of the one
 * device there (src/pci/topology.h). Its BARs get addresses from pci_host_power_on(), or at once
 * after that. Not owned. -ENOSPC when the bus or an address window is full, -ENODEV when there is
 * no such bus.
 */
int pci_host_add(
	struct pci_host *host, struct pci_function *f, unsigned bus, struct lacuna_error **err);

/* Gives all BARs addresses and ports their windows; the BARs begin to answer. Once, before the
 * first vCPU runs. -ENOSPC: the address windows are too small. */
int pci_host_power_on(struct pci_host *host, struct lacuna_error **err);

/* Takes @f off its bus. pci_function_done() calls it. No vCPU runs. */
void pci_host_remove(struct pci_host *host, struct pci_function *f);

/* Reads and writes as the trap paths do; absent functions read all ones. Any thread. Used by the
 * tests as the reference. */
uint64_t pci_host_read(struct pci_host *host, unsigned bdf, unsigned offset, unsigned size);
void pci_host_write(
	struct pci_host *host, unsigned bdf, unsigned offset, uint64_t value, unsigned size);

/* A write to CONFIG_ADDRESS that came through KVM's coalesced ring: it made no exit, so it is not
 * counted as one. */
void pci_host_set_address(struct pci_host *host, uint32_t address);

static inline struct pci_function *pci_host_find(const struct pci_host *host, unsigned bdf)
{
	return bdf < host->config.buses * 256 ? host->function[bdf] : NULL;
}

#endif
