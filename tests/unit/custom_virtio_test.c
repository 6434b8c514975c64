// SPDX-License-Identifier: Apache-2.0
/* Virtio devices of the embedder's own, without a VM: chains that come and go on any thread, resets
 * with chains out, configuration, and drivers that do it wrong. */
#include "virtio/custom.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <lacuna/device.h>

#include "pci/regs.h"
#include "util/err.h"
#include "util/thread.h"
#include "virtio_fixture.h"

#define V1       VIRTIO_F_VERSION_1
#define ID       42
#define FEATURES (UINT64_C(1) << 50 | 5)
#define HELD     64u
#define NO_KICK  1u /* flags of the rings, virtio 1.2, 2.7.6 and 2.7.8 */
#define NO_INT   1u

/* The device under test. What the callbacks have seen is under the lock, which is also held around
 * calls: none may wait for another. */
struct echo {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct lacuna_virtio *v;
	int create_rc;
	bool hold;  /* keep what is popped */
	bool leave; /* don't even pop */
	unsigned creates, destroys, activates, deactivates, kicks, served;
	uint64_t features;
	struct lacuna_virtio_chain *held[HELD];
	unsigned held_count;
	unsigned config_calls, config_offset, config_size;
};

static struct board board, *b = &board;
static struct echo echo;
static struct lacuna_virtio_device desc;
static bool stopped;

static void note(unsigned *counter)
{
	++*counter;
	pthread_cond_broadcast(&echo.changed);
}

/* A test that waits in vain is ended by its time limit. */
static void wait_for(const unsigned *counter, unsigned value)
{
	LOCK_SCOPE(&echo.lock);
	while (*counter < value)
		pthread_cond_wait(&echo.changed, &echo.lock);
}

static unsigned now(const unsigned *counter)
{
	LOCK_SCOPE(&echo.lock);
	return *counter;
}

static int echo_create(
	void *opaque, struct lacuna_virtio *v, void **ret_state, struct lacuna_error **err)
{
	struct echo *e = opaque;
	e->creates++;
	if (e->create_rc)
		return lacuna_error_set(err, -e->create_rc, "no echo in here");
	e->v = v;
	*ret_state = e;
	cr_expect_null(lacuna_virtio_pop(v, 0), "nothing is active yet");
	return 0;
}

static void echo_destroy(void *state)
{
	((struct echo *)state)->destroys++;
}

static void echo_activate(void *state, uint64_t features)
{
	struct echo *e = state;
	LOCK_SCOPE(&e->lock);
	e->features = features;
	note(&e->activates);
}

static void echo_deactivate(void *state)
{
	struct echo *e = state;
	LOCK_SCOPE(&e->lock);
	cr_expect_null(lacuna_virtio_pop(e->v, 0));
	note(&e->deactivates);
}

static int copied(int rc)
{
	return rc == 0 || rc == -EPERM;
}

/* Gives back what is readable, as far as there is room; the driver may be about to forbid it. */
static void answer(struct lacuna_virtio_chain *c)
{
	uint8_t bytes[4096];
	uint32_t size = (uint32_t)min_u64(lacuna_virtio_chain_readable(c),
		min_u64(lacuna_virtio_chain_writable(c), sizeof(bytes)));
	cr_expect(copied(lacuna_virtio_chain_read(c, 0, bytes, size)));
	cr_expect(copied(lacuna_virtio_chain_write(c, 0, bytes, size)));
	lacuna_virtio_push(echo.v, c, size);
}

static void echo_kicked(void *state, unsigned queue)
{
	struct echo *e = state;
	struct lacuna_virtio_chain *c;
	LOCK_SCOPE(&e->lock);
	while (!e->leave && (c = lacuna_virtio_pop(e->v, queue))) {
		if (e->hold && e->held_count < HELD) {
			e->held[e->held_count] = c;
			note(&e->held_count);
		} else {
			answer(c);
			note(&e->served);
		}
	}
	note(&e->kicks);
}

static void echo_config_written(void *state, unsigned offset, unsigned size)
{
	struct echo *e = state;
	LOCK_SCOPE(&e->lock);
	e->config_offset = offset;
	e->config_size = size;
	note(&e->config_calls);
}

static const struct lacuna_virtio_ops ops = {
	.size = sizeof(ops),
	.create = echo_create,
	.destroy = echo_destroy,
	.activate = echo_activate,
	.kicked = echo_kicked,
	.deactivate = echo_deactivate,
	.config_written = echo_config_written,
};

static uint8_t config[4096], config_mask[4096];

static int make(struct lacuna_error **err)
{
	b->env.custom_virtio = &desc;
	return virtio_custom_class.create(&b->env, NULL, &b->dev, err);
}

static void make_and_start(void)
{
	struct lacuna_error *err = NULL;
	cr_assert_eq(make(&err), 0, "%s", lacuna_error_message(err));
	board_start(b);
}

static void set_up(void)
{
	board_init(b);
	pthread_mutex_init(&echo.lock, NULL);
	pthread_cond_init(&echo.changed, NULL);
	for (unsigned i = 0; i < sizeof(config); i++)
		config[i] = (uint8_t)(i * 7 + i / 256);
	memset(config_mask + 4, 0xff, 4);
	config_mask[8] = 0x0f;
	desc = (struct lacuna_virtio_device){
		.size = sizeof(desc),
		.name = "echo",
		.device_id = ID,
		.features = FEATURES,
		.queues = 2,
		.queue_size = RING_SIZE,
		.config = config,
		.config_writable = config_mask,
		.config_size = 16,
		.bus = LACUNA_BUS_ANY,
		.ops = &ops,
		.opaque = &echo,
	};
}

static void set_up_and_start(void)
{
	set_up();
	make_and_start();
}

static void stop(void)
{
	b->dev->class->stop(b->dev);
	stopped = true;
}

static void tear_down(void)
{
	if (b->dev && !stopped)
		stop();
	cr_expect_eq(echo.activates, echo.deactivates, "one for each");
	board_done(b);
	cr_expect_eq(echo.destroys, b->dev ? 1 : 0);
}

TestSuite(custom_virtio, .init = set_up_and_start, .fini = tear_down, .timeout = 120);
TestSuite(custom_virtio_new, .init = set_up, .fini = tear_down, .timeout = 120);

/* A request of two readable pieces and two writable ones, made available at @head. */
static void request(uint16_t head, const char *text, uint32_t room)
{
	uint32_t len = (uint32_t)strlen(text), first = len / 2;
	gpa_t at = DATA_AT + 0x400u * head;
	memcpy(gmem_ptr(&b->ram, at, len), text, len);
	memset(gmem_ptr(&b->ram, at + 0x200, 0x200), 0, 0x200);
	put(&b->ram, head, at, first, NEXT, head + 1);
	put(&b->ram, head + 1u, at + first, len - first, NEXT, head + 2);
	put(&b->ram, head + 2u, at + 0x200, room / 3, NEXT | WRITE, head + 3);
	put(&b->ram, head + 3u, at + 0x200 + room / 3, room - room / 3, WRITE, 0);
	offer(&b->ram, head);
}

static const char *answer_of(uint16_t head)
{
	return gmem_ptr(&b->ram, DATA_AT + 0x400u * head + 0x200, 0x200);
}

static void release_held(void)
{
	LOCK_SCOPE(&echo.lock);
	while (echo.held_count)
		answer(echo.held[--echo.held_count]);
}

/* --- what the driver finds --- */

Test(custom_virtio, identity)
{
	cr_expect_eq(config_read(b, 0, 4), (0x1040u + ID) << 16 | 0x1af4);
	cr_expect_eq(bar_get(b, VP_NUM_QUEUES, 2), 2);
	cr_expect_eq(bar_get(b, VP_QUEUE_SIZE, 2), RING_SIZE);
	bar_set(b, VP_DEVICE_FEATURE_SELECT, 0, 4);
	cr_expect_eq(bar_get(b, VP_DEVICE_FEATURE, 4), 0x30000005);
	bar_set(b, VP_DEVICE_FEATURE_SELECT, 1, 4);
	cr_expect_eq(bar_get(b, VP_DEVICE_FEATURE, 4), 0x40001);
	for (unsigned i = 0; i < 16; i++)
		cr_expect_eq(bar_get(b, VP_DEVICE + i, 1), config[i]);
	cr_expect_eq(bar_get(b, VP_DEVICE + 16, 4), 0);
}

Test(custom_virtio_new, configurations_of_every_size)
{
	static const unsigned sizes[] = { 0, 1, 255, 256, 257, 4096 };
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		desc.config_size = sizes[i];
		make_and_start();
		unsigned cap = find_cap(b, VENDOR, VP_CAP_DEVICE);
		uint32_t at = config_read(b, cap + VP_CAP_AT_OFFSET, 4);
		uint32_t length = config_read(b, cap + VP_CAP_AT_LENGTH, 4);
		cr_assert_leq(sizes[i], length);
		for (unsigned n = 0; n < length; n++)
			cr_assert_eq(bar_get(b, at + n, 1), n < sizes[i] ? config[n] : 0);
		bar_set(b, at + sizes[i], 0xff, 1);
		/* the other way there (4.1.4.9) */
		unsigned other = find_cap(b, VENDOR, VP_CAP_PCI);
		config_write(b, other + VP_CAP_AT_LENGTH, 1, 4);
		config_write(b, other + VP_CAP_AT_OFFSET, at + sizes[i] - 1, 4);
		if (sizes[i])
			cr_expect_eq(
				config_read(b, other + VP_CAP_AT_DATA, 1), config[sizes[i] - 1]);
		bring_up(b, V1);
		wait_for(&echo.activates, echo.creates);
		reset_device(b);
		stop();
		virtio_custom_class.destroy(b->dev);
		b->dev = NULL;
	}
	echo.destroys = 0;
}

Test(custom_virtio_new, create_fails)
{
	struct lacuna_error *err = NULL;
	echo.create_rc = -ENODEV;
	cr_expect_eq(make(&err), -ENODEV);
	cr_expect_str_eq(lacuna_error_message(err), "no echo in here");
	lacuna_error_free(err);
	cr_expect_eq(echo.creates, 1);
}

Test(custom_virtio_new, never_started)
{
	cr_assert_eq(make(NULL), 0);
	cr_expect_null(lacuna_virtio_pop(echo.v, 0));
	uint32_t word = 1;
	cr_expect_eq(lacuna_virtio_config_set(echo.v, 0, &word, 4), 0);
	lacuna_virtio_fail(echo.v, "too early");
}

/* --- chains --- */

Test(custom_virtio, echo)
{
	enable_interrupts(b);
	bring_up(b, V1 | FEATURES);
	for (uint16_t i = 1; i <= 20; i++) {
		request(0, "hello, device", 100);
		kick(b);
		cr_assert(interrupted(b, 1, 60000));
		cr_expect_eq(load_shared(&b->ram, USED_IDX), i);
		cr_expect_eq(used_id(&b->ram, i - 1u), 0);
		cr_expect_eq(used_len(&b->ram, i - 1u), 13);
		cr_expect_str_eq(answer_of(0), "hello, device");
	}
	cr_expect_eq(echo.features, FEATURES, "those of the device type");
	cr_expect_eq(echo.activates, 1);
}

Test(custom_virtio, activated_with_what_was_negotiated)
{
	bring_up(b, V1 | 4 | VIRTIO_F_EVENT_IDX);
	wait_for(&echo.activates, 1);
	cr_expect_eq(echo.features, 4);
	bring_up(b, V1);
	wait_for(&echo.activates, 2);
	cr_expect_eq(echo.features, 0);
	cr_expect_eq(now(&echo.deactivates), 1);
}

Test(custom_virtio, bytes_of_a_chain)
{
	uint8_t bytes[64];
	echo.hold = true;
	bring_up(b, V1);
	request(0, "0123456789", 30);
	kick(b);
	wait_for(&echo.held_count, 1);
	struct lacuna_virtio_chain *c = echo.held[0];
	cr_expect_eq(lacuna_virtio_chain_readable(c), 10);
	cr_expect_eq(lacuna_virtio_chain_writable(c), 30);
	for (uint32_t at = 0; at < 12; at++)
		for (uint32_t size = 0; size < 12; size++) {
			bool inside = at <= 10 && size <= 10 - at;
			memset(bytes, 0xee, sizeof(bytes));
			cr_assert_eq(
				lacuna_virtio_chain_read(c, at, bytes, size), inside ? 0 : -EFAULT);
			for (uint32_t i = 0; i < 12; i++)
				cr_assert_eq(bytes[i], inside && i < size ? '0' + at + i : 0xee);
		}
	static const struct {
		uint32_t at, size;
	} bad[] = { { 31, 0 }, { 30, 1 }, { 0, 31 }, { UINT32_MAX, 2 }, { 2, UINT32_MAX },
		{ 1, UINT32_MAX - 1 } };
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect_eq(lacuna_virtio_chain_write(c, bad[i].at, bytes, bad[i].size), -EFAULT);
	cr_expect_str_eq(answer_of(0), "");
	cr_expect_eq(lacuna_virtio_chain_write(c, 5, "abcdefghij", 10), 0);
	cr_expect_eq(lacuna_virtio_chain_write(c, 0, "xxxxx", 5), 0);
	cr_expect_str_eq(answer_of(0), "xxxxxabcdefghij");
	echo.held_count = 0;
	lacuna_virtio_push(echo.v, c, UINT32_MAX);
	wait_used(b, 1);
	cr_expect_eq(used_len(&b->ram, 0), 30, "no more than there is room");
}

Test(custom_virtio, chains_come_back_in_any_order_on_any_thread)
{
	echo.hold = true;
	bring_up(b, V1);
	for (uint16_t head = 0; head < RING_SIZE; head += 4)
		request(head, "abcd", 8);
	kick(b);
	wait_for(&echo.held_count, RING_SIZE / 4);
	release_held(); /* last first, on this thread */
	cr_expect_eq(load_shared(&b->ram, USED_IDX), RING_SIZE / 4);
	for (unsigned i = 0; i < RING_SIZE / 4; i++)
		cr_expect_eq(used_id(&b->ram, i), RING_SIZE - 4 * (i + 1));
	request(0, "again", 8);
	struct lacuna_virtio_chain *c;
	while (!(c = lacuna_virtio_pop(echo.v, 0))) /* nobody has kicked */
		;
	answer(c);
	cr_expect_eq(load_shared(&b->ram, USED_IDX), RING_SIZE / 4 + 1);
}

Test(custom_virtio, queues_that_are_not_there)
{
	bring_up(b, V1);
	wait_for(&echo.kicks, 2);
	cr_expect_null(lacuna_virtio_pop(echo.v, 1), "not enabled");
	cr_expect_null(lacuna_virtio_pop(echo.v, 2));
	cr_expect_null(lacuna_virtio_pop(echo.v, UINT32_MAX));
	bar_set(b, VP_NOTIFY + 4, 1, 2);
	bar_set(b, VP_NOTIFY + 4 * 200, 200, 2);
	cr_expect_eq(bar_get(b, VP_STATUS, 1), 15);
}

/* --- kicks and interrupts --- */

Test(custom_virtio, kicks_are_wanted_once_a_pop_has_found_nothing)
{
	bring_up(b, V1);
	wait_for(&echo.kicks, 2);
	cr_expect_eq(load_shared(&b->ram, USED_AT), 0);
	echo.leave = true;
	request(0, "a", 1);
	request(4, "b", 1);
	struct lacuna_virtio_chain *c = lacuna_virtio_pop(echo.v, 0);
	cr_assert(c);
	cr_expect_eq(load_shared(&b->ram, USED_AT), NO_KICK);
	answer(c);
	cr_expect_eq(load_shared(&b->ram, USED_AT), NO_KICK);
	c = lacuna_virtio_pop(echo.v, 0);
	cr_assert(c);
	cr_expect_eq(load_shared(&b->ram, USED_AT), NO_KICK);
	cr_expect_null(lacuna_virtio_pop(echo.v, 0));
	cr_expect_eq(load_shared(&b->ram, USED_AT), 0);
	answer(c);
}

Test(custom_virtio, kicks_are_wanted_by_event_index)
{
	bring_up(b, V1 | VIRTIO_F_EVENT_IDX);
	wait_for(&echo.kicks, 2);
	echo.leave = true;
	request(0, "a", 1);
	request(4, "b", 1);
	answer(lacuna_virtio_pop(echo.v, 0));
	cr_expect_eq(load_shared(&b->ram, AVAIL_EVENT), 0);
	answer(lacuna_virtio_pop(echo.v, 0));
	cr_expect_null(lacuna_virtio_pop(echo.v, 0));
	cr_expect_eq(load_shared(&b->ram, AVAIL_EVENT), 2);
	store_shared(&b->ram, USED_EVENT, 3);
	enable_interrupts(b);
	request(0, "c", 1);
	answer(lacuna_virtio_pop(echo.v, 0));
	cr_expect_not(interrupted(b, 1, 0), "the driver waits for one more");
	request(0, "d", 1);
	answer(lacuna_virtio_pop(echo.v, 0));
	cr_expect(interrupted(b, 1, 0));
}

Test(custom_virtio, no_interrupt_where_none_is_wanted)
{
	enable_interrupts(b);
	bring_up(b, V1);
	store_shared(&b->ram, AVAIL_AT, NO_INT);
	request(0, "a", 1);
	kick(b);
	wait_for(&echo.served, 1);
	cr_expect_not(interrupted(b, 1, 0));
	store_shared(&b->ram, AVAIL_AT, 0);
	request(0, "b", 1);
	kick(b);
	cr_expect(interrupted(b, 1, 60000));
}

Test(custom_virtio, no_chains_without_bus_mastering)
{
	bring_up(b, V1);
	wait_for(&echo.kicks, 2);
	config_write(b, 4, config_read(b, 4, 2) & ~4u, 2);
	request(0, "a", 1);
	cr_expect_null(lacuna_virtio_pop(echo.v, 0));
	kick(b);
	config_write(b, 4, config_read(b, 4, 2) | 4, 2);
	wait_used(b, 1); /* without another kick */
}

static void set_mastering(bool on)
{
	unsigned command = config_read(b, PCI_COMMAND, 2) & ~PCI_COMMAND_MASTER;
	config_write(b, PCI_COMMAND, command | (on ? PCI_COMMAND_MASTER : 0), 2);
}

static void no_copies(struct lacuna_virtio_chain *c)
{
	uint8_t byte = 0;
	cr_expect_eq(lacuna_virtio_chain_read(c, 0, &byte, 1), -EPERM);
	cr_expect_eq(lacuna_virtio_chain_write(c, 0, &byte, 1), -EPERM);
	cr_expect_eq(lacuna_virtio_chain_write(c, 1u << 30, &byte, 1), -EFAULT);
}

static void hold_two(void)
{
	echo.hold = true;
	bring_up(b, V1);
	request(0, "one", 8);
	request(4, "two", 8);
	kick(b);
	wait_for(&echo.held_count, 2);
}

Test(custom_virtio, chains_out_when_mastering_is_taken_away)
{
	enable_interrupts(b);
	hold_two();
	set_mastering(false);
	no_copies(echo.held[0]);
	lacuna_virtio_push(echo.v, echo.held[1], 3);
	lacuna_virtio_push(echo.v, echo.held[0], 2);
	cr_expect_eq(load_shared(&b->ram, USED_IDX), 0, "nothing is written");
	set_mastering(true);
	cr_expect_eq(load_shared(&b->ram, USED_IDX), 2, "it is made up for");
	cr_expect_eq(used_id(&b->ram, 0), 4);
	cr_expect_eq(used_id(&b->ram, 1), 0);
	cr_expect(interrupted(b, 1, 60000));
}

/* By its own reset, and by that of its function, which takes mastering away as well. */
Test(custom_virtio, chains_out_when_it_is_reset)
{
	hold_two();
	bar_set(b, VP_STATUS, 0, 1);
	no_copies(echo.held[0]);
	release_held();
	while (bar_get(b, VP_STATUS, 1))
		sched_yield();

	hold_two();
	set_mastering(false);
	lacuna_virtio_push(echo.v, echo.held[--echo.held_count], 3);
	bar_set(b, VP_STATUS, 0, 1);
	set_mastering(true);
	no_copies(echo.held[0]);
	cr_expect_eq(load_shared(&b->ram, USED_IDX), 0, "it is forgotten");
	release_held();
}

/* --- resets --- */

Test(custom_virtio, reset_waits_for_the_last_chain)
{
	echo.hold = true;
	bring_up(b, V1);
	request(0, "one", 8);
	request(4, "two", 8);
	kick(b);
	wait_for(&echo.held_count, 2);
	bar_set(b, VP_STATUS, 0, 1);
	wait_for(&echo.deactivates, 1);
	cr_expect_eq(bar_get(b, VP_STATUS, 1), 15);
	request(8, "three", 8);
	kick(b);
	cr_expect_null(lacuna_virtio_pop(echo.v, 0));
	lacuna_virtio_push(echo.v, echo.held[1], 3);
	cr_expect_eq(bar_get(b, VP_STATUS, 1), 15, "one is still out");
	lacuna_virtio_push(echo.v, echo.held[0], 3);
	echo.held_count = 0;
	while (bar_get(b, VP_STATUS, 1))
		sched_yield();
	cr_expect_eq(load_shared(&b->ram, USED_IDX), 0, "nothing is written once it is reset");

	echo.hold = false;
	bring_up(b, V1);
	request(0, "works", 8);
	kick(b);
	wait_used(b, 1);
}

static void *push_late(void *opaque)
{
	wait_for(&echo.deactivates, 1);
	release_held();
	return NULL;
}

Test(custom_virtio, function_level_reset_with_chains_out)
{
	pthread_t thread;
	uint64_t home = b->bar;
	echo.hold = true;
	bring_up(b, V1);
	request(0, "one", 8);
	kick(b);
	wait_for(&echo.held_count, 1);
	cr_assert_eq(pthread_create(&thread, NULL, push_late, NULL), 0);
	config_write(b, find_cap(b, PCI_CAP_ID_EXPRESS, 0) + EXPRESS_DEVCTL, DEVCTL_FLR, 2);
	config_write(b, PCI_BAR0, (uint32_t)home, 4);
	config_write(b, PCI_BAR0 + 4, (uint32_t)(home >> 32), 4);
	config_write(b, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	echo.hold = false;
	bring_up(b, V1);
	pthread_join(thread, NULL);
	request(0, "works", 8);
	kick(b);
	wait_used(b, 1);
}

static _Atomic bool enough;

/* Pops, answers and pushes without looking at what the driver does. */
static void *serve(void *opaque)
{
	while (!enough) {
		struct lacuna_virtio_chain *c = lacuna_virtio_pop(echo.v, 0);
		if (c)
			answer(c);
		uint32_t word = 7;
		lacuna_virtio_config_set(echo.v, 12, &word, 4);
	}
	return NULL;
}

Test(custom_virtio, pops_and_pushes_race_with_resets)
{
	pthread_t thread[2];
	for (unsigned i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, serve, NULL), 0);
	for (unsigned round = 0; round < 200; round++) {
		bring_up(b, round % 2 ? V1 : V1 | VIRTIO_F_EVENT_IDX);
		for (uint16_t head = 0; head < RING_SIZE; head += 4)
			request(head, "racing", 16);
		kick(b);
		if (round % 4 == 0)
			wait_used(b, RING_SIZE / 4);
		reset_device(b);
		uint16_t used = load_shared(&b->ram, USED_IDX);
		cr_assert_leq(used, RING_SIZE / 4);
		store_shared(&b->ram, USED_IDX, 0xbeef);
		sched_yield();
		cr_assert_eq(load_shared(&b->ram, USED_IDX), 0xbeef, "written after the reset");
	}
	enough = true;
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	bring_up(b, V1);
	request(0, "works", 8);
	kick(b);
	wait_used(b, 1);
}

/* --- the end of the VM --- */

Test(custom_virtio, stop_does_not_wait_for_chains)
{
	echo.hold = true;
	bring_up(b, V1);
	request(0, "one", 8);
	request(4, "two", 8);
	request(8, "three", 8);
	kick(b);
	wait_for(&echo.held_count, 3);
	stop();
	cr_expect_eq(echo.deactivates, 1);
	lacuna_virtio_push(echo.v, echo.held[1], 3); /* the others are never put back */
	cr_expect_null(lacuna_virtio_pop(echo.v, 0));
	cr_expect_eq(load_shared(&b->ram, USED_IDX), 0);
}

Test(custom_virtio, stop_in_the_middle_of_a_reset)
{
	echo.hold = true;
	bring_up(b, V1);
	request(0, "one", 8);
	kick(b);
	wait_for(&echo.held_count, 1);
	bar_set(b, VP_STATUS, 0, 1);
	wait_for(&echo.deactivates, 1);
	stop();
	cr_expect_eq(echo.deactivates, 1);
}

Test(custom_virtio, stop_at_once_after_activation)
{
	bring_up(b, V1);
	stop(); /* activate() may have come, or not: as often as deactivate() */
}

/* --- configuration --- */

Test(custom_virtio, driver_writes_where_it_may)
{
	bar_set(b, VP_DEVICE, 0xffffffff, 4);
	bar_set(b, VP_DEVICE + 12, 0xffffffff, 4);
	cr_expect_eq(now(&echo.config_calls), 0);
	bar_set(b, VP_DEVICE + 4, 0x01020304, 4); /* before the device is active */
	wait_for(&echo.config_calls, 1);
	cr_expect(echo.config_offset == 4 && echo.config_size == 4);
	bring_up(b, V1);
	bar_set(b, VP_DEVICE + 8, 0xffff, 2);
	wait_for(&echo.config_calls, 2);
	cr_expect(echo.config_offset == 8 && echo.config_size == 1);
	uint8_t bytes[16];
	cr_expect_eq(lacuna_virtio_config_read(echo.v, 0, bytes, 16), 0);
	for (unsigned i = 0; i < 16; i++) {
		uint8_t expected = i == 8 ? (config[8] & 0xf0) | 0x0f : config[i];
		cr_expect_eq(bar_get(b, VP_DEVICE + i, 1), expected, "byte %u", i);
		cr_expect_eq(bytes[i], expected);
	}
}

Test(custom_virtio, reset_forgets_what_the_driver_wrote)
{
	uint32_t word = 0x11223344;
	bar_set(b, VP_DEVICE + 4, 0, 4);
	bar_set(b, VP_DEVICE + 8, 0, 1);
	cr_expect_eq(bar_get(b, VP_DEVICE + 4, 4), 0);
	reset_device(b); /* never active */
	cr_expect_eq(bar_get(b, VP_DEVICE + 4, 4), load_le32(config + 4));
	bring_up(b, V1);
	cr_expect_eq(lacuna_virtio_config_set(echo.v, 4, &word, 4), 0);
	bar_set(b, VP_DEVICE + 4, 0xffffffff, 4);
	reset_device(b);
	cr_expect_eq(bar_get(b, VP_DEVICE + 4, 4), word, "what the device gave last");
	cr_expect_eq(bar_get(b, VP_DEVICE + 8, 1), config[8]);
}

/* The worker stands at the lock, in config_written() or before it. */
Test(custom_virtio, what_a_reset_has_undone_is_not_told)
{
	{
		LOCK_SCOPE(&echo.lock);
		bar_set(b, VP_DEVICE + 4, 0, 1);
		bar_set(b, VP_DEVICE + 8, 0, 1);
		reset_device(b); /* which is not active: at once */
	}
	stop();
	cr_expect_leq(echo.config_calls, 1u);
	cr_expect(!echo.config_calls || echo.config_offset == 4);
}

static void *stop_it(void *opaque)
{
	stop();
	return NULL;
}

/* The worker is busy while the guest writes its last word. */
Test(custom_virtio, the_last_write_is_told)
{
	pthread_t thread;
	bring_up(b, V1);
	wait_for(&echo.kicks, 2);
	{
		LOCK_SCOPE(&echo.lock);
		kick(b);
		bar_set(b, VP_DEVICE + 4, 0, 1);
		cr_assert_eq(pthread_create(&thread, NULL, stop_it, NULL), 0);
		for (unsigned i = 0; i < 100; i++)
			sched_yield(); /* so that it probably gets there */
	}
	pthread_join(thread, NULL);
	cr_expect_eq(echo.config_calls, 1u);
}

Test(custom_virtio, device_changes_the_configuration)
{
	uint32_t word = 0xcafe;
	enable_interrupts(b);
	cr_expect_eq(lacuna_virtio_config_set(echo.v, 0, &word, 4), 0);
	cr_expect_not(interrupted(b, 0, 0), "no driver yet");
	bring_up(b, V1);
	uint64_t generation = bar_get(b, VP_GENERATION, 1);
	word = 0xbeef;
	cr_expect_eq(lacuna_virtio_config_set(echo.v, 0, &word, 4), 0);
	cr_expect(interrupted(b, 0, 60000));
	cr_expect_eq(bar_get(b, VP_DEVICE, 4), 0xbeef);
	cr_expect_neq(bar_get(b, VP_GENERATION, 1), generation);
	cr_expect_eq(now(&echo.config_calls), 0, "nobody is told of his own writes");
	static const struct {
		unsigned at, size;
	} bad[] = { { 16, 1 }, { 15, 2 }, { 0, 17 }, { UINT32_MAX, 4 }, { 4, UINT32_MAX },
		{ UINT32_MAX, UINT32_MAX } };
	uint8_t bytes[32];
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_expect_eq(
			lacuna_virtio_config_set(echo.v, bad[i].at, bytes, bad[i].size), -EINVAL);
		cr_expect_eq(
			lacuna_virtio_config_read(echo.v, bad[i].at, bytes, bad[i].size), -EINVAL);
	}
	cr_expect_eq(lacuna_virtio_config_set(echo.v, 16, bytes, 0), 0);
}

/* --- drivers that do it wrong --- */

static void expect_needs_reset(void)
{
	cr_assert(interrupted(b, 0, 60000), "a configuration interrupt (2.1.2)");
	cr_expect_eq(bar_get(b, VP_STATUS, 1), 15 | 64);
	cr_expect_null(lacuna_virtio_pop(echo.v, 0));
	bring_up(b, V1);
	request(0, "works", 8);
	kick(b);
	wait_used(b, 1);
}

struct bad_chain {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

ParameterizedTestParameters(custom_virtio, malformed_chain)
{
	static struct bad_chain c[] = {
		{ DATA_AT, 16, NEXT, 0 },         /* a circle */
		{ DATA_AT, 16, NEXT, RING_SIZE }, /* out of the table */
		{ RAM_END, 1, 0, 0 }, { UINT64_MAX - 3, 16, 0, 0 },
		{ DATA_AT, UINT32_MAX, WRITE, 0 },
		{ DATA_AT, 16, INDIRECT, 0 }, /* not negotiated */
	};
	return cr_make_param_array(struct bad_chain, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct bad_chain *c, custom_virtio, malformed_chain)
{
	enable_interrupts(b);
	bring_up(b, V1);
	put(&b->ram, 0, c->addr, c->len, c->flags, c->next);
	offer(&b->ram, 0);
	kick(b);
	expect_needs_reset();
}

/* It would have the host hold more and more. */
Test(custom_virtio, the_same_chain_again_and_again)
{
	enable_interrupts(b);
	echo.hold = true;
	bring_up(b, V1);
	request(0, "once", 8);
	for (unsigned i = 1; i < RING_SIZE; i++)
		offer(&b->ram, 0);
	kick(b);
	wait_for(&echo.held_count, RING_SIZE);
	cr_expect_eq(bar_get(b, VP_STATUS, 1), 15);
	offer(&b->ram, 0);
	kick(b);
	cr_assert(interrupted(b, 0, 60000));
	cr_expect_eq(bar_get(b, VP_STATUS, 1), 15 | 64);
	cr_expect_eq(now(&echo.held_count), RING_SIZE);
	release_held();
	echo.hold = false;
	bring_up(b, V1);
	request(0, "works", 8);
	kick(b);
	wait_used(b, 1);
}

Test(custom_virtio, the_model_gives_up)
{
	enable_interrupts(b);
	lacuna_virtio_fail(echo.v, "not active yet");
	cr_expect_eq(bar_get(b, VP_STATUS, 1), 0);
	bring_up(b, V1);
	wait_for(&echo.activates, 1);
	lacuna_virtio_fail(echo.v, NULL);
	lacuna_virtio_fail(echo.v, "no driver does that");
	expect_needs_reset();
}

/* --- noise --- */

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Registers and rings, with any values; afterwards the device works. */
Test(custom_virtio, random_accesses)
{
	uint64_t state = 0x9e3779b97f4a7c15ull;
	for (unsigned i = 0; i < 30000; i++) {
		uint64_t r = next_random(&state), value = next_random(&state);
		if (i % 64 == 0)
			bring_up(b, r & 1 ? V1 : V1 | VIRTIO_F_INDIRECT_DESC);
		uint64_t offset = (r >> 8) % (r & 0x10 ? 0x140 : VP_MSIX_TABLE);
		unsigned size = 1u << (r & 3);
		if (r & 0x20)
			bar_set(b, offset, value, size);
		else
			bar_get(b, offset, size);
		LOCK_SCOPE(&echo.lock); /* the thread sanitizer is to see our races only */
		put(&b->ram, (unsigned)(r >> 40) % RING_SIZE, DATA_AT + (value & 0x7fff),
			(uint32_t)(value >> 32) & 0xfff, (value >> 16) & 7,
			(value >> 20) % (RING_SIZE + 1));
		if (r & 0x40)
			offer(&b->ram, (r >> 50) % RING_SIZE);
		kick(b);
	}
	bring_up(b, V1);
	request(0, "works", 8);
	kick(b);
	wait_used(b, 1);
}
