// SPDX-License-Identifier: Apache-2.0
/*
 * The order of events in a block device: an engine of the test's own keeps requests under way until
 * the test lets them end, so what must wait for what can be seen.
 */
#include "virtio/blk_queue.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/thread.h"
#include "virtio_fixture.h"

#define V1      VIRTIO_F_VERSION_1
#define SECTORS 2048u

static struct board board, *b = &board;
static char path[] = "/tmp/lacuna-queue-XXXXXX";

/* --- the engine --- */

static struct held {
	struct engine engine;
	struct engine *real;
	pthread_mutex_t lock;
	/* below: under lock */
	struct disk_io *io[ENGINE_DEPTH];
	unsigned count;   /* under way */
	unsigned release; /* so many may end, the oldest first */
	int rc;           /* how */
	bool open;        /* all may end at once */
	unsigned seen[8]; /* by enum disk_op */
	bool durable;     /* the last one */
} held;

static void held_start(struct engine *e)
{
}

static void held_add(struct engine *e, struct disk_io *io)
{
	LOCK_SCOPE(&held.lock);
	cr_assert_lt(held.count, ENGINE_DEPTH);
	held.io[held.count++] = io;
	held.seen[io->op]++;
	held.durable = io->durable;
}

static void held_run(struct engine *e, bool wait)
{
	eventfd_drain(e->fd);
	for (;;) {
		struct disk_io *io = NULL;
		int rc;
		{
			LOCK_SCOPE(&held.lock);
			if (held.count && (held.release || held.open || wait)) {
				io = held.io[0];
				memmove(held.io, held.io + 1,
					--held.count * sizeof(struct disk_io *));
				held.release -= held.release > 0;
			}
			rc = held.rc;
		}
		if (!io)
			return;
		engine_done(e, io, rc);
	}
}

static const struct engine_ops held_ops = {
	.name = "held",
	.start = held_start,
	.add = held_add,
	.run = held_run,
};

/* Lets the @n oldest requests end. */
static void let_end(unsigned n)
{
	{
		LOCK_SCOPE(&held.lock);
		held.release += n;
	}
	eventfd_signal(held.engine.fd);
}

static void let_all_end(void)
{
	{
		LOCK_SCOPE(&held.lock);
		held.open = true;
	}
	eventfd_signal(held.engine.fd);
}

static unsigned under_way(void)
{
	LOCK_SCOPE(&held.lock);
	return held.count;
}

static void wait_under_way(unsigned n)
{
	while (under_way() != n)
		sched_yield();
}

static struct blk *blk(void)
{
	return container_of(b->dev, struct blk, dev);
}

/* --- the device --- */

static void disk_up(const char *options)
{
	char text[128];
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)SECTORS * 512), 0);
	close(fd);
	snprintf(text, sizeof(text), "%s%s", path, options);
	board_init(b);
	board_add(b, &virtio_blk_class, text);
}

/* With the test's engine in the place of queue 0's own; the worker has not used it yet. */
static void held_up(void)
{
	disk_up(",aio=threads");
	pthread_mutex_init(&held.lock, NULL);
	held.real = blk()->queue[0].engine;
	held.engine = (struct engine){ &held_ops, held.real->disk, held.real->fd, 0 };
	blk()->queue[0].engine = &held.engine;
}

static void held_down(void)
{
	b->dev->class->stop(b->dev);
	cr_expect_eq(held.count, 0, "a device that stops completes what is under way");
	blk()->queue[0].engine = held.real;
	board_done(b);
	unlink(path);
}

TestSuite(blk_order, .init = held_up, .fini = held_down, .timeout = 60);

/* Request @slot of at most 5; the status byte is 0xee until there is one. */
static void submit(unsigned slot, uint32_t type, uint64_t sector, uint32_t len)
{
	gpa_t header = TABLE_AT + 64 * slot, status = header + 32;
	uint8_t *h = gmem_ptr(&b->ram, header, 33);
	uint16_t first = (uint16_t)(3 * slot);
	store_le32(h, type);
	store_le32(h + 4, 0);
	store_le64(h + 8, sector);
	h[32] = 0xee;
	put(&b->ram, first, header, 16, NEXT, (uint16_t)(first + 1));
	put(&b->ram, first + 1, DATA_AT + 4096 * slot, len, NEXT | (type == BLK_T_IN ? WRITE : 0),
		(uint16_t)(first + 2));
	put(&b->ram, first + 2, status, 1, WRITE, 0);
	offer(&b->ram, first);
}

static uint8_t status_of(unsigned slot)
{
	return *(volatile uint8_t *)gmem_ptr(&b->ram, TABLE_AT + 64 * slot + 32, 1);
}

/* 5.2.6.2: a flush is complete when the engine says so and no sooner, however much else is. */
Test(blk_order, a_flush_is_told_of_when_it_is_done)
{
	bring_up(b, V1 | BLK_F_FLUSH);
	submit(0, BLK_T_OUT, 0, 512);
	kick(b);
	wait_under_way(1);
	cr_expect_eq(load_shared(&b->ram, USED_IDX), 0, "nothing is done yet");
	let_end(1);
	wait_used(b, 1);
	submit(1, BLK_T_FLUSH, 0, 0);
	submit(2, BLK_T_GET_ID, 0, 0); /* needs no disk: passes the flush */
	kick(b);
	wait_used(b, 2);
	wait_under_way(1);
	cr_expect_eq(held.seen[DISK_FLUSH], 1);
	cr_expect_eq(used_id(&b->ram, 1), 6);
	cr_expect_eq(status_of(1), 0xee);
	let_end(1);
	wait_used(b, 3);
	cr_expect_eq(used_id(&b->ram, 2), 3);
	cr_expect_eq(status_of(1), BLK_S_OK);
}

/* 2.7.10: with a driver that kicks only when it is asked to, whenever it looks. */
static bool wants_kick(uint64_t features, uint16_t idx)
{
	return features & VIRTIO_F_EVENT_IDX ? load_shared(&b->ram, AVAIL_EVENT) == idx
					     : !load_shared(&b->ram, USED_AT);
}

static void read_politely(uint64_t features)
{
	bring_up(b, features);
	let_all_end();
	for (uint16_t i = 0; i < 2000; i++) {
		while (i % 2 && !wants_kick(features, i)) /* asked for when all is done */
			sched_yield();
		submit(0, BLK_T_IN, 0, 512);
		atomic_thread_fence(memory_order_seq_cst);
		if (wants_kick(features, i))
			kick(b);
		wait_used(b, (uint16_t)(i + 1));
	}
}

Test(blk_order, requests_without_a_kick)
{
	read_politely(V1);
	read_politely(V1 | VIRTIO_F_EVENT_IDX);
}

Test(blk_order, failed_flushes_and_writes_are_told_of)
{
	bring_up(b, V1 | BLK_F_FLUSH);
	held.rc = -ENOSPC;
	submit(0, BLK_T_OUT, 0, 512);
	submit(1, BLK_T_FLUSH, 0, 0);
	submit(2, BLK_T_IN, 0, 512);
	kick(b);
	wait_under_way(3);
	let_all_end();
	wait_used(b, 3);
	for (unsigned i = 0; i < 3; i++)
		cr_expect_eq(status_of(i), BLK_S_IOERR);
	cr_expect_eq(used_len(&b->ram, 2), 0, "nothing is said to be read");
}

/* 2.4.2: the status reads 0 only when nothing touches the driver's memory any more. */
Test(blk_order, a_reset_waits_for_what_is_under_way)
{
	bring_up(b, V1);
	for (unsigned i = 0; i < 4; i++)
		submit(i, i & 1 ? BLK_T_OUT : BLK_T_IN, i, 512);
	kick(b);
	wait_under_way(4);
	bar_set(b, VP_STATUS, 0, 1);
	let_end(3);
	wait_under_way(1);
	for (unsigned i = 0; i < 1000; i++)
		cr_assert_neq(bar_get(b, VP_STATUS, 1), 0);
	submit(4, BLK_T_IN, 0, 512);
	kick(b); /* too late */
	let_end(1);
	while (bar_get(b, VP_STATUS, 1))
		sched_yield();
	cr_expect_eq(under_way(), 0);
	cr_expect_eq(held.seen[DISK_READ], 2);
	cr_expect_eq(status_of(4), 0xee);
	bring_up(b, V1);
	let_all_end();
	submit(0, BLK_T_IN, 0, 512);
	kick(b);
	wait_used(b, 1);
}

/* 2.1.2: a broken queue stops the device, and a reset mends it, with requests under way. */
Test(blk_order, broken_while_busy)
{
	enable_interrupts(b);
	bring_up(b, V1);
	submit(0, BLK_T_IN, 0, 512);
	submit(1, BLK_T_OUT, 0, 512);
	kick(b);
	wait_under_way(2);
	put(&b->ram, 12, DATA_AT, 16, NEXT, 99);
	offer(&b->ram, 12);
	submit(2, BLK_T_IN, 0, 512);
	kick(b);
	cr_assert(interrupted(b, 0, 60000), "the configuration's interrupt");
	cr_expect_eq(bar_get(b, VP_STATUS, 1), 15 | 64);
	let_end(1);
	wait_under_way(1);
	cr_expect_eq(held.seen[DISK_READ], 1, "nothing behind the broken chain is done");
	bar_set(b, VP_STATUS, 0, 1);
	cr_expect_neq(bar_get(b, VP_STATUS, 1), 0);
	let_all_end();
	while (bar_get(b, VP_STATUS, 1))
		sched_yield();
	bring_up(b, V1);
	submit(0, BLK_T_IN, 0, 512);
	kick(b);
	wait_used(b, 1);
	cr_expect_eq(status_of(0), BLK_S_OK);
}

/* A driver that offers one chain again and again, which none may: there is a limit, and those
 * beyond it wait in the ring. */
Test(blk_order, no_more_than_the_depth)
{
	bring_up(b, V1);
	submit(0, BLK_T_IN, 0, 512);
	kick(b);
	for (unsigned n = 1; n < ENGINE_DEPTH; n++) {
		wait_under_way(n);
		offer(&b->ram, 0);
		kick(b);
	}
	wait_under_way(ENGINE_DEPTH);
	for (unsigned i = 0; i < 4; i++)
		offer(&b->ram, 0);
	kick(b);
	let_end(1);
	wait_used(b, 1);
	wait_under_way(ENGINE_DEPTH);
	cr_expect_eq(held.seen[DISK_READ], ENGINE_DEPTH + 1);
	let_all_end();
	wait_used(b, ENGINE_DEPTH + 4); /* without another kick */
}

static bool durable_write(void)
{
	uint16_t used = load_shared(&b->ram, USED_IDX);
	submit(0, BLK_T_OUT, 0, 512);
	kick(b);
	wait_under_way(1);
	bool durable = held.durable;
	let_end(1);
	wait_used(b, (uint16_t)(used + 1));
	return durable;
}

#define WRITEBACK (VP_DEVICE + 32)

Test(blk_order, cache_modes)
{
	bring_up(b, V1 | BLK_F_FLUSH);
	cr_expect_not(durable_write());
	bar_set(b, WRITEBACK, 0, 1);
	cr_expect_eq(bar_get(b, WRITEBACK, 1), 1, "can't be set unless that was agreed upon");
	bring_up(b, V1);
	cr_expect(durable_write(), "a driver that can't flush");
	bring_up(b, V1 | BLK_F_CONFIG_WCE);
	cr_expect(durable_write(), "likewise");
	bring_up(b, V1 | BLK_F_FLUSH | BLK_F_CONFIG_WCE);
	cr_expect_not(durable_write());
	bar_set(b, WRITEBACK, 0, 1);
	cr_expect_eq(bar_get(b, WRITEBACK, 1), 0);
	cr_expect(durable_write());
	bar_set(b, WRITEBACK, 1, 1);
	cr_expect_not(durable_write());
	bar_set(b, WRITEBACK, 0, 1);
	bar_set(b, WRITEBACK, 1, 2); /* not the field */
	bar_set(b, WRITEBACK + 1, 1, 1);
	cr_expect(durable_write());
	bring_up(b, V1 | BLK_F_FLUSH | BLK_F_CONFIG_WCE);
	cr_expect_not(durable_write(), "a reset restores what the user said");
}

/* --- whole disks with options --- */

static void disk_down(void)
{
	board_done(b);
	unlink(path);
}

TestSuite(blk_disk, .fini = disk_down, .timeout = 60);

Test(blk_disk, writethrough_unless_the_driver_wants_otherwise)
{
	disk_up(",cache=writethrough");
	bring_up(b, V1 | BLK_F_FLUSH);
	cr_expect(blk()->target.write_through);
	cr_expect_eq(bar_get(b, WRITEBACK, 1), 0);
	bring_up(b, V1 | BLK_F_FLUSH | BLK_F_CONFIG_WCE);
	cr_expect(blk()->target.write_through);
	bar_set(b, WRITEBACK, 1, 1);
	cr_expect_not(blk()->target.write_through);
}

/* Beyond the burst they come one by one, in their order, and none is lost. */
Test(blk_disk, limited_requests_keep_their_order)
{
	disk_up(",iops=20");
	bring_up(b, V1);
	for (uint16_t i = 0; i < 25; i += 5) {
		for (unsigned slot = 0; slot < 5; slot++)
			submit(slot, BLK_T_IN, i + slot, 512);
		kick(b);
		wait_used(b, (uint16_t)(i + 5));
		for (unsigned slot = 0; slot < 5; slot++) {
			cr_expect_eq(status_of(slot), BLK_S_OK);
			if (i >= 20)
				cr_expect_eq(used_id(&b->ram, i + slot), 3 * slot);
		}
	}
}

Test(blk_disk, a_request_that_waits_is_given_up_by_a_reset)
{
	disk_up(",bw=512,aio=threads");
	bring_up(b, V1);
	submit(0, BLK_T_IN, 0, 4096);
	submit(1, BLK_T_IN, 0, 4096); /* for eight seconds */
	kick(b);
	wait_used(b, 1);
	bring_up(b, V1);
	submit(2, BLK_T_FLUSH, 0, 0); /* has no bytes */
	kick(b);
	wait_used(b, 1);
	cr_expect_eq(used_id(&b->ram, 0), 6);
}

static struct {
	uint64_t size, reads, writes, flushes, errors, bytes_read, bytes_written;
} told;

static void tell(void *opaque, const char *key, const char *value)
{
	static const struct {
		const char *key;
		uint64_t *to;
	} known[] = { { "size", &told.size }, { "reads", &told.reads }, { "writes", &told.writes },
		{ "flushes", &told.flushes }, { "errors", &told.errors },
		{ "bytes-read", &told.bytes_read }, { "bytes-written", &told.bytes_written } };
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(key, known[i].key))
			*known[i].to = strtoull(value, NULL, 10);
}

static int set(const char *text, struct lacuna_error **err)
{
	struct keyval *kv;
	cr_assert_eq(keyval_parse(text, NULL, virtio_blk_class.settable, &kv, NULL), 0);
	int rc = virtio_blk_class.set(b->dev, kv, err);
	keyval_free(kv);
	return rc;
}

Test(blk_disk, grows_and_counts)
{
	disk_up("");
	enable_interrupts(b);
	bring_up(b, V1 | BLK_F_FLUSH);
	submit(0, BLK_T_IN, SECTORS, 512);
	submit(1, BLK_T_OUT, 0, 1024);
	kick(b);
	wait_used(b, 2);
	cr_expect_eq(status_of(0), BLK_S_IOERR);
	uint8_t before = (uint8_t)bar_get(b, VP_GENERATION, 1);

	cr_assert_eq(set("size=2M", NULL), 0);
	cr_assert(interrupted(b, 0, 60000));
	cr_expect_neq(bar_get(b, VP_GENERATION, 1), before);
	cr_expect_eq(bar_get(b, VP_DEVICE, 8), 4096);
	submit(0, BLK_T_IN, SECTORS, 512);
	submit(1, BLK_T_FLUSH, 0, 0);
	kick(b);
	wait_used(b, 4);
	cr_expect_eq(status_of(0), BLK_S_OK);

	struct lacuna_error *err = NULL;
	cr_expect_eq(set("size=1M", &err), -EINVAL);
	cr_expect_not_null(strstr(lacuna_error_message(err), "can only grow"));
	lacuna_error_free(err);
	cr_expect_eq(set("size=much", NULL), -EINVAL);
	virtio_blk_class.get(b->dev, tell, NULL);
	cr_expect_eq(told.size, 2 * MIB);
	cr_expect_eq(told.reads, 1);
	cr_expect_eq(told.writes, 1);
	cr_expect_eq(told.flushes, 1);
	cr_expect_eq(told.errors, 1);
	cr_expect_eq(told.bytes_read, 512);
	cr_expect_eq(told.bytes_written, 1024);
}

/* --- several queues --- */

/* Queue @queue with rings and request of its own, 0x800 bytes further on for each. */
#define QUEUE_STEP ((gpa_t)0x800)

static void place_queue(unsigned queue)
{
	gpa_t shift = queue * QUEUE_STEP;
	bar_set(b, VP_QUEUE_SELECT, queue, 2);
	bar_set(b, VP_QUEUE_SIZE, RING_SIZE, 2);
	bar_set(b, VP_QUEUE_VECTOR, 1, 2);
	bar_set(b, VP_QUEUE_DESC, DESC_AT + shift, 4);
	bar_set(b, VP_QUEUE_DESC + 4, 0, 4);
	bar_set(b, VP_QUEUE_DRIVER, AVAIL_AT + shift, 4);
	bar_set(b, VP_QUEUE_DRIVER + 4, 0, 4);
	bar_set(b, VP_QUEUE_DEVICE, USED_AT + shift, 4);
	bar_set(b, VP_QUEUE_DEVICE + 4, 0, 4);
	bar_set(b, VP_QUEUE_ENABLE, 1, 2);
}

static void submit_to(unsigned queue, uint32_t type, uint64_t sector, uint16_t round)
{
	gpa_t shift = queue * QUEUE_STEP, at = TABLE_AT + shift;
	uint8_t *h = gmem_ptr(&b->ram, at, 33);
	store_le32(h, type);
	store_le64(h + 8, sector);
	h[32] = 0xee;
	put_desc(&b->ram, DESC_AT + shift, at, 16, NEXT, 1);
	put_desc(&b->ram, DESC_AT + shift + 16, DATA_AT + 2 * shift, 512,
		NEXT | (type == BLK_T_IN ? WRITE : 0), 2);
	put_desc(&b->ram, DESC_AT + shift + 32, at + 32, 1, WRITE, 0);
	*word(&b->ram, AVAIL_AT + shift + 4 + (uint64_t)2 * (round % RING_SIZE)) = 0;
	store_shared(&b->ram, AVAIL_IDX + shift, (uint16_t)(round + 1));
	bar_set(b, VP_NOTIFY + 4 * queue, (uint16_t)queue, 2);
}

Test(blk_disk, queues_work_side_by_side)
{
	disk_up(",queues=2");
	cr_expect_eq(bar_get(b, VP_DEVICE + 34, 2), 2, "num_queues");
	for (unsigned round = 0; round < 5; round++) {
		reset_device(b);
		memset(gmem_ptr(&b->ram, DESC_AT, TABLE_AT - DESC_AT), 0, TABLE_AT - DESC_AT);
		negotiate(b, V1 | BLK_F_MQ | BLK_F_FLUSH);
		place_queue(0);
		place_queue(1);
		bar_set(b, VP_STATUS, 15, 1);
		for (uint16_t i = 0; i < 100; i++) {
			for (unsigned q = 0; q < 2; q++) {
				memset(gmem_ptr(&b->ram, DATA_AT + (uint64_t)2 * q * QUEUE_STEP,
					       512),
					(int)(i + 100 * q), 512);
				submit_to(q, BLK_T_OUT, i + (uint64_t)1000 * q, i);
			}
			for (unsigned q = 0; q < 2; q++)
				while (load_shared(&b->ram, USED_IDX + q * QUEUE_STEP) != i + 1)
					sched_yield();
		}
	}
	int fd = open(path, O_RDONLY);
	uint8_t sector[512];
	for (unsigned i = 0; i < 200; i++) {
		unsigned q = i / 100;
		cr_assert_eq(pread(fd, sector, 512, (off_t)512 * (i % 100 + 1000 * q)), 512);
		cr_assert_eq(sector[0], (uint8_t)i);
		cr_assert_eq(sector[511], (uint8_t)i);
	}
	close(fd);
}
