// SPDX-License-Identifier: Apache-2.0
/* BARs as guests treat them: sized, moved, pushed out of every window and onto each other
 * (PCIe 5.0, 7.5.1.2.1). */
#include "pci/bar.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdatomic.h>

#include "pci_fixture.h"

#define GONE PCI_BAR_UNMAPPED

static unsigned bar_reg(unsigned bar)
{
	return PCI_BAR0 + 4 * bar;
}

/* The address in a BAR's registers. */
static uint64_t bar_value(struct pci_fixture *fx, const struct test_dev *d, unsigned bar)
{
	unsigned size = d->f.bar[bar].is_64 ? 8 : 4;
	return cfg_read(fx, dev_bdf(d), bar_reg(bar), size) & ~(uint64_t)0xf;
}

/* As software does it: a dword at a time. */
static void bar_set(struct pci_fixture *fx, const struct test_dev *d, unsigned bar, uint64_t base)
{
	cfg_write(fx, dev_bdf(d), bar_reg(bar), base & UINT32_MAX, 4);
	if (d->f.bar[bar].is_64)
		cfg_write(fx, dev_bdf(d), bar_reg(bar) + 4, base >> 32, 4);
}

static void decode(struct pci_fixture *fx, const struct test_dev *d, bool on)
{
	cfg_write(fx, dev_bdf(d), PCI_COMMAND, on ? PCI_COMMAND_MEMORY : 0, 2);
}

/* The next hook call that was not looked at yet. */
static void expect_move(const struct test_dev *d, unsigned *at, unsigned bar, uint64_t base)
{
	cr_assert_lt(*at, d->moves, "no move to 0x%llx", (unsigned long long)base);
	cr_expect_eq(d->move[*at].bar, bar);
	cr_expect_eq(d->move[*at].base, base, "0x%llx", (unsigned long long)d->move[*at].base);
	++*at;
}

/* --- sizing --- */

struct sizing_case {
	uint64_t size;
	unsigned bar;
	bool is_64, decoding; /* decoding: left on meanwhile, as Linux does for host bridges */
};

ParameterizedTestParameters(pci_bar, sizing)
{
	static struct sizing_case c[] = {
		{ 0x1000, 0, false, false },
		{ 0x1000, 5, false, false },
		{ 0x4000, 0, true, false },
		{ 0x100000, 4, true, false },
		{ 0x10000000, 2, false, false },
		{ 1ull << 32, 0, true, false }, /* no writable bit in the lower half */
		{ 1ull << 35, 0, true, false },
		{ 0x1000, 0, false, true },
		{ 0x4000, 0, true, true },
		{ 1ull << 32, 4, true, true },
	};
	return ROWS(c);
}

/* __pci_read_base() of Linux. */
ParameterizedTest(struct sizing_case *c, pci_bar, sizing)
{
	struct pci_fixture fx;
	struct test_dev d;
	fixture_init(&fx, 1);
	dev_init(&d, 7);
	dev_bar(&d, c->bar, c->size, c->is_64);
	dev_add(&fx, &d);
	unsigned bdf = dev_bdf(&d), reg = bar_reg(c->bar);
	uint64_t base = bar_value(&fx, &d, c->bar);
	cr_expect_eq(who(&fx, base), 7);

	if (!c->decoding)
		decode(&fx, &d, false);
	uint32_t low = (uint32_t)cfg_read(&fx, bdf, reg, 4), high = UINT32_MAX;
	cfg_write(&fx, bdf, reg, UINT32_MAX, 4);
	uint32_t low_size = (uint32_t)cfg_read(&fx, bdf, reg, 4);
	cfg_write(&fx, bdf, reg, low, 4);
	if (c->is_64) {
		uint32_t old_high = (uint32_t)cfg_read(&fx, bdf, reg + 4, 4);
		cfg_write(&fx, bdf, reg + 4, UINT32_MAX, 4);
		high = (uint32_t)cfg_read(&fx, bdf, reg + 4, 4);
		cfg_write(&fx, bdf, reg + 4, old_high, 4);
	}
	cr_expect_eq(low & 0xf, c->is_64 ? PCI_BAR_MEM_64 | PCI_BAR_MEM_PREFETCH : 0);
	cr_expect_eq(low_size & 0xf, low & 0xf, "the type bits are wired");
	uint64_t mask = (uint64_t)high << 32 | (low_size & ~0xfu);
	cr_expect_eq(~mask + 1, c->size, "0x%llx", (unsigned long long)mask);
	cr_expect_eq(bar_value(&fx, &d, c->bar), base);
	if (!c->decoding) {
		cr_expect_eq(who(&fx, base), GONE);
		decode(&fx, &d, true);
		unsigned at = 0;
		expect_move(&d, &at, c->bar, GONE);
		expect_move(&d, &at, c->bar, base);
		cr_expect_eq(d.moves, at, "moves while nothing was decoded");
	} else {
		cr_assert_gt(d.moves, 1);
		cr_expect_eq(d.move[d.moves - 1].base, base);
	}
	cr_expect_eq(who(&fx, base), 7);
	cr_expect_eq(who(&fx, base + c->size - 4), 7);
	/* the five others are not there */
	for (unsigned bar = 0; bar < PCI_BARS; bar++) {
		if (bar == c->bar || (c->is_64 && bar == c->bar + 1))
			continue;
		cfg_write(&fx, bdf, bar_reg(bar), UINT32_MAX, 4);
		cr_expect_eq(cfg_read(&fx, bdf, bar_reg(bar), 4), 0, "BAR %u", bar);
	}
	pci_function_done(&d.f);
	fixture_done(&fx);
}

/* Sizing with decoding on: a BAR of ones lies in no window and answers nowhere. */
Test(pci_bar, all_ones_answer_nowhere)
{
	struct pci_fixture fx;
	struct test_dev d;
	fixture_init(&fx, 1);
	dev_init(&d, 7);
	dev_bar(&d, 0, 0x10000, false);
	dev_add(&fx, &d);
	bar_set(&fx, &d, 0, UINT32_MAX);
	cr_expect_eq(who(&fx, 0xffff0000), GONE);
	unsigned at = 0;
	expect_move(&d, &at, 0, GONE);
	cr_expect_eq(d.moves, at);
	pci_function_done(&d.f);
	fixture_done(&fx);
}

/* --- moves --- */

struct move_case {
	bool is_64;
	uint64_t to, at; /* at: where it answers then */
};

#define BAR_SIZE 0x10000u

ParameterizedTestParameters(pci_bar, relocation)
{
	static struct move_case c[] = {
		{ false, MEM32 + 0x1230000, MEM32 + 0x1230000 },
		{ false, MEM32 + 0x1234567, MEM32 + 0x1230000 }, /* low bits are wired */
		{ false, MEM32 + MEM32_SIZE - BAR_SIZE, MEM32 + MEM32_SIZE - BAR_SIZE },
		{ false, MEM32 + MEM32_SIZE, GONE }, /* the ECAM window */
		{ false, MEM32 - BAR_SIZE, GONE },   /* RAM */
		{ false, 0, GONE },
		{ false, 0x1000, GONE },
		{ false, 0xFEC00000, GONE },
		{ false, 0xFEE00000, GONE },
		{ false, UINT32_MAX, GONE },
		{ true, MEM64 + 0x70000000, MEM64 + 0x70000000 },
		{ true, MEM64, MEM64 },
		{ true, MEM64 + MEM64_SIZE - BAR_SIZE, MEM64 + MEM64_SIZE - BAR_SIZE },
		{ true, MEM64 + MEM64_SIZE, GONE },
		{ true, MEM64 - BAR_SIZE, GONE },
		{ true, MEM32 + 0x40000, MEM32 + 0x40000 }, /* 64 bits may hold 32 */
		{ true, 0xE0000000, GONE },
		{ true, 0x100000000, GONE },
		{ true, 0, GONE },
		{ true, 0xffffffff00000000, GONE },
		{ true, UINT64_MAX, GONE },
		{ true, UINT64_MAX - BAR_SIZE, GONE },
	};
	return ROWS(c);
}

ParameterizedTest(struct move_case *c, pci_bar, relocation)
{
	struct pci_fixture fx;
	struct test_dev other, d;
	fixture_init(&fx, 1);
	dev_init(&other, 1); /* so that the windows' first addresses are someone's */
	dev_bar(&other, 0, 0x1000, false);
	dev_add(&fx, &other);
	dev_init(&d, 7);
	dev_bar(&d, 0, BAR_SIZE, c->is_64);
	dev_add(&fx, &d);
	uint64_t home = bar_value(&fx, &d, 0);
	unsigned at = 0;

	decode(&fx, &d, false);
	expect_move(&d, &at, 0, GONE);
	bar_set(&fx, &d, 0, c->to);
	cr_expect_eq(d.moves, at, "a move while nothing was decoded");
	decode(&fx, &d, true);
	if (c->at != GONE) {
		if (c->at != home)
			cr_expect_eq(who(&fx, home), GONE);
		expect_move(&d, &at, 0, c->at);
		cr_expect_eq(who(&fx, c->at), 7);
		cr_expect_eq(who(&fx, c->at + BAR_SIZE - 4), 7);
		cr_expect_neq(who(&fx, c->at + BAR_SIZE), 7);
		cr_expect_eq(who(&fx, c->at - 4), GONE);
	} else {
		cr_expect_eq(fx.mmio.count, 2, "ECAM and the other BAR only");
		cr_expect_eq(d.f.bar[0].base, GONE);
	}
	decode(&fx, &d, true); /* the same value again */
	bar_set(&fx, &d, 0, c->to);
	cr_expect_eq(d.moves, at, "a hook call without a move");

	/* and back, in one 8-byte access where the BAR is that wide */
	if (c->is_64)
		cfg_write(&fx, dev_bdf(&d), PCI_BAR0, home, 8);
	else
		bar_set(&fx, &d, 0, home);
	if (c->at != home)
		expect_move(&d, &at, 0, home);
	cr_expect_eq(d.moves, at);
	cr_expect_eq(who(&fx, home), 7);
	cr_expect_eq(who(&fx, MEM32), 1);
	cr_expect_eq(fx.host->blocked_bars, 0);
	pci_function_done(&d.f);
	pci_function_done(&other.f);
	fixture_done(&fx);
}

/* A write beside the BARs, or one that changes no bit, makes no hook call. */
Test(pci_bar, writes_beside)
{
	struct pci_fixture fx;
	struct test_dev d;
	fixture_init(&fx, 1);
	dev_init(&d, 7);
	dev_bar(&d, 0, 0x1000, true);
	dev_add(&fx, &d);
	for (unsigned reg = 0; reg < PCI_CONFIG_SIZE; reg += 4)
		if (reg != PCI_COMMAND && reg != PCI_BAR0 && reg != PCI_BAR0 + 4)
			cfg_write(&fx, dev_bdf(&d), reg, UINT32_MAX, 4);
	cfg_write(&fx, dev_bdf(&d), PCI_BAR0, 0xfff, 2); /* only wired bits */
	cr_expect_eq(d.moves, 0);
	cfg_write(&fx, dev_bdf(&d), PCI_BAR0 + 3, 0x12, 1); /* one byte moves it */
	cr_expect_eq(d.moves, 1);
	cr_expect_eq(who(&fx, MEM64 + 0x12000000), 7);
	pci_function_done(&d.f);
	fixture_done(&fx);
}

/* --- on top of each other --- */

struct pair {
	struct pci_fixture fx;
	struct test_dev a, b;
	uint64_t home_a, home_b;
};

static void pair_init(struct pair *p, uint64_t size_a, uint64_t size_b)
{
	fixture_init(&p->fx, 1);
	dev_init(&p->a, 1);
	dev_bar(&p->a, 0, size_a, false);
	dev_add(&p->fx, &p->a);
	dev_init(&p->b, 2);
	dev_bar(&p->b, 0, size_b, false);
	dev_add(&p->fx, &p->b);
	p->home_a = bar_value(&p->fx, &p->a, 0);
	p->home_b = bar_value(&p->fx, &p->b, 0);
}

static void pair_done(struct pair *p)
{
	pci_function_done(&p->a.f);
	pci_function_done(&p->b.f);
	cr_expect_eq(p->fx.host->blocked_bars, 0, "a BAR that is gone still counts as blocked");
	fixture_done(&p->fx);
}

Test(pci_bar, first_keeps)
{
	struct pair p;
	pair_init(&p, BAR_SIZE, BAR_SIZE);
	unsigned a = 0, b = 0;
	bar_set(&p.fx, &p.b, 0, p.home_a);
	cr_expect_eq(who(&p.fx, p.home_a), 1);
	cr_expect_eq(who(&p.fx, p.home_b), GONE);
	expect_move(&p.b, &b, 0, GONE);
	cr_expect_eq(p.b.moves, b);
	cr_expect_eq(p.a.moves, 0);
	cr_expect_eq(p.fx.host->blocked_bars, 1);
	/* what was blocked gets the range once it is free */
	bar_set(&p.fx, &p.a, 0, MEM32 + 0x800000);
	expect_move(&p.a, &a, 0, MEM32 + 0x800000);
	expect_move(&p.b, &b, 0, p.home_a);
	cr_expect_eq(p.a.moves, a);
	cr_expect_eq(p.b.moves, b);
	cr_expect_eq(who(&p.fx, p.home_a), 2);
	cr_expect_eq(who(&p.fx, MEM32 + 0x800000), 1);
	cr_expect_eq(p.fx.host->blocked_bars, 0);
	pair_done(&p);
}

Test(pci_bar, swap)
{
	struct pair p;
	pair_init(&p, BAR_SIZE, BAR_SIZE);
	bar_set(&p.fx, &p.a, 0, p.home_b);
	cr_expect_eq(who(&p.fx, p.home_b), 2);
	bar_set(&p.fx, &p.b, 0, p.home_a);
	cr_expect_eq(who(&p.fx, p.home_a), 2);
	cr_expect_eq(who(&p.fx, p.home_b), 1);
	unsigned a = 0, b = 0;
	expect_move(&p.a, &a, 0, GONE);
	expect_move(&p.a, &a, 0, p.home_b);
	expect_move(&p.b, &b, 0, p.home_a);
	cr_expect_eq(p.a.moves, a);
	cr_expect_eq(p.b.moves, b);
	cr_expect_eq(p.fx.host->blocked_bars, 0);
	pair_done(&p);
}

/* Turned off and on instead of moved. */
Test(pci_bar, decode_frees_range)
{
	struct pair p;
	pair_init(&p, BAR_SIZE, BAR_SIZE);
	bar_set(&p.fx, &p.b, 0, p.home_a);
	decode(&p.fx, &p.a, false);
	cr_expect_eq(who(&p.fx, p.home_a), 2);
	decode(&p.fx, &p.a, true); /* too late */
	cr_expect_eq(who(&p.fx, p.home_a), 2);
	cr_expect_eq(p.fx.host->blocked_bars, 1);
	decode(&p.fx, &p.b, false);
	cr_expect_eq(who(&p.fx, p.home_a), 1);
	cr_expect_eq(p.fx.host->blocked_bars, 0);
	pair_done(&p);
}

/* The blocked one gives up before the range is free. */
Test(pci_bar, blocked_moves_on)
{
	struct pair p;
	pair_init(&p, BAR_SIZE, BAR_SIZE);
	bar_set(&p.fx, &p.b, 0, p.home_a);
	bar_set(&p.fx, &p.b, 0, MEM32 + 0x900000);
	cr_expect_eq(who(&p.fx, MEM32 + 0x900000), 2);
	cr_expect_eq(p.fx.host->blocked_bars, 0);
	bar_set(&p.fx, &p.b, 0, p.home_a);
	decode(&p.fx, &p.b, false);
	cr_expect_eq(p.fx.host->blocked_bars, 0);
	decode(&p.fx, &p.a, false);
	cr_expect_eq(who(&p.fx, p.home_a), GONE);
	pair_done(&p);
}

/* Small in the middle of large, and large around small. */
Test(pci_bar, partial_overlap)
{
	struct pair p;
	pair_init(&p, 0x100000, 0x1000);
	bar_set(&p.fx, &p.b, 0, p.home_a + 0x80000);
	cr_expect_eq(who(&p.fx, p.home_a + 0x80000), 1);
	bar_set(&p.fx, &p.b, 0, p.home_a + 0x100000);
	cr_expect_eq(who(&p.fx, p.home_a + 0x100000), 2);
	bar_set(&p.fx, &p.a, 0, p.home_a + 0x100000);
	cr_expect_eq(who(&p.fx, p.home_a + 0x100000), 2);
	cr_expect_eq(who(&p.fx, p.home_a + 0x180000), GONE, "all or nothing");
	cr_expect_eq(p.fx.host->blocked_bars, 1);
	bar_set(&p.fx, &p.b, 0, p.home_a);
	cr_expect_eq(who(&p.fx, p.home_a + 0x180000), 1);
	cr_expect_eq(who(&p.fx, p.home_a), 2);
	pair_done(&p);
}

/* Both BARs of one function. */
Test(pci_bar, swap_within_function)
{
	struct pci_fixture fx;
	struct test_dev d;
	fixture_init(&fx, 1);
	dev_init(&d, 7);
	dev_bar(&d, 0, BAR_SIZE, false);
	dev_bar(&d, 1, BAR_SIZE, false);
	dev_add(&fx, &d);
	uint64_t first = bar_value(&fx, &d, 0), second = bar_value(&fx, &d, 1);
	cfg_write(&fx, dev_bdf(&d), PCI_BAR0, second | first << 32, 8);
	unsigned at = 0;
	expect_move(&d, &at, 0, GONE);
	expect_move(&d, &at, 1, first);
	expect_move(&d, &at, 0, second);
	cr_expect_eq(d.moves, at);
	/* both at one place */
	bar_set(&fx, &d, 0, first);
	cr_expect_eq(fx.host->blocked_bars, 1);
	expect_move(&d, &at, 0, GONE);
	cr_expect_eq(d.moves, at);
	decode(&fx, &d, false);
	expect_move(&d, &at, 1, GONE);
	cr_expect_eq(d.moves, at);
	cr_expect_eq(fx.host->blocked_bars, 0);
	pci_function_done(&d.f);
	fixture_done(&fx);
}

/* A function that goes away while its BAR is blocked, and one that held another's range. */
Test(pci_bar, removal)
{
	struct pair p;
	pair_init(&p, BAR_SIZE, BAR_SIZE);
	bar_set(&p.fx, &p.b, 0, p.home_a);
	cr_expect_eq(p.fx.host->blocked_bars, 1);
	pci_function_done(&p.b.f);
	cr_expect_eq(p.fx.host->blocked_bars, 0);
	cr_expect_eq(who(&p.fx, p.home_a), 1);

	dev_init(&p.b, 2);
	dev_bar(&p.b, 0, BAR_SIZE, false);
	dev_add(&p.fx, &p.b);
	bar_set(&p.fx, &p.b, 0, p.home_a);
	pci_function_done(&p.a.f);
	cr_expect_eq(who(&p.fx, p.home_a), 2);
	cr_expect_eq(p.a.move[p.a.moves - 1].base, GONE);
	pair_done(&p);
}

/* --- first addresses --- */

struct assign_case {
	uint64_t mem32_size, mem64_size, size;
	bool is_64;
	unsigned fit32, fit64; /* how many BARs go where before there is no room */
};

ParameterizedTestParameters(pci_bar, exhaustion)
{
	static struct assign_case c[] = {
		{ 0x100000, 0, 0x10000, false, 16, 0 },
		{ 0x100000, 0x100000, 0x10000, false, 16, 0 }, /* 32 bits do not reach higher */
		{ 0x100000, 0x40000, 0x10000, true, 16, 4 },   /* what 64 has no room for */
		{ 0x100000, 0, 0x10000, true, 16, 0 },
		{ 0x100000, 0x100000, 0x200000, true, 0, 0 },
		{ 0x100000, 0x200000, 0x200000, true, 0, 1 },
		{ 0x18000, 0, 0x10000, false, 1, 0 }, /* one and a half */
		{ 0x1000, 0, 0x1000, false, 1, 0 },
		{ 0x20000000, 0, 1ull << 32, true, 0, 0 },
		{ 0, 0, 0x1000, false, 0, 0 },
	};
	return ROWS(c);
}

ParameterizedTest(struct assign_case *c, pci_bar, exhaustion)
{
	struct pci_fixture fx;
	struct test_dev d[32];
	struct pci_host_config config = fixture_config(&fx);
	config.windows = (struct pci_windows){ MEM32, c->mem32_size, MEM64, c->mem64_size };
	fixture_init_with(&fx, &config);
	unsigned n = 0, low = 0, high = 0;
	int rc;
	for (;; n++) {
		dev_init(&d[n], n);
		dev_bar(&d[n], 0, c->size, c->is_64);
		struct lacuna_error *err = NULL;
		rc = pci_host_add(fx.host, &d[n].f, 0, &err);
		cr_expect_eq(rc == 0, err == NULL);
		lacuna_error_free(err);
		if (rc < 0)
			break;
		uint64_t base = bar_value(&fx, &d[n], 0);
		cr_expect_eq(base % c->size, 0);
		cr_expect_eq(who(&fx, base), n);
		*(base < MEM64 ? &low : &high) += 1;
	}
	cr_expect_eq(rc, -ENOSPC);
	cr_expect_eq(low, c->fit32);
	cr_expect_eq(high, c->fit64);
	/* the one that was refused is not there */
	cr_expect_eq(fx.host->function_count, n + 1);
	cr_expect_eq(cfg_read(&fx, (n + 1) << 3, 0, 4), UINT32_MAX);
	cr_expect_eq(d[n].moves, 0);
	for (unsigned i = 0; i <= n; i++)
		pci_function_done(&d[i].f);
	fixture_done(&fx);
}

/* A small BAR before a large one: the large one is still aligned to its size. */
Test(pci_bar, alignment)
{
	struct pci_fixture fx;
	struct test_dev d;
	static const uint64_t size[] = { 0x1000, 0x100000, 0x1000, 0x4000, 0x1000000, 0x2000 };
	fixture_init(&fx, 1);
	dev_init(&d, 7);
	for (unsigned bar = 0; bar < PCI_BARS; bar++)
		dev_bar(&d, bar, size[bar], false);
	dev_add(&fx, &d);
	for (unsigned bar = 0; bar < PCI_BARS; bar++) {
		uint64_t base = bar_value(&fx, &d, bar);
		cr_expect_eq(base % size[bar], 0);
		cr_expect_eq(d.f.bar[bar].base, base, "BAR %u overlaps another", bar);
		cr_expect(base >= MEM32 && base + size[bar] <= MEM32 + (uint64_t)MEM32_SIZE);
	}
	pci_function_done(&d.f);
	fixture_done(&fx);
}

/* What a refused function had been given before it was refused can be had by the next. */
Test(pci_bar, refused_takes_nothing)
{
	struct pci_fixture fx;
	struct test_dev big, fits;
	struct pci_host_config config = fixture_config(&fx);
	config.windows = (struct pci_windows){ MEM32, 0x100000, MEM64, 0x100000 };
	fixture_init_with(&fx, &config);
	dev_init(&big, 1);
	dev_bar(&big, 0, 0x80000, false);
	dev_bar(&big, 1, 0x100000, false);
	dev_bar(&big, 2, 0x80000, true);
	cr_expect_eq(pci_host_add(fx.host, &big.f, 0, NULL), -ENOSPC);
	pci_function_done(&big.f);
	dev_init(&fits, 2);
	dev_bar(&fits, 0, 0x100000, false);
	dev_bar(&fits, 2, 0x100000, true);
	dev_add(&fx, &fits);
	cr_expect_eq(who(&fx, MEM32), 2);
	cr_expect_eq(who(&fx, MEM64), 2);
	pci_function_done(&fits.f);
	fixture_done(&fx);
}

Test(pci_bar, slots_run_out)
{
	struct pci_fixture fx;
	struct test_dev d[32];
	struct lacuna_error *err = NULL;
	fixture_init(&fx, 2);
	for (unsigned i = 0; i < 31; i++) { /* slot 0 has the host bridge */
		dev_init(&d[i], i);
		dev_bar(&d[i], 0, 0x1000, true);
		dev_add(&fx, &d[i]);
		cr_expect_eq(dev_bdf(&d[i]), (i + 1) << 3);
	}
	dev_init(&d[31], 31);
	cr_expect_eq(pci_host_add(fx.host, &d[31].f, 0, &err), -ENOSPC);
	cr_expect(err && strstr(lacuna_error_message(err), "bus 0 is full"));
	lacuna_error_free(err);
	/* one leaves, and its slot is free */
	pci_function_done(&d[10].f);
	cr_expect_eq(cfg_read(&fx, 11 << 3, 0, 4), UINT32_MAX);
	dev_add(&fx, &d[31]);
	cr_expect_eq(dev_bdf(&d[31]), 11 << 3);
	for (unsigned i = 0; i < 32; i++)
		pci_function_done(&d[i].f); /* also the one that is done already */
	fixture_done(&fx);
}

/* What is added before power-on answers from then on. */
Test(pci_bar, power_on)
{
	struct pci_fixture fx;
	struct test_dev d[2];
	struct pci_host_config config = fixture_config(&fx);
	fixture_init_cold(&fx, &config);
	for (unsigned i = 0; i < 2; i++) {
		dev_init(&d[i], i);
		dev_bar(&d[i], 0, 0x4000, true);
		dev_bar(&d[i], 2, 0x1000, false);
		cr_assert_eq(pci_host_add(fx.host, &d[i].f, 0, NULL), 0);
		cr_expect_eq(d[i].moves, 0);
		cr_expect_eq(who(&fx, bar_value(&fx, &d[i], 0)), GONE);
	}
	cr_assert_eq(pci_host_power_on(fx.host, NULL), 0);
	for (unsigned i = 0; i < 2; i++) {
		unsigned at = 0;
		expect_move(&d[i], &at, 0, bar_value(&fx, &d[i], 0));
		expect_move(&d[i], &at, 2, bar_value(&fx, &d[i], 2));
		cr_expect_eq(d[i].moves, at);
		cr_expect_eq(who(&fx, bar_value(&fx, &d[i], 0)), i);
	}
	for (unsigned i = 0; i < 2; i++)
		pci_function_done(&d[i].f);
	fixture_done(&fx);
}

/* --- moved by one thread, used by another --- */

struct race {
	struct pci_fixture fx;
	struct test_dev d;
	_Atomic bool stop;
	_Atomic uint64_t hits, wrong;
};

static void *user(void *opaque)
{
	struct race *r = opaque;
	while (!atomic_load(&r->stop)) {
		uint64_t tag = who(&r->fx, MEM32 + 0x100000);
		if (tag == 7)
			atomic_fetch_add(&r->hits, 1);
		else if (tag != GONE)
			atomic_fetch_add(&r->wrong, 1);
		cfg_read(&r->fx, dev_bdf(&r->d), PCI_BAR0, 4);
	}
	return NULL;
}

Test(pci_bar, moved_while_in_use)
{
	struct race r = { .stop = false };
	pthread_t thread[2];
	fixture_init(&r.fx, 1);
	dev_init(&r.d, 7);
	dev_bar(&r.d, 0, BAR_SIZE, false);
	dev_add(&r.fx, &r.d);
	for (unsigned i = 0; i < ARRAY_SIZE(thread); i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, user, &r), 0);
	for (unsigned i = 0; i < 2000 || !atomic_load(&r.hits); i++) {
		bar_set(&r.fx, &r.d, 0, MEM32 + 0x100000);
		sched_yield();
		bar_set(&r.fx, &r.d, 0, MEM32);
		decode(&r.fx, &r.d, false);
		decode(&r.fx, &r.d, true);
	}
	atomic_store(&r.stop, true);
	for (unsigned i = 0; i < ARRAY_SIZE(thread); i++)
		pthread_join(thread[i], NULL);
	cr_expect_eq(r.wrong, 0);
	pci_function_done(&r.d.f);
	fixture_done(&r.fx);
}
