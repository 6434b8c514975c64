// SPDX-License-Identifier: Apache-2.0
/* Virtio over PCI (virtio 1.2, 4.1): what a driver finds, every register, kicks and interrupts. The
 * device behind is the entropy device, which has the least of its own. */
#include "virtio/pci.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "pci/regs.h"
#include "virtio/rng.h"
#include "virtio_fixture.h"

#define V1 VIRTIO_F_VERSION_1

static struct board board, *b = &board;

static void set_up(void)
{
	board_init(b);
	board_add(b, &virtio_rng_class, "");
}

static void tear_down(void)
{
	board_done(b);
}

TestSuite(virtio_pci, .init = set_up, .fini = tear_down, .timeout = 120);

Test(virtio_pci, identity)
{
	cr_expect_eq(config_read(b, 0x00, 4), 0x10441af4);
	cr_expect_eq(config_read(b, 0x08, 1), 1);
	cr_expect_eq(config_read(b, 0x2c, 2), 0x1af4);
	cr_expect_geq(config_read(b, 0x2e, 2), 0x40);
	cr_expect_eq(config_read(b, 0x3d, 1), 0, "no interrupt pin");
	cr_expect_eq(config_read(b, 0x10, 4) & 0xf, 0xc, "64-bit, prefetchable");
	for (unsigned bar = 2; bar < 6; bar++)
		cr_expect_eq(config_read(b, 0x10 + 4 * bar, 4), 0);
}

struct cap_row {
	uint8_t type, len;
	uint32_t offset, length;
};

Test(virtio_pci, capabilities)
{
	static const struct cap_row rows[] = { { 1, 16, VP_COMMON, 0x38 }, { 2, 20, VP_NOTIFY, 4 },
		{ 3, 16, VP_ISR, 1 }, { 4, 16, VP_DEVICE, 0x100 }, { 5, 20, 0, 0 } };
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned at = find_cap(b, VENDOR, rows[i].type);
		cr_assert(at, "type %u", rows[i].type);
		cr_expect_eq(config_read(b, at + 2, 1), rows[i].len);
		cr_expect_eq(config_read(b, at + 4, 1), 0, "BAR");
		cr_expect_eq(config_read(b, at + 8, 4), rows[i].offset);
		cr_expect_eq(config_read(b, at + 12, 4), rows[i].length);
	}
	cr_expect_eq(config_read(b, find_cap(b, VENDOR, 2) + 16, 4), 4, "notify_off_multiplier");
	unsigned msix = find_cap(b, MSIX_CAP, 0);
	cr_expect_eq(config_read(b, msix + 2, 2) & 0x7ff, 1, "two vectors");
}

/* --- common configuration --- */

struct width_case {
	uint8_t offset, width;
	uint32_t written, read; /* with its own width, after a reset */
};

ParameterizedTestParameters(virtio_pci, registers)
{
	static struct width_case c[] = {
		{ VP_DEVICE_FEATURE_SELECT, 4, 1, 1 },
		{ VP_DEVICE_FEATURE_SELECT, 4, 0xffffffff, 0xffffffff },
		{ VP_DEVICE_FEATURE, 4, 0, 0x30000000 },
		{ VP_DRIVER_FEATURE_SELECT, 4, 1, 1 },
		{ VP_DRIVER_FEATURE, 4, 0x12345678, 0x12345678 },
		{ VP_CONFIG_VECTOR, 2, 0, 0 },
		{ VP_CONFIG_VECTOR, 2, 1, 1 },
		{ VP_CONFIG_VECTOR, 2, 2, 0xffff }, /* there is no third: refused */
		{ VP_CONFIG_VECTOR, 2, 0xffff, 0xffff },
		{ VP_NUM_QUEUES, 2, 7, 1 },
		{ VP_STATUS, 1, 3, 3 },
		{ VP_GENERATION, 1, 9, 0 },
		{ VP_QUEUE_SELECT, 2, 5, 5 },
		{ VP_QUEUE_SIZE, 2, 16, 16 },
		{ VP_QUEUE_VECTOR, 2, 1, 1 },
		{ VP_QUEUE_VECTOR, 2, 2, 0xffff },
		{ VP_QUEUE_ENABLE, 2, 0, 0 },
		{ VP_QUEUE_ENABLE, 2, 2, 0 },
		{ VP_QUEUE_NOTIFY_OFF, 2, 3, 0 },
		{ VP_QUEUE_DESC, 4, 0x12345670, 0x12345670 },
		{ VP_QUEUE_DESC + 4, 4, 0xfffffff0, 0xfffffff0 },
		{ VP_QUEUE_DRIVER, 4, 0x12345670, 0x12345670 },
		{ VP_QUEUE_DRIVER + 4, 4, 1, 1 },
		{ VP_QUEUE_DEVICE, 4, 0x12345670, 0x12345670 },
		{ VP_QUEUE_DEVICE + 4, 4, 1, 1 },
	};
	return cr_make_param_array(struct width_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct width_case *c, virtio_pci, registers)
{
	uint64_t fresh = bar_get(b, c->offset, c->width);
	for (unsigned size = 1; size <= 4; size *= 2) {
		if (size == c->width)
			continue;
		bar_set(b, c->offset, c->written, size);
		cr_expect_eq(bar_get(b, c->offset, size), 0, "no access of %u bytes", size);
	}
	cr_expect_eq(bar_get(b, c->offset, c->width), fresh, "nor has one an effect");
	bar_set(b, c->offset, c->written, c->width);
	cr_expect_eq(bar_get(b, c->offset, c->width), c->read, "register %#x", c->offset);
	reset_device(b);
	cr_expect_eq(bar_get(b, c->offset, c->width), fresh, "register %#x after reset", c->offset);
}

Test(virtio_pci, queue_that_does_not_exist)
{
	static const uint16_t queues[] = { 1, 2, 0x7fff, 0xffff };
	for (unsigned i = 0; i < ARRAY_SIZE(queues); i++) {
		bar_set(b, VP_QUEUE_SELECT, queues[i], 2);
		cr_expect_eq(bar_get(b, VP_QUEUE_SIZE, 2), 0);
		bar_set(b, VP_QUEUE_SIZE, 8, 2);
		bar_set(b, VP_QUEUE_VECTOR, 1, 2);
		bar_set(b, VP_QUEUE_ENABLE, 1, 2);
		bar_set(b, VP_QUEUE_DESC, DESC_AT, 4);
		for (unsigned at = VP_QUEUE_SIZE; at < VP_QUEUE_DESC; at += 2)
			cr_expect_eq(bar_get(b, at, 2), 0);
		cr_expect_eq(bar_get(b, VP_QUEUE_DESC, 4), 0);
		bar_set(b, VP_NOTIFY + 4 * queues[i], queues[i], 2);
	}
	cr_expect_eq(bar_get(b, VP_STATUS, 1), 0);
}

Test(virtio_pci, queue_is_frozen_once_enabled)
{
	negotiate(b, V1);
	place_ring(b, 0);
	cr_expect_eq(bar_get(b, VP_QUEUE_ENABLE, 2), 1);
	bar_set(b, VP_QUEUE_DESC, 0x7000, 4);
	bar_set(b, VP_QUEUE_SIZE, 4, 2);
	bar_set(b, VP_QUEUE_ENABLE, 0, 2);
	cr_expect_eq(bar_get(b, VP_QUEUE_DESC, 4), DESC_AT);
	cr_expect_eq(bar_get(b, VP_QUEUE_SIZE, 2), RING_SIZE);
	cr_expect_eq(bar_get(b, VP_QUEUE_ENABLE, 2), 1);
	bar_set(b, VP_QUEUE_VECTOR, 0xffff, 2);
	cr_expect_eq(bar_get(b, VP_QUEUE_VECTOR, 2), 0xffff, "but for the vector");
}

Test(virtio_pci, ring_out_of_ram_needs_reset)
{
	negotiate(b, V1);
	bar_set(b, VP_QUEUE_DESC + 4, 1, 4);
	bar_set(b, VP_QUEUE_ENABLE, 1, 2);
	cr_expect_eq(bar_get(b, VP_STATUS, 1), 11 | 64);
	cr_expect_eq(bar_get(b, VP_QUEUE_ENABLE, 2), 0);
	reset_device(b);
	bring_up(b, V1);
}

/* --- kicks and interrupts --- */

static void offer_buffer(uint32_t len)
{
	put(&b->ram, 0, DATA_AT, len, WRITE, 0);
	offer(&b->ram, 0);
}

Test(virtio_pci, kick_by_register_and_interrupt)
{
	b->no_kicks = true; /* then this is the only way */
	enable_interrupts(b);
	bring_up(b, V1);
	for (uint16_t i = 1; i <= 3; i++) {
		offer_buffer(64);
		kick(b);
		cr_assert(interrupted(b, 1, 60000));
		cr_expect_eq(load_shared(&b->ram, USED_IDX), i);
		cr_expect_eq(used_len(&b->ram, i - 1u), 64);
	}
	cr_expect_eq(bar_get(b, VP_ISR, 1), 0, "not set for queues while MSI-X is on (4.1.4.5.1)");
	cr_expect_not(interrupted(b, 0, 0));
}

Test(virtio_pci, what_was_offered_before_driver_ok_is_served)
{
	reset_device(b);
	negotiate(b, V1);
	place_ring(b, 0);
	offer_buffer(10);
	bar_set(b, VP_STATUS, 15, 1);
	wait_used(b, 1);
}

Test(virtio_pci, isr_without_msix)
{
	bring_up(b, V1);
	offer_buffer(8);
	kick(b);
	wait_used(b, 1);
	uint64_t isr;
	while (!(isr = bar_get(b, VP_ISR, 1))) /* it is set after the used index */
		sched_yield();
	cr_expect_eq(isr, 1);
	cr_expect_eq(bar_get(b, VP_ISR, 1), 0, "reading clears");
}

Test(virtio_pci, broken_ring_interrupts_for_configuration)
{
	enable_interrupts(b);
	bring_up(b, V1);
	offer(&b->ram, RING_SIZE + 1);
	kick(b);
	cr_assert(interrupted(b, 0, 60000));
	cr_expect_eq(bar_get(b, VP_STATUS, 1), 15 | 64);
	cr_expect_eq(bar_get(b, VP_ISR, 1), 2);
	bring_up(b, V1);
	offer_buffer(8);
	kick(b);
	wait_used(b, 1);
}

Test(virtio_pci, kicks_stand_while_the_device_is_active)
{
	cr_expect_eq(b->kicks, 0);
	bring_up(b, V1);
	cr_assert_eq(b->kicks, 1);
	cr_expect_eq(b->kick[0].addr, b->bar + VP_NOTIFY);
	offer_buffer(8);
	eventfd_signal(b->kick[0].fd); /* as the kernel does */
	wait_used(b, 1);

	config_write(b, 4, config_read(b, 4, 2) & ~2u, 2); /* memory space off */
	cr_expect_eq(b->kicks, 0);
	b->bar = 0xc0000000;
	config_write(b, 0x10, (uint32_t)b->bar, 4);
	config_write(b, 0x14, 0, 4);
	config_write(b, 4, config_read(b, 4, 2) | 2, 2);
	cr_assert_eq(b->kicks, 1);
	cr_expect_eq(b->kick[0].addr, b->bar + VP_NOTIFY);
	offer_buffer(8);
	kick(b);
	wait_used(b, 2);

	reset_device(b);
	cr_expect_eq(b->kicks, 0);
}

Test(virtio_pci, no_memory_access_without_bus_mastering)
{
	bring_up(b, V1);
	config_write(b, 4, config_read(b, 4, 2) & ~4u, 2);
	offer_buffer(8);
	kick(b);
	loop_turn(b);
	loop_turn(b); /* the first may have been under way already */
	cr_expect_eq(load_shared(&b->ram, USED_IDX), 0);
	config_write(b, 4, config_read(b, 4, 2) | 4, 2);
	wait_used(b, 1);
}

/* --- access through configuration space (4.1.4.9) --- */

static void window(uint32_t offset, uint32_t length)
{
	unsigned cap = find_cap(b, VENDOR, VP_CAP_PCI);
	config_write(b, cap + VP_CAP_AT_BAR, 0, 1);
	config_write(b, cap + VP_CAP_AT_LENGTH, length, 4);
	config_write(b, cap + VP_CAP_AT_OFFSET, offset, 4);
}

Test(virtio_pci, configuration_window)
{
	unsigned data = find_cap(b, VENDOR, VP_CAP_PCI) + VP_CAP_AT_DATA;
	window(VP_NUM_QUEUES, 2);
	cr_expect_eq(config_read(b, data, 2), 1);
	window(VP_STATUS, 1);
	config_write(b, data, 3, 1);
	cr_expect_eq(bar_get(b, VP_STATUS, 1), 3);
	bar_set(b, VP_STATUS, 0, 1);
	window(VP_STATUS, 1);
	cr_expect_eq(config_read(b, data, 1), 0);
	window(VP_DEVICE_FEATURE_SELECT, 4);
	config_write(b, data, 1, 4);
	window(VP_DEVICE_FEATURE, 4);
	cr_expect_eq(config_read(b, data, 4), 1);

	bring_up(b, V1);
	offer_buffer(8);
	window(VP_NOTIFY, 2);
	config_write(b, data, 0, 2);
	wait_used(b, 1);
}

Test(virtio_pci, configuration_window_out_of_range)
{
	static const uint32_t lengths[] = { 0, 1, 2, 3, 4, 5, 8, 0x80000000, 0xffffffff };
	static const uint32_t offsets[] = { VP_STATUS + 1, VP_MSIX_TABLE, VP_BAR_SIZE - 1,
		VP_BAR_SIZE, 0x80000000, 0xfffffffc, 0xffffffff };
	unsigned cap = find_cap(b, VENDOR, VP_CAP_PCI);
	for (unsigned l = 0; l < ARRAY_SIZE(lengths); l++)
		for (unsigned o = 0; o < ARRAY_SIZE(offsets); o++) {
			window(offsets[o], lengths[l]);
			config_write(b, cap + VP_CAP_AT_DATA, 0xffffffff, 4);
			cr_expect_eq(bar_get(b, VP_STATUS, 1), 0);
		}
	window(VP_STATUS, 1);
	config_write(b, cap + VP_CAP_AT_BAR, 1, 1);
	config_write(b, cap + VP_CAP_AT_DATA, 3, 1);
	cr_expect_eq(bar_get(b, VP_STATUS, 1), 0, "another BAR");
}

/* --- resets of the function --- */

/* PCIe 5.0, 6.6.2: the device forgets all, whatever it was doing, and works for the next driver. */
Test(virtio_pci, function_level_reset)
{
	uint64_t home = b->bar;
	unsigned control = find_cap(b, PCI_CAP_ID_EXPRESS, 0) + EXPRESS_DEVCTL;
	for (unsigned round = 0; round < 3; round++) {
		bring_up(b, V1);
		offer_buffer(8);
		kick(b);
		wait_used(b, 1);
		cr_expect_eq(b->kicks, 1);
		config_write(b, control, DEVCTL_FLR, 2);
		cr_expect_eq(config_read(b, control, 2), DEVCTL_DEFAULT);
		cr_expect_eq(b->kicks, 0, "no kick stands for a device that is not there");
		cr_expect_eq(config_read(b, PCI_COMMAND, 2), 0);
		cr_expect_eq(config_read(b, find_cap(b, MSIX_CAP, 0) + 2, 2) >> 15, 0);
		config_write(b, PCI_BAR0, (uint32_t)home, 4);
		config_write(b, PCI_BAR0 + 4, (uint32_t)(home >> 32), 4);
		config_write(b, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
		cr_expect_eq(bar_get(b, VP_STATUS, 1), 0);
		cr_expect_eq(bar_get(b, VP_CONFIG_VECTOR, 2), VIRTIO_MSI_NO_VECTOR);
		cr_expect_eq(bar_get(b, VP_QUEUE_ENABLE, 2), 0);
	}
}

/* --- noise --- */

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Any offset, any size, any value, and configuration space as well; afterwards the device works. */
Test(virtio_pci, random_accesses)
{
	uint64_t state = 0x9e3779b97f4a7c15ull, home = b->bar;
	unsigned resets = 0;
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t r = next_random(&state), value = next_random(&state);
		unsigned size = 1u << (r & 3);
		uint64_t offset = (r >> 8) % VP_BAR_SIZE;
		if (r & 0x10) /* mostly where something is */
			offset %= 0x140;
		if (r & 0x20)
			value &= 0x1ffff;
		if (r & 0x40)
			bar_set(b, offset, value, size);
		else
			bar_get(b, offset, size);
		if ((r & 0xf80) == 0xf80)
			config_write(b, 0x40 + (unsigned)(r >> 20) % 0xc0, (uint32_t)value,
				size > 4 ? 4 : size);
		if (!(config_read(b, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY)) { /* it was reset */
			config_write(b, PCI_BAR0, (uint32_t)home, 4);
			config_write(b, PCI_BAR0 + 4, (uint32_t)(home >> 32), 4);
			config_write(b, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
			resets++;
		}
	}
	cr_expect_gt(resets, 0);
	cr_expect_eq(b->bar, home);
	config_write(b, find_cap(b, MSIX_CAP, 0) + 2, 0, 2);
	bring_up(b, V1);
	offer_buffer(8);
	kick(b);
	wait_used(b, 1);
}
