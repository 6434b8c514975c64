// SPDX-License-Identifier: Apache-2.0
/* MSI-X (PCIe 5.0, 6.1.4 and 7.7.2): table, masks, pending bits and the routes that follow them. */
#include "pci/msix.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

#include "pci_fixture.h"
#include "util/fd.h"

#define TABLE   0x000u
#define PBA     0x9000u
#define ENABLE  MSIX_CONTROL_ENABLE
#define MASKALL MSIX_CONTROL_MASK
#define MASKED  1u

struct msix_fixture {
	struct pci_fixture pci;
	struct test_dev d;
	struct msix *m;
	unsigned cap;
};

static void setup(struct msix_fixture *x, unsigned count)
{
	fixture_init(&x->pci, 1);
	dev_init(&x->d, 7);
	dev_bar(&x->d, 2, 0x10000, true);
	cr_assert_eq(msix_init(&x->d.f, count, 2, TABLE, PBA, NULL), 0);
	dev_add(&x->pci, &x->d);
	cfg_write(&x->pci, dev_bdf(&x->d), PCI_COMMAND, PCI_COMMAND_MASTER, 2);
	x->m = x->d.f.msix;
	x->cap = (unsigned)cfg_read(&x->pci, dev_bdf(&x->d), PCI_CAPABILITY_LIST, 1);
}

static void teardown(struct msix_fixture *x)
{
	pci_function_done(&x->d.f);
	fixture_done(&x->pci);
}

static void control(struct msix_fixture *x, unsigned value)
{
	cfg_write(&x->pci, dev_bdf(&x->d), x->cap + MSIX_CONTROL, value, 2);
}

static void put(struct msix_fixture *x, unsigned vector, unsigned field, uint32_t value)
{
	msix_write(x->m, TABLE + 16 * vector + field, value, 4);
}

static void mask(struct msix_fixture *x, unsigned vector, bool on)
{
	put(x, vector, 12, on ? MASKED : 0);
}

/* As a driver sets one up: masked, with @data as its message. */
static void program(struct msix_fixture *x, unsigned vector, uint32_t data)
{
	put(x, vector, 0, 0xfee00000);
	put(x, vector, 4, 0);
	put(x, vector, 8, data);
}

static bool pending(struct msix_fixture *x, unsigned vector)
{
	return msix_read(x->m, PBA + vector / 64 * 8, 8) >> (vector % 64) & 1;
}

/* How often the message @data was raised since the last look. */
static uint64_t fired(struct msix_fixture *x, uint32_t data)
{
	const struct fake_msi *msi = &x->pci.msi;
	for (unsigned i = 0; i < msi->count; i++) {
		uint64_t count;
		if (msi->route[i].fd >= 0 && msi->route[i].data == data)
			return read(msi->route[i].fd, &count, 8) == 8 ? count : 0;
	}
	return 0;
}

/* --- the capability --- */

struct count_case {
	unsigned count, pba_size;
};

ParameterizedTestParameters(pci_msix, capability)
{
	static struct count_case c[] = { { 1, 8 }, { 2, 8 }, { 63, 8 }, { 64, 8 }, { 65, 16 },
		{ 128, 16 }, { 2048, 256 } };
	return ROWS(c);
}

ParameterizedTest(struct count_case *c, pci_msix, capability)
{
	struct msix_fixture x;
	setup(&x, c->count);
	unsigned bdf = dev_bdf(&x.d);
	cr_expect_eq(cfg_read(&x.pci, bdf, x.cap, 1), PCI_CAP_ID_MSIX);
	cr_expect_eq(cfg_read(&x.pci, bdf, x.cap + MSIX_CONTROL, 2), c->count - 1);
	cr_expect_eq(cfg_read(&x.pci, bdf, x.cap + MSIX_TABLE, 4), TABLE | 2);
	cr_expect_eq(cfg_read(&x.pci, bdf, x.cap + MSIX_PBA, 4), PBA | 2);
	/* only enable and function mask can be written */
	cfg_write(&x.pci, bdf, x.cap, UINT32_MAX, 4);
	cfg_write(&x.pci, bdf, x.cap + 4, UINT64_MAX, 8);
	cr_expect_eq(cfg_read(&x.pci, bdf, x.cap + MSIX_CONTROL, 2), 0xc000 | (c->count - 1));
	cr_expect_eq(cfg_read(&x.pci, bdf, x.cap + MSIX_TABLE, 4), TABLE | 2);
	cr_expect_eq(cfg_read(&x.pci, bdf, x.cap + MSIX_PBA, 4), PBA | 2);
	/* entries come up masked and empty */
	for (unsigned i = 0; i < c->count; i++) {
		cr_assert_eq(msix_read(x.m, TABLE + 16 * i, 8), 0);
		cr_assert_eq(msix_read(x.m, TABLE + 16 * i + 8, 8), (uint64_t)MASKED << 32);
	}
	/* exactly these bytes of the BAR */
	cr_expect(msix_owns(x.m, TABLE) && msix_owns(x.m, TABLE + 16 * c->count - 1));
	cr_expect(!msix_owns(x.m, TABLE + 16 * c->count));
	cr_expect(!msix_owns(x.m, PBA - 1) && msix_owns(x.m, PBA));
	cr_expect(msix_owns(x.m, PBA + c->pba_size - 1) && !msix_owns(x.m, PBA + c->pba_size));
	cr_expect(!msix_owns(x.m, UINT64_MAX));
	cr_expect_eq(x.pci.msi.connects, 0);
	teardown(&x);
}

Test(pci_msix, no_room)
{
	struct test_dev d;
	struct lacuna_error *err = NULL;
	static const uint8_t body[182];
	dev_init(&d, 7);
	cr_assert_neq(pci_function_add_cap(&d.f, 9, body, 184, false), 0);
	cr_expect_eq(msix_init(&d.f, 4, 2, TABLE, PBA, &err), -ENOSPC);
	cr_expect_not_null(err);
	lacuna_error_free(err);
	pci_function_done(&d.f);
}

/* --- the table --- */

struct width_case {
	unsigned offset, size;
	bool taken;
};

ParameterizedTestParameters(pci_msix, table_writes)
{
	static struct width_case c[] = {
		{ 0, 4, true },
		{ 4, 4, true },
		{ 8, 4, true },
		{ 0, 8, true },
		{ 16, 8, true },
		{ 40, 4, true },
		/* narrower than a dword, or not aligned: no defined effect, so none */
		{ 0, 1, false },
		{ 0, 2, false },
		{ 13, 1, false },
		{ 2, 4, false },
		{ 14, 4, false },
		{ 4, 8, false },
		{ 60, 8, false }, /* over the end */
		{ 62, 4, false },
		{ 64, 4, false }, /* beyond */
		{ PBA, 4, false },
		{ PBA, 8, false },
		{ PBA + 8, 4, false },
	};
	return ROWS(c);
}

/* Four entries. */
ParameterizedTest(struct width_case *c, pci_msix, table_writes)
{
	struct msix_fixture x;
	uint8_t want[64] = { 0 };
	setup(&x, 4);
	for (unsigned i = 0; i < 4; i++)
		want[16 * i + 12] = MASKED;
	if (c->taken)
		store_le(&want[c->offset], 0xa1a2a3a4a5a6a7a8, c->size);
	msix_write(x.m, c->offset, 0xa1a2a3a4a5a6a7a8 & ones(c->size), c->size);
	for (unsigned at = 0; at < sizeof(want); at++)
		cr_expect_eq(msix_read(x.m, TABLE + at, 1), want[at], "byte %u", at);
	cr_expect_eq(msix_read(x.m, PBA, 8), 0);
	teardown(&x);
}

Test(pci_msix, vector_control_keeps_one_bit)
{
	struct msix_fixture x;
	setup(&x, 2);
	put(&x, 1, 12, UINT32_MAX);
	cr_expect_eq(msix_read(x.m, TABLE + 28, 4), 1);
	put(&x, 1, 12, 0xfffffffe);
	cr_expect_eq(msix_read(x.m, TABLE + 28, 4), 0);
	msix_write(x.m, TABLE + 24, 0xffffffff00001234, 8);
	cr_expect_eq(msix_read(x.m, TABLE + 24, 8), 0x0000000100001234);
	teardown(&x);
}

Test(pci_msix, reads_of_every_width)
{
	struct msix_fixture x;
	setup(&x, 1);
	program(&x, 0, 0x44332211);
	cr_expect_eq(msix_read(x.m, TABLE + 8, 1), 0x11);
	cr_expect_eq(msix_read(x.m, TABLE + 9, 1), 0x22);
	cr_expect_eq(msix_read(x.m, TABLE + 10, 2), 0x4433);
	cr_expect_eq(msix_read(x.m, TABLE + 6, 4), 0x22110000);
	cr_expect_eq(msix_read(x.m, TABLE + 8, 8), 0x144332211);
	/* half inside: all ones, as anywhere */
	cr_expect_eq(msix_read(x.m, TABLE + 15, 2), 0xffff);
	cr_expect_eq(msix_read(x.m, TABLE + 12, 8), UINT64_MAX);
	cr_expect_eq(msix_read(x.m, TABLE + 16, 4), UINT32_MAX);
	cr_expect_eq(msix_read(x.m, PBA + 4, 8), UINT64_MAX);
	cr_expect_eq(msix_read(x.m, PBA + 8, 1), 0xff);
	cr_expect_eq(msix_read(x.m, PBA + 7, 1), 0);
	teardown(&x);
}

/* --- masks --- */

struct mask_case {
	bool enabled, function, entry; /* masked */
	bool fires, pends;
};

ParameterizedTestParameters(pci_msix, notify)
{
	static struct mask_case c[] = {
		{ true, false, false, true, false },
		{ true, false, true, false, true },
		{ true, true, false, false, true },
		{ true, true, true, false, true },
		{ false, false, false, false, false },
		{ false, false, true, false, false },
		{ false, true, false, false, false },
		{ false, true, true, false, false },
	};
	return ROWS(c);
}

ParameterizedTest(struct mask_case *c, pci_msix, notify)
{
	struct msix_fixture x;
	setup(&x, 4);
	program(&x, 2, 0x42);
	control(&x, ENABLE); /* the route is made, whatever follows */
	mask(&x, 2, false);
	cr_expect_eq(x.pci.msi.connects, 1);
	control(&x, (c->enabled ? ENABLE : 0) | (c->function ? MASKALL : 0));
	mask(&x, 2, c->entry);
	cr_expect_eq(msix_enabled(x.m), c->enabled);

	msix_notify(x.m, 2);
	msix_notify(x.m, 2);
	cr_expect_eq(fired(&x, 0x42), c->fires ? 2 : 0);
	cr_expect_eq(pending(&x, 2), c->pends);
	cr_expect_eq(msix_read(x.m, PBA, 8), c->pends ? 4 : 0, "another vector pends");

	/* unmasked and enabled: what was pending fires once, what was dropped never */
	mask(&x, 2, false);
	control(&x, ENABLE);
	cr_expect_eq(fired(&x, 0x42), c->pends ? 1 : 0);
	cr_expect(!pending(&x, 2));
	mask(&x, 2, true);
	mask(&x, 2, false);
	control(&x, ENABLE | MASKALL);
	control(&x, ENABLE);
	cr_expect_eq(fired(&x, 0x42), 0, "fired twice");
	cr_expect_eq(x.pci.msi.connects, 1, "masking and unmasking made a route");
	teardown(&x);
}

/* Pending behind both masks: both must go. */
Test(pci_msix, both_masks)
{
	struct msix_fixture x;
	setup(&x, 1);
	program(&x, 0, 1);
	control(&x, ENABLE | MASKALL);
	msix_notify(x.m, 0);
	mask(&x, 0, false);
	cr_expect(pending(&x, 0) && !fired(&x, 1));
	mask(&x, 0, true);
	control(&x, ENABLE);
	cr_expect(pending(&x, 0) && !fired(&x, 1));
	mask(&x, 0, false);
	cr_expect(!pending(&x, 0));
	cr_expect_eq(fired(&x, 1), 1);
	teardown(&x);
}

/* PCIe 5.0, 7.5.1.1.3: a message is a write to memory, which takes bus mastering. */
Test(pci_msix, bus_mastering)
{
	struct msix_fixture x;
	setup(&x, 2);
	program(&x, 0, 1);
	program(&x, 1, 2);
	control(&x, ENABLE);
	mask(&x, 0, false);
	cfg_write(&x.pci, dev_bdf(&x.d), PCI_COMMAND, 0, 2);
	msix_notify(x.m, 0);
	msix_notify(x.m, 1);
	mask(&x, 1, false);
	control(&x, ENABLE);
	cr_expect(pending(&x, 0) && !fired(&x, 1));
	cr_expect(pending(&x, 1) && !fired(&x, 2));
	mask(&x, 1, true);
	cfg_write(&x.pci, dev_bdf(&x.d), PCI_COMMAND, PCI_COMMAND_MASTER, 2);
	cr_expect(!pending(&x, 0) && pending(&x, 1));
	cr_expect_eq(fired(&x, 1), 1);
	mask(&x, 1, false);
	cr_expect_eq(fired(&x, 2), 1);
	/* a reset takes it away, with what is pending */
	cfg_write(&x.pci, dev_bdf(&x.d), PCI_COMMAND, 0, 2);
	msix_notify(x.m, 0);
	pci_function_reset(&x.d.f);
	cfg_write(&x.pci, dev_bdf(&x.d), PCI_COMMAND, PCI_COMMAND_MASTER, 2);
	program(&x, 0, 1);
	control(&x, ENABLE);
	mask(&x, 0, false);
	cr_expect_eq(fired(&x, 1), 0);
	teardown(&x);
}

/* PCIe 5.0, 7.7.2.5: the message that counts is the one in place when the vector is unmasked. */
Test(pci_msix, pending_fires_new_message)
{
	struct msix_fixture x;
	setup(&x, 1);
	program(&x, 0, 1);
	control(&x, ENABLE);
	mask(&x, 0, false);
	mask(&x, 0, true);
	msix_notify(x.m, 0);
	program(&x, 0, 2);
	mask(&x, 0, false);
	cr_expect_eq(fired(&x, 1), 0);
	cr_expect_eq(fired(&x, 2), 1);
	teardown(&x);
}

struct control_case {
	unsigned offset, size; /* from the capability */
	uint32_t value;
	bool enabled;
};

/* Message control written in every way that reaches it. */
ParameterizedTestParameters(pci_msix, control_widths)
{
	static struct control_case c[] = {
		{ 2, 2, 0x8000, true },
		{ 3, 1, 0x80, true },
		{ 0, 4, 0x80000000, true },
		{ 1, 4, 0x00800000, true },
		{ 2, 1, 0xff, false }, /* table size is wired */
		{ 4, 4, UINT32_MAX, false },
		{ 0, 2, UINT32_MAX, false },
		{ 2, 2, 0x4000, false },
	};
	return ROWS(c);
}

ParameterizedTest(struct control_case *c, pci_msix, control_widths)
{
	struct msix_fixture x;
	setup(&x, 1);
	program(&x, 0, 1);
	mask(&x, 0, false);
	cfg_write(&x.pci, dev_bdf(&x.d), x.cap + c->offset, c->value, c->size);
	cr_expect_eq(msix_enabled(x.m), c->enabled);
	msix_notify(x.m, 0);
	cr_expect_eq(fired(&x, 1), c->enabled);
	cr_expect_eq(x.pci.msi.connects, c->enabled);
	teardown(&x);
}

Test(pci_msix, no_such_vector)
{
	struct msix_fixture x;
	setup(&x, 3);
	control(&x, ENABLE);
	static const unsigned vectors[] = { 3, 4, 63, 64, 0xffff, 0x10000, UINT32_MAX };
	for (unsigned i = 0; i < ARRAY_SIZE(vectors); i++)
		msix_notify(x.m, vectors[i]);
	cr_expect_eq(msix_read(x.m, PBA, 8), 0);
	teardown(&x);
}

/* --- routes --- */

Test(pci_msix, routes_change_only_when_unmasked_and_different)
{
	struct msix_fixture x;
	const struct fake_msi *msi = &x.pci.msi;
	setup(&x, 2);
	program(&x, 0, 1);
	mask(&x, 0, false);
	cr_expect_eq(msi->connects, 0, "not enabled yet");
	control(&x, ENABLE);
	cr_expect_eq(msi->connects, 1);
	cr_expect_eq(msi->route[0].addr, 0xfee00000);
	mask(&x, 0, true);
	program(&x, 0, 2);
	program(&x, 0, 3);
	put(&x, 0, 4, 0x1);
	cr_expect_eq(msi->connects, 1, "a route was changed while masked");
	mask(&x, 0, false);
	cr_expect_eq(msi->connects, 2);
	cr_expect_eq(msi->route[0].addr, 0x1fee00000);
	cr_expect_eq(msi->route[0].data, 3);
	/* there and back while masked */
	mask(&x, 0, true);
	program(&x, 0, 9);
	put(&x, 0, 8, 3);
	put(&x, 0, 4, 1);
	mask(&x, 0, false);
	program(&x, 1, 5); /* the other one stays masked */
	control(&x, 0);
	control(&x, ENABLE);
	cr_expect_eq(msi->connects, 2, "nothing changed");
	/* an unmasked entry that is written all the same: followed at once */
	put(&x, 0, 8, 4);
	cr_expect_eq(msi->connects, 3);
	cr_expect_eq(msi->count, 1, "one vector, one route");
	cr_expect_eq(msi->route[0].data, 4);
	teardown(&x);
}

Test(pci_msix, routes_run_out)
{
	struct msix_fixture x;
	setup(&x, 4);
	x.pci.msi.limit = 2;
	control(&x, ENABLE);
	for (unsigned i = 0; i < 4; i++) {
		program(&x, i, 100 + i);
		mask(&x, i, false);
	}
	cr_expect_eq(x.pci.msi.refused, 2);
	for (unsigned i = 0; i < 4; i++)
		msix_notify(x.m, i);
	cr_expect_eq(fired(&x, 100), 1);
	cr_expect_eq(fired(&x, 101), 1);
	cr_expect_eq(fired(&x, 102) + fired(&x, 103), 0);
	/* pending while there is no route: kept until there is one */
	mask(&x, 3, true);
	msix_notify(x.m, 3);
	mask(&x, 3, false);
	cr_expect(pending(&x, 3));
	x.pci.msi.limit = 3;
	mask(&x, 3, true);
	mask(&x, 3, false);
	cr_expect(!pending(&x, 3));
	cr_expect_eq(fired(&x, 103), 1);
	teardown(&x);
}

/* A new message that can't be had does not leave the old one in its place. */
Test(pci_msix, refused_change)
{
	struct msix_fixture x;
	setup(&x, 1);
	control(&x, ENABLE);
	program(&x, 0, 1);
	mask(&x, 0, false);
	mask(&x, 0, true);
	program(&x, 0, 2);
	x.pci.msi.fail = -EIO;
	mask(&x, 0, false);
	cr_expect_eq(x.pci.msi.refused, 1);
	msix_notify(x.m, 0);
	cr_expect_eq(fired(&x, 1), 0, "the message that was replaced was raised");
	x.pci.msi.fail = 0;
	mask(&x, 0, true);
	mask(&x, 0, false);
	msix_notify(x.m, 0);
	cr_expect_eq(fired(&x, 2), 1);
	teardown(&x);
}

Test(pci_msix, no_interrupt_controller)
{
	struct msix_fixture x;
	struct pci_host_config config = fixture_config(&x.pci);
	config.msi = NULL;
	fixture_init_with(&x.pci, &config);
	dev_init(&x.d, 7);
	dev_bar(&x.d, 2, 0x10000, true);
	cr_assert_eq(msix_init(&x.d.f, 2, 2, TABLE, PBA, NULL), 0);
	dev_add(&x.pci, &x.d);
	x.m = x.d.f.msix;
	x.cap = 0x40;
	control(&x, ENABLE);
	program(&x, 0, 1);
	mask(&x, 0, false);
	msix_notify(x.m, 0);
	teardown(&x);
}

/* fixture_done() checks that no route is left; the descriptors must be gone too. */
Test(pci_msix, free_gives_all_back)
{
	struct msix_fixture x;
	int fd[4];
	setup(&x, 8);
	control(&x, ENABLE);
	for (unsigned i = 0; i < ARRAY_SIZE(fd); i++) {
		program(&x, i, i);
		mask(&x, i, false);
		fd[i] = x.pci.msi.route[i].fd;
		cr_assert_geq(fd[i], 0);
	}
	mask(&x, 1, true);
	control(&x, 0);
	pci_function_done(&x.d.f);
	cr_expect_eq(x.pci.msi.disconnects, 4);
	cr_expect_eq(x.pci.msi.releases, 4);
	for (unsigned i = 0; i < ARRAY_SIZE(fd); i++)
		cr_expect(fcntl(fd[i], F_GETFD) < 0 && errno == EBADF);
	fixture_done(&x.pci);
	msix_free(NULL);
}

/* --- one thread raises, another masks --- */

struct race {
	struct msix_fixture x;
	_Atomic unsigned asked, raised;
	_Atomic bool stop;
};

static void *raiser(void *opaque)
{
	struct race *r = opaque;
	for (unsigned done = 0; !atomic_load(&r->stop);) {
		if (atomic_load(&r->asked) == done) {
			sched_yield();
			continue;
		}
		msix_notify(r->x.m, 1);
		atomic_store(&r->raised, ++done);
	}
	return NULL;
}

/* Whatever the order, an interrupt comes out once the vector is unmasked: none is lost between the
 * look at the mask and the pending bit. */
Test(pci_msix, raised_while_masked_by_another_thread)
{
	struct race r = { .stop = false };
	pthread_t thread;
	setup(&r.x, 2);
	control(&r.x, ENABLE);
	program(&r.x, 1, 0x77);
	mask(&r.x, 1, false);
	cr_assert_eq(pthread_create(&thread, NULL, raiser, &r), 0);
	for (unsigned i = 1; i <= 3000; i++) {
		atomic_store(&r.asked, i);
		do {
			mask(&r.x, 1, true);
			program(&r.x, 1, 0x77); /* another round of setting up */
			mask(&r.x, 1, false);
			control(&r.x, ENABLE | MASKALL);
			(void)msix_enabled(r.x.m);
			control(&r.x, ENABLE);
		} while (atomic_load(&r.raised) != i);
		cr_assert_eq(fired(&r.x, 0x77), 1, "interrupt %u", i);
		cr_assert(!pending(&r.x, 1));
	}
	atomic_store(&r.stop, true);
	pthread_join(thread, NULL);
	cr_expect_eq(r.x.pci.msi.connects, 1);
	teardown(&r.x);
}
