/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of src/pci share: a host on two fake buses, an interrupt controller that only
 * keeps books, and a device that records what its hooks are told. */
#ifndef TESTS_UNIT_PCI_FIXTURE_H
#define TESTS_UNIT_PCI_FIXTURE_H

#include "bus/bus.h"
#include "bus/irq.h"
#include "pci/host.h"
#include "pci/regs.h"
#include "util/bytes.h"

#define ROWS(table) cr_make_param_array(__typeof__((table)[0]), table, ARRAY_SIZE(table))

#define MEM32      0xC0000000u
#define MEM32_SIZE 0x20000000u
#define MEM64      0x8000000000u
#define MEM64_SIZE 0x1000000000u

/* Routes as an interrupt controller would keep them; under its own lock. */
struct fake_route {
	int gsi, fd; /* fd -1: not connected */
	uint64_t addr;
	uint32_t data;
};

struct fake_msi {
	pthread_mutex_t lock;
	struct fake_route route[128];
	unsigned count, limit; /* routes; more are refused */
	int fail;              /* nonzero: connect does nothing but return it */
	unsigned connects, disconnects, releases, refused, misuse;
};

struct pci_fixture {
	struct bus pio, mmio;
	struct fake_msi msi;
	struct pci_host *host;
	unsigned reset_reads, reset_writes;
	uint8_t reset_value; /* last written */
};

/* The default: one bus, both mechanisms, windows as above. The host is powered on, so BARs answer
 * as soon as their function is added. */
struct pci_host_config fixture_config(struct pci_fixture *fx);
void fixture_init(struct pci_fixture *fx, unsigned buses);
/* The same, powered on by the test once all functions are there. */
void fixture_init_cold(struct pci_fixture *fx, const struct pci_host_config *config);
void fixture_init_with(struct pci_fixture *fx, const struct pci_host_config *config);
void fixture_done(struct pci_fixture *fx);

/* Through ECAM, as a guest whose window traps. */
uint64_t cfg_read(struct pci_fixture *fx, unsigned bdf, unsigned reg, unsigned size);
void cfg_write(struct pci_fixture *fx, unsigned bdf, unsigned reg, uint64_t value, unsigned size);
uint64_t port_read(struct pci_fixture *fx, unsigned port, unsigned size);
void port_write(struct pci_fixture *fx, unsigned port, uint64_t value, unsigned size);

#define TEST_MOVES 64

struct test_dev {
	struct pci_function f;
	uint64_t tag; /* what its BARs read as */
	unsigned moves, masters, caps, cap_offset, cap_size, resets;
	bool master;
	struct {
		unsigned bar;
		uint64_t base;
	} move[TEST_MOVES];
};

/* Without BARs, not yet on a bus. */
void dev_init(struct test_dev *d, uint64_t tag);
void dev_bar(struct test_dev *d, unsigned bar, uint64_t size, bool is_64); /* 64: prefetchable */
void dev_bar_kind(struct test_dev *d, unsigned bar, uint64_t size, bool is_64, bool prefetchable);
/* Puts it on the bus; fails the test if that fails. Forgets the hook calls so far. */
void dev_add(struct pci_fixture *fx, struct test_dev *d);
void dev_add_to(struct pci_fixture *fx, struct test_dev *d, unsigned bus);
/* At a place that pci_host_add() would not choose. It must have no BARs. */
void dev_place(struct pci_fixture *fx, struct test_dev *d, unsigned bdf);
unsigned dev_bdf(const struct test_dev *d);

/* The tag of the BAR that answers at @addr; all ones if none. */
uint64_t who(struct pci_fixture *fx, uint64_t addr);

#endif
