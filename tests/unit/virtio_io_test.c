// SPDX-License-Identifier: Apache-2.0
/* Whole devices at work: requests in, data and interrupts out, resets at the worst moment. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "virtio/blk.h"
#include "virtio/blk_layout.h"
#include "virtio/rng.h"
#include "virtio_fixture.h"

#define V1      VIRTIO_F_VERSION_1
#define SECTORS 2048u

static struct board board, *b = &board;
static char path[] = "/tmp/lacuna-io-XXXXXX";

static void disk_up(const char *aio)
{
	char text[96];
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)SECTORS * 512), 0);
	close(fd);
	snprintf(text, sizeof(text), "%s,serial=0123456789abcdefghij,aio=%s", path, aio);
	board_init(b);
	board_add(b, &virtio_blk_class, text);
}

static void blk_up(void)
{
	disk_up("auto");
}

static void blk_threads_up(void)
{
	disk_up("threads");
}

static void blk_down(void)
{
	board_done(b);
	unlink(path);
}

static void rng_up(void)
{
	board_init(b);
	board_add(b, &virtio_rng_class, "");
}

static void rng_down(void)
{
	board_done(b);
}

TestSuite(virtio_blk, .init = blk_up, .fini = blk_down, .timeout = 120);
TestSuite(virtio_blk_threads, .init = blk_threads_up, .fini = blk_down, .timeout = 120);
TestSuite(virtio_rng, .init = rng_up, .fini = rng_down, .timeout = 120);

/* With io_uring where there is one, and with threads. */
#define EACH_ENGINE(name)              \
	static void name(void);        \
	Test(virtio_blk, name)         \
	{                              \
		name();                \
	}                              \
	Test(virtio_blk_threads, name) \
	{                              \
		name();                \
	}                              \
	static void name(void)

/* Puts a request of one data buffer into the descriptors from @first and offers it. */
static void submit(unsigned first, uint32_t type, uint64_t sector, gpa_t data, uint32_t len)
{
	gpa_t header = TABLE_AT + 32 * first, status = header + 16;
	uint8_t *h = gmem_ptr(&b->ram, header, 17);
	store_le32(h, type);
	store_le32(h + 4, 0);
	store_le64(h + 8, sector);
	h[16] = 0xee;
	put(&b->ram, first, header, 16, NEXT, (uint16_t)(first + 1));
	put(&b->ram, first + 1, data, len,
		NEXT | (type == BLK_T_IN || type == BLK_T_GET_ID ? WRITE : 0),
		(uint16_t)(first + 2));
	put(&b->ram, first + 2, status, 1, WRITE, 0);
	offer(&b->ram, (uint16_t)first);
}

static uint8_t status_of(unsigned first)
{
	return *(uint8_t *)gmem_ptr(&b->ram, TABLE_AT + 32 * first + 16, 1);
}

Test(virtio_blk, configuration)
{
	cr_expect_eq(config_read(b, 0, 4), 0x10421af4);
	cr_expect_eq(config_read(b, 0x0b, 1), 1, "mass storage");
	bar_set(b, VP_DEVICE_FEATURE_SELECT, 0, 4);
	uint64_t features = bar_get(b, VP_DEVICE_FEATURE, 4);
	cr_expect_eq(features & (BLK_F_FLUSH | BLK_F_BLK_SIZE | BLK_F_DISCARD | BLK_F_WRITE_ZEROES),
		BLK_F_FLUSH | BLK_F_BLK_SIZE | BLK_F_DISCARD | BLK_F_WRITE_ZEROES);
	cr_expect_not(features & BLK_F_RO);
	cr_expect_eq(bar_get(b, VP_DEVICE, 8), SECTORS);
	cr_expect_eq(bar_get(b, VP_DEVICE + 12, 4), 254, "seg_max");
	cr_expect_eq(bar_get(b, VP_DEVICE + 20, 4), 512, "blk_size");
	bar_set(b, VP_DEVICE, 1, 4);
	cr_expect_eq(bar_get(b, VP_DEVICE, 8), SECTORS, "none of it can be written");
	cr_expect_eq(bar_get(b, VP_DEVICE + 60, 4), 0);
}

Test(virtio_blk, option_errors)
{
	static const char *const text[] = { "readonly=on", "path=/nowhere/x.img", "path=/dev/null",
		"path=/tmp,readonly=on", "x.img,serial=012345678901234567890",
		"x.img,readonly=maybe", "x.img,queues=0", "x.img,queues=17", "x.img,cache=none",
		"x.img,aio=native", "x.img,iops=0", "x.img,bw=511", "x.img,direct=yes" };
	for (unsigned i = 0; i < ARRAY_SIZE(text); i++) {
		struct keyval *kv;
		struct device *d = NULL;
		struct lacuna_error *err = NULL;
		cr_assert_eq(keyval_parse(text[i], virtio_blk_class.implied_key,
				     virtio_blk_class.keys, &kv, NULL),
			0);
		cr_expect_lt(virtio_blk_class.create(&b->env, kv, &d, &err), 0, "%s", text[i]);
		cr_expect_not_null(err, "%s", text[i]);
		cr_expect_null(d);
		lacuna_error_free(err);
		keyval_free(kv);
	}
}

Test(virtio_blk, made_and_never_started)
{
	struct keyval *kv;
	struct device *d;
	b->dev->class->stop(b->dev);
	b->dev->class->destroy(b->dev);
	b->dev = NULL;
	cr_assert_eq(keyval_parse(path, "path", virtio_blk_class.keys, &kv, NULL), 0);
	cr_assert_eq(virtio_blk_class.create(&b->env, kv, &d, NULL), 0);
	keyval_free(kv);
	virtio_blk_class.stop(d);
	virtio_blk_class.destroy(d);
}

EACH_ENGINE(write_flush_read)
{
	uint8_t *data = gmem_ptr(&b->ram, DATA_AT, 4096);
	enable_interrupts(b);
	bring_up(b, V1 | BLK_F_FLUSH);
	for (unsigned i = 0; i < 2048; i++)
		data[i] = (uint8_t)(i * 5);
	submit(0, BLK_T_OUT, 100, DATA_AT, 2048);
	kick(b);
	cr_assert(interrupted(b, 1, 60000));
	wait_used(b, 1);
	cr_expect_eq(status_of(0), BLK_S_OK);
	submit(3, BLK_T_FLUSH, 0, DATA_AT, 0);
	submit(6, BLK_T_IN, 100, DATA_AT + 2048, 2048);
	submit(9, BLK_T_GET_ID, 0, DATA_AT + 4096, 20);
	kick(b);
	wait_used(b, 4);
	cr_expect_eq(status_of(3), BLK_S_OK);
	cr_expect_eq(status_of(6), BLK_S_OK);
	cr_expect_eq(status_of(9), BLK_S_OK);
	cr_expect_arr_eq(data, data + 2048, 2048);
	cr_expect_arr_eq(data + 4096, "0123456789abcdefghij", 20);
	unsigned read = 0; /* they may complete in any order */
	for (unsigned i = 1; i < 4; i++)
		if (used_id(&b->ram, i) == 6)
			read = i;
	cr_assert_neq(read, 0);
	cr_expect_eq(used_len(&b->ram, read), 2049);

	uint8_t host[2048];
	int fd = open(path, O_RDONLY);
	cr_assert_eq(pread(fd, host, sizeof(host), 51200), (ssize_t)sizeof(host));
	close(fd);
	cr_expect_arr_eq(host, data, sizeof(host));
}

Test(virtio_blk, chain_without_status_byte)
{
	bring_up(b, V1);
	put(&b->ram, 0, TABLE_AT, 16, 0, 0);
	offer(&b->ram, 0);
	kick(b);
	while (bar_get(b, VP_STATUS, 1) != (15 | 64))
		sched_yield();
	cr_expect_eq(load_shared(&b->ram, USED_IDX), 0);
	bring_up(b, V1);
	submit(0, BLK_T_IN, 0, DATA_AT, 512);
	kick(b);
	wait_used(b, 1);
}

/* Thousands of requests with event indices: every kick the driver leaves out must be one the device
 * did not need, and every interrupt one it was asked for; a lost one hangs here. */
EACH_ENGINE(event_indices_lose_nothing)
{
	enable_interrupts(b);
	bring_up(b, V1 | VIRTIO_F_EVENT_IDX);
	uint16_t done = 0;
	for (unsigned round = 0; round < 3000; round++) {
		unsigned batch = 1 + round % 4;
		uint16_t old = load_shared(&b->ram, AVAIL_IDX);
		store_shared(&b->ram, USED_EVENT, (uint16_t)(done + batch - 1));
		for (unsigned i = 0; i < batch; i++)
			submit(4 * i, BLK_T_IN, round % SECTORS, DATA_AT + 512 * i, 512);
		uint16_t now = load_shared(&b->ram, AVAIL_IDX);
		uint16_t event = load_shared(&b->ram, AVAIL_EVENT);
		if ((uint16_t)(now - event - 1) < (uint16_t)(now - old))
			kick(b);
		done = (uint16_t)(done + batch);
		/* One interrupt comes, for the last of the batch. */
		cr_assert(interrupted(b, 1, 60000), "round %u", round);
		cr_assert_eq(load_shared(&b->ram, USED_IDX), done);
		for (unsigned i = 0; i < batch; i++)
			cr_assert_eq(status_of(4 * i), BLK_S_OK);
	}
}

/* Reset with requests under way, negotiate anew, and again. Nothing of the old life may show in the
 * new one. */
EACH_ENGINE(reset_while_busy)
{
	uint8_t *data = gmem_ptr(&b->ram, DATA_AT, 512);
	for (unsigned round = 0; round < 500; round++) {
		bring_up(b,
			V1 | (round & 1 ? BLK_F_FLUSH : 0) | (round & 2 ? VIRTIO_F_EVENT_IDX : 0));
		cr_assert_eq(load_shared(&b->ram, USED_IDX), 0);
		memset(data, (int)round, 512);
		for (unsigned i = 0; i < 5; i++)
			submit(3 * i, round & 4 ? BLK_T_OUT : BLK_T_IN, i, DATA_AT, 512);
		kick(b);
		while (round & 8 && !load_shared(&b->ram, USED_IDX)) /* the first is done */
			sched_yield();
		reset_device(b);
		uint16_t used = load_shared(&b->ram, USED_IDX);
		cr_assert_leq(used, 5);
		memset(data, 0x77, 512);
		store_shared(&b->ram, AVAIL_IDX, 0);
		kick(b);
		cr_assert_eq(load_shared(&b->ram, USED_IDX), used);
		cr_assert_eq(bar_get(b, VP_QUEUE_ENABLE, 2), 0);
	}
	bring_up(b, V1);
	submit(0, BLK_T_IN, 0, DATA_AT, 512);
	kick(b);
	wait_used(b, 1);
	cr_expect_eq(status_of(0), BLK_S_OK);
}

EACH_ENGINE(stopped_while_busy)
{
	bring_up(b, V1);
	for (unsigned i = 0; i < 5; i++)
		submit(3 * i, BLK_T_OUT, i, DATA_AT, 4096);
	kick(b);
}

/* Other vCPUs: one moves the BAR, one writes registers, while this one does I/O. */
static _Atomic bool over;

static void *mover(void *opaque)
{
	while (!over) {
		config_write(b, 4, 4, 2);
		config_write(b, 4, 6, 2);
		config_write(b, 4, 2, 2); /* bus mastering off */
		config_write(b, 4, 6, 2);
	}
	return NULL;
}

static void *writer(void *opaque)
{
	for (unsigned i = 0; !over; i++) {
		bar_set(b, VP_QUEUE_SELECT, i & 1, 2);
		bar_set(b, VP_CONFIG_VECTOR, i % 3, 2);
		bar_set(b, VP_QUEUE_VECTOR, i % 3, 2);
		bar_set(b, VP_QUEUE_DESC, i, 4);
		bar_set(b, VP_DRIVER_FEATURE, i, 4);
		bar_get(b, VP_QUEUE_SIZE, 2);
		bar_get(b, VP_ISR, 1);
		bar_get(b, VP_STATUS, 1);
	}
	return NULL;
}

EACH_ENGINE(other_vcpus_interfere)
{
	pthread_t thread[2];
	enable_interrupts(b);
	bring_up(b, V1);
	cr_assert_eq(pthread_create(&thread[0], NULL, mover, NULL), 0);
	cr_assert_eq(pthread_create(&thread[1], NULL, writer, NULL), 0);
	for (uint16_t i = 1; i <= 2000; i++) {
		submit(0, BLK_T_IN, i % SECTORS, DATA_AT, 512);
		while (load_shared(&b->ram, USED_IDX) != i)
			kick(b); /* one may meet an unmapped BAR */
		cr_assert_eq(status_of(0), BLK_S_OK);
	}
	over = true;
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
}

/* --- the entropy device --- */

static bool all_equal(const uint8_t *p, size_t len)
{
	for (size_t i = 1; i < len; i++)
		if (p[i] != p[0])
			return false;
	return true;
}

Test(virtio_rng, fills_what_it_says)
{
	uint8_t *p = gmem_ptr(&b->ram, RAM_LOW, RAM_HIGH);
	bring_up(b, V1);
	memset(p, 0x5a, RAM_HIGH);
	put(&b->ram, 0, RAM_LOW, 100, WRITE | NEXT, 1);
	put(&b->ram, 1, RAM_LOW + 200, 28, WRITE, 0);
	offer(&b->ram, 0);
	kick(b);
	wait_used(b, 1);
	cr_expect_eq(used_len(&b->ram, 0), 128);
	cr_expect_not(all_equal(p, 100));
	cr_expect_not(all_equal(p + 200, 28));
	cr_expect(all_equal(p + 100, 100));
	cr_expect(all_equal(p + 228, 100));

	/* more than it gives at a time: less is used, and no byte more than that is changed */
	memset(p, 0x5a, RAM_HIGH);
	put(&b->ram, 0, RAM_LOW, RAM_HIGH, WRITE, 0);
	offer(&b->ram, 0);
	kick(b);
	wait_used(b, 2);
	uint32_t len = used_len(&b->ram, 1);
	cr_expect_gt(len, 0);
	cr_assert_lt(len, RAM_HIGH);
	cr_expect_not(all_equal(p + len - 64, 64));
	cr_expect(all_equal(p + len, RAM_HIGH - len));
}

Test(virtio_rng, nothing_to_write_to)
{
	bring_up(b, V1);
	put(&b->ram, 0, DATA_AT, 64, 0, 0);
	offer(&b->ram, 0);
	kick(b);
	wait_used(b, 1);
	cr_expect_eq(used_len(&b->ram, 0), 0);
}

Test(virtio_rng, many_rounds_and_resets)
{
	for (unsigned round = 0; round < 200; round++) {
		bring_up(b, V1 | (round & 1 ? VIRTIO_F_EVENT_IDX : 0));
		for (uint16_t i = 0; i < RING_SIZE; i++) {
			put(&b->ram, i, DATA_AT + 64 * i, 64, WRITE, 0);
			offer(&b->ram, i);
		}
		kick(b);
		if (round & 2)
			wait_used(b, RING_SIZE);
	}
}
