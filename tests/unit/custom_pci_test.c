// SPDX-License-Identifier: Apache-2.0
/* PCI functions of the embedder's own, without a VM: what the guest finds, what the callbacks are
 * told, and what the calls on an instance do at any time. */
#include "pci/custom.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <lacuna/device.h>
#include <pthread.h>
#include <unistd.h>

#include "pci/ecam.h"
#include "pci_fixture.h"
#include "util/err.h"
#include "util/thread.h"
#include "virtio_guest.h"

#define PORTS 2u

/* The device under test, as an embedder has it. */
struct card {
	struct lacuna_pci_function *f;
	int create_rc;
	bool create_speaks;
	unsigned creates, destroys, resets, reads, writes, caps;
	unsigned cap_offset, bar, size;
	uint64_t offset, value;
	bool set_in_callback;
	pthread_mutex_t lock; /* taken in callbacks, held around calls */
};

static int card_create(
	void *opaque, struct lacuna_pci_function *f, void **ret_state, struct lacuna_error **err)
{
	struct card *c = opaque;
	c->creates++;
	c->f = f;
	*ret_state = c;
	if (c->create_speaks)
		lacuna_error_set(err, ENODEV, "the %s is out of cards", "shop");
	if (c->create_rc == 0)
		lacuna_pci_config_set(f, lacuna_pci_capability_offset(f, 0) + 4, 0xabcd1234, 4);
	return c->create_rc;
}

static void card_destroy(void *state)
{
	((struct card *)state)->destroys++;
}

static uint64_t card_read(void *state, unsigned bar, uint64_t offset, unsigned size)
{
	struct card *c = state;
	c->reads++;
	c->bar = bar;
	c->offset = offset;
	c->size = size;
	return 0x1122334455667788;
}

static void card_write(void *state, unsigned bar, uint64_t offset, uint64_t value, unsigned size)
{
	struct card *c = state;
	c->writes++;
	c->bar = bar;
	c->offset = offset;
	c->size = size;
	c->value = value;
}

static void card_cap_written(void *state, unsigned offset)
{
	struct card *c = state;
	LOCK_SCOPE(&c->lock);
	c->caps++;
	c->cap_offset = offset;
	if (c->set_in_callback) {
		uint32_t asked = lacuna_pci_config_read(c->f, offset + 4, 4);
		lacuna_pci_config_set(c->f, offset + 8, ~asked, 4);
		lacuna_pci_interrupt(c->f, 0);
	}
}

static void card_reset(void *state)
{
	struct card *c = state;
	LOCK_SCOPE(&c->lock);
	c->resets++;
	uint32_t v;
	cr_expect_eq(lacuna_pci_dma_read(c->f, 0x1000, &v, sizeof(v)), -EPERM,
		"mastering is off already");
}

static const struct lacuna_pci_ops ops = {
	.size = sizeof(ops),
	.create = card_create,
	.destroy = card_destroy,
	.bar_read = card_read,
	.bar_write = card_write,
	.capability_written = card_cap_written,
	.reset = card_reset,
};

static const uint8_t vendor_body[14] = { 16, 7, [13] = 0x5a };
static const uint8_t vendor_mask[14] = { [2] = 0xff, 0xff, 0xff, 0xff }; /* the dword at +4 */
static const uint8_t ext_body[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
static const uint8_t ext_mask[8] = { [4] = 0x0f };
static const uint8_t ext_clear[8] = { [4] = 0xf0, [5] = 0x02 };

static const struct lacuna_pci_capability caps[] = {
	{ .id = 9, .body = vendor_body, .writable = vendor_mask, .size = sizeof(vendor_body) },
	{ .id = 0xb,
		.extended = true,
		.version = 2,
		.body = ext_body,
		.writable = ext_mask,
		.write_1_clear = ext_clear,
		.size = sizeof(ext_body) },
	{ .id = 0xf, .size = 1 }, /* odd, zeros, nothing to write */
};

static const struct lacuna_pci_device description = {
	.size = sizeof(description),
	.name = "card",
	.vendor_id = 0x1234,
	.device_id = 0x5678,
	.subsystem_vendor_id = 0x9abc,
	.subsystem_id = 0xdef0,
	.class_code = 0x0b4000,
	.revision = 7,
	.bar = { { .size = 4096 }, { 0 },
		{ .size = 1 << 20, .is_64 = true, .prefetchable = true } },
	.msix_vectors = 3,
	.msix_bar = 4,
	.capability = caps,
	.capability_count = ARRAY_SIZE(caps),
	.bus = LACUNA_BUS_ANY,
	.ops = &ops,
};

/* --- around it --- */

static struct pci_fixture fx;
static struct gmem ram;
static struct card card;
static struct lacuna_pci_device desc;
static struct device *dev;
static unsigned bdf;

static int make(unsigned bus, struct lacuna_error **err)
{
	const struct device_env env = {
		.mem = &ram,
		.pio = &fx.pio,
		.mmio = &fx.mmio,
		.pci = fx.host,
		.bus = bus,
		.custom_pci = &desc,
	};
	bdf = bus ? bus << 8 : 1 << 3;
	return pci_custom_class.create(&env, NULL, &dev, err);
}

static void make_on(unsigned bus)
{
	struct lacuna_error *err = NULL;
	cr_assert_eq(make(bus, &err), 0, "%s", lacuna_error_message(err));
	cr_assert_eq(pci_host_power_on(fx.host, NULL), 0);
}

static void set_up(void)
{
	struct pci_host_config config = fixture_config(&fx);
	config.ports = PORTS;
	config.buses = PORTS + 1;
	fixture_init_cold(&fx, &config);
	ram_init(&ram);
	pthread_mutex_init(&card.lock, NULL);
	desc = description;
	desc.opaque = &card;
}

static void tear_down(void)
{
	if (dev) {
		pci_custom_class.destroy(dev);
		cr_expect_eq(card.destroys, card.creates);
	}
	fixture_done(&fx);
	ram_done(&ram);
}

TestSuite(custom_pci, .init = set_up, .fini = tear_down, .timeout = 120);

static uint32_t get(unsigned reg, unsigned size)
{
	return (uint32_t)cfg_read(&fx, bdf, reg, size);
}

static void put_config(unsigned reg, uint32_t value, unsigned size)
{
	cfg_write(&fx, bdf, reg, value, size);
}

static uint64_t bar_base(unsigned bar)
{
	uint64_t low = get(PCI_BAR0 + 4 * bar, 4);
	return (low & ~0xfull) |
	       (low & PCI_BAR_MEM_64 ? (uint64_t)get(PCI_BAR0 + 4 * bar + 4, 4) << 32 : 0);
}

static unsigned find_cap(uint8_t id)
{
	unsigned at = get(PCI_CAPABILITY_LIST, 1);
	for (unsigned budget = 48; at && budget; budget--, at = get(at + 1, 1))
		if (get(at, 1) == id)
			return at;
	return 0;
}

static void master(bool on)
{
	put_config(PCI_COMMAND, PCI_COMMAND_MEMORY | (on ? PCI_COMMAND_MASTER : 0), 2);
}

/* --- what the guest finds --- */

Test(custom_pci, identity)
{
	make_on(0);
	cr_expect_eq(get(PCI_VENDOR_ID, 4), 0x56781234);
	cr_expect_eq(get(PCI_REVISION_ID, 4), 0x0b400007);
	cr_expect_eq(get(PCI_SUBSYSTEM_VENDOR_ID, 4), 0xdef09abc);
	cr_expect_eq(get(0x3d, 1), 0, "no interrupt pin");
	cr_expect_eq(get(PCI_BAR0, 4) & 0xf, 0);
	cr_expect_eq(get(PCI_BAR0 + 8, 4) & 0xf, PCI_BAR_MEM_64 | PCI_BAR_MEM_PREFETCH);
	cr_expect_eq(get(PCI_BAR0 + 4, 4), 0);
	cr_expect_eq(get(PCI_BAR0 + 20, 4), 0);
	cr_expect_eq(fx.host->vector_count, 3);
}

Test(custom_pci, capabilities)
{
	make_on(0);
	cr_expect(find_cap(PCI_CAP_ID_EXPRESS));
	unsigned msix = find_cap(PCI_CAP_ID_MSIX);
	cr_assert(msix);
	cr_expect_eq(get(msix + 2, 2), 2, "three vectors");
	cr_expect_eq(get(msix + MSIX_TABLE, 4), 4, "at the beginning of BAR 4");
	cr_expect_eq(get(msix + MSIX_PBA, 4), 0x1000 | 4);

	unsigned vendor = find_cap(9);
	cr_expect_eq(vendor, lacuna_pci_capability_offset(card.f, 0));
	cr_expect_eq(get(vendor + 2, 2), 0x0710);
	cr_expect_eq(get(vendor + 15, 1), 0x5a, "the last byte of the body");
	cr_expect_eq(find_cap(0xf), lacuna_pci_capability_offset(card.f, 2));
	cr_expect_eq(lacuna_pci_capability_offset(card.f, 3), 0);
	cr_expect_eq(lacuna_pci_capability_offset(card.f, SIZE_MAX), 0);

	/* extended: the serial number, then ours, which is the last */
	unsigned ext = lacuna_pci_capability_offset(card.f, 1);
	cr_expect_eq(get(PCI_EXT_CAPS, 4), PCI_EXT_ID_SERIAL | 1 << 16 | ext << 20);
	cr_expect_eq(get(ext, 4), 0xb | 2 << 16);
	cr_expect_eq(get(ext + 4, 4), 0x04030201);
	cr_expect_eq(get(ext + 8, 4), 0x08070605);
}

Test(custom_pci, msix_tables_of_every_size)
{
	static const struct {
		unsigned vectors;
		uint32_t pba;
		uint64_t size;
		bool is_64;
	} rows[] = { { 1, 0x1000, 0x2000, false }, { 256, 0x1000, 0x2000, true },
		{ 257, 0x2000, 0x4000, false }, { 2048, 0x8000, 0x10000, true } };
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		desc.msix_vectors = rows[i].vectors;
		desc.bar[4].is_64 = desc.bar[4].prefetchable = rows[i].is_64;
		make_on(0);
		cr_expect_eq(get(PCI_BAR0 + 16, 4) & 0xf, rows[i].is_64 ? 0xc : 0);
		cr_expect_eq(get(PCI_BAR0 + 20, 4) != 0, rows[i].is_64, "the upper half");
		unsigned msix = find_cap(PCI_CAP_ID_MSIX);
		cr_expect_eq(get(msix + 2, 2), rows[i].vectors - 1);
		cr_expect_eq(get(msix + MSIX_PBA, 4), rows[i].pba | 4);
		put_config(PCI_BAR0 + 16, 0xffffffff, 4);
		cr_expect_eq(get(PCI_BAR0 + 16, 4) & ~0xfu, (uint32_t)-rows[i].size, "%u",
			rows[i].vectors);
		pci_custom_class.destroy(dev);
		dev = NULL;
	}
}

Test(custom_pci, without_interrupts_or_capabilities)
{
	desc.msix_vectors = 0;
	desc.capability_count = 0;
	make_on(0);
	cr_expect_eq(find_cap(PCI_CAP_ID_MSIX), 0);
	cr_expect_eq(get(PCI_BAR0 + 16, 4), 0);
	lacuna_pci_interrupt(card.f, 0);
	lacuna_pci_config_set(card.f, 0x40, 0, 4);
	cr_expect(find_cap(PCI_CAP_ID_EXPRESS));
	put_config(0x40, 0xffffffff, 4);
	cr_expect_eq(card.caps, 0);
}

/* --- BARs --- */

Test(custom_pci, bar_accesses)
{
	make_on(0);
	uint64_t base = bar_base(2), value;
	for (unsigned size = 1; size <= 8; size *= 2)
		for (uint64_t offset = 0; offset <= 9; offset++) {
			cr_expect_eq(bus_read(&fx.mmio, base + offset, size, &value), REGION_BAR);
			cr_expect_eq(value, 0x1122334455667788 & ones(size));
			cr_expect(card.bar == 2 && card.offset == offset && card.size == size);
			bus_write(&fx.mmio, base + offset, 0xaabbccddeeff0011, size);
			cr_expect_eq(card.value, 0xaabbccddeeff0011 & ones(size));
			cr_expect(card.bar == 2 && card.offset == offset && card.size == size);
		}
	bus_read(&fx.mmio, bar_base(0) + 4095, 1, &value);
	cr_expect(card.bar == 0 && card.offset == 4095);
}

Test(custom_pci, accesses_that_leave_the_bar_or_have_odd_sizes)
{
	make_on(0);
	uint64_t value, base = bar_base(2), end = base + (1 << 20);
	unsigned reads = card.reads, writes = card.writes;
	for (unsigned size = 2; size <= 8; size *= 2) {
		bus_read(&fx.mmio, end - 1, size, &value);
		cr_expect_eq(value, ones(size));
		bus_write(&fx.mmio, end - 1, 0, size);
		bus_read(&fx.mmio, base - 1, size, &value);
		cr_expect_eq(value, ones(size));
	}
	cr_expect(card.reads == reads && card.writes == writes);
	/* what KVM makes of an access that crosses a page */
	bus_read(&fx.mmio, base + 8, 3, &value);
	cr_expect_eq(value, 0x888888);
	cr_expect(card.reads == reads + 3 && card.size == 1 && card.offset == 10);
	bus_write(&fx.mmio, base + 8, 0x0a0b0c0d0e0f01, 7);
	cr_expect(card.writes == writes + 7 && card.size == 1 && card.value == 0x0a);
}

Test(custom_pci, bars_without_handlers)
{
	static const struct lacuna_pci_ops bare = { .size = sizeof(bare), .create = card_create };
	uint64_t value = 1;
	desc.ops = &bare;
	make_on(0);
	cr_expect_eq(bus_read(&fx.mmio, bar_base(0), 8, &value), REGION_BAR);
	cr_expect_eq(value, 0);
	bus_write(&fx.mmio, bar_base(0), 1, 8);
	put_config(lacuna_pci_capability_offset(card.f, 0) + 4, 1, 4);
	put_config(find_cap(PCI_CAP_ID_EXPRESS) + EXPRESS_DEVCTL, DEVCTL_FLR, 2);
	pci_custom_class.destroy(dev);
	dev = NULL;
	cr_expect_eq(card.destroys, 0);
}

/* --- interrupts --- */

static void program_vector(unsigned vector, uint32_t control)
{
	uint64_t entry = bar_base(4) + UINT64_C(16) * vector;
	bus_write(&fx.mmio, entry, 0xfee00000, 8);
	bus_write(&fx.mmio, entry + 8, 0x40 + vector, 4);
	bus_write(&fx.mmio, entry + 12, control, 4);
}

static unsigned fired(uint32_t data)
{
	uint64_t count;
	for (unsigned i = 0; i < fx.msi.count; i++)
		if (fx.msi.route[i].data == data && fx.msi.route[i].fd >= 0)
			return read(fx.msi.route[i].fd, &count, 8) == 8 ? (unsigned)count : 0;
	return 0;
}

static uint64_t pending(void)
{
	uint64_t value;
	bus_read(&fx.mmio, bar_base(4) + 0x1000, 8, &value);
	return value;
}

Test(custom_pci, interrupts)
{
	make_on(0);
	master(true);
	unsigned control = find_cap(PCI_CAP_ID_MSIX) + 2;
	lacuna_pci_interrupt(card.f, 0); /* MSI-X is off: nobody hears of it */
	put_config(control, MSIX_CONTROL_ENABLE, 2);
	program_vector(0, 0);
	program_vector(2, 0);
	cr_expect_eq(fired(0x40), 0);
	lacuna_pci_interrupt(card.f, 2);
	cr_expect_eq(fired(0x42), 1);
	cr_expect_eq(fired(0x40), 0);

	program_vector(2, 1);
	lacuna_pci_interrupt(card.f, 2);
	cr_expect_eq(fired(0x42), 0);
	cr_expect_eq(pending(), 4);
	program_vector(2, 0);
	cr_expect_eq(fired(0x42), 1, "what was pending");
	cr_expect_eq(pending(), 0);

	put_config(control, MSIX_CONTROL_ENABLE | MSIX_CONTROL_MASK, 2);
	lacuna_pci_interrupt(card.f, 0);
	cr_expect_eq(fired(0x40), 0);
	put_config(control, MSIX_CONTROL_ENABLE, 2);
	cr_expect_eq(fired(0x40), 1);

	master(false);
	lacuna_pci_interrupt(card.f, 0);
	cr_expect(fired(0x40) == 0 && pending() == 1);
	master(true);
	cr_expect(fired(0x40) == 1 && pending() == 0);

	lacuna_pci_interrupt(card.f, 3);
	lacuna_pci_interrupt(card.f, UINT32_MAX);
	cr_expect_eq(pending(), 0);
}

/* The rest of that BAR is nothing, and the table can't be left. */
Test(custom_pci, beside_the_msix_table)
{
	make_on(0);
	uint64_t base = bar_base(4), value;
	unsigned reads = card.reads;
	for (uint64_t at = UINT64_C(3) * 16; at < 0x2000; at += 4) {
		bus_write(&fx.mmio, base + at, 0xffffffff, 4);
		bus_read(&fx.mmio, base + at, 4, &value);
		cr_assert_eq(value, 0, "%#llx", (unsigned long long)at);
	}
	bus_write(&fx.mmio, base + 44, UINT64_MAX, 8);
	bus_read(&fx.mmio, base + 47, 2, &value);
	cr_expect_eq(card.reads, reads);
}

/* --- configuration space --- */

Test(custom_pci, writes_to_capabilities)
{
	make_on(0);
	unsigned vendor = lacuna_pci_capability_offset(card.f, 0);
	unsigned ext = lacuna_pci_capability_offset(card.f, 1);
	unsigned odd = lacuna_pci_capability_offset(card.f, 2);
	cr_expect_eq(get(vendor + 4, 4), 0xabcd1234, "as create() has set it");

	put_config(vendor + 4, 0x55aa55aa, 4);
	cr_expect_eq(get(vendor + 4, 4), 0x55aa55aa);
	cr_expect(card.caps == 1 && card.cap_offset == vendor);
	put_config(vendor + 7, 0x99, 1);
	cr_expect(card.caps == 2 && lacuna_pci_config_read(card.f, vendor + 4, 4) == 0x99aa55aa);

	/* read-only: header, other bytes, the odd one, capabilities of the library's */
	uint32_t head = get(vendor, 4), tail = get(vendor + 8, 4);
	put_config(vendor, ~head, 4);
	put_config(vendor + 8, ~tail, 4);
	put_config(odd, 0xffffffff, 4);
	put_config(find_cap(PCI_CAP_ID_EXPRESS) + EXPRESS_DEVCTL, 0, 2);
	cr_expect(get(vendor, 4) == head && get(vendor + 8, 4) == tail && get(odd + 2, 1) == 0);
	cr_expect_eq(card.caps, 2);

	put_config(ext + 8, 0xfffffdff, 4);
	cr_expect_eq(get(ext + 8, 4), 0x0807060f);
	cr_expect(card.caps == 3 && card.cap_offset == ext);
	put_config(ext + 10, 0, 1);
	cr_expect_eq(card.caps, 3, "no bit of that byte is writable");
}

/* Status bits: set by the device, cleared by the guest, back at a reset. */
Test(custom_pci, bits_cleared_by_writing_1)
{
	make_on(0);
	unsigned ext = lacuna_pci_capability_offset(card.f, 1);
	lacuna_pci_config_set(card.f, ext + 8, 0x50, 1);
	put_config(ext + 8, 0, 1);
	cr_expect_eq(get(ext + 8, 1), 0x50, "0 changes none");
	put_config(ext + 8, 0x9f, 1);
	cr_expect_eq(get(ext + 8, 1), 0x4f, "1 sets none that is clear");
	put_config(ext + 8, 0x40, 1);
	cr_expect_eq(get(ext + 8, 1), 0x00);
	put_config(ext + 9, 0xff, 1);
	cr_expect_eq(get(ext + 9, 1), 0x04);
	cr_expect_eq(card.caps, 4);
	put_config(find_cap(PCI_CAP_ID_EXPRESS) + EXPRESS_DEVCTL, DEVCTL_FLR, 2);
	cr_expect_eq(get(ext + 8, 4), 0x08070605);
}

Test(custom_pci, registers_that_the_device_may_set)
{
	make_on(0);
	unsigned vendor = lacuna_pci_capability_offset(card.f, 0);
	lacuna_pci_config_set(card.f, vendor + 8, 0x01020304, 4); /* no mask applies */
	cr_expect_eq(get(vendor + 8, 4), 0x01020304);
	lacuna_pci_config_set(card.f, vendor + 2, 0xab, 1);
	lacuna_pci_config_set(card.f, vendor + 14, 0xcdef, 2);
	cr_expect_eq(get(vendor + 2, 1), 0xab);
	cr_expect_eq(get(vendor + 14, 2), 0xcdef);

	uint8_t before[PCI_CONFIG_SIZE];
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		before[i] = (uint8_t)get(i, 1);
	for (unsigned at = 0; at < 2 * PCI_CONFIG_SIZE; at++)
		for (unsigned width = 0; width <= 9; width++) {
			bool ours = (at >= vendor + 2 && at < vendor + 16) ||
				    at == lacuna_pci_capability_offset(card.f, 2) + 2 ||
				    at / 8 == (lacuna_pci_capability_offset(card.f, 1) + 4) / 8;
			if (!ours)
				lacuna_pci_config_set(card.f, at,
					~lacuna_pci_config_read(card.f, at, width), width);
		}
	lacuna_pci_config_set(card.f, vendor + 5, 0, 4);
	lacuna_pci_config_set(card.f, vendor + 5, 0, 2);
	lacuna_pci_config_set(card.f, UINT32_MAX - 3, 0, 4);
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		cr_expect_eq(get(i, 1), before[i], "byte %#x", i);
	cr_expect_eq(card.caps, 0, "nobody is told of his own writes");
	cr_expect_eq(lacuna_pci_config_read(card.f, 0, 3), UINT32_MAX);
	cr_expect_eq(lacuna_pci_config_read(card.f, 2, 4), UINT32_MAX);
	cr_expect_eq(lacuna_pci_config_read(card.f, 4096, 4), UINT32_MAX);
	cr_expect_eq(lacuna_pci_config_read(card.f, 2, 2), 0x5678);
}

/* With a lock of the embedder's that is held around calls as well: none waits for another. */
Test(custom_pci, calls_from_callbacks)
{
	make_on(0);
	card.set_in_callback = true;
	unsigned vendor = lacuna_pci_capability_offset(card.f, 0);
	put_config(vendor + 4, 0x00ff00ff, 4);
	cr_expect_eq(get(vendor + 8, 4), 0xff00ff00);
}

static _Atomic bool finished;

static void *hold_and_call(void *opaque)
{
	unsigned vendor = lacuna_pci_capability_offset(card.f, 0);
	for (uint32_t i = 0; !finished; i++) {
		LOCK_SCOPE(&card.lock);
		lacuna_pci_config_set(card.f, vendor + 8, i, 4);
		lacuna_pci_interrupt(card.f, i % 4);
		uint32_t word;
		lacuna_pci_dma_read(card.f, 0x1000, &word, sizeof(word));
	}
	return NULL;
}

Test(custom_pci, calls_race_with_callbacks)
{
	make_on(0);
	card.set_in_callback = true;
	unsigned vendor = lacuna_pci_capability_offset(card.f, 0);
	unsigned control = find_cap(PCI_CAP_ID_EXPRESS) + EXPRESS_DEVCTL;
	pthread_t thread;
	cr_assert_eq(pthread_create(&thread, NULL, hold_and_call, NULL), 0);
	for (uint32_t i = 1; i <= 20000; i++) {
		put_config(vendor + 4, i, 4);
		master(i % 2);
		if (i % 100 == 0)
			put_config(control, DEVCTL_FLR, 2);
	}
	finished = true;
	pthread_join(thread, NULL);
	cr_expect_eq(card.resets, 200);
}

static void *set_one_half(void *opaque)
{
	unsigned vendor = lacuna_pci_capability_offset(card.f, 0);
	for (uint32_t i = 0; !finished; i = (i + 1) & 0xffff) {
		lacuna_pci_config_set(card.f, vendor + 4, i, 2);
		cr_assert_eq(lacuna_pci_config_read(card.f, vendor + 4, 2), i);
	}
	return NULL;
}

/* The device sets one half of a dword, the guest the other; none undoes what the other does. */
Test(custom_pci, guest_and_device_write_at_once)
{
	make_on(0);
	unsigned vendor = lacuna_pci_capability_offset(card.f, 0);
	pthread_t thread;
	cr_assert_eq(pthread_create(&thread, NULL, set_one_half, NULL), 0);
	for (uint32_t i = 1; i <= 300000; i++) {
		put_config(vendor + 6, i & 0xffff, 2);
		cr_assert_eq(get(vendor + 6, 2), i & 0xffff);
	}
	finished = true;
	pthread_join(thread, NULL);
}

/* A thread of create()'s may be at work while lacuna_vm_new() builds the window. */
Test(custom_pci, nothing_is_lost_when_the_page_moves)
{
	make_on(0);
	pthread_t thread;
	struct ecam_window *w;
	cr_assert_eq(pthread_create(&thread, NULL, set_one_half, NULL), 0);
	for (unsigned i = 0; i < 500; i++) {
		cr_assert_eq(ecam_window_new(fx.host, 100, ECAM_PAGES_LARGE, &w, NULL), 0);
		ecam_window_free(w, fx.host);
	}
	finished = true;
	pthread_join(thread, NULL);
}

/* --- memory --- */

Test(custom_pci, dma_wants_bus_mastering)
{
	uint32_t word = 0x12345678, back = 0;
	make_on(0);
	cr_expect_eq(lacuna_pci_dma_write(card.f, 0x1000, &word, 4), -EPERM);
	cr_expect_eq(lacuna_pci_dma_read(card.f, 0x1000, &back, 4), -EPERM);
	master(true);
	cr_expect_eq(lacuna_pci_dma_write(card.f, 0x1000, &word, 4), 0);
	cr_expect_eq(lacuna_pci_dma_read(card.f, 0x1000, &back, 4), 0);
	cr_expect_eq(back, word);
	master(false);
	cr_expect_eq(lacuna_pci_dma_write(card.f, 0x1000, &back, 4), -EPERM);
	master(true);
	pci_custom_class.stop(dev);
	cr_expect_eq(lacuna_pci_dma_write(card.f, 0x1000, &back, 4), -EPERM, "the VM has ended");
}

Test(custom_pci, dma_wants_the_port_to_pass_it_on)
{
	uint32_t word = 1;
	make_on(2);
	unsigned port = fx.host->port[1].function.devfn;
	master(true);
	cr_expect_eq(lacuna_pci_dma_write(card.f, 0x1000, &word, 4), 0);
	cfg_write(&fx, port, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	cr_expect_eq(lacuna_pci_dma_write(card.f, 0x1000, &word, 4), -EPERM);
	cfg_write(&fx, port, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	cr_expect_eq(lacuna_pci_dma_write(card.f, 0x1000, &word, 4), 0);
}

Test(custom_pci, dma_stays_in_ram)
{
	uint8_t buf[64];
	make_on(0);
	master(true);
	static const struct {
		uint64_t gpa;
		size_t size;
	} bad[] = { { RAM_END, 1 }, { RAM_END - 1, 2 }, { RAM_LOW - 1, 2 }, { UINT64_MAX, 1 },
		{ UINT64_MAX - 3, 64 }, { 0, SIZE_MAX }, { 1, SIZE_MAX }, { 0xE0000000, 4 },
		{ UINT64_C(1) << 63, 4 } };
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		memset(buf, 0x5a, sizeof(buf));
		cr_expect_eq(lacuna_pci_dma_read(card.f, bad[i].gpa, buf, bad[i].size), -EFAULT);
		cr_expect_eq(lacuna_pci_dma_write(card.f, bad[i].gpa, buf, bad[i].size), -EFAULT);
		cr_expect_eq(buf[0], 0x5a, "nothing is copied");
	}
	cr_expect_eq(lacuna_pci_dma_read(card.f, RAM_END - 64, buf, 64), 0);
	cr_expect_eq(lacuna_pci_dma_read(card.f, UINT64_MAX, NULL, 0), 0);
}

/* --- reset --- */

static void expect_reset(void)
{
	unsigned vendor = lacuna_pci_capability_offset(card.f, 0);
	uint32_t word;
	cr_expect_eq(card.resets, 1);
	cr_expect_eq(get(vendor + 4, 4), 0xabcd1234, "as create() left it");
	cr_expect_eq(get(vendor + 8, 4), 77, "what the guest can't write is the device's to reset");
	cr_expect_eq(get(PCI_COMMAND, 2), 0);
	cr_expect_eq(get(find_cap(PCI_CAP_ID_MSIX) + 2, 2) >> 15, 0);
	cr_expect_eq(lacuna_pci_dma_read(card.f, 0x1000, &word, 4), -EPERM);
}

static void disturb(void)
{
	unsigned vendor = lacuna_pci_capability_offset(card.f, 0);
	master(true);
	put_config(vendor + 4, 1, 4);
	lacuna_pci_config_set(card.f, vendor + 8, 77, 4);
	put_config(find_cap(PCI_CAP_ID_MSIX) + 2, MSIX_CONTROL_ENABLE, 2);
}

Test(custom_pci, function_level_reset)
{
	make_on(0);
	disturb();
	put_config(find_cap(PCI_CAP_ID_EXPRESS) + EXPRESS_DEVCTL, DEVCTL_FLR, 2);
	expect_reset();
}

Test(custom_pci, bus_reset)
{
	make_on(1);
	unsigned port = fx.host->port[0].function.devfn;
	disturb();
	cfg_write(&fx, port, PCI_BRIDGE_CONTROL, PCI_BRIDGE_RESET, 2);
	cfg_write(&fx, port, PCI_BRIDGE_CONTROL, 0, 2);
	expect_reset();
}

/* --- creation that fails --- */

struct failure {
	int rc;
	bool speaks;
	int expected;
	const char *message;
};

Test(custom_pci, create_fails)
{
	static const struct failure rows[] = {
		{ -ENODEV, true, -ENODEV, "the shop is out of cards" },
		{ -EMFILE, true, -EMFILE, "the shop is out of cards" },
		{ -EIO, false, -EIO, "create() failed: Input/output error" },
		{ 5, false, -EINVAL, "create() returned 5, which is not -errno" },
		{ -100000, false, -EINVAL, "create() returned -100000, which is not -errno" },
		{ INT32_MIN, false, -EINVAL, "create() returned -2147483648" },
	};
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct lacuna_error *err = NULL;
		card.create_rc = rows[i].rc;
		card.create_speaks = rows[i].speaks;
		cr_expect_eq(make(0, &err), rows[i].expected);
		cr_expect_eq(lacuna_error_code(err), -rows[i].expected);
		cr_expect(strstr(lacuna_error_message(err), rows[i].message), "%s",
			lacuna_error_message(err));
		cr_expect_eq(get(0, 4), UINT32_MAX, "nothing is on the bus");
		lacuna_error_free(err);
		cr_expect_eq(make(0, NULL), rows[i].expected);
	}
	cr_expect_eq(card.destroys, 0);
	card.create_rc = 0; /* with an error left behind, which is dropped */
	make_on(0);
	card.creates = 1;
}

Test(custom_pci, no_such_bus)
{
	struct lacuna_error *err = NULL;
	cr_expect_eq(make(PORTS + 1, &err), -ENODEV);
	cr_expect_eq(card.creates, 1);
	cr_expect_eq(card.destroys, 1, "created, and given up");
	lacuna_error_free(err);
}
