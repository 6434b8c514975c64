// SPDX-License-Identifier: Apache-2.0
/* Virtqueue walks: well-formed chains, and every way of getting one wrong. */
#include "virtio/virtq.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdio.h>

#include "virtio_guest.h"

static struct gmem ram;
static struct virtq vq;
static struct virtq_chain chain;

static void set_up(void)
{
	ram_init(&ram);
	queue_init(&vq, &ram);
}

static void tear_down(void)
{
	ram_done(&ram);
}

TestSuite(virtq, .init = set_up, .fini = tear_down);

/* --- chains that are fine: what is found in them --- */

struct desc_row {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

struct chain_case {
	char name[64];            /* rows are copied into another process: no pointers */
	struct desc_row desc[6];  /* in the ring's table, from 0 */
	struct desc_row table[4]; /* at TABLE_AT */
	uint32_t out, in;         /* bytes */
	unsigned out_count, in_count;
	int rc;           /* 1, or -EIO */
	bool no_indirect; /* the feature was not negotiated */
};

ParameterizedTestParameters(virtq, chains)
{
	static struct chain_case c[] = {
		{ "one readable", { { DATA_AT, 100, 0, 0 } }, { { 0 } }, 100, 0, 1, 0, 1, false },
		{ "one writable", { { DATA_AT, 100, WRITE, 0 } }, { { 0 } }, 0, 100, 0, 1, 1,
			false },
		{ "next without flag is ignored", { { DATA_AT, 1, 0, 999 } }, { { 0 } }, 1, 0, 1, 0,
			1, false },
		{ "out, out, in, in",
			{ { DATA_AT, 16, NEXT, 3 }, { DATA_AT + 64, 1, WRITE, 0 },
				{ DATA_AT + 32, 8, WRITE | NEXT, 1 },
				{ DATA_AT + 16, 4, NEXT, 2 } },
			{ { 0 } }, 20, 9, 2, 2, 1, false },
		{ "an empty buffer among others",
			{ { DATA_AT, 16, NEXT, 1 }, { 0, 0, NEXT, 2 }, { DATA_AT, 1, WRITE, 0 } },
			{ { 0 } }, 16, 1, 1, 1, 1, false },
		{ "an empty buffer nowhere in RAM", { { UINT64_MAX, 0, 0, 0 } }, { { 0 } }, 0, 0, 0,
			0, 1, false },
		{ "the last byte of RAM", { { RAM_END - 1, 1, 0, 0 } }, { { 0 } }, 1, 0, 1, 0, 1,
			false },
		{ "the whole upper region", { { RAM_LOW, RAM_HIGH, WRITE, 0 } }, { { 0 } }, 0,
			RAM_HIGH, 0, 1, 1, false },
		{ "indirect", { { TABLE_AT, 48, INDIRECT, 0 } },
			{ { DATA_AT, 16, NEXT, 2 }, { DATA_AT, 7, WRITE, 0 },
				{ DATA_AT, 5, WRITE | NEXT, 1 } },
			16, 12, 1, 2, 1, false },
		{ "indirect after direct",
			{ { DATA_AT, 16, NEXT, 1 }, { TABLE_AT, 16, INDIRECT, 0 } },
			{ { DATA_AT, 7, WRITE, 0 } }, 16, 7, 1, 1, 1, false },
		{ "the write flag of an indirect descriptor is ignored",
			{ { TABLE_AT, 16, INDIRECT | WRITE, 0 } }, { { DATA_AT, 7, 0, 0 } }, 7, 0,
			1, 0, 1, false },
		{ "an indirect table at an odd address", { { TABLE_AT, 16, INDIRECT, 0 } },
			{ { DATA_AT, 7, 0, 0 } }, 7, 0, 1, 0, 1, false },

		{ "loop of one", { { DATA_AT, 1, NEXT, 0 } }, { { 0 } }, 0, 0, 0, 0, -EIO, false },
		{ "loop of two", { { DATA_AT, 1, NEXT, 1 }, { DATA_AT, 1, NEXT, 0 } }, { { 0 } }, 0,
			0, 0, 0, -EIO, false },
		{ "loop of empty buffers", { { 0, 0, NEXT, 1 }, { 0, 0, NEXT, 0 } }, { { 0 } }, 0,
			0, 0, 0, -EIO, false },
		{ "loop inside a table", { { TABLE_AT, 32, INDIRECT, 0 } },
			{ { DATA_AT, 1, NEXT, 1 }, { DATA_AT, 1, NEXT, 0 } }, 0, 0, 0, 0, -EIO,
			false },
		{ "next out of range", { { DATA_AT, 1, NEXT, RING_SIZE } }, { { 0 } }, 0, 0, 0, 0,
			-EIO, false },
		{ "next far out of range", { { DATA_AT, 1, NEXT, 0xffff } }, { { 0 } }, 0, 0, 0, 0,
			-EIO, false },
		{ "readable after writable",
			{ { DATA_AT, 1, WRITE | NEXT, 1 }, { DATA_AT, 1, 0, 0 } }, { { 0 } }, 0, 0,
			0, 0, -EIO, false },
		{ "readable after writable in a table", { { TABLE_AT, 32, INDIRECT, 0 } },
			{ { DATA_AT, 1, WRITE | NEXT, 1 }, { DATA_AT, 1, 0, 0 } }, 0, 0, 0, 0, -EIO,
			false },
		{ "beyond RAM", { { RAM_END, 1, 0, 0 } }, { { 0 } }, 0, 0, 0, 0, -EIO, false },
		{ "over the end of RAM", { { RAM_END - 4, 5, 0, 0 } }, { { 0 } }, 0, 0, 0, 0, -EIO,
			false },
		{ "address that wraps", { { UINT64_MAX - 3, 8, 0, 0 } }, { { 0 } }, 0, 0, 0, 0,
			-EIO, false },
		{ "longest length", { { DATA_AT, UINT32_MAX, 0, 0 } }, { { 0 } }, 0, 0, 0, 0, -EIO,
			false },
		{ "from one region into the next", { { RAM_LOW - 8, 16, 0, 0 } }, { { 0 } }, 0, 0,
			0, 0, -EIO, false },
		{ "nested indirect", { { TABLE_AT, 32, INDIRECT, 0 } },
			{ { TABLE_AT + 16, 16, INDIRECT, 0 }, { DATA_AT, 1, 0, 0 } }, 0, 0, 0, 0,
			-EIO, false },
		{ "indirect with next",
			{ { TABLE_AT, 16, INDIRECT | NEXT, 1 }, { DATA_AT, 1, 0, 0 } },
			{ { DATA_AT, 1, 0, 0 } }, 0, 0, 0, 0, -EIO, false },
		{ "indirect of no entries", { { TABLE_AT, 0, INDIRECT, 0 } }, { { 0 } }, 0, 0, 0, 0,
			-EIO, false },
		{ "indirect of one and a half", { { TABLE_AT, 24, INDIRECT, 0 } },
			{ { DATA_AT, 1, 0, 0 } }, 0, 0, 0, 0, -EIO, false },
		{ "indirect table out of RAM", { { RAM_END - 16, 32, INDIRECT, 0 } }, { { 0 } }, 0,
			0, 0, 0, -EIO, false },
		{ "indirect table over a border", { { RAM_LOW - 16, 32, INDIRECT, 0 } }, { { 0 } },
			0, 0, 0, 0, -EIO, false },
		{ "indirect table that wraps", { { UINT64_MAX - 15, 32, INDIRECT, 0 } }, { { 0 } },
			0, 0, 0, 0, -EIO, false },
		{ "next out of the table", { { TABLE_AT, 32, INDIRECT, 0 } },
			{ { DATA_AT, 1, NEXT, 2 } }, 0, 0, 0, 0, -EIO, false },
		{ "indirect, not negotiated", { { TABLE_AT, 16, INDIRECT, 0 } },
			{ { DATA_AT, 1, 0, 0 } }, 0, 0, 0, 0, -EIO, true },
	};
	return cr_make_param_array(struct chain_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct chain_case *c, virtq, chains)
{
	vq.indirect = !c->no_indirect;
	for (unsigned i = 0; i < ARRAY_SIZE(c->desc); i++)
		put(&ram, i, c->desc[i].addr, c->desc[i].len, c->desc[i].flags, c->desc[i].next);
	for (unsigned i = 0; i < ARRAY_SIZE(c->table); i++)
		put_desc(&ram, TABLE_AT + 16 * i, c->table[i].addr, c->table[i].len,
			c->table[i].flags, c->table[i].next);
	offer(&ram, 0);
	cr_expect_eq(virtq_pop(&vq, &chain), c->rc, "%s", c->name);
	if (c->rc < 0) {
		cr_expect_not_null(vq.broken, "%s", c->name);
		offer(&ram, 0);
		cr_expect_eq(virtq_pop(&vq, &chain), -EIO, "%s: broken stays broken", c->name);
		return;
	}
	cr_expect_eq(chain.out_size, c->out, "%s", c->name);
	cr_expect_eq(chain.in_size, c->in, "%s", c->name);
	cr_expect_eq(chain.out_count, c->out_count, "%s", c->name);
	cr_expect_eq(chain.in_count, c->in_count, "%s", c->name);
	cr_expect_eq(virtq_pop(&vq, &chain), 0, "%s: one is all there was", c->name);
}

Test(virtq, unpop)
{
	put(&ram, 5, DATA_AT, 8, WRITE, 0);
	offer(&ram, 5);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(virtq_pop(&vq, &chain), 1);
		cr_expect_eq(chain.head, 5);
		if (i < 2)
			virtq_unpop(&vq);
	}
	cr_expect_eq(virtq_pop(&vq, &chain), 0);
}

Test(virtq, unaligned_indirect_table)
{
	put(&ram, 0, TABLE_AT + 3, 32, INDIRECT, 0);
	put_desc(&ram, TABLE_AT + 3, DATA_AT, 10, NEXT, 1);
	put_desc(&ram, TABLE_AT + 19, DATA_AT, 20, WRITE, 0);
	offer(&ram, 0);
	cr_assert_eq(virtq_pop(&vq, &chain), 1);
	cr_expect_eq(chain.out_size, 10);
	cr_expect_eq(chain.in_size, 20);
}

Test(virtq, as_long_as_the_queue_and_one_longer)
{
	for (unsigned i = 0; i < RING_SIZE; i++)
		put(&ram, i, DATA_AT, 1, i + 1 < RING_SIZE ? NEXT : 0, (uint16_t)(i + 1));
	offer(&ram, 0);
	cr_assert_eq(virtq_pop(&vq, &chain), 1);
	cr_expect_eq(chain.out_count, RING_SIZE);

	/* the same in a table with room for more */
	put(&ram, 0, TABLE_AT, 16 * (RING_SIZE + 1), INDIRECT, 0);
	for (unsigned i = 0; i <= RING_SIZE; i++)
		put_desc(&ram, TABLE_AT + 16 * i, DATA_AT, 1, i < RING_SIZE - 1 ? NEXT : 0,
			(uint16_t)(i + 1));
	offer(&ram, 0);
	cr_assert_eq(virtq_pop(&vq, &chain), 1);
	cr_expect_eq(chain.out_count, RING_SIZE);
	put_desc(&ram, TABLE_AT + 16 * (RING_SIZE - 1), DATA_AT, 1, NEXT, RING_SIZE);
	offer(&ram, 0);
	cr_expect_eq(virtq_pop(&vq, &chain), -EIO);
}

/* What Linux does to a queue for which it finds no memory. */
Test(virtq, table_longer_than_a_shrunk_queue)
{
	virtq_reset(&vq);
	vq.size = RING_SIZE / 2;
	vq.desc = DESC_AT;
	vq.driver = AVAIL_AT;
	vq.device = USED_AT;
	vq.indirect = true;
	cr_assert_eq(virtq_enable(&vq), 0);
	put(&ram, 0, TABLE_AT, 16 * (RING_SIZE + 1), INDIRECT, 0);
	for (unsigned i = 0; i <= RING_SIZE; i++)
		put_desc(&ram, TABLE_AT + 16 * i, DATA_AT, 1, i < RING_SIZE - 1 ? NEXT : 0,
			(uint16_t)(i + 1));
	offer(&ram, 0);
	cr_assert_eq(virtq_pop(&vq, &chain), 1);
	cr_expect_eq(chain.out_count, RING_SIZE);
	put_desc(&ram, TABLE_AT + 16 * (RING_SIZE - 1), DATA_AT, 1, NEXT, RING_SIZE);
	store_shared(&ram, AVAIL_IDX, 2);
	cr_expect_eq(virtq_pop(&vq, &chain), -EIO);
}

Test(virtq, total_of_4_gib_is_refused)
{
	/* One region of 1 GiB that is never touched; four times all of it is 4 GiB. */
	struct gmem big = { .region_count = 2 };
	big.region[0] = ram.region[0];
	big.region[1] = (struct gmem_region){ GIB, GIB, (uint8_t *)(uintptr_t)0x10000 };
	vq.mem = &big;
	for (unsigned i = 0; i < 4; i++)
		put(&ram, i, GIB, GIB, NEXT, (uint16_t)(i + 1));
	put(&ram, 3, GIB, (uint32_t)GIB - 1, 0, 0);
	offer(&ram, 0);
	cr_assert_eq(virtq_pop(&vq, &chain), 1);
	cr_expect_eq(chain.out_size, UINT32_MAX);
	put(&ram, 3, GIB, (uint32_t)GIB, 0, 0);
	offer(&ram, 0);
	cr_expect_eq(virtq_pop(&vq, &chain), -EIO);
}

/* --- the rings --- */

struct ring_case {
	char name[64]; /* rows are copied into another process: no pointers */
	uint64_t size, desc, driver, device;
	bool ok;
};

ParameterizedTestParameters(virtq, rings)
{
	static struct ring_case c[] = {
		{ "usual", RING_SIZE, DESC_AT, AVAIL_AT, USED_AT, true },
		{ "smaller", 8, DESC_AT, AVAIL_AT, USED_AT, true },
		{ "one entry", 1, DESC_AT, AVAIL_AT, USED_AT, true },
		{ "at the very end", RING_SIZE, RAM_END - 16 * RING_SIZE, AVAIL_AT, USED_AT, true },
		{ "used ring at the very end", RING_SIZE, DESC_AT, AVAIL_AT,
			RAM_END - (8 * RING_SIZE + 8), true },
		{ "no entry", 0, DESC_AT, AVAIL_AT, USED_AT, false },
		{ "not a power of two", 12, DESC_AT, AVAIL_AT, USED_AT, false },
		{ "too large", 32, DESC_AT, AVAIL_AT, USED_AT, false },
		{ "largest", 0x8000, DESC_AT, AVAIL_AT, USED_AT, false },
		{ "descriptors not aligned", RING_SIZE, DESC_AT + 8, AVAIL_AT, USED_AT, false },
		{ "available ring not aligned", RING_SIZE, DESC_AT, AVAIL_AT + 1, USED_AT, false },
		{ "used ring not aligned", RING_SIZE, DESC_AT, AVAIL_AT, USED_AT + 2, false },
		{ "descriptors over the end", RING_SIZE, RAM_END - 16 * RING_SIZE + 16, AVAIL_AT,
			USED_AT, false },
		{ "available event over the end", RING_SIZE, DESC_AT, RAM_END - 4 - 2 * RING_SIZE,
			USED_AT, false },
		{ "used event over the end", RING_SIZE, DESC_AT, AVAIL_AT,
			RAM_END - 4 - 8 * RING_SIZE, false },
		{ "over a region's border", RING_SIZE, DESC_AT, AVAIL_AT, RAM_LOW - 16, false },
		{ "wraps", RING_SIZE, UINT64_MAX - 15, AVAIL_AT, USED_AT, false },
		{ "used ring wraps", RING_SIZE, DESC_AT, AVAIL_AT, UINT64_MAX - 3, false },
	};
	return cr_make_param_array(struct ring_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct ring_case *c, virtq, rings)
{
	virtq_reset(&vq);
	cr_expect_eq(virtq_pop(&vq, &chain), 0, "nothing comes of a queue that is not enabled");
	vq.size = (uint16_t)c->size;
	vq.desc = c->desc;
	vq.driver = c->driver;
	vq.device = c->device;
	cr_expect_eq(virtq_enable(&vq), c->ok ? 0 : -EINVAL, "%s", c->name);
	cr_expect_eq(vq.enabled, c->ok, "%s", c->name);
	cr_expect_eq(virtq_pop(&vq, &chain), c->ok ? 0 : -EIO, "%s", c->name);
}

Test(virtq, head_out_of_range)
{
	offer(&ram, RING_SIZE);
	cr_expect_eq(virtq_pop(&vq, &chain), -EIO);
}

struct jump_case {
	uint16_t from, to;
	int rc;
};

ParameterizedTestParameters(virtq, index_jumps)
{
	static struct jump_case c[] = {
		{ 0, 0, 0 },
		{ 0, 1, 1 },
		{ 0, RING_SIZE, 1 },
		{ 0, RING_SIZE + 1, -EIO },
		{ 0, 0xffff, -EIO }, /* backwards */
		{ 5, 4, -EIO },
		{ 0xfff8, 8, 1 }, /* over the wrap, all entries */
		{ 0xfff8, 9, -EIO },
		{ 0xffff, 0, 1 },
	};
	return cr_make_param_array(struct jump_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct jump_case *c, virtq, index_jumps)
{
	put(&ram, 0, DATA_AT, 1, 0, 0);
	vq.next_avail = c->from;
	store_shared(&ram, AVAIL_IDX, c->to);
	cr_expect_eq(virtq_pop(&vq, &chain), c->rc, "%u to %u", c->from, c->to);
}

Test(virtq, used_entries_in_order_over_the_wrap)
{
	vq.next_avail = vq.next_used = vq.signalled = 0xfffe;
	store_shared(&ram, AVAIL_IDX, 0xfffe);
	store_shared(&ram, USED_IDX, 0xfffe);
	for (unsigned i = 0; i < 4; i++) {
		put(&ram, i, DATA_AT, 8, WRITE, 0);
		offer(&ram, (uint16_t)i);
		cr_assert_eq(virtq_pop(&vq, &chain), 1);
		cr_expect_eq(chain.head, i);
		virtq_push(&vq, &chain, 10 + i);
	}
	cr_expect_eq(load_shared(&ram, USED_IDX), 2);
	for (unsigned i = 0; i < 4; i++) {
		cr_expect_eq(used_id(&ram, 0xfffe + i), i);
		cr_expect_eq(used_len(&ram, 0xfffe + i), 10 + i);
	}
}

/* --- notification in both directions --- */

static void push_one(void)
{
	put(&ram, 0, DATA_AT, 8, WRITE, 0);
	offer(&ram, 0);
	cr_assert_eq(virtq_pop(&vq, &chain), 1);
	virtq_push(&vq, &chain, 0);
}

Test(virtq, interrupt_flag)
{
	cr_expect_not(virtq_wants_interrupt(&vq), "nothing was pushed");
	push_one();
	cr_expect(virtq_wants_interrupt(&vq));
	cr_expect_not(virtq_wants_interrupt(&vq), "asked twice for the same");
	store_shared(&ram, AVAIL_AT, 1);
	push_one();
	cr_expect_not(virtq_wants_interrupt(&vq));
}

struct event_case {
	uint16_t start, event;
	unsigned pushes;
	bool wanted;
};

ParameterizedTestParameters(virtq, interrupt_event)
{
	static struct event_case c[] = {
		{ 0, 0, 1, true },
		{ 0, 1, 1, false },
		{ 0, 1, 2, true },
		{ 0, 0, 5, true },
		{ 0, 4, 5, true },
		{ 0, 5, 5, false },
		{ 0, 0xffff, 5, false },
		{ 0xfffe, 0xffff, 2, true },
		{ 0xfffe, 0, 2, false },
		{ 0xfffe, 0, 3, true },
		{ 0xfffe, 0xfffd, 3, false },
		{ 0xfffe, 0xfffe, 1, true },
		{ 0x7fff, 0x8000, 2, true },
		{ 100, 90, 5, false },
	};
	return cr_make_param_array(struct event_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct event_case *c, virtq, interrupt_event)
{
	vq.event_idx = true;
	vq.next_avail = vq.next_used = vq.signalled = c->start;
	store_shared(&ram, AVAIL_IDX, c->start);
	store_shared(&ram, AVAIL_AT, 1); /* the flag has no meaning then */
	store_shared(&ram, USED_EVENT, c->event);
	for (unsigned i = 0; i < c->pushes; i++)
		push_one();
	cr_expect_eq(virtq_wants_interrupt(&vq), c->wanted, "from %u, %u pushed, event %u",
		c->start, c->pushes, c->event);
}

Test(virtq, kicks_by_flag)
{
	virtq_kicks_off(&vq);
	cr_expect_eq(load_shared(&ram, USED_AT), 1);
	cr_expect_not(virtq_kicks_on(&vq));
	cr_expect_eq(load_shared(&ram, USED_AT), 0);
	offer(&ram, 0);
	cr_expect(virtq_kicks_on(&vq), "what came before kicks were on is told");
}

Test(virtq, kicks_by_event)
{
	vq.event_idx = true;
	store_shared(&ram, AVAIL_EVENT, 0x5555);
	virtq_kicks_off(&vq);
	cr_expect_eq(load_shared(&ram, USED_AT), 0);
	cr_expect_eq(load_shared(&ram, AVAIL_EVENT), 0x5555);
	push_one();
	cr_expect_not(virtq_kicks_on(&vq));
	cr_expect_eq(load_shared(&ram, AVAIL_EVENT), 1, "a kick for the next one, please");
	offer(&ram, 0);
	cr_expect(virtq_kicks_on(&vq));
	vq.next_avail = 0xffff;
	store_shared(&ram, AVAIL_IDX, 0xffff);
	cr_expect_not(virtq_kicks_on(&vq));
	cr_expect_eq(load_shared(&ram, AVAIL_EVENT), 0xffff);
}

/* --- the bytes of a chain --- */

/* However 64 bytes are cut up, they are the same 64 bytes. */
Test(virtq, framing_does_not_matter)
{
	uint8_t *data = gmem_ptr(&ram, DATA_AT, 64);
	for (unsigned i = 0; i < 64; i++)
		data[i] = (uint8_t)i;
	static const uint8_t cut[][4] = { { 64, 0, 0, 0 }, { 1, 63, 0, 0 }, { 16, 16, 16, 16 },
		{ 15, 2, 0, 47 }, { 0, 0, 63, 1 } };
	for (unsigned c = 0; c < ARRAY_SIZE(cut); c++) {
		uint64_t at = DATA_AT;
		for (uint16_t i = 0; i < 4; i++) {
			put(&ram, i, at, cut[c][i], i < 3 ? NEXT : 0, (uint16_t)(i + 1));
			at += cut[c][i];
		}
		offer(&ram, 0);
		cr_assert_eq(virtq_pop(&vq, &chain), 1);
		for (uint32_t offset = 0; offset <= 64; offset++)
			for (uint32_t len = 0; offset + len <= 64; len++) {
				uint8_t got[64], joined[64];
				struct iovec iov[VIRTQ_SIZE_MAX];
				cr_assert(virtq_chain_read(&chain, offset, got, len));
				cr_assert_eq(memcmp(got, data + offset, len), 0);
				unsigned n = virtq_chain_out(&chain, offset, len, iov);
				size_t fill = 0;
				for (unsigned i = 0; i < n; i++) {
					memcpy(joined + fill, iov[i].iov_base, iov[i].iov_len);
					fill += iov[i].iov_len;
				}
				cr_assert_eq(fill, len);
				cr_assert_eq(memcmp(joined, data + offset, len), 0);
			}
	}
}

Test(virtq, ranges_outside_a_chain)
{
	uint8_t buf[16] = { 0 };
	struct iovec iov[VIRTQ_SIZE_MAX];
	put(&ram, 0, DATA_AT, 8, NEXT, 1);
	put(&ram, 1, DATA_AT + 8, 8, WRITE, 0);
	offer(&ram, 0);
	cr_assert_eq(virtq_pop(&vq, &chain), 1);
	cr_expect(virtq_chain_read(&chain, 0, buf, 8));
	cr_expect_not(virtq_chain_read(&chain, 1, buf, 8));
	cr_expect_not(virtq_chain_read(&chain, 9, buf, 0));
	cr_expect_not(virtq_chain_read(&chain, UINT32_MAX, buf, 2), "the sum would wrap");
	cr_expect(virtq_chain_write(&chain, 4, buf, 4));
	cr_expect_not(virtq_chain_write(&chain, 4, buf, 5));
	cr_expect_not(virtq_chain_write(&chain, UINT32_MAX, buf, 2));
	cr_expect_eq(virtq_chain_in(&chain, 0, 9, iov), 0);
	cr_expect_eq(virtq_chain_in(&chain, UINT32_MAX, 1, iov), 0);
	cr_expect_eq(virtq_chain_out(&chain, 8, 0, iov), 0);
}

/* --- noise --- */

/* Rings full of random words: whatever comes out must lie in RAM and be bounded. */
Test(virtq, random_rings)
{
	unsigned long long state = 88172645463325252ull;
	for (unsigned round = 0; round < 20000; round++) {
		virtq_reset(&vq);
		queue_init(&vq, &ram);
		vq.event_idx = round & 1;
		for (unsigned i = 0; i < RING_SIZE; i++) {
			state ^= state << 13, state ^= state >> 7, state ^= state << 17;
			uint64_t r = state;
			uint64_t addr = r & 64 ? r >> 20 : (r >> 20) % RAM_END;
			put(&ram, i, addr, (uint32_t)(r >> 33) & (r & 32 ? UINT32_MAX : 0x1f0),
				(uint16_t)(r & 7), (uint16_t)((r >> 7) % (RING_SIZE + 1)));
		}
		store_shared(&ram, AVAIL_IDX, (uint16_t)(state % (RING_SIZE + 2)));
		for (unsigned i = 0; i < RING_SIZE; i++)
			*word(&ram, AVAIL_AT + 4 + 2 * i) = (uint16_t)(i + (state & 1));
		while (virtq_pop(&vq, &chain) > 0) {
			cr_assert_leq(chain.out_count + chain.in_count, RING_SIZE);
			for (unsigned i = 0; i < chain.out_count + chain.in_count; i++) {
				volatile uint8_t *p = chain.iov[i].iov_base;
				(void)p[0];
				(void)p[chain.iov[i].iov_len - 1];
			}
			virtq_push(&vq, &chain, chain.in_size);
			virtq_wants_interrupt(&vq);
		}
		virtq_kicks_on(&vq);
	}
}
