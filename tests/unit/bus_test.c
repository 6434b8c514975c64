// SPDX-License-Identifier: Apache-2.0
/* The bus: who owns an address, what an access of each size becomes, and changes under way. */
#include "bus/bus.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdatomic.h>

#include "util/bytes.h"

#define ROWS(table) cr_make_param_array(__typeof__((table)[0]), table, ARRAY_SIZE(table))

/* A region that answers each byte with its offset + 1 and notes every call. */
struct recorder {
	unsigned calls, sizes; /* sizes: bit n is set by a call of n bytes */
	uint64_t first, last;  /* offsets */
	uint8_t written[16];
};

static void note(struct recorder *r, uint64_t offset, unsigned size)
{
	if (!r->calls++)
		r->first = offset;
	r->last = offset;
	r->sizes |= 1u << size;
}

static uint64_t record_read(void *opaque, uint64_t offset, unsigned size)
{
	uint64_t value = 0;
	note(opaque, offset, size);
	for (unsigned i = 0; i < 8; i++) /* bytes beyond @size must be cut off by the bus */
		value |= (uint64_t)(uint8_t)(offset + i + 1) << (8 * i);
	return value;
}

static void record_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct recorder *r = opaque;
	note(r, offset, size);
	cr_assert_leq(offset + size, sizeof(r->written));
	cr_assert_eq(value & ~ones(size), 0, "more than %u bytes were handed on", size);
	store_le(&r->written[offset], value, size);
}

static const struct region_ops record_ops = { .read = record_read, .write = record_write };

struct overlap_case {
	uint64_t base, size;
	int rc;
};

/* [0x1000, 0x2000) and [0x3000, 0x4000) are taken. */
ParameterizedTestParameters(bus, overlap)
{
	static struct overlap_case c[] = {
		{ 0x2000, 0x1000, 0 }, /* fills the gap exactly */
		{ 0, 0x1000, 0 },
		{ 0x4000, 1, 0 },
		{ 0xfff, 1, 0 },
		{ 0x1000, 0x1000, -EEXIST }, /* the same again */
		{ 0xfff, 2, -EEXIST },
		{ 0x1fff, 1, -EEXIST },
		{ 0x1fff, 2, -EEXIST },
		{ 0x1800, 0x10, -EEXIST },  /* inside */
		{ 0x800, 0x1000, -EEXIST }, /* around the start */
		{ 0, 0x10000, -EEXIST },    /* around both */
		{ 0x2000, 0x1001, -EEXIST },
		{ 0x2fff, 2, -EEXIST },
		{ 0x3fff, UINT64_MAX - 0x3fff, -EEXIST },
		{ 0, UINT64_MAX, -EEXIST },
		{ 0x5000, 0, -EINVAL },
		{ 0x5000, UINT64_MAX, -EINVAL },
		{ UINT64_MAX, 2, -EINVAL },
		{ UINT64_MAX, 1, 0 }, /* the last byte there is */
		{ UINT64_MAX - 0xfff, 0x1000, 0 },
		{ UINT64_MAX - 0xfff, 0x1001, -EINVAL },
		{ 0x4000, UINT64_MAX - 0x3fff, 0 },
	};
	return ROWS(c);
}

ParameterizedTest(struct overlap_case *c, bus, overlap)
{
	struct bus bus;
	struct recorder rec = { 0 };
	const struct region one = { "one", 0x1000, 0x1000, &record_ops, &rec, REGION_SERIAL };
	const struct region two = { "two", 0x3000, 0x1000, &record_ops, &rec, REGION_CMOS };
	const struct region three = { "three", c->base, c->size, &record_ops, &rec, REGION_BAR };
	struct lacuna_error *err = NULL;
	uint64_t value;
	bus_init(&bus);
	cr_assert_eq(bus_add(&bus, &two, NULL), 0);
	cr_assert_eq(bus_add(&bus, &one, NULL), 0);
	cr_expect_eq(bus_add(&bus, &three, &err), c->rc);
	cr_expect_eq(err != NULL, c->rc != 0);
	lacuna_error_free(err);
	/* the old ones answer as before, the new one from its first to its last byte */
	cr_expect_eq(bus_read(&bus, 0x1000, 1, &value), REGION_SERIAL);
	cr_expect_eq(bus_read(&bus, 0x3fff, 1, &value), REGION_CMOS);
	if (c->rc == 0) {
		cr_expect_eq(bus_read(&bus, c->base, 1, &value), REGION_BAR);
		cr_expect_eq(value, 1);
		cr_expect_eq(bus_read(&bus, c->base + (c->size - 1), 1, &value), REGION_BAR);
		cr_expect_eq(value, (uint8_t)c->size);
		bus_remove(&bus, &three);
		cr_expect_eq(bus_read(&bus, c->base, 1, &value), REGION_OTHER);
	}
	bus_remove(&bus, &three); /* not on the bus: nothing happens */
	cr_expect_eq(bus.count, 2);
	bus_done(&bus);
}

struct edge_case {
	uint64_t addr;
	unsigned size;
	enum region_class class;
};

/* [0x100, 0x110) and, touching it, [0x110, 0x118). */
ParameterizedTestParameters(bus, straddling)
{
	static struct edge_case c[] = {
		{ 0xff, 1, REGION_OTHER }, { 0xff, 2, REGION_OTHER }, { 0xfc, 8, REGION_OTHER },
		{ 0x100, 8, REGION_SERIAL }, { 0x10c, 4, REGION_SERIAL },
		{ 0x10d, 4, REGION_OTHER }, /* half here, half in the neighbour */
		{ 0x10f, 1, REGION_SERIAL }, { 0x10f, 2, REGION_OTHER }, { 0x109, 8, REGION_OTHER },
		{ 0x110, 8, REGION_CMOS }, { 0x111, 8, REGION_OTHER }, { 0x117, 1, REGION_CMOS },
		{ 0x117, 2, REGION_OTHER }, { 0x118, 1, REGION_OTHER },
		{ UINT64_MAX, 1, REGION_OTHER }, { UINT64_MAX, 8, REGION_OTHER }, /* wraps */
	};
	return ROWS(c);
}

ParameterizedTest(struct edge_case *c, bus, straddling)
{
	struct bus bus;
	struct recorder rec[2] = { 0 };
	const struct region one = { "one", 0x100, 0x10, &record_ops, &rec[0], REGION_SERIAL };
	const struct region two = { "two", 0x110, 8, &record_ops, &rec[1], REGION_CMOS };
	uint64_t value = 0x1234;
	bus_init(&bus);
	cr_assert_eq(bus_add(&bus, &one, NULL), 0);
	cr_assert_eq(bus_add(&bus, &two, NULL), 0);
	cr_expect_eq(bus_read(&bus, c->addr, c->size, &value), c->class);
	cr_expect_eq(bus_write(&bus, c->addr, UINT64_MAX, c->size), c->class);
	if (c->class == REGION_OTHER)
		cr_expect_eq(value, ones(c->size));
	else
		cr_expect_neq(value, ones(c->size));
	cr_expect_eq(rec[0].calls, c->class == REGION_SERIAL ? 2 : 0);
	cr_expect_eq(rec[1].calls, c->class == REGION_CMOS ? 2 : 0);
	bus_done(&bus);
}

/* A region shorter than the access. */
Test(bus, access_larger_than_region)
{
	struct bus bus;
	struct recorder rec = { 0 };
	const struct region one = { "one", UINT64_MAX, 1, &record_ops, &rec, REGION_SERIAL };
	uint64_t value;
	bus_init(&bus);
	cr_assert_eq(bus_add(&bus, &one, NULL), 0);
	cr_expect_eq(bus_read(&bus, UINT64_MAX, 2, &value), REGION_OTHER);
	cr_expect_eq(bus_read(&bus, UINT64_MAX, 1, &value), REGION_SERIAL);
	cr_expect_eq(rec.calls, 1);
	bus_done(&bus);
}

struct split_case {
	uint8_t min, max;
	unsigned size, piece; /* piece 0: dropped */
};

ParameterizedTestParameters(bus, split)
{
	static struct split_case c[] = {
		{ 0, 0, 1, 1 },
		{ 0, 0, 2, 2 },
		{ 0, 0, 4, 4 },
		{ 0, 0, 8, 8 },
		{ 0, 0, 3, 1 }, /* what KVM leaves of an access that crosses a page */
		{ 0, 0, 5, 1 },
		{ 0, 0, 6, 1 },
		{ 0, 0, 7, 1 },
		{ 0, 4, 8, 4 },
		{ 1, 4, 4, 4 },
		{ 1, 1, 8, 1 },
		{ 1, 1, 3, 1 },
		{ 1, 2, 8, 2 },
		{ 1, 2, 1, 1 },
		{ 4, 4, 4, 4 },
		{ 4, 4, 8, 4 },
		{ 4, 4, 2, 0 },
		{ 4, 4, 1, 0 },
		{ 4, 8, 8, 8 },
		{ 2, 4, 3, 0 },
		{ 2, 8, 6, 0 },
		{ 8, 8, 4, 0 },
		{ 8, 8, 8, 8 },
		{ 8, 0, 8, 8 },
	};
	return ROWS(c);
}

ParameterizedTest(struct split_case *c, bus, split)
{
	struct bus bus;
	struct recorder rec = { 0 };
	struct region_ops ops = record_ops;
	ops.min_size = c->min;
	ops.max_size = c->max;
	const struct region one = { "one", 0x100, 0x10, &ops, &rec, REGION_SERIAL };
	const uint64_t pattern = 0x0908070605040302;
	uint64_t value;
	bus_init(&bus);
	cr_assert_eq(bus_add(&bus, &one, NULL), 0);

	cr_expect_eq(bus_read(&bus, 0x101, c->size, &value), REGION_SERIAL);
	cr_expect_eq(value, c->piece ? pattern & ones(c->size) : ones(c->size));
	cr_expect_eq(rec.calls, c->piece ? c->size / c->piece : 0);
	cr_expect_eq(rec.sizes, c->piece ? 1u << c->piece : 0);
	if (c->piece) {
		cr_expect_eq(rec.first, 1);
		cr_expect_eq(rec.last, 1 + c->size - c->piece);
	}

	rec = (struct recorder){ 0 };
	cr_expect_eq(bus_write(&bus, 0x101, pattern, c->size), REGION_SERIAL);
	cr_expect_eq(rec.calls, c->piece ? c->size / c->piece : 0);
	cr_expect_eq(rec.written[0], 0);
	cr_expect_eq(load_le(&rec.written[1], 8), c->piece ? pattern & ones(c->size) : 0,
		"a byte outside the access was written");
	bus_done(&bus);
}

Test(bus, no_handler)
{
	struct bus bus;
	static const struct region_ops none = { 0 };
	const struct region one = { "one", 0, 8, &none, NULL, REGION_RESET };
	uint64_t value = 0;
	bus_init(&bus);
	cr_assert_eq(bus_add(&bus, &one, NULL), 0);
	cr_expect_eq(bus_read(&bus, 0, 8, &value), REGION_RESET);
	cr_expect_eq(value, UINT64_MAX);
	cr_expect_eq(bus_write(&bus, 0, 0, 4), REGION_RESET);
	bus_done(&bus);
}

/* Added in an order that is neither; each is found, and only it goes away. */
Test(bus, many_regions)
{
	enum { COUNT = 257 };
	static struct region region[COUNT];
	static struct recorder rec[COUNT];
	struct bus bus;
	uint64_t value;
	bus_init(&bus);
	for (unsigned i = 0; i < COUNT; i++) {
		unsigned n = i * 101 % COUNT;
		region[n] = (struct region){ "r", 0x1000 + n * 0x20ull, 0x10, &record_ops, &rec[n],
			REGION_BAR };
		cr_assert_eq(bus_add(&bus, &region[n], NULL), 0);
	}
	for (unsigned n = 0; n < COUNT; n++) {
		cr_assert_eq(bus_read(&bus, region[n].base + 15, 1, &value), REGION_BAR);
		cr_assert_eq(bus_read(&bus, region[n].base + 16, 1, &value), REGION_OTHER);
		cr_assert_eq(rec[n].calls, 1);
	}
	for (unsigned i = 0; i < COUNT; i += 2)
		bus_remove(&bus, &region[i]);
	for (unsigned n = 0; n < COUNT; n++)
		cr_assert_eq(bus_read(&bus, region[n].base, 4, &value),
			n % 2 ? REGION_BAR : REGION_OTHER);
	bus_done(&bus);
}

/* --- one thread moves a region while others use it --- */

struct race {
	struct bus bus;
	_Atomic bool stop;
	_Atomic uint64_t hits, wrong;
};

static uint64_t race_read(void *opaque, uint64_t offset, unsigned size)
{
	struct race *r = opaque;
	atomic_fetch_add(&r->hits, 1);
	return 0x40 + offset;
}

static const struct region_ops race_ops = { .read = race_read };

static void *reader(void *opaque)
{
	struct race *r = opaque;
	while (!atomic_load(&r->stop)) {
		uint64_t low, high;
		bus_read(&r->bus, 0x1004, 1, &low);
		bus_read(&r->bus, 0x2008, 1, &high);
		/* The offset goes with the base it was found at. */
		if ((low != 0x44 && low != 0xff) || (high != 0x48 && high != 0xff))
			atomic_fetch_add(&r->wrong, 1);
	}
	return NULL;
}

Test(bus, moved_while_in_use)
{
	struct race r = { 0 };
	struct region region = { "moving", 0x1000, 0x10, &race_ops, &r, REGION_BAR };
	pthread_t thread[2];
	bus_init(&r.bus);
	for (unsigned i = 0; i < ARRAY_SIZE(thread); i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, reader, &r), 0);
	for (unsigned i = 0; i < 2000 || !atomic_load(&r.hits); i++) {
		region.base = i % 2 ? 0x2000 : 0x1000;
		cr_assert_eq(bus_add(&r.bus, &region, NULL), 0);
		sched_yield();
		bus_remove(&r.bus, &region);
	}
	atomic_store(&r.stop, true);
	for (unsigned i = 0; i < ARRAY_SIZE(thread); i++)
		pthread_join(thread[i], NULL);
	cr_expect_eq(r.wrong, 0);
	bus_done(&r.bus);
}

/* --- ioeventfds --- */

struct ioeventfd_call {
	uint64_t addr;
	unsigned size, assigns, deassigns;
	int fd, rc;
};

static int assign(void *opaque, uint64_t addr, unsigned size, int fd, struct lacuna_error **err)
{
	struct ioeventfd_call *c = opaque;
	c->addr = addr;
	c->size = size;
	c->fd = fd;
	c->assigns++;
	return c->rc;
}

static void deassign(void *opaque, uint64_t addr, unsigned size, int fd)
{
	struct ioeventfd_call *c = opaque;
	c->deassigns += c->addr == addr && c->size == size && c->fd == fd;
}

Test(bus, ioeventfd_passes_through)
{
	static const struct ioeventfd_ops ops = { assign, deassign };
	struct ioeventfd_call call = { .rc = 0 };
	struct bus bus;
	bus_init(&bus);
	cr_expect_eq(bus_ioeventfd_add(&bus, 0x1000, 0, 7, NULL), 0, "without ops: no effect");
	bus_ioeventfd_remove(&bus, 0x1000, 0, 7);
	bus.ioeventfd = &ops;
	bus.ioeventfd_opaque = &call;
	cr_expect_eq(bus_ioeventfd_add(&bus, 0xfeedfacecafe, 4, 9, NULL), 0);
	cr_expect_eq(call.addr, 0xfeedfacecafe);
	cr_expect_eq(call.size, 4);
	cr_expect_eq(call.fd, 9);
	bus_ioeventfd_remove(&bus, 0xfeedfacecafe, 4, 9);
	cr_expect_eq(call.deassigns, 1);
	call.rc = -ENOSPC;
	cr_expect_eq(bus_ioeventfd_add(&bus, 0, 0, 0, NULL), -ENOSPC);
	cr_expect_eq(call.assigns, 2);
	bus_done(&bus);
}
