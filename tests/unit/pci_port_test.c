// SPDX-License-Identifier: Apache-2.0
/* Root ports: registers, what their windows let through, bus mastering and resets of what is behind
 * them (PCIe 5.0, 7.5.1.3, 6.6). */
#include "pci/port.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>

#include "pci/express.h"
#include "pci/msix.h"
#include "pci_fixture.h"

#define PORTS  4
#define DEVS   8
#define GONE   PCI_BAR_UNMAPPED
#define BEHIND (1u << 8) /* the first function behind port 1 */
#define MIB32  0x100000ul

struct tree {
	struct pci_fixture fx;
	struct test_dev d[DEVS];
	unsigned devs, port; /* port: of port 1, as bdf */
};

static void tree_init(struct tree *t)
{
	struct pci_host_config config = fixture_config(&t->fx);
	config.ports = PORTS;
	config.buses = PORTS + 1;
	fixture_init_cold(&t->fx, &config);
	t->devs = 0;
	t->port = t->fx.host->port[0].function.devfn;
}

/* Makes a function on @bus with an Express capability; its BARs are for the caller. */
static struct test_dev *tree_dev(struct tree *t)
{
	struct test_dev *d = &t->d[t->devs];
	dev_init(d, t->devs++);
	cr_assert_eq(pci_express_add(&d->f, NULL), 0);
	return d;
}

static void tree_on(struct tree *t)
{
	struct lacuna_error *err = NULL;
	cr_assert_eq(
		pci_host_power_on(t->fx.host, &err), 0, "%s", err ? lacuna_error_message(err) : "");
	for (unsigned i = 0; i < t->devs; i++)
		t->d[i].moves = 0;
}

static void tree_done(struct tree *t)
{
	for (unsigned i = 0; i < t->devs; i++)
		pci_function_done(&t->d[i].f);
	fixture_done(&t->fx);
}

/* One function behind port 1: BAR 0 of 16 KiB is 64 bits and prefetchable, BAR 2 of 4 KiB is not.
 */
static struct test_dev *one_behind(struct tree *t)
{
	tree_init(t);
	struct test_dev *d = tree_dev(t);
	d->tag = 7;
	dev_bar(d, 0, 0x4000, true);
	dev_bar(d, 2, 0x1000, false);
	dev_add_to(&t->fx, d, 1);
	tree_on(t);
	return d;
}

static unsigned find_cap(struct pci_fixture *fx, unsigned bdf, uint8_t id)
{
	unsigned p = (unsigned)cfg_read(fx, bdf, PCI_CAPABILITY_LIST, 1);
	while (p && cfg_read(fx, bdf, p, 1) != id)
		p = (unsigned)cfg_read(fx, bdf, p + 1, 1);
	cr_assert(p, "no capability 0x%x", id);
	return p;
}

static unsigned find_ext(struct pci_fixture *fx, unsigned bdf, uint16_t id)
{
	unsigned p = PCI_EXT_CAPS;
	while (p && cfg_read(fx, bdf, p, 2) != id)
		p = (unsigned)cfg_read(fx, bdf, p, 4) >> PCI_EXT_NEXT_SHIFT;
	cr_assert(p, "no extended capability 0x%x", id);
	return p;
}

/* --- registers --- */

struct register_case {
	unsigned reg, size;
	uint32_t value, written, after;
};

/* Of port 2, with nothing behind it. */
ParameterizedTestParameters(pci_port, registers)
{
	static struct register_case c[] = {
		{ PCI_VENDOR_ID, 4, 0x000c1b36, 0, 0x000c1b36 },
		{ PCI_COMMAND, 2, 0x0006, 0xffff, 0x0546 },
		{ PCI_COMMAND, 2, 0x0006, 0, 0 },
		{ PCI_STATUS, 2, 0x0010, 0xffff, 0x0010 },
		{ PCI_REVISION_ID, 4, 0x06040000, 0, 0x06040000 },
		{ PCI_HEADER_TYPE, 1, 0x81, 0, 0x81 },
		{ PCI_BAR0, 4, 0, UINT32_MAX, 0 },
		{ PCI_BAR0 + 4, 4, 0, UINT32_MAX, 0 },
		{ PCI_PRIMARY_BUS, 4, 0x00020200, UINT32_MAX, 0x00020200 }, /* wired */
		{ PCI_PRIMARY_BUS, 4, 0x00020200, 0, 0x00020200 },
		{ 0x1c, 2, 0, 0xffff, 0 }, /* no I/O window */
		{ PCI_SECONDARY_STATUS, 2, 0, 0xffff, 0 },
		{ PCI_MEMORY_BASE, 2, 0xfff0, 0x1234, 0x1230 },
		{ PCI_MEMORY_LIMIT, 2, 0, 0xffff, 0xfff0 },
		{ PCI_MEMORY_BASE, 4, 0x0000fff0, 0xd01fc00f, 0xd010c000 },
		{ PCI_PREF_BASE, 4, 0x0001fff1, UINT32_MAX, 0xfff1fff1 },
		{ PCI_PREF_BASE, 4, 0x0001fff1, 0, 0x00010001 },
		{ PCI_PREF_BASE_UPPER, 4, 0, 0x12345678, 0x12345678 },
		{ PCI_PREF_LIMIT_UPPER, 4, 0, UINT32_MAX, UINT32_MAX },
		{ 0x30, 4, 0, UINT32_MAX, 0 }, /* I/O base and limit, upper halves */
		{ 0x38, 4, 0, UINT32_MAX, 0 }, /* no expansion ROM */
		{ PCI_INTERRUPT_LINE, 2, 0, 0xffff, 0x00ff },
		{ PCI_BRIDGE_CONTROL, 2, 0x0002, 0xffff, 0x0043 },
	};
	return ROWS(c);
}

ParameterizedTest(struct register_case *c, pci_port, registers)
{
	struct tree t;
	tree_init(&t);
	tree_on(&t);
	unsigned bdf = t.port + 1;
	cr_expect_eq(cfg_read(&t.fx, bdf, c->reg, c->size), c->value, "0x%llx",
		(unsigned long long)cfg_read(&t.fx, bdf, c->reg, c->size));
	cfg_write(&t.fx, bdf, c->reg, c->written, c->size);
	cr_expect_eq(cfg_read(&t.fx, bdf, c->reg, c->size), c->after, "0x%llx",
		(unsigned long long)cfg_read(&t.fx, bdf, c->reg, c->size));
	tree_done(&t);
}

/* Where the capability lies, and then as above; of a port (type 4), an endpoint behind one (0) and
 * an integrated one (9). */
struct express_case {
	unsigned type, reg, size;
	uint32_t value, written, after;
};

ParameterizedTestParameters(pci_port, express)
{
	static struct express_case c[] = {
		{ 4, EXPRESS_FLAGS, 2, 0x0042, 0, 0x0042 },
		{ 0, EXPRESS_FLAGS, 2, 0x0002, 0, 0x0002 },
		{ 9, EXPRESS_FLAGS, 2, 0x0092, 0, 0x0092 },
		{ 4, EXPRESS_DEVCAP, 4, 0x00008000, 0, 0x00008000 },
		{ 0, EXPRESS_DEVCAP, 4, 0x10008000, 0, 0x10008000 },
		{ 9, EXPRESS_DEVCAP, 4, 0x10008000, 0, 0x10008000 },
		{ 4, EXPRESS_DEVCTL, 4, 0x00002810, UINT32_MAX, 0x000078ff },
		{ 0, EXPRESS_DEVCTL, 4, 0x00002810, 0x7fff, 0x000078ff },
		{ 9, EXPRESS_DEVCTL, 2, 0x2810, 0, 0 },
		{ 4, EXPRESS_LNKCAP, 4, 0x01100011, 0, 0x01100011 },
		{ 0, EXPRESS_LNKCAP, 4, 0x00000011, 0, 0x00000011 },
		{ 9, EXPRESS_LNKCAP, 4, 0, UINT32_MAX, 0 },
		{ 4, EXPRESS_LNKCTL, 4, 0x20110000, UINT32_MAX, 0x201100c8 }, /* the link is up */
		{ 0, EXPRESS_LNKCTL, 4, 0x00110000, UINT32_MAX, 0x001100c8 },
		{ 9, EXPRESS_LNKCTL, 4, 0, UINT32_MAX, 0 },
		{ 4, 0x14, 4, 0, UINT32_MAX, 0 }, /* no slot */
		{ 4, EXPRESS_ROOTCTL, 4, 0, UINT32_MAX, 0x0000000f },
		{ 4, EXPRESS_ROOTSTA, 4, 0, UINT32_MAX, 0 },
		{ 0, EXPRESS_ROOTCTL, 4, 0, UINT32_MAX, 0 },
		{ 0, EXPRESS_DEVCTL2, 2, 0, 0xffff, 0x0010 },
		{ 0, EXPRESS_LNKCAP2, 4, 2, 0, 2 },
		{ 9, EXPRESS_LNKCAP2, 4, 0, 0, 0 },
	};
	return ROWS(c);
}

ParameterizedTest(struct express_case *c, pci_port, express)
{
	struct tree t;
	tree_init(&t);
	dev_add_to(&t.fx, tree_dev(&t), 1);
	dev_add_to(&t.fx, tree_dev(&t), 0);
	tree_on(&t);
	unsigned bdf = c->type == 4 ? t.port : dev_bdf(&t.d[c->type == 9]);
	unsigned reg = find_cap(&t.fx, bdf, PCI_CAP_ID_EXPRESS) + c->reg;
	cr_expect_eq(cfg_read(&t.fx, bdf, reg, c->size), c->value, "0x%llx",
		(unsigned long long)cfg_read(&t.fx, bdf, reg, c->size));
	cfg_write(&t.fx, bdf, reg, c->written, c->size);
	cr_expect_eq(cfg_read(&t.fx, bdf, reg, c->size), c->after, "0x%llx",
		(unsigned long long)cfg_read(&t.fx, bdf, reg, c->size));
	tree_done(&t);
}

/* The bus numbers that Linux reads in pci_ea_fixed_busnrs(), and what is beyond byte 256. */
Test(pci_port, other_capabilities)
{
	struct tree t;
	tree_init(&t);
	for (unsigned i = 0; i < 3; i++)
		dev_add_to(&t.fx, tree_dev(&t), i < 2 ? 3 : 0);
	tree_on(&t);
	for (unsigned n = 1; n <= PORTS; n++) {
		unsigned bdf = t.port + n - 1, ea = find_cap(&t.fx, bdf, PCI_CAP_ID_EA);
		cr_expect_eq(cfg_read(&t.fx, bdf, ea + 2, 2), 0, "no entries");
		cr_expect_eq(cfg_read(&t.fx, bdf, ea + 4, 4), n << 8 | n);
		unsigned acs = find_ext(&t.fx, bdf, PCI_EXT_ID_ACS);
		cr_expect_eq(cfg_read(&t.fx, bdf, acs + 4, 4), 0x1d);
		cfg_write(&t.fx, bdf, acs + 4, UINT32_MAX, 4);
		cr_expect_eq(cfg_read(&t.fx, bdf, acs + 4, 4), 0x1d001d, "control is writable");
		unsigned link = find_cap(&t.fx, bdf, PCI_CAP_ID_EXPRESS) + EXPRESS_LNKSTA;
		cr_expect_eq(cfg_read(&t.fx, bdf, link, 2), n == 3 ? 0x2011 : 0, "port %u", n);
	}
	uint64_t serial[3];
	for (unsigned i = 0; i < 3; i++) {
		unsigned bdf = dev_bdf(&t.d[i]), at = find_ext(&t.fx, bdf, PCI_EXT_ID_SERIAL);
		cr_expect_eq(at, PCI_EXT_CAPS);
		cfg_write(&t.fx, bdf, at, UINT64_MAX, 8);
		cr_expect_eq(cfg_read(&t.fx, bdf, at, 4), 0x00010003, "the only one");
		serial[i] = cfg_read(&t.fx, bdf, at + 4, 8);
		cr_expect_eq(serial[i] >> 56 & 3, 2, "locally administered, not a group");
	}
	cr_expect_eq(serial[0], serial[1], "functions of one device");
	cr_expect_neq(serial[0], serial[2]);
	tree_done(&t);
}

Test(pci_port, extended_space_runs_out)
{
	struct test_dev d;
	dev_init(&d, 1);
	unsigned n = 0, at, last = 0;
	while ((at = pci_function_add_ext_cap(&d.f, 0xb, 1, 1000)))
		last = at, n++;
	cr_expect_eq(n, 3);
	cr_expect_eq(last, 0x100 + 2 * 1000);
	cr_expect_eq(pci_function_add_ext_cap(&d.f, 0xb, 1, 3), 0, "smaller than its header");
	cr_expect_eq(pci_function_add_ext_cap(&d.f, 0xb, 1, 840), 0x100 + 3 * 1000);
	cr_expect_eq(pci_function_add_ext_cap(&d.f, 0xb, 1, 4), 0);
	for (at = 0x100, n = 0; at; n++)
		at = load_le32(&d.f.config.space[at]) >> PCI_EXT_NEXT_SHIFT;
	cr_expect_eq(n, 4);
	pci_function_done(&d.f);
}

/* --- who is where --- */

Test(pci_port, functions_behind)
{
	struct tree t;
	struct test_dev extra;
	struct lacuna_error *err = NULL;
	tree_init(&t);
	for (unsigned i = 0; i < DEVS; i++) {
		dev_add_to(&t.fx, tree_dev(&t), 2);
		cr_expect_eq(dev_bdf(&t.d[i]), 2u << 8 | i);
	}
	dev_init(&extra, 99);
	cr_expect_eq(pci_host_add(t.fx.host, &extra.f, 2, &err), -ENOSPC);
	cr_expect(err && strstr(lacuna_error_message(err), "bus 2 is full"));
	lacuna_error_free(err);
	err = NULL;
	cr_expect_eq(pci_host_add(t.fx.host, &extra.f, PORTS + 1, &err), -ENODEV);
	cr_expect(err && strstr(lacuna_error_message(err), "no port leads to PCI bus 5"));
	lacuna_error_free(err);
	dev_add_to(&t.fx, &extra, 3);
	tree_on(&t);
	for (unsigned fn = 0; fn < 8; fn++)
		cr_expect_eq(cfg_read(&t.fx, 2u << 8 | fn, PCI_HEADER_TYPE, 1), PCI_HEADER_MULTI);
	cr_expect_eq(cfg_read(&t.fx, 3u << 8, PCI_HEADER_TYPE, 1), 0, "one function");
	cr_expect_eq(cfg_read(&t.fx, 0, PCI_HEADER_TYPE, 1), 0);
	for (unsigned dev = 1; dev < 32; dev++)
		cr_expect_eq(cfg_read(&t.fx, 2u << 8 | dev << 3, 0, 4), UINT32_MAX);
	cr_expect_eq(t.fx.host->function_count, 1 + PORTS + DEVS + 1);
	pci_function_done(&extra.f);
	tree_done(&t);
}

/* As many as there can be, beside the host bridge too. */
Test(pci_port, all_255)
{
	struct pci_fixture fx;
	struct pci_host_config config = fixture_config(&fx);
	struct test_dev d;
	config.ports = 255;
	config.buses = 256;
	fixture_init_cold(&fx, &config);
	dev_init(&d, 7);
	dev_bar(&d, 0, 0x4000, true);
	cr_expect_eq(pci_host_add(fx.host, &d.f, 0, NULL), -ENOSPC, "bus 0 is all ports");
	dev_add_to(&fx, &d, 255);
	cr_assert_eq(pci_host_power_on(fx.host, NULL), 0);
	for (unsigned devfn = 0; devfn < 256; devfn++) {
		cr_expect_eq(cfg_read(&fx, devfn, PCI_HEADER_TYPE, 1), devfn ? 0x81 : 0x80);
		if (devfn)
			cr_expect_eq(cfg_read(&fx, devfn, PCI_SECONDARY_BUS, 1), devfn);
	}
	cr_expect_eq(who(&fx, d.f.bar[0].base), 7);
	pci_function_done(&d.f);
	fixture_done(&fx);
}

/* --- windows --- */

struct window {
	uint64_t base, last; /* last < base: closed */
};

static struct window memory_window(struct pci_fixture *fx, unsigned bdf)
{
	return (struct window){ cfg_read(fx, bdf, PCI_MEMORY_BASE, 2) << 16,
		cfg_read(fx, bdf, PCI_MEMORY_LIMIT, 2) << 16 | 0xfffff };
}

static struct window prefetch_window(struct pci_fixture *fx, unsigned bdf)
{
	return (struct window){ cfg_read(fx, bdf, PCI_PREF_BASE_UPPER, 4) << 32 |
					(cfg_read(fx, bdf, PCI_PREF_BASE, 2) & 0xfff0) << 16,
		cfg_read(fx, bdf, PCI_PREF_LIMIT_UPPER, 4) << 32 |
			(cfg_read(fx, bdf, PCI_PREF_LIMIT, 2) & 0xfff0) << 16 | 0xfffff };
}

struct size_case {
	unsigned count; /* functions behind the port, with these BARs each */
	uint64_t bar64, bar32;
	bool prefetchable; /* bar64 is */
	uint64_t pref_mib, mem_mib;
	uint64_t mem64_size; /* of the host bridge */
};

ParameterizedTestParameters(pci_port, window_sizes)
{
	static struct size_case c[] = {
		{ 0, 0, 0, true, 0, 0, MEM64_SIZE },
		{ 1, 0, 0, true, 0, 0, MEM64_SIZE },
		{ 1, 0x4000, 0, true, 1, 0, MEM64_SIZE },
		{ 8, 0x4000, 0, true, 1, 0, MEM64_SIZE },
		{ 1, 0, 0x1000, true, 0, 1, MEM64_SIZE },
		{ 8, 0x40000, 0x20000, true, 2, 1, MEM64_SIZE },
		{ 3, 0x100000, 0x1000, true, 3, 1, MEM64_SIZE },
		{ 1, 0x40000000, 0, true, 1024, 0, MEM64_SIZE },
		/* not prefetchable: where 32 bits reach */
		{ 2, 0x100000, 0x1000, false, 0, 4, MEM64_SIZE },
		/* no room above 4 GiB */
		{ 2, 0x100000, 0x1000, true, 0, 4, 0 },
	};
	return ROWS(c);
}

ParameterizedTest(struct size_case *c, pci_port, window_sizes)
{
	struct tree t;
	struct pci_host_config config = fixture_config(&t.fx);
	config.ports = 2;
	config.buses = 3;
	config.windows.mem64_size = c->mem64_size;
	fixture_init_cold(&t.fx, &config);
	t.devs = 0;
	struct test_dev *first = tree_dev(&t); /* takes the start of both windows */
	dev_bar(first, 0, 0x4000, true);
	dev_bar(first, 2, 0x1000, false);
	dev_add_to(&t.fx, first, 0);
	for (unsigned i = 0; i < c->count && i < DEVS - 1; i++) {
		struct test_dev *d = tree_dev(&t);
		if (c->bar64)
			dev_bar_kind(d, 0, c->bar64, true, c->prefetchable);
		if (c->bar32)
			dev_bar(d, 2, c->bar32, false);
		dev_add_to(&t.fx, d, 2);
	}
	tree_on(&t);
	unsigned bdf = t.fx.host->port[1].function.devfn;
	struct window pref = prefetch_window(&t.fx, bdf), mem = memory_window(&t.fx, bdf);
	uint64_t align = c->bar64 > MIB32 ? c->bar64 : MIB32;
	cr_expect_eq(pref.last < pref.base
			     ? 0
			     : align_down(pref.last + 1, align) - align_up(pref.base, align),
		c->pref_mib * MIB32, "0x%llx-0x%llx", (unsigned long long)pref.base,
		(unsigned long long)pref.last);
	if (c->mem_mib == 0)
		cr_expect_lt(mem.last, mem.base);
	else
		cr_expect_leq(mem.last + 1 - mem.base, c->mem_mib * MIB32);
	for (unsigned i = 1; i < t.devs; i++) {
		const struct pci_bar *b = t.d[i].f.bar;
		for (unsigned bar = 0; bar <= 2; bar += 2) {
			if (!b[bar].size)
				continue;
			cr_expect_eq(who(&t.fx, b[bar].base), i);
			struct window w = b[bar].base >= MEM64 ? pref : mem;
			cr_expect(b[bar].base >= w.base && b[bar].base + b[bar].size - 1 <= w.last);
		}
	}
	tree_done(&t);
}

/* Both windows closed or open for each of the BARs, in every way a guest may set them. */
struct decode_case {
	uint64_t mem_base, mem_last, pref_base, pref_last;
	bool memory;    /* the port's memory space enable */
	bool low, high; /* BAR 2 answers, BAR 0 does */
};

#define LOW  ((uint64_t)MEM32)
#define HIGH ((uint64_t)MEM64)

ParameterizedTestParameters(pci_port, decoding)
{
	static struct decode_case c[] = {
		{ LOW, LOW + 0xfffff, HIGH, HIGH + 0xfffff, true, true, true }, /* as given */
		{ LOW, LOW + 0xfffff, HIGH, HIGH + 0xfffff, false, false, false },
		{ LOW, LOW + 0xfffff, HIGH + MIB32, HIGH, true, true, false }, /* closed */
		{ LOW + MIB32, LOW, HIGH, HIGH + 0xfffff, true, false, true },
		{ 0, 0xfffff, 0, 0xfffff, true, false, false }, /* open, elsewhere */
		{ LOW + MIB32, LOW + 2 * MIB32, HIGH, HIGH + 0xfffff, true, false, true },
		{ LOW, LOW + 0xfffff, HIGH + MIB32, HIGH + 5 * MIB32, true, true, false },
		{ 0, 0xffffffff, 0, UINT64_MAX, true, true, true },
		/* either window will do for either BAR */
		{ LOW + MIB32, LOW, LOW, HIGH + 0xfffff, true, true, true },
		{ LOW + MIB32, LOW, LOW, LOW + 0xfffff, true, true, false },
		/* the upper halves count */
		{ LOW, LOW + 0xfffff, HIGH - ((uint64_t)1 << 32), HIGH - 1, true, true, false },
		{ LOW, LOW + 0xfffff, HIGH & UINT32_MAX, (HIGH & UINT32_MAX) + 0xfffff, true, true,
			false },
	};
	return ROWS(c);
}

static void set_windows(struct pci_fixture *fx, unsigned bdf, const struct decode_case *c)
{
	cfg_write(fx, bdf, PCI_MEMORY_BASE, c->mem_base >> 16, 2);
	cfg_write(fx, bdf, PCI_MEMORY_LIMIT, c->mem_last >> 16, 2);
	cfg_write(fx, bdf, PCI_PREF_BASE, c->pref_base >> 16, 2);
	cfg_write(fx, bdf, PCI_PREF_LIMIT, c->pref_last >> 16, 2);
	cfg_write(fx, bdf, PCI_PREF_BASE_UPPER, c->pref_base >> 32, 4);
	cfg_write(fx, bdf, PCI_PREF_LIMIT_UPPER, c->pref_last >> 32, 4);
	cfg_write(fx, bdf, PCI_COMMAND, c->memory ? PCI_COMMAND_MEMORY : 0, 2);
}

ParameterizedTest(struct decode_case *c, pci_port, decoding)
{
	struct tree t;
	struct test_dev *d = one_behind(&t);
	cr_assert_eq(d->f.bar[2].base, LOW);
	cr_assert_eq(d->f.bar[0].base, HIGH);
	set_windows(&t.fx, t.port, c);
	cr_expect_eq(who(&t.fx, LOW), c->low ? 7 : GONE);
	cr_expect_eq(who(&t.fx, HIGH), c->high ? 7 : GONE);
	cr_expect_eq(d->f.bar[2].base, c->low ? LOW : GONE);
	/* and back again */
	static const struct decode_case given = { LOW, LOW + 0xfffff, HIGH, HIGH + 0xfffff, true,
		true, true };
	set_windows(&t.fx, t.port, &given);
	cr_expect_eq(who(&t.fx, LOW), 7);
	cr_expect_eq(who(&t.fx, HIGH), 7);
	tree_done(&t);
}

/* A BAR that leaves its port's window answers nowhere, though the host bridge forwards the address,
 * and another port's window does too. */
Test(pci_port, bar_out_of_window)
{
	struct tree t;
	struct test_dev *d = one_behind(&t);
	struct test_dev *other = tree_dev(&t);
	dev_bar(other, 0, 0x1000, false);
	dev_add_to(&t.fx, other, 0);
	unsigned bdf = dev_bdf(d);
	cfg_write(&t.fx, bdf, PCI_BAR0 + 8, LOW + 0x200000, 4);
	cr_expect_eq(who(&t.fx, LOW + 0x200000), GONE);
	cfg_write(&t.fx, t.port + 1, PCI_MEMORY_BASE, 0xc020c020, 4);
	cr_expect_eq(who(&t.fx, LOW + 0x200000), GONE);
	cfg_write(&t.fx, bdf, PCI_BAR0 + 8, LOW + 0x8000, 4);
	cr_expect_eq(who(&t.fx, LOW + 0x8000), 7);
	cr_expect_eq(t.fx.host->blocked_bars, 0);
	tree_done(&t);
}

Test(pci_port, windows_run_out)
{
	struct tree t;
	struct lacuna_error *err = NULL;
	struct pci_host_config config = fixture_config(&t.fx);
	config.ports = 3;
	config.buses = 4;
	config.windows = (struct pci_windows){ MEM32, 0x200000, 0, 0 };
	fixture_init_cold(&t.fx, &config);
	t.devs = 0;
	for (unsigned bus = 1; bus <= 3; bus++) {
		struct test_dev *d = tree_dev(&t);
		dev_bar(d, 0, 0x1000, false);
		dev_add_to(&t.fx, d, bus);
	}
	cr_expect_eq(pci_host_power_on(t.fx.host, &err), -ENOSPC);
	cr_expect(
		err && strstr(lacuna_error_message(err), "test: no PCI memory is left for BAR 0"));
	lacuna_error_free(err);
	tree_done(&t);
}

/* --- bus mastering --- */

struct master_case {
	bool port_first; /* the port is switched before the function */
	bool port, function, masters;
};

ParameterizedTestParameters(pci_port, bus_mastering)
{
	static struct master_case c[] = {
		{ true, false, false, false },
		{ true, true, false, false },
		{ true, false, true, false },
		{ true, true, true, true },
		{ false, false, true, false },
		{ false, true, true, true },
	};
	return ROWS(c);
}

ParameterizedTest(struct master_case *c, pci_port, bus_mastering)
{
	struct tree t;
	struct test_dev *d = one_behind(&t);
	unsigned port = c->port ? 6 : 2, function = c->function ? 6 : 2;
	if (c->port_first)
		cfg_write(&t.fx, t.port, PCI_COMMAND, port, 2);
	cfg_write(&t.fx, dev_bdf(d), PCI_COMMAND, function, 2);
	if (!c->port_first)
		cfg_write(&t.fx, t.port, PCI_COMMAND, port, 2);
	cr_expect_eq(d->master, c->masters);
	cr_expect_eq(pci_function_masters(&d->f), c->masters);
	/* whatever it was, both have it their way in the end */
	cfg_write(&t.fx, t.port, PCI_COMMAND, 6, 2);
	cr_expect_eq(d->master, c->function);
	cfg_write(&t.fx, t.port + 1, PCI_COMMAND, 0, 2);
	cr_expect_eq(d->master, c->function, "another port");
	cfg_write(&t.fx, t.port, PCI_COMMAND, 0, 2);
	cr_expect_eq(d->master, false);
	tree_done(&t);
}

/* --- resets --- */

enum how { BUS_RESET, FLR };

struct reset_case {
	unsigned how;
	unsigned others; /* functions beside it that are reset too */
};

ParameterizedTestParameters(pci_port, resets)
{
	static struct reset_case c[] = { { BUS_RESET, 1 }, { FLR, 0 } };
	return ROWS(c);
}

ParameterizedTest(struct reset_case *c, pci_port, resets)
{
	struct tree t;
	tree_init(&t);
	for (unsigned i = 0; i < 3; i++) { /* two behind port 1, one behind port 2 */
		struct test_dev *d = tree_dev(&t);
		dev_bar(d, 0, 0x4000, true);
		dev_add_to(&t.fx, d, i < 2 ? 1 : 2);
	}
	tree_on(&t);
	uint64_t base = t.d[0].f.bar[0].base;
	unsigned express = find_cap(&t.fx, BEHIND, PCI_CAP_ID_EXPRESS);
	for (unsigned i = 0; i < 3; i++) {
		unsigned bdf = dev_bdf(&t.d[i]);
		cfg_write(&t.fx, bdf, PCI_COMMAND, 0x0546, 2);
		cfg_write(&t.fx, bdf, PCI_INTERRUPT_LINE, 0x5a, 1);
		cfg_write(&t.fx, bdf, PCI_CACHE_LINE_SIZE, 0x10, 1);
		cfg_write(&t.fx, bdf, express + EXPRESS_DEVCTL, 0x0007, 2);
	}
	if (c->how == BUS_RESET)
		cfg_write(&t.fx, t.port, PCI_BRIDGE_CONTROL, PCI_BRIDGE_RESET, 2);
	else
		cfg_write(&t.fx, BEHIND, express + EXPRESS_DEVCTL, 0x8007, 2);
	for (unsigned i = 0; i < 3; i++) {
		struct test_dev *d = &t.d[i];
		unsigned bdf = dev_bdf(d);
		bool reset = i <= c->others;
		cr_expect_eq(d->resets, reset, "function %u", i);
		cr_expect_eq(d->master, !reset);
		cr_expect_eq(d->f.bar[0].base == GONE, reset);
		cr_expect_eq(cfg_read(&t.fx, bdf, PCI_COMMAND, 2), reset ? 0 : 0x0546);
		cr_expect_eq(cfg_read(&t.fx, bdf, PCI_BAR0, 4) & ~0xfull,
			reset ? 0 : (uint32_t)d->f.bar[0].base);
		cr_expect_eq(cfg_read(&t.fx, bdf, PCI_INTERRUPT_LINE, 1), reset ? 0 : 0x5a);
		cr_expect_eq(cfg_read(&t.fx, bdf, PCI_CACHE_LINE_SIZE, 1), reset ? 0 : 0x10);
		cr_expect_eq(cfg_read(&t.fx, bdf, express + EXPRESS_DEVCTL, 2), reset ? 0x2810 : 7);
		cr_expect_eq(cfg_read(&t.fx, bdf, PCI_VENDOR_ID, 4), 0x10441af4);
		cr_expect_eq(cfg_read(&t.fx, bdf, PCI_BAR0, 4) & 0xf, 0xc, "its type is wired");
	}
	cr_expect_eq(cfg_read(&t.fx, t.port, PCI_COMMAND, 2), 6, "the port itself goes on");
	/* The way back: reset ends, the function is set up again. */
	cfg_write(&t.fx, t.port, PCI_BRIDGE_CONTROL, 0, 2);
	cfg_write(&t.fx, BEHIND, PCI_BAR0, base, 8);
	cfg_write(&t.fx, BEHIND, PCI_COMMAND, 6, 2);
	cr_expect_eq(who(&t.fx, base), 0);
	cr_expect(t.d[0].master);
	cr_expect_eq(t.d[0].resets, 1);
	tree_done(&t);
}

/* The vectors are masked and silent, the table is empty. */
Test(pci_port, reset_clears_msix)
{
	struct tree t;
	tree_init(&t);
	struct test_dev *d = tree_dev(&t);
	dev_bar(d, 0, 0x4000, true);
	cr_assert_eq(msix_init(&d->f, 2, 0, 0x2000, 0x3000, NULL), 0);
	dev_add_to(&t.fx, d, 1);
	tree_on(&t);
	unsigned cap = find_cap(&t.fx, BEHIND, PCI_CAP_ID_MSIX);
	cfg_write(&t.fx, BEHIND, cap + MSIX_CONTROL, MSIX_CONTROL_ENABLE, 2);
	msix_write(d->f.msix, 0x2000, 0xfee00000, 8);
	msix_write(d->f.msix, 0x2008, 0x41, 8);
	cr_expect_eq(t.fx.msi.connects, 1);
	msix_notify(d->f.msix, 1); /* masked: pending */
	cr_expect_eq(msix_read(d->f.msix, 0x3000, 4), 2);
	cfg_write(&t.fx, t.port, PCI_BRIDGE_CONTROL, PCI_BRIDGE_RESET, 2);
	cr_expect(!msix_enabled(d->f.msix));
	cr_expect_eq(msix_read(d->f.msix, 0x3000, 4), 0);
	cr_expect_eq(msix_read(d->f.msix, 0x2000, 8), 0);
	cr_expect_eq(msix_read(d->f.msix, 0x2008, 8), (uint64_t)1 << 32);
	cr_expect_eq(msix_read(d->f.msix, 0x2018, 8), (uint64_t)1 << 32);
	msix_notify(d->f.msix, 0);
	cr_expect_eq(msix_read(d->f.msix, 0x3000, 4), 0, "disabled: nothing is pending either");
	tree_done(&t);
}
