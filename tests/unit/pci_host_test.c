// SPDX-License-Identifier: Apache-2.0
/* The two trap paths to configuration space: ECAM (PCIe 5.0, 7.2.2) and mechanism #1
 * (PCI 3.0, 3.2.2.3.2), and what is counted. */
#include "pci/host.h"

#include <abi/layout.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdatomic.h>

#include "pci_fixture.h"

#define BDF(bus, dev, fn) ((bus) << 8 | (dev) << 3 | (fn))
#define ADDRESS           LAYOUT_PORT_PCI_ADDRESS
#define DATA              LAYOUT_PORT_PCI_DATA
#define ENABLE            0x80000000u

static uint32_t type1_read(struct pci_fixture *fx, unsigned bdf, unsigned reg)
{
	port_write(fx, ADDRESS, ENABLE | bdf << 8 | reg, 4);
	return (uint32_t)port_read(fx, DATA, 4);
}

/* --- ECAM --- */

struct decode_case {
	unsigned bus, dev, fn, reg;
	uint64_t address;
};

ParameterizedTestParameters(pci_host, ecam_decode)
{
	static struct decode_case c[] = {
		{ 0, 0, 1, 0x000, 0xE0001000 },
		{ 0, 1, 0, 0x000, 0xE0008000 },
		{ 0, 31, 7, 0x004, 0xE00FF004 },
		{ 1, 0, 0, 0x03c, 0xE010003C },
		{ 1, 2, 3, 0x0ff, 0xE01130FF },
		{ 128, 16, 4, 0x100, 0xE8084100 },
		{ 255, 31, 7, 0xffc, 0xEFFFFFFC },
	};
	return ROWS(c);
}

ParameterizedTest(struct decode_case *c, pci_host, ecam_decode)
{
	struct pci_fixture fx;
	struct test_dev d;
	uint64_t value;
	unsigned bdf = BDF(c->bus, c->dev, c->fn);
	fixture_init(&fx, 256);
	dev_init(&d, 1);
	dev_place(&fx, &d, bdf);
	d.f.config.space[c->reg] = 0x5a;
	cr_expect_eq(bus_read(&fx.mmio, c->address, 1, &value), REGION_ECAM);
	cr_expect_eq(value, 0x5a);
	if (c->reg < 256) {
		port_write(&fx, ADDRESS, ENABLE | bdf << 8 | c->reg, 4);
		cr_expect_eq(port_read(&fx, DATA + (c->reg & 3), 1), 0x5a);
	}
	/* nobody else is there */
	for (unsigned other = 1; other < 65536; other++)
		if (other != bdf)
			cr_assert_eq(cfg_read(&fx, other, 0, 4), UINT32_MAX, "0x%x", other);
	cr_expect_eq(cfg_read(&fx, 0, 0, 4), 0x00081b36);
	pci_function_done(&d.f);
	fixture_done(&fx);
}

struct bus_case {
	unsigned buses;
};

ParameterizedTestParameters(pci_host, last_bus)
{
	static struct bus_case c[] = { { 1 }, { 2 }, { 3 }, { 255 }, { 256 } };
	return ROWS(c);
}

/* Beyond the last bus there is no window, and mechanism #1 finds nothing. */
ParameterizedTest(struct bus_case *c, pci_host, last_bus)
{
	struct pci_fixture fx;
	uint64_t value, end = LAYOUT_ECAM_BASE + (uint64_t)c->buses * LAYOUT_ECAM_BUS_SIZE;
	fixture_init(&fx, c->buses);
	cr_expect_eq(bus_read(&fx.mmio, LAYOUT_ECAM_BASE - 1, 1, &value), REGION_OTHER);
	cr_expect_eq(bus_read(&fx.mmio, end - 4, 4, &value), REGION_ECAM);
	cr_expect_eq(value, UINT32_MAX);
	cr_expect_eq(bus_read(&fx.mmio, end, 4, &value), REGION_OTHER);
	cr_expect_eq(value, UINT32_MAX);
	cr_expect_eq(bus_read(&fx.mmio, end - 2, 4, &value), REGION_OTHER);
	for (unsigned bus = 1; bus < 256; bus++)
		cr_expect_eq(type1_read(&fx, BDF(bus, 0, 0), 0), UINT32_MAX);
	port_write(&fx, ADDRESS, ENABLE | 0x7fffff00, 4);
	port_write(&fx, DATA, 0, 4);
	cr_expect_eq(pci_host_read(fx.host, UINT32_MAX, 0, 4), UINT32_MAX);
	pci_host_write(fx.host, UINT32_MAX, 0, 0, 4);
	pci_host_write(fx.host, c->buses * 256, 0, 0, 4);
	fixture_done(&fx);
}

/* Any size, any offset, over the end of the page. */
Test(pci_host, ecam_odd_accesses)
{
	struct pci_fixture fx;
	struct test_dev d;
	fixture_init(&fx, 1);
	dev_init(&d, 1);
	dev_add(&fx, &d);
	unsigned bdf = dev_bdf(&d);
	cr_expect_eq(cfg_read(&fx, bdf, 1, 2), 0x441a);
	cr_expect_eq(cfg_read(&fx, bdf, 1, 3), 0x10441a);
	cr_expect_eq(cfg_read(&fx, bdf, 0, 7), 0x10441af4);
	cr_expect_eq(cfg_read(&fx, bdf, 0xffe, 4), 0xffff0000);
	cr_expect_eq(cfg_read(&fx, bdf, 0xfff, 8), 0xffffffffffffff00);
	cfg_write(&fx, bdf, 0xffe, 0, 4);
	cfg_write(&fx, bdf, 0x3b, 0x77665544, 4); /* one byte of it is writable */
	cr_expect_eq(cfg_read(&fx, bdf, 0x3c, 1), 0x55);
	cr_expect_eq(cfg_read(&fx, bdf, 0x38, 4), 0);
	cfg_write(&fx, bdf, 0x39, 0x99, 3);
	cfg_write(&fx, bdf, 0x3a, 0x112233445566, 6);
	cr_expect_eq(cfg_read(&fx, bdf, 0x3c, 1), 0x44);
	pci_function_done(&d.f);
	fixture_done(&fx);
}

/* --- mechanism #1 --- */

struct port_case {
	uint32_t address;
	unsigned port, size;
	uint32_t value; /* read; ones of the size where nothing answers */
	bool absent;    /* counts as an access to no function */
};

#define HERE (ENABLE | BDF(0, 1, 0) << 8)

ParameterizedTestParameters(pci_host, type1_reads)
{
	static struct port_case c[] = {
		/* CONFIG_ADDRESS is a dword or nothing */
		{ HERE, 0xcf8, 4, HERE, false },
		{ HERE | 3, 0xcf8, 4, HERE, false }, /* bits 1:0 are wired */
		{ 0, 0xcf8, 4, 0, false },           /* Linux looks for what it wrote */
		{ ENABLE, 0xcf8, 4, ENABLE, false },
		{ HERE, 0xcf8, 1, 0xff, false },
		{ HERE, 0xcf8, 2, 0xffff, false },
		{ HERE, 0xcf9, 1, 0x02, false }, /* the reset register */
		{ HERE, 0xcf9, 2, 0xffff, false },
		{ HERE, 0xcf9, 4, UINT32_MAX, false },
		{ HERE, 0xcfa, 1, 0xff, false },
		{ HERE, 0xcfa, 2, 0xffff, false },
		{ HERE, 0xcfa, 4, UINT32_MAX, false },
		{ HERE, 0xcfb, 1, 0xff, false },
		{ HERE, 0xcfb, 2, 0xffff, false },
		/* CONFIG_DATA: byte lanes */
		{ HERE, 0xcfc, 1, 0xf4, false },
		{ HERE, 0xcfd, 1, 0x1a, false },
		{ HERE, 0xcfe, 1, 0x44, false },
		{ HERE, 0xcff, 1, 0x10, false },
		{ HERE, 0xcfc, 2, 0x1af4, false },
		{ HERE, 0xcfd, 2, 0x441a, false },
		{ HERE, 0xcfe, 2, 0x1044, false },
		{ HERE, 0xcfc, 4, 0x10441af4, false },
		{ HERE | 3, 0xcfc, 4, 0x10441af4, false },
		{ HERE | 0x2c, 0xcfc, 4, 0x56781234, false },
		{ HERE | 0x2c, 0xcfe, 2, 0x5678, false },
		{ HERE | 0xfc, 0xcff, 1, 0, false },
		/* over the end of the ports */
		{ HERE, 0xcfd, 4, UINT32_MAX, false },
		{ HERE, 0xcff, 2, 0xffff, false },
		{ HERE, 0xcff, 4, UINT32_MAX, false },
		/* not enabled */
		{ HERE & ~ENABLE, 0xcfc, 4, UINT32_MAX, false },
		{ HERE & ~ENABLE, 0xcfc, 1, 0xff, false },
		{ 0, 0xcff, 1, 0xff, false },
		/* absent */
		{ ENABLE | BDF(0, 2, 0) << 8, 0xcfc, 4, UINT32_MAX, true },
		{ ENABLE | BDF(0, 1, 1) << 8, 0xcfe, 2, 0xffff, true },
		{ ENABLE | BDF(255, 31, 7) << 8, 0xcff, 1, 0xff, true },
	};
	return ROWS(c);
}

ParameterizedTest(struct port_case *c, pci_host, type1_reads)
{
	struct pci_fixture fx;
	struct test_dev d;
	fixture_init(&fx, 1);
	dev_init(&d, 1);
	dev_add(&fx, &d);
	cr_assert_eq(dev_bdf(&d), BDF(0, 1, 0));
	port_write(&fx, ADDRESS, c->address, 4);
	cr_expect_eq(port_read(&fx, c->port, c->size), c->value);
	cr_expect_eq(fx.host->stats.absent, c->absent);
	cr_expect_eq(fx.reset_reads, c->port == 0xcf9 && c->size == 1);
	cr_expect_eq(fx.reset_writes, 0);
	pci_function_done(&d.f);
	fixture_done(&fx);
}

/* KVM never makes such an access, the bus's rule must hold all the same. */
Test(pci_host, type1_eight_bytes)
{
	struct pci_fixture fx;
	fixture_init(&fx, 1);
	port_write(&fx, ADDRESS, ENABLE, 4);
	cr_expect_eq(port_read(&fx, ADDRESS, 8), 0x00081b3680000000);
	fixture_done(&fx);
}

struct port_write_case {
	uint32_t address;
	unsigned port, size;
	uint32_t value;
	uint32_t after_address;
	uint32_t after; /* interrupt line and cache line size: 0x3c << 16 | 0x0c */
	bool reset;
};

#define LINE (HERE | PCI_INTERRUPT_LINE)

ParameterizedTestParameters(pci_host, type1_writes)
{
	static struct port_write_case c[] = {
		{ LINE, 0xcfc, 1, 0x5a, LINE, 0x5a0000, false },
		{ LINE, 0xcfc, 2, 0x775a, LINE, 0x5a0000, false },
		{ LINE, 0xcfc, 4, 0x8877665a, LINE, 0x5a0000, false },
		{ LINE, 0xcfd, 1, 0x5a, LINE, 0, false },
		{ HERE | PCI_CACHE_LINE_SIZE, 0xcfc, 1, 0x10, HERE | PCI_CACHE_LINE_SIZE, 0x10,
			false },
		{ LINE & ~ENABLE, 0xcfc, 4, 0x5a, LINE & ~ENABLE, 0, false },
		{ LINE, 0xcfd, 4, 0x5a5a5a5a, LINE, 0, false },
		/* the address: whole or not at all */
		{ LINE, 0xcf8, 1, 0, LINE, 0, false },
		{ LINE, 0xcf8, 2, 0, LINE, 0, false },
		{ LINE, 0xcf8, 4, 0x7fffffff, 0x7ffffffc, 0, false },
		{ LINE, 0xcfa, 2, 0, LINE, 0, false },
		{ LINE, 0xcfa, 4, 0, LINE, 0, false },
		{ LINE, 0xcfb, 1, 1, LINE, 0, false }, /* Linux's first step towards mechanism #1 */
		/* reset: a byte only */
		{ LINE, 0xcf9, 1, 0x06, LINE, 0, true },
		{ LINE, 0xcf9, 2, 0x0606, LINE, 0, false },
		{ LINE, 0xcf8, 2, 0x0606, LINE, 0, false },
		{ LINE, 0xcf8, 4, 0x06060606, 0x06060604, 0, false },
	};
	return ROWS(c);
}

ParameterizedTest(struct port_write_case *c, pci_host, type1_writes)
{
	struct pci_fixture fx;
	struct test_dev d;
	fixture_init(&fx, 1);
	dev_init(&d, 1);
	dev_add(&fx, &d);
	port_write(&fx, ADDRESS, c->address, 4);
	port_write(&fx, c->port, c->value, c->size);
	cr_expect_eq(port_read(&fx, ADDRESS, 4), c->after_address);
	cr_expect_eq(cfg_read(&fx, dev_bdf(&d), PCI_INTERRUPT_LINE, 1) << 16 |
			     cfg_read(&fx, dev_bdf(&d), PCI_CACHE_LINE_SIZE, 1),
		c->after);
	cr_expect_eq(fx.reset_writes, c->reset);
	if (c->reset)
		cr_expect_eq(fx.reset_value, c->value);
	pci_function_done(&d.f);
	fixture_done(&fx);
}

/* Switched off: ones everywhere, since zeros would make Linux try mechanism #2; nothing is kept.
 * The reset register still works. */
Test(pci_host, type1_off)
{
	struct pci_fixture fx;
	struct pci_host_config config = fixture_config(&fx);
	config.type1 = false;
	fixture_init_with(&fx, &config);
	uint64_t reads = 0, writes = 0;
	for (unsigned port = 0xcf8; port <= 0xcff; port++) {
		for (unsigned size = 1; size <= 4; size *= 2) {
			bool reset = port == 0xcf9 && size == 1, inside = port + size <= 0xd00;
			port_write(&fx, port, ENABLE, size);
			uint64_t value = port_read(&fx, port, size);
			cr_expect_eq(value, reset ? 0x02 : ones(size), "port 0x%x", port);
			reads += inside && !reset;
			writes += inside && !reset;
		}
	}
	cr_expect_eq(fx.reset_reads, 1);
	cr_expect_eq(fx.reset_writes, 1);
	cr_expect_eq(fx.host->stats.type1_read, reads);
	cr_expect_eq(fx.host->stats.type1_write, writes);
	cr_expect_eq(fx.host->stats.absent, 0);
	cr_expect_eq(fx.host->address, 0);
	cr_expect_eq(cfg_read(&fx, 0, 0, 4), 0x00081b36, "ECAM works");
	fixture_done(&fx);
}

/* No reset register: its port is like its neighbours. */
Test(pci_host, no_reset_register)
{
	struct pci_fixture fx;
	struct pci_host_config config = fixture_config(&fx);
	config.reset_ops = NULL;
	fixture_init_with(&fx, &config);
	port_write(&fx, 0xcf9, 6, 1);
	cr_expect_eq(port_read(&fx, 0xcf9, 1), 0xff);
	fixture_done(&fx);
}

Test(pci_host, ecam_off)
{
	struct pci_fixture fx;
	struct pci_host_config config = fixture_config(&fx);
	uint64_t value;
	config.ecam = false;
	fixture_init_with(&fx, &config);
	cr_expect_eq(bus_read(&fx.mmio, LAYOUT_ECAM_BASE, 4, &value), REGION_OTHER);
	cr_expect_eq(value, UINT32_MAX);
	cr_expect_eq(type1_read(&fx, 0, 0), 0x00081b36);
	fixture_done(&fx);
}

/* --- counts --- */

Test(pci_host, counts)
{
	struct pci_fixture fx;
	const struct pci_access_stats *s;
	fixture_init(&fx, 2);
	s = &fx.host->stats;
	cfg_read(&fx, 0, 0, 4);
	cfg_read(&fx, 0, 0, 3); /* made in three pieces by the bus, as it comes */
	cr_expect_eq(s->ecam_read, 4);
	cr_expect_eq(s->absent, 0);
	cfg_read(&fx, BDF(1, 0, 0), 0, 4);
	cfg_read(&fx, BDF(1, 31, 7), 0, 2);
	cfg_write(&fx, BDF(0, 1, 0), 4, 7, 2);
	cr_expect_eq(s->ecam_read, 6);
	cr_expect_eq(s->ecam_write, 1);
	cr_expect_eq(s->absent, 3);
	cr_expect_eq(s->type1_read + s->type1_write, 0);
	pci_host_read(fx.host, BDF(1, 0, 0), 0, 4); /* the reference path is not an exit */
	pci_host_set_address(fx.host, ENABLE | BDF(1, 0, 0) << 8); /* nor is the coalesced ring */
	cr_expect_eq(s->type1_write, 0);
	cr_expect_eq(port_read(&fx, ADDRESS, 4), ENABLE | BDF(1, 0, 0) << 8);
	port_read(&fx, DATA, 4);
	port_write(&fx, DATA, 4, 4);
	cr_expect_eq(s->type1_read, 2);
	cr_expect_eq(s->type1_write, 1);
	cr_expect_eq(s->absent, 5);
	cr_expect_eq(s->ecam_read, 6);
	fixture_done(&fx);
}

/* --- functions come and go --- */

Test(pci_host, removal)
{
	struct pci_fixture fx;
	struct test_dev d[2];
	fixture_init(&fx, 1);
	for (unsigned i = 0; i < 2; i++) {
		dev_init(&d[i], i);
		dev_bar(&d[i], 0, 0x1000, true);
		dev_add(&fx, &d[i]);
	}
	uint64_t base = d[0].f.bar[0].base;
	cr_expect_eq(fx.host->function_count, 3);
	pci_host_remove(fx.host, &d[0].f);
	pci_host_remove(fx.host, &d[0].f); /* no longer there: nothing happens */
	cr_expect_eq(fx.host->function_count, 2);
	cr_expect_eq(cfg_read(&fx, BDF(0, 1, 0), 0, 4), UINT32_MAX);
	cr_expect_eq(type1_read(&fx, BDF(0, 1, 0), 0), UINT32_MAX);
	cfg_write(&fx, BDF(0, 1, 0), PCI_COMMAND, 7, 2);
	cr_expect_eq(who(&fx, base), UINT64_MAX);
	cr_expect_eq(who(&fx, d[1].f.bar[0].base), 1);
	cr_expect_eq(cfg_read(&fx, BDF(0, 2, 0), 0, 4), 0x10441af4);
	pci_function_done(&d[0].f);
	pci_function_done(&d[1].f);
	cr_expect_eq(fx.host->function_count, 1);
	fixture_done(&fx);
	pci_host_free(NULL);
}

/* A second host on the same buses is refused and leaves the first alone. */
Test(pci_host, regions_taken)
{
	struct pci_fixture fx;
	struct pci_host *second = NULL;
	struct lacuna_error *err = NULL;
	fixture_init(&fx, 1);
	struct pci_host_config config = fx.host->config;
	cr_expect_lt(pci_host_new(&config, &second, &err), 0);
	cr_expect_not_null(err);
	lacuna_error_free(err);
	config.ecam = false; /* only the ports clash */
	cr_expect_lt(pci_host_new(&config, &second, NULL), 0);
	cr_expect_null(second);
	cr_expect_eq(cfg_read(&fx, 0, 0, 4), 0x00081b36);
	cr_expect_eq(type1_read(&fx, 0, 0), 0x00081b36);
	fixture_done(&fx);
}

/* --- two vCPUs on both paths --- */

struct race {
	struct pci_fixture fx;
	_Atomic bool stop;
	_Atomic unsigned rounds, wrong;
};

static void *other_vcpu(void *opaque)
{
	struct race *r = opaque;
	while (!atomic_load(&r->stop)) {
		port_write(&r->fx, ADDRESS, ENABLE | BDF(0, 1, 0) << 8 | 0x3c, 4);
		uint64_t address = port_read(&r->fx, ADDRESS, 4), data = port_read(&r->fx, DATA, 4);
		port_write(&r->fx, DATA, 0x5a, 1);
		cfg_write(&r->fx, BDF(0, 1, 0), PCI_COMMAND, 0x0406, 2);
		if ((address & 0xff0000ffu) != (ENABLE | 0x3c) ||
			(data != 0 && data != 0x5a && data != 0xa5 && data != UINT32_MAX))
			atomic_fetch_add(&r->wrong, 1);
		atomic_fetch_add(&r->rounds, 1);
	}
	return NULL;
}

Test(pci_host, two_vcpus)
{
	struct race r = { .stop = false };
	struct test_dev d;
	pthread_t thread;
	fixture_init(&r.fx, 1);
	dev_init(&d, 1);
	dev_bar(&d, 0, 0x1000, true);
	dev_add(&r.fx, &d);
	port_write(&r.fx, ADDRESS, ENABLE | BDF(0, 1, 0) << 8 | 0x3c, 4);
	cr_assert_eq(pthread_create(&thread, NULL, other_vcpu, &r), 0);
	for (unsigned i = 0; i < 3000 || atomic_load(&r.rounds) < 100; i++) {
		pci_host_set_address(r.fx.host, ENABLE | BDF(0, i & 1 ? 1 : 9, 0) << 8 | 0x3c);
		port_read(&r.fx, DATA, 2);
		port_write(&r.fx, DATA, 0xa5, 1);
		cfg_write(&r.fx, BDF(0, 1, 0), PCI_COMMAND, 0, 2);
		cfg_read(&r.fx, BDF(0, 1, 0), PCI_COMMAND, 4);
	}
	atomic_store(&r.stop, true);
	pthread_join(thread, NULL);
	cr_expect_eq(r.wrong, 0);
	pci_function_done(&d.f);
	fixture_done(&r.fx);
}
