// SPDX-License-Identifier: Apache-2.0
/* The status machine, feature negotiation and queue set-up of a virtio device, without transport.
 */
#include "virtio/device.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>

#include "util/fd.h"
#include "util/thread.h"
#include "virtio_guest.h"

#define F_OWN 0x40ull

static struct gmem ram;
static const struct log quiet;
static struct virtio_device dev;
static unsigned activations, deactivations, config_interrupts, queue_interrupts, resets;
static bool at_once; /* the model lets go of its queues at once */

static void activate(struct virtio_device *d)
{
	activations++;
}

static bool deactivate(struct virtio_device *d)
{
	deactivations++;
	return at_once;
}

static void queue_interrupt(struct virtio_device *d, unsigned queue)
{
	queue_interrupts++;
}

static void config_interrupt(struct virtio_device *d)
{
	config_interrupts++;
}

static void activated(struct virtio_device *d, bool active)
{
}

static void was_reset(struct virtio_device *d)
{
	resets++;
}

static unsigned config_writes;

static void config_write(struct virtio_device *d, unsigned offset, uint32_t value, unsigned size)
{
	config_writes++;
	((uint8_t *)d->config)[offset] = (uint8_t)value;
}

static const struct virtio_model model = { "test", 42, activate, deactivate, NULL, config_write,
	NULL };
static const struct virtio_transport transport = { queue_interrupt, config_interrupt, activated,
	was_reset };

static void set_up(void)
{
	ram_init(&ram);
	cr_assert_eq(virtio_device_init(&dev, &model, &ram, &quiet, F_OWN, 2, RING_SIZE, NULL), 0);
	dev.transport = &transport;
	virtio_device_set_dma(&dev, true);
	at_once = true;
}

static void tear_down(void)
{
	virtio_device_done(&dev);
	ram_done(&ram);
}

TestSuite(virtio_device, .init = set_up, .fini = tear_down);

static uint8_t write_status(uint8_t v)
{
	LOCK_SCOPE(&dev.lock);
	virtio_device_set_status(&dev, v);
	return dev.status;
}

static void accept(uint64_t features)
{
	virtio_device_accept(&dev, 0, (uint32_t)features);
	virtio_device_accept(&dev, 1, (uint32_t)(features >> 32));
}

static void place_queue(unsigned i)
{
	struct virtq *q = virtio_device_setup(&dev, i);
	cr_assert_not_null(q);
	q->desc = DESC_AT;
	q->driver = AVAIL_AT;
	q->device = USED_AT;
	virtio_device_enable_queue(&dev, i);
}

/* Each row: features, then status writes and what is read after each; 0xee ends. */
struct status_case {
	char name[64]; /* rows are copied into another process: no pointers */
	uint64_t features;
	uint8_t write[8], read[8];
	unsigned activations, deactivations;
};

#define V1  VIRTIO_F_VERSION_1
#define END 0xee

ParameterizedTestParameters(virtio_device, status)
{
	static struct status_case c[] = {
		{ "by the book", V1 | F_OWN, { 1, 3, 11, 15, END }, { 1, 3, 11, 15 }, 1, 0 },
		{ "all at once", V1, { 15, END }, { 15 }, 1, 0 },
		{ "without VERSION_1", F_OWN, { 3, 11, 15, END }, { 3, 3, 3 }, 0, 0 },
		{ "a feature that was not offered", V1 | 1, { 3, 11, 15, END }, { 3, 3, 3 }, 0, 0 },
		{ "a feature beyond what exists", V1 | 1ull << 63, { 11, 15, END }, { 3, 3 }, 0,
			0 },
		{ "DRIVER_OK without FEATURES_OK", V1, { 3, 7, END }, { 3, 3 }, 0, 0 },
		{ "DRIVER_OK twice", V1, { 15, 15, END }, { 15, 15 }, 1, 0 },
		{ "bits can't be cleared", V1, { 11, 3, 1, 15, 4, END }, { 11, 11, 11, 15, 15 }, 1,
			0 },
		{ "FAILED stays", V1, { 1, 129, 1, END }, { 1, 129, 129 }, 0, 0 },
		{ "the driver can't set NEEDS_RESET", V1, { 1, 65, END }, { 1, 1 }, 0, 0 },
		{ "nor the bits that do not exist", V1, { 0x31, END }, { 1 }, 0, 0 },
		{ "reset when idle", V1, { 11, 0, 0, END }, { 11, 0, 0 }, 0, 0 },
		{ "reset when running", V1, { 15, 0, 0, END }, { 15, 0, 0 }, 1, 1 },
	};
	return cr_make_param_array(struct status_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct status_case *c, virtio_device, status)
{
	accept(c->features);
	for (unsigned i = 0; c->write[i] != END; i++)
		cr_expect_eq(write_status(c->write[i]), c->read[i],
			"%s: after write %u of %#x: %#x", c->name, i, c->write[i], dev.status);
	cr_expect_eq(activations, c->activations, "%s", c->name);
	cr_expect_eq(deactivations, c->deactivations, "%s", c->name);
}

Test(virtio_device, features_are_fixed_by_features_ok)
{
	cr_expect_eq(virtio_device_offered(&dev, 0),
		F_OWN | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX);
	cr_expect_eq(virtio_device_offered(&dev, 1), 1);
	cr_expect_eq(virtio_device_offered(&dev, 2), 0);
	cr_expect_eq(virtio_device_offered(&dev, UINT32_MAX), 0);
	virtio_device_accept(&dev, 2, UINT32_MAX);
	virtio_device_accept(&dev, UINT32_MAX, UINT32_MAX);
	cr_expect_eq(dev.accepted, 0);
	accept(V1 | F_OWN);
	cr_expect_eq(write_status(11), 11);
	accept(V1 | VIRTIO_F_EVENT_IDX);
	cr_expect_eq(dev.accepted, V1 | F_OWN);
	write_status(0);
	cr_expect_eq(dev.accepted, 0);
}

Test(virtio_device, negotiated_ring_features_reach_the_queues)
{
	accept(V1 | VIRTIO_F_INDIRECT_DESC);
	write_status(11);
	place_queue(1);
	write_status(15);
	cr_expect(dev.queue[1].ring.indirect);
	cr_expect_not(dev.queue[1].ring.event_idx);
	cr_expect_null(virtio_device_setup(&dev, 0), "frozen while active");
	cr_expect_null(virtio_device_setup(&dev, 2));
	cr_expect_null(virtio_device_setup(&dev, UINT32_MAX));
	write_status(0);
	cr_expect_not(dev.queue[1].ring.enabled);
	cr_expect_eq(dev.queue[1].ring.desc, 0);
	cr_expect_not_null(virtio_device_setup(&dev, 1));
}

Test(virtio_device, bad_ring_needs_reset)
{
	accept(V1);
	write_status(11);
	virtio_device_setup(&dev, 0)->desc = 8;
	virtio_device_enable_queue(&dev, 0);
	cr_expect_eq(dev.status, 11 | VIRTIO_STATUS_NEEDS_RESET);
	cr_expect_not(dev.queue[0].ring.enabled);
	cr_expect_eq(config_interrupts, 0, "not before DRIVER_OK");
	cr_expect_eq(write_status(15), 11 | VIRTIO_STATUS_NEEDS_RESET);
	cr_expect_eq(activations, 0);
	cr_expect_eq(write_status(0), 0);
	accept(V1);
	cr_expect_eq(write_status(15), 15);
}

Test(virtio_device, broken_queue_stops_the_device)
{
	struct virtq_chain chain;
	accept(V1);
	write_status(11);
	place_queue(0);
	write_status(15);
	put(&ram, 0, DATA_AT, 1, WRITE, 0);
	offer(&ram, 0);
	cr_assert(virtio_queue_pop(&dev, 0, &chain));
	virtio_queue_push(&dev, 0, &chain, 1);
	cr_expect_eq(queue_interrupts, 1);
	offer(&ram, 99);
	cr_expect_not(virtio_queue_pop(&dev, 0, &chain));
	cr_expect_eq(dev.status, 15 | VIRTIO_STATUS_NEEDS_RESET);
	cr_expect_eq(config_interrupts, 1);
	cr_expect_not(virtio_queue_pop(&dev, 0, &chain));
	cr_expect_not(virtio_queue_kicks_on(&dev, 0), "a loop around the two must end");
	virtio_device_fail(&dev, "again");
	cr_expect_eq(config_interrupts, 1, "told once");
	cr_expect_eq(write_status(0), 0);
}

Test(virtio_device, no_memory_access_without_bus_mastering)
{
	struct virtq_chain chain;
	accept(V1);
	write_status(11);
	place_queue(0);
	write_status(15);
	put(&ram, 0, DATA_AT, 1, WRITE, 0);
	offer(&ram, 0);
	virtio_device_set_dma(&dev, false);
	cr_expect_not(virtio_queue_pop(&dev, 0, &chain));
	virtio_queue_kicks_off(&dev, 0);
	cr_expect_eq(load_shared(&ram, USED_AT), 0);
	cr_expect_not(virtio_queue_kicks_on(&dev, 0));
	eventfd_drain(dev.queue[0].kick);
	virtio_device_set_dma(&dev, true);
	cr_expect(eventfd_drain(dev.queue[0].kick), "what waited is looked at now");
	cr_expect(virtio_queue_pop(&dev, 0, &chain));
}

Test(virtio_device, reset_waits_for_the_model)
{
	static uint8_t config[4];
	struct virtq_chain chain;
	dev.config = config;
	dev.config_size = sizeof(config);
	at_once = false;
	accept(V1 | F_OWN);
	write_status(11);
	place_queue(0);
	write_status(15);
	put(&ram, 0, DATA_AT, 1, WRITE, 0);
	offer(&ram, 0);
	resets = 0;
	cr_expect_eq(write_status(0), 15, "the driver sees that it is not over");
	cr_expect_not(virtio_queue_pop(&dev, 0, &chain), "nothing more is begun");
	cr_expect_not(virtio_queue_kicks_on(&dev, 0), "a loop around the two must end");
	virtio_device_config_write(&dev, 0, 1, 1);
	cr_expect_eq(config_writes, 0);
	cr_expect_eq(write_status(0), 15);
	cr_expect_eq(write_status(1), 15, "and can change nothing meanwhile");
	accept(V1);
	cr_expect_null(virtio_device_setup(&dev, 0));
	cr_expect_eq(dev.accepted, V1 | F_OWN);
	cr_expect_eq(deactivations, 1);
	cr_expect_eq(resets, 0);
	cr_expect(dev.queue[0].ring.enabled);
	virtio_device_released(&dev);
	cr_expect_eq(resets, 1);
	cr_expect_eq(dev.status, 0);
	cr_expect_not(dev.queue[0].ring.enabled);
	virtio_device_released(&dev);
	cr_expect_eq(resets, 1);
	accept(V1);
	cr_expect_eq(write_status(15), 15);
	cr_expect_eq(activations, 2);
}

Test(virtio_device, config_ends_in_zeroes)
{
	static uint8_t config[6] = { 1, 2, 3, 4, 5, 6 };
	dev.config = config;
	dev.config_size = sizeof(config);
	cr_expect_eq(virtio_device_config(&dev, 0, 4), 0x04030201);
	cr_expect_eq(virtio_device_config(&dev, 1, 2), 0x0302);
	cr_expect_eq(virtio_device_config(&dev, 4, 4), 0x0605);
	cr_expect_eq(virtio_device_config(&dev, 5, 1), 6);
	cr_expect_eq(virtio_device_config(&dev, 6, 4), 0);
	cr_expect_eq(virtio_device_config(&dev, UINT64_MAX, 4), 0);
}

/* virtio 1.2, 2.5.1: a change has a new generation, and the driver is told once it drives. */
Test(virtio_device, config_changes)
{
	static uint8_t config[4] = { 1, 2, 3, 4 };
	static const uint8_t first[2] = { 7, 8 }, second[1] = { 9 };
	dev.config = config;
	dev.config_size = sizeof(config);
	uint8_t generation = dev.generation;
	virtio_device_config_change(&dev, 1, first, sizeof(first));
	cr_expect_eq(virtio_device_config(&dev, 0, 4), 0x04080701);
	cr_expect_neq(dev.generation, generation);
	cr_expect_eq(config_interrupts, 0, "there is no driver to tell");
	generation = dev.generation;
	accept(V1);
	write_status(15);
	virtio_device_config_change(&dev, 3, second, sizeof(second));
	cr_expect_eq(virtio_device_config(&dev, 0, 4), 0x09080701);
	cr_expect_neq(dev.generation, generation);
	cr_expect_eq(config_interrupts, 1);
}

struct config_write_case {
	uint64_t offset;
	unsigned size;
	bool reaches; /* the model */
};

ParameterizedTestParameters(virtio_device, config_writes)
{
	static struct config_write_case c[] = {
		{ 0, 1, true },
		{ 0, 4, true },
		{ 4, 2, true },
		{ 5, 1, true },
		{ 5, 2, false },
		{ 4, 4, false },
		{ 6, 1, false },
		{ 0x100, 1, false },
		{ UINT64_MAX, 1, false },
		{ UINT64_MAX - 3, 4, false },
	};
	return cr_make_param_array(struct config_write_case, c, sizeof(c) / sizeof(c[0]));
}

ParameterizedTest(struct config_write_case *c, virtio_device, config_writes)
{
	static uint8_t config[6];
	dev.config = config;
	dev.config_size = sizeof(config);
	virtio_device_config_write(&dev, c->offset, 0xff, c->size);
	cr_expect_eq(config_writes, c->reaches);
}
