// SPDX-License-Identifier: Apache-2.0
/*
 * The window's correctness duty: memory answers every dword of every function as the trap path
 * would. A machine is built on /dev/kvm; what its read-only slots hold is compared, natively and
 * completely, with ECAM accesses through the MMIO bus and with mechanism #1 through the port bus.
 */
#include <abi/layout.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <signal.h>
#include <stdio.h>

#include "machine/private.h"
#include "util/bytes.h"

#define PAGE 4096

struct shape {
	unsigned buses; /* 0: auto */
	char config[8]; /* no pointers: rows travel to another process */
	unsigned rngs;
};

static struct machine *make(const char *pci, unsigned rngs)
{
	struct machine_config config;
	struct machine *m = NULL;
	struct lacuna_error *err = NULL;
	machine_config_init(&config);
	cr_assert_eq(
		machine_config_set(&config, "pci", pci, &err), 0, "%s", lacuna_error_message(err));
	for (unsigned i = 0; i < rngs; i++)
		cr_assert_eq(machine_config_set(&config, "rng", "", &err), 0);
	cr_assert_eq(machine_new(&config, &m, &err), 0, "%s", lacuna_error_message(err));
	machine_config_done(&config);
	return m;
}

/* What the guest finds at @gpa of the window. */
static const uint8_t *window_ptr(const struct machine *m, uint64_t gpa)
{
	for (unsigned i = 0; i < m->window->slot_count; i++) {
		const struct ecam_slot *s = &m->window->slot[i];
		if (gpa >= s->gpa && gpa - s->gpa < s->size)
			return (const uint8_t *)s->hva + (gpa - s->gpa);
	}
	return NULL;
}

static uint32_t trap_read(struct machine *m, uint64_t gpa)
{
	uint64_t value;
	bus_read(&m->mmio, gpa, 4, &value);
	return (uint32_t)value;
}

static uint32_t type1_read(struct machine *m, unsigned bdf, unsigned reg)
{
	uint64_t value;
	bus_write(&m->pio, LAYOUT_PORT_PCI_ADDRESS, 0x80000000u | bdf << 8 | reg, 4);
	bus_read(&m->pio, LAYOUT_PORT_PCI_DATA, 4, &value);
	return (uint32_t)value;
}

static void compare_all(struct machine *m)
{
	uint64_t differ = 0;
	for (unsigned bdf = 0; bdf < m->pci->config.buses * 256; bdf++) {
		uint64_t gpa = LAYOUT_ECAM_BASE + (uint64_t)bdf * PAGE;
		const uint8_t *page = window_ptr(m, gpa);
		cr_assert_not_null(page, "%06llx is in no slot", (unsigned long long)gpa);
		for (unsigned reg = 0; reg < PAGE; reg += 4) {
			uint32_t memory = load_le32(page + reg);
			differ += memory != trap_read(m, gpa + reg);
			if (m->pci->config.type1 && reg < 256)
				differ += memory != type1_read(m, bdf, reg);
		}
	}
	cr_assert_eq(differ, 0, "%llu dwords differ", (unsigned long long)differ);
}

ParameterizedTestParameters(window, every_dword)
{
	static struct shape shapes[] = {
		{ 1, "both", 0 },
		{ 1, "ecam", 3 },
		{ 3, "both", 31 },
		{ 256, "both", 5 },
		/* as many as the functions take: behind ports */
		{ 0, "both", 40 },
		{ 0, "ecam", 500 },
	};
	return cr_make_param_array(struct shape, shapes, ARRAY_SIZE(shapes));
}

ParameterizedTest(struct shape *s, window, every_dword, .timeout = 120)
{
	char pci[64];
	snprintf(pci, sizeof(pci), "config=%s,window=memory", s->config);
	if (s->buses)
		snprintf(pci + strlen(pci), sizeof(pci) - strlen(pci), ",buses=%u", s->buses);
	struct machine *m = make(pci, s->rngs);
	cr_assert_not_null(m->window);
	cr_assert_eq(m->pci->function_count, s->rngs + 1 + m->pci->config.ports);
	cr_assert_eq(m->pci->config.buses, s->buses ? s->buses : m->pci->config.ports + 1);
	cr_assert_eq(m->pci->config.ports > 0, s->rngs > 31);
	compare_all(m);
	machine_unref(m);
}

static uint32_t next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

struct random_case {
	char pci[64];
	unsigned rngs;
};

ParameterizedTestParameters(window, equal_after_random_writes)
{
	static struct random_case cases[] = {
		{ "config=both,window=memory,buses=2", 4 },
		{ "config=both,window=memory", 60 }, /* with ports, and functions behind them */
	};
	return cr_make_param_array(struct random_case, cases, ARRAY_SIZE(cases));
}

/* A page of the first slots, or of any function there is. */
static uint64_t some_page(const struct machine *m, uint32_t *seed)
{
	unsigned bdf = next(seed) % (6 * 8);
	if (next(seed) % 2)
		return bdf;
	for (bdf = next(seed) % (m->pci->config.buses * 256); !pci_host_find(m->pci, bdf);)
		bdf = (bdf + 1) % (m->pci->config.buses * 256);
	return bdf;
}

/* Any write, through any path, leaves memory and trap the same. */
ParameterizedTest(struct random_case *c, window, equal_after_random_writes, .timeout = 120)
{
	struct machine *m = make(c->pci, c->rngs);
	static const unsigned sizes[] = { 1, 2, 4, 8 };
	uint32_t seed = 2026;
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t gpa = LAYOUT_ECAM_BASE + some_page(m, &seed) * PAGE + next(&seed) % PAGE;
		unsigned size = sizes[next(&seed) % 4];
		uint32_t value = next(&seed);
		if (i % 3)
			gpa = align_down(gpa, PAGE) + gpa % 256; /* where the registers are */
		if (next(&seed) % 4 == 0)
			bus_write(&m->pio,
				next(&seed) % 2 ? LAYOUT_PORT_PCI_DATA : LAYOUT_PORT_PCI_ADDRESS,
				value, 4);
		else
			bus_write(&m->mmio, gpa, (uint64_t)value << 32 | next(&seed), size);
	}
	compare_all(m);
	machine_unref(m);
}

/* The guest's mapping can't be written even by the host: the live pages are reached through their
 * alias alone. */
Test(window, mapping_is_read_only, .signal = SIGSEGV)
{
	struct machine *m = make("config=ecam,window=memory", 1);
	uint8_t *page = (uint8_t *)(uintptr_t)window_ptr(m, LAYOUT_ECAM_BASE + 8 * PAGE);
	signal(SIGSEGV, SIG_DFL); /* a sanitizer would take it and exit */
	*(volatile uint8_t *)page = 0;
}

struct zone_case {
	unsigned buses, rngs, max_zones, zones;
};

ParameterizedTestParameters(window, zones)
{
	static struct zone_case cases[] = {
		/* functions sit in function 0 of slots 0, 1, ...: a gap after each */
		{ 1, 0, 960, 1 },
		{ 1, 3, 960, 4 },
		{ 256, 31, 960, 32 },
		{ 256, 31, 5, 5 },
	};
	return cr_make_param_array(struct zone_case, cases, ARRAY_SIZE(cases));
}

ParameterizedTest(struct zone_case *c, window, zones)
{
	char pci[64];
	snprintf(pci, sizeof(pci), "window=trap,buses=%u", c->buses);
	struct machine *m = make(pci, c->rngs);
	struct ecam_window *w;
	cr_assert_eq(ecam_window_new(m->pci, c->max_zones, ECAM_PAGES_LARGE, &w, NULL), 0);
	cr_assert_eq(w->zone_count, c->zones);
	uint64_t largest = 0;
	for (unsigned i = 0; i < w->zone_count; i++) {
		largest = max_u64(largest, w->zone[i].size);
		for (uint64_t at = 0; at < w->zone[i].size; at += PAGE) {
			unsigned bdf = (unsigned)((w->zone[i].gpa - LAYOUT_ECAM_BASE + at) / PAGE);
			cr_assert_null(pci_host_find(m->pci, bdf), "zone %u covers a function", i);
		}
	}
	/* the gap that reaches the window's end is the largest, so it is never left out */
	cr_assert_eq(largest, (uint64_t)(c->buses * 256 - c->rngs * 8 - 1) * PAGE);
	ecam_window_free(w, m->pci);
	machine_unref(m);
}

/* What src/bench/floor.c makes by hand, to be measured against. */
Test(window, the_floor_of_bench_start_has_the_same_slots)
{
	struct machine *m = make("config=ecam", 0);
	if (!m->window)
		cr_skip_test("%s", m->window_why);
	cr_expect_eq(m->slots, 1);
	cr_expect_eq(m->mem->size, 256 * MIB);
	cr_assert_eq(m->window->slot_count, 1);
	cr_expect_eq(m->window->slot[0].gpa, LAYOUT_ECAM_BASE);
	cr_expect_eq(m->window->slot[0].size, LAYOUT_ECAM_BUS_SIZE);
	cr_expect_eq(m->vcpu_count, 1);
	machine_unref(m);
}
