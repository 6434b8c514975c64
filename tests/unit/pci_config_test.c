// SPDX-License-Identifier: Apache-2.0
/* Configuration space: masks, write-1-clear, every size at every offset, header and capabilities
 * (PCIe 5.0, 7.5.1). */
#include "pci/config.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdatomic.h>

#include "pci_fixture.h"

/* --- bytes and masks --- */

struct plain {
	struct pci_config c;
	_Alignas(4096) uint8_t space[PCI_CONFIG_SIZE];
	uint8_t wmask[PCI_CONFIG_SIZE], w1c[PCI_CONFIG_SIZE];
};

static uint32_t next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static struct plain *plain_new(uint32_t *seed)
{
	struct plain *p = aligned_alloc(4096, sizeof(*p));
	memset(p, 0, sizeof(*p));
	pci_config_init(&p->c, p->space);
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		p->space[i] = (uint8_t)next(seed);
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++) {
		if (i % 64 >= 40) /* not all dwords are registers */
			continue;
		p->wmask[i] = (uint8_t)next(seed);
		p->w1c[i] = (uint8_t)(next(seed) & ~p->wmask[i]);
		pci_config_writable(&p->c, i, p->wmask[i], 1);
		pci_config_write_1_clear(&p->c, i, p->w1c[i], 1);
	}
	cr_assert(!p->c.failed);
	return p;
}

static void plain_free(struct plain *p)
{
	pci_config_done(&p->c);
	free(p);
}

/* The definition, a byte at a time. */
static void model_write(const struct plain *p, uint8_t *space, unsigned at, uint8_t byte)
{
	if (at >= PCI_CONFIG_SIZE)
		return;
	uint8_t wmask = p->wmask[at];
	space[at] = (uint8_t)((space[at] & ~wmask) | (byte & wmask));
	space[at] &= (uint8_t) ~(byte & p->w1c[at]);
}

struct size_case {
	unsigned size;
};

ParameterizedTestParameters(pci_config, every_offset)
{
	static struct size_case c[] = { { 1 }, { 2 }, { 4 }, { 8 } };
	return ROWS(c);
}

/* Unaligned, across dwords, across the end of what is writable and of the space. */
ParameterizedTest(struct size_case *c, pci_config, every_offset)
{
	uint32_t seed = 1998 + c->size;
	struct plain *p = plain_new(&seed);
	uint8_t model[PCI_CONFIG_SIZE];
	memcpy(model, p->space, sizeof(model));
	for (unsigned at = 0; at < PCI_CONFIG_SIZE + 16; at++) {
		uint64_t value = (uint64_t)next(&seed) << 32 | next(&seed);
		for (unsigned i = 0; i < c->size; i++)
			model_write(p, model, at + i, (uint8_t)(value >> (8 * i)));
		pci_config_write(&p->c, at, value, c->size);
		cr_assert_arr_eq(p->space, model, sizeof(model), "write at 0x%x", at);
		uint64_t want = 0;
		for (unsigned i = 0; i < c->size; i++)
			want |= (uint64_t)(at + i < PCI_CONFIG_SIZE ? model[at + i] : 0xff)
				<< (8 * i);
		cr_assert_eq(pci_config_read(&p->c, at, c->size), want, "read at 0x%x", at);
	}
	plain_free(p);
}

/* A reset brings back every bit that could be changed, and no other. */
ParameterizedTestParameters(pci_config, reset)
{
	static struct size_case c[] = { { 1 }, { 2 }, { 4 }, { 8 } };
	return ROWS(c);
}

ParameterizedTest(struct size_case *c, pci_config, reset)
{
	uint32_t seed = 77 + c->size;
	struct plain *p = plain_new(&seed);
	uint8_t before[PCI_CONFIG_SIZE];
	memcpy(before, p->space, sizeof(before));
	for (unsigned at = 0; at < PCI_CONFIG_SIZE; at += c->size)
		pci_config_write(&p->c, at, (uint64_t)next(&seed) << 32 | next(&seed), c->size);
	cr_expect_arr_neq(p->space, before, sizeof(before));
	pci_config_reset(&p->c);
	cr_expect_arr_eq(p->space, before, sizeof(before));

	/* what the device itself has set meanwhile stays, where the guest can't write */
	unsigned at = 0;
	while (at % 64 < 40)
		at++;
	const uint8_t other = before[at] + 1;
	pci_config_set(&p->c, at, other, 1);
	pci_config_reset(&p->c);
	cr_expect_eq(p->space[at], other);
	plain_free(p);
}

Test(pci_config, write_1_clear)
{
	struct plain *p = aligned_alloc(4096, sizeof(*p));
	memset(p, 0, sizeof(*p));
	pci_config_init(&p->c, p->space);
	pci_config_set(&p->c, 0x06, 0xf9b0, 2);
	pci_config_write_1_clear(&p->c, 0x06, 0xf900, 2);
	pci_config_write(&p->c, 0x06, 0, 2);
	cr_expect_eq(pci_config_read(&p->c, 0x06, 2), 0xf9b0, "zeros clear nothing");
	pci_config_write(&p->c, 0x06, 0x8010, 2);
	cr_expect_eq(pci_config_read(&p->c, 0x06, 2), 0x79b0, "only the bit that may be cleared");
	pci_config_write(&p->c, 0x07, 0x21, 1);
	cr_expect_eq(pci_config_read(&p->c, 0x06, 2), 0x58b0, "a byte of it");
	pci_config_write(&p->c, 0x04, 0xffff0000, 4);
	cr_expect_eq(pci_config_read(&p->c, 0x04, 4), 0x00b00000, "as the upper half of a dword");
	plain_free(p);
}

/* The device's own stores ignore masks and leave neighbours alone. */
Test(pci_config, set)
{
	uint32_t seed = 7;
	struct plain *p = plain_new(&seed);
	pci_config_set(&p->c, 0x40, 0x11223344, 4);
	pci_config_set(&p->c, 0x41, 0xffffffaa, 1);
	pci_config_set(&p->c, 0x42, 0xffffbbcc, 2);
	cr_expect_eq(pci_config_read(&p->c, 0x40, 4), 0xbbccaa44);
	pci_config_set(&p->c, 0xffc, 0xdeadbeef, 4); /* beyond what has masks */
	cr_expect_eq(pci_config_read(&p->c, 0xffc, 4), 0xdeadbeef);
	plain_free(p);
}

Test(pci_config, may_write)
{
	struct plain *p = aligned_alloc(4096, sizeof(*p));
	memset(p, 0, sizeof(*p));
	pci_config_init(&p->c, p->space);
	pci_config_writable(&p->c, 0x41, 0x10, 1);
	pci_config_write_1_clear(&p->c, 0xfff, 0x80, 1);
	for (unsigned at = 0; at < PCI_CONFIG_SIZE + 4; at++)
		for (unsigned size = 0; size <= 8; size++) {
			bool first = at <= 0x41 && at + size > 0x41;
			bool last = at <= 0xfff && at + size > 0xfff;
			cr_assert_eq(pci_config_may_write(&p->c, at, size), first || last,
				"%#x, %u bytes", at, size);
		}
	plain_free(p);
}

/* A guest's aligned dword read on the trap path sees one write or the other, never half of each. */
struct tear {
	struct plain *p;
	_Atomic bool stop;
	_Atomic unsigned torn, reads;
};

static void *tear_reader(void *opaque)
{
	struct tear *t = opaque;
	while (!atomic_load(&t->stop)) {
		uint64_t v = pci_config_read(&t->p->c, 0x10, 4);
		if (v != 0 && v != UINT32_MAX)
			atomic_fetch_add(&t->torn, 1);
		atomic_fetch_add(&t->reads, 1);
	}
	return NULL;
}

Test(pci_config, dwords_do_not_tear)
{
	uint32_t seed = 3;
	struct tear t = { .p = plain_new(&seed) };
	pthread_t thread;
	pci_config_done(&t.p->c);
	pci_config_init(&t.p->c, t.p->space);
	pci_config_set(&t.p->c, 0x10, 0, 4);
	pci_config_writable(&t.p->c, 0x10, UINT32_MAX, 4);
	cr_assert_eq(pthread_create(&thread, NULL, tear_reader, &t), 0);
	for (unsigned i = 0; i < 300000 || atomic_load(&t.reads) < 100000; i++)
		pci_config_write(&t.p->c, 0x10, i % 2 ? UINT32_MAX : 0, 4);
	atomic_store(&t.stop, true);
	pthread_join(thread, NULL);
	cr_expect_eq(t.torn, 0, "%u torn reads", t.torn);
	plain_free(t.p);
}

/* --- a function as a guest finds it --- */

struct default_case {
	unsigned reg, size;
	uint32_t value;
};

/* What Linux reads of a function when it sets it up (drivers/pci/probe.c). */
ParameterizedTestParameters(pci_config, header)
{
	static struct default_case c[] = {
		{ PCI_VENDOR_ID, 4, 0x10441af4 },
		{ PCI_COMMAND, 2, PCI_COMMAND_MEMORY }, /* BARs are assigned, no bus mastering */
		{ PCI_STATUS, 2, 0 },                   /* no capabilities, no error */
		{ PCI_REVISION_ID, 4, 0x01800003 },
		{ PCI_CACHE_LINE_SIZE, 2, 0 }, /* latency timer: 0 in PCIe */
		{ PCI_HEADER_TYPE, 1, 0 },     /* type 0, one function */
		{ 0x0f, 1, 0 },                /* no self test */
		{ 0x28, 4, 0 },
		{ PCI_SUBSYSTEM_VENDOR_ID, 4, 0x56781234 },
		{ 0x30, 4, 0 }, /* no expansion ROM */
		{ PCI_CAPABILITY_LIST, 4, 0 },
		{ 0x38, 4, 0 },
		{ PCI_INTERRUPT_LINE, 4, 0 }, /* no interrupt pin */
		{ 0x100, 4, 0 },              /* no extended capability */
		{ 0xffc, 4, 0 },
	};
	return ROWS(c);
}

ParameterizedTest(struct default_case *c, pci_config, header)
{
	struct pci_fixture fx;
	struct test_dev d;
	fixture_init(&fx, 1);
	dev_init(&d, 1);
	dev_bar(&d, 0, 0x4000, true);
	dev_add(&fx, &d);
	cr_expect_eq(cfg_read(&fx, dev_bdf(&d), c->reg, c->size), c->value);
	pci_function_done(&d.f);
	fixture_done(&fx);
}

struct write_case {
	unsigned reg, size;
	uint32_t old, written, after;
};

ParameterizedTestParameters(pci_config, registers)
{
	static struct write_case c[] = {
		/* identity is wired */
		{ PCI_VENDOR_ID, 4, 0x10441af4, 0, 0x10441af4 },
		{ PCI_REVISION_ID, 4, 0x01800003, UINT32_MAX, 0x01800003 },
		{ PCI_SUBSYSTEM_VENDOR_ID, 4, 0x56781234, 0, 0x56781234 },
		{ PCI_HEADER_TYPE, 1, 0, 0xff, 0 },
		{ 0x0f, 1, 0, 0xff, 0 },
		/* no I/O BAR, so no I/O space; no fast back-to-back, no special cycles... */
		{ PCI_COMMAND, 2, 0x0002, 0xffff, 0x0546 },
		{ PCI_COMMAND, 1, 0x02, 0xff, 0x46 },
		{ PCI_COMMAND, 2, 0x0002, 0, 0 },
		/* status: capabilities stays, errors are not set by writing them */
		{ PCI_STATUS, 2, 0x0010, 0xffff, 0x0010 },
		{ PCI_STATUS, 2, 0x0010, 0, 0x0010 },
		{ PCI_COMMAND, 4, 0x00100002, UINT32_MAX, 0x00100546 },
		/* software's own notes */
		{ PCI_CACHE_LINE_SIZE, 4, 0, UINT32_MAX, 0x000000ff },
		{ PCI_INTERRUPT_LINE, 4, 0, UINT32_MAX, 0x000000ff },
		{ PCI_CAPABILITY_LIST, 1, 0x40, 0xff, 0x40 },
		{ 0x30, 4, 0, 0xfffff801, 0 }, /* sizing the expansion ROM finds none */
		{ 0x1c, 4, 0, UINT32_MAX, 0 }, /* a BAR that is not there */
		{ 0x40, 4, 0x00000009, UINT32_MAX, 0x00000009 },
		{ 0x44, 4, 0, UINT32_MAX, 0 },
		{ 0x100, 4, 0, UINT32_MAX, 0 }, /* extended space is read-only */
		{ 0x104, 2, 0, UINT32_MAX, 0 },
		{ 0xffc, 4, 0, UINT32_MAX, 0 },
	};
	return ROWS(c);
}

ParameterizedTest(struct write_case *c, pci_config, registers)
{
	struct pci_fixture fx;
	struct test_dev d;
	static const uint8_t body[6];
	fixture_init(&fx, 1);
	dev_init(&d, 1);
	dev_bar(&d, 0, 0x4000, true);
	cr_assert_eq(pci_function_add_cap(&d.f, PCI_CAP_ID_VENDOR, body, 8, false), 0x40);
	dev_add(&fx, &d);
	cr_expect_eq(cfg_read(&fx, dev_bdf(&d), c->reg, c->size), c->old);
	cfg_write(&fx, dev_bdf(&d), c->reg, c->written, c->size);
	cr_expect_eq(cfg_read(&fx, dev_bdf(&d), c->reg, c->size), c->after);
	pci_function_done(&d.f);
	fixture_done(&fx);
}

/* Without BARs there is no memory space to enable. */
Test(pci_config, no_bars)
{
	struct pci_fixture fx;
	struct test_dev d;
	fixture_init(&fx, 1);
	dev_init(&d, 1);
	dev_add(&fx, &d);
	for (unsigned bdf = 0; bdf <= dev_bdf(&d); bdf += 8) {
		cr_expect_eq(cfg_read(&fx, bdf, PCI_COMMAND, 2), 0);
		cfg_write(&fx, bdf, PCI_COMMAND, 0xffff, 2);
		cr_expect_eq(cfg_read(&fx, bdf, PCI_COMMAND, 2), 0x0544);
	}
	pci_function_done(&d.f);
	fixture_done(&fx);
}

/* The host bridge is what every guest takes for one. */
Test(pci_config, host_bridge)
{
	struct pci_fixture fx;
	fixture_init(&fx, 1);
	cr_expect_eq(cfg_read(&fx, 0, 0x08, 4) >> 8, 0x060000);
	cr_expect_eq(cfg_read(&fx, 0, PCI_HEADER_TYPE, 1), 0);
	cr_expect_eq(cfg_read(&fx, 0, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST, 0);
	for (unsigned reg = PCI_BAR0; reg < PCI_BAR0 + 24; reg += 4) {
		cfg_write(&fx, 0, reg, UINT32_MAX, 4);
		cr_expect_eq(cfg_read(&fx, 0, reg, 4), 0);
	}
	fixture_done(&fx);
}

Test(pci_config, bus_master_hook)
{
	struct pci_fixture fx;
	struct test_dev d;
	fixture_init(&fx, 1);
	dev_init(&d, 1);
	dev_bar(&d, 0, 0x1000, true);
	dev_add(&fx, &d);
	unsigned bdf = dev_bdf(&d);
	cfg_write(&fx, bdf, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	cr_expect_eq(d.masters, 0, "nothing changed");
	cfg_write(&fx, bdf, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	cr_expect(d.masters == 1 && d.master);
	cfg_write(&fx, bdf, PCI_COMMAND, PCI_COMMAND_MASTER, 1);
	cr_expect_eq(d.masters, 1, "it was on already");
	cfg_write(&fx, bdf, PCI_COMMAND + 1, 0, 1);
	cr_expect_eq(d.masters, 1, "the other byte");
	cfg_write(&fx, bdf, PCI_VENDOR_ID, 0, 8); /* reaches over the command register */
	cr_expect(d.masters == 2 && !d.master);
	pci_function_done(&d.f);
	fixture_done(&fx);
}

/* --- capabilities --- */

Test(pci_config, capability_walk)
{
	struct pci_fixture fx;
	struct test_dev d;
	static const uint8_t size[] = { 8, 3, 16, 2, 20 }, at[] = { 0x40, 0x48, 0x4c, 0x5c, 0x60 };
	uint8_t body[32];
	memset(body, 0xa5, sizeof(body));
	fixture_init(&fx, 1);
	dev_init(&d, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(size); i++)
		cr_expect_eq(pci_function_add_cap(&d.f, (uint8_t)(0x20 + i), body, size[i], false),
			at[i]);
	dev_add(&fx, &d);
	unsigned bdf = dev_bdf(&d), n = 0;
	cr_expect(cfg_read(&fx, bdf, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
	for (unsigned p = (unsigned)cfg_read(&fx, bdf, PCI_CAPABILITY_LIST, 1); p && n < 48; n++) {
		cr_assert_eq(p, at[n]);
		cr_expect_eq(p % 4, 0);
		cr_expect_eq(cfg_read(&fx, bdf, p, 1), 0x20 + n);
		for (unsigned i = 2; i < size[n]; i++)
			cr_expect_eq(cfg_read(&fx, bdf, p + i, 1), 0xa5);
		p = (unsigned)cfg_read(&fx, bdf, p + 1, 1);
	}
	cr_expect_eq(n, ARRAY_SIZE(size));
	pci_function_done(&d.f);
	fixture_done(&fx);
}

/* 192 bytes and not one more, however they are filled. */
ParameterizedTestParameters(pci_config, capability_overflow)
{
	static struct size_case c[] = { { 2 }, { 4 }, { 8 }, { 12 }, { 64 }, { 96 }, { 100 },
		{ 189 }, { 192 }, { 193 }, { 255 } };
	return ROWS(c);
}

ParameterizedTest(struct size_case *c, pci_config, capability_overflow)
{
	struct test_dev d;
	static const uint8_t body[255];
	unsigned step = (unsigned)align_up(c->size, 4), fit = 192 / step;
	dev_init(&d, 1);
	for (unsigned i = 0; i < fit; i++)
		cr_expect_eq(pci_function_add_cap(&d.f, 9, body, (uint8_t)c->size, false),
			0x40 + i * step);
	for (unsigned i = 0; i < 3; i++)
		cr_expect_eq(pci_function_add_cap(&d.f, 9, body, (uint8_t)c->size, false), 0);
	/* a refused one leaves no trace */
	unsigned n = 0;
	for (unsigned p = d.f.config.space[0x34]; p; p = d.f.config.space[p + 1])
		n++;
	cr_expect_eq(n, fit);
	cr_expect_eq(!!(d.f.config.space[PCI_STATUS] & PCI_STATUS_CAP_LIST), fit > 0);
	cr_expect_eq(d.f.config.space[0x100], 0);
	pci_function_done(&d.f);
}

Test(pci_config, capability_too_small)
{
	struct test_dev d;
	dev_init(&d, 1);
	cr_expect_eq(pci_function_add_cap(&d.f, 9, NULL, 0, false), 0);
	cr_expect_eq(pci_function_add_cap(&d.f, 9, NULL, 1, false), 0);
	cr_expect_eq(pci_function_add_cap(&d.f, 9, NULL, 2, false), 0x40);
	pci_function_done(&d.f);
}

struct hook_case {
	unsigned reg, size, calls;
};

/* The hooked capability lies at [0x44, 0x54), unhooked ones around it. */
ParameterizedTestParameters(pci_config, capability_hook)
{
	static struct hook_case c[] = {
		{ 0x40, 4, 0 },
		{ 0x43, 1, 0 },
		{ 0x43, 2, 1 },
		{ 0x40, 8, 1 },
		{ 0x44, 1, 1 },
		{ 0x4c, 8, 1 },
		{ 0x53, 1, 1 },
		{ 0x53, 4, 1 },
		{ 0x54, 4, 0 },
		{ 0x3c, 8, 0 },
		{ 0x144, 4, 0 },
		{ 0xffc, 4, 0 },
	};
	return ROWS(c);
}

ParameterizedTest(struct hook_case *c, pci_config, capability_hook)
{
	struct pci_fixture fx;
	struct test_dev d;
	static const uint8_t body[14];
	fixture_init(&fx, 1);
	dev_init(&d, 1);
	cr_assert_eq(pci_function_add_cap(&d.f, 9, body, 4, false), 0x40);
	cr_assert_eq(pci_function_add_cap(&d.f, 9, body, 16, true), 0x44);
	cr_assert_eq(pci_function_add_cap(&d.f, 9, body, 16, false), 0x54);
	dev_add(&fx, &d);
	cfg_write(&fx, dev_bdf(&d), c->reg, 0, c->size);
	cr_expect_eq(d.caps, c->calls);
	if (c->calls) {
		cr_expect_eq(d.cap_offset, c->reg);
		cr_expect_eq(d.cap_size, c->size);
	}
	pci_function_done(&d.f);
	fixture_done(&fx);
}

Test(pci_config, hooks_run_out)
{
	struct test_dev d;
	static const uint8_t body[2];
	dev_init(&d, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(d.f.hook); i++)
		cr_expect_neq(pci_function_add_cap(&d.f, 9, body, 4, true), 0);
	cr_expect_eq(pci_function_add_cap(&d.f, 9, body, 4, true), 0);
	cr_expect_neq(pci_function_add_cap(&d.f, 9, body, 4, false), 0);
	pci_function_done(&d.f);
}

/* Also on one that was zeroed only, and twice. */
Test(pci_config, done_is_safe)
{
	struct pci_function f = { 0 };
	pci_function_done(&f);
	pci_function_done(&f);
	struct test_dev d;
	dev_init(&d, 1);
	pci_function_done(&d.f);
	pci_function_done(&d.f);
}
