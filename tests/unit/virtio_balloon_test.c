// SPDX-License-Identifier: Apache-2.0
/* The balloon: which pages a driver's lists and reports free, statistics, target. RAM is anonymous
 * memory of its own here, so that a page given back can be told from one that is not. */
#include "virtio/balloon.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "smaps.h"
#include "virtio/balloon_layout.h"
#include "virtio_fixture.h"

#define V1    VIRTIO_F_VERSION_1
#define PAGE  ((uint64_t)4096)
#define PAGES (RAM_END / PAGE)
#define FIRST 16u /* pages below hold rings and buffers; the regions meet at page 32 */
#define ALL   (BALLOON_F_STATS_VQ | BALLOON_F_REPORTING)

static struct board board, *b = &board;
static uint8_t *map;

static void balloon_up(const char *text)
{
	board_init(b);
	ram_done(&b->ram);
	map = mmap(NULL, RAM_END, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(map, MAP_FAILED);
	b->ram.map = map;
	b->ram.map_size = RAM_END;
	b->ram.region[0].hva = map;
	b->ram.region[1].hva = map + RAM_LOW;
	board_add(b, &virtio_balloon_class, text);
}

static void set_up(void)
{
	balloon_up("");
}

static void tear_down(void)
{
	b->dev->class->stop(b->dev);
	b->dev->class->destroy(b->dev);
	b->dev = NULL;
	munmap(map, RAM_END);
	b->ram.region[0].hva = b->ram.region[1].hva = NULL;
	board_done(b);
}

TestSuite(balloon, .init = set_up, .fini = tear_down, .timeout = 60);

/* As bring_up(), with @queue alone. */
static void bring_up_queue(unsigned queue, uint64_t features, uint32_t poison)
{
	reset_device(b);
	memset(map + DESC_AT, 0, TABLE_AT - DESC_AT);
	negotiate(b, V1 | features);
	bar_set(b, VP_DEVICE + offsetof(struct balloon_config, poison_val), poison, 4);
	bar_set(b, VP_CONFIG_VECTOR, 0, 2);
	place_ring(b, queue);
	bar_set(b, VP_STATUS, 15, 1);
	cr_assert_eq(bar_get(b, VP_STATUS, 1), 15);
	memset(map + FIRST * PAGE, 0xff, (PAGES - FIRST) * PAGE);
}

/* Offers the chain at descriptor 0 and waits until it has come back, which must be chain number
 * @idx. */
static void serve_chain(unsigned queue, uint16_t idx)
{
	offer(&b->ram, 0);
	bar_set(b, VP_NOTIFY + queue * VP_NOTIFY_STEP, queue, 2);
	wait_used(b, idx);
	cr_expect_eq(used_id(&b->ram, idx - 1u), 0);
	cr_expect_eq(used_len(&b->ram, idx - 1u), 0, "nothing is written");
}

/* In RAM or in swap: bits 63 and 62 (Documentation/admin-guide/mm/pagemap.rst). */
static bool page_is_backed(const uint8_t *page)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	cr_assert_eq(
		pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)page / PAGE * sizeof(entry))),
		sizeof(entry));
	close(fd);
	return entry >> 62;
}

/* A bit for each page from FIRST on that the host has back: it isn't there, and reads as zeros. */
static uint32_t pages_freed(void)
{
	uint32_t freed = 0;
	for (unsigned i = FIRST; i < PAGES; i++) {
		bool gone = !page_is_backed(map + i * PAGE);
		freed |= (uint32_t)gone << (i - FIRST);
		cr_expect_eq(map[i * PAGE + 7], gone ? 0 : 0xff, "page %u", i);
	}
	return freed;
}

/* --- lists of pages --- */

struct list_case {
	char name[48];
	uint32_t pfn[6];
	uint32_t size;  /* bytes of the list */
	uint32_t piece; /* bytes of each buffer */
	bool writable;
	uint32_t freed; /* a bit for each page from FIRST on */
};

ParameterizedTestParameters(balloon, lists)
{
	static struct list_case c[] = {
		{ "one page", { 20 }, 4, 4, false, 1u << 4 },
		{ "ascending", { 20, 21, 22 }, 12, 12, false, 7u << 4 },
		{ "descending", { 22, 21, 20 }, 12, 12, false, 7u << 4 },
		{ "both ways from the middle", { 20, 21, 19, 22, 18, 40 }, 24, 24, false,
			31u << 2 | 1u << 24 },
		{ "with gaps", { 20, 22, 24, 47 }, 16, 16, false,
			1u << 4 | 1u << 6 | 1u << 8 | 1u << 31 },
		{ "where two regions meet", { 30, 31, 32, 33 }, 16, 16, false, 15u << 14 },
		{ "the same page again", { 20, 20, 20 }, 12, 12, false, 1u << 4 },
		{ "beyond the end", { 48, 47, 49 }, 12, 12, false, 1u << 31 },
		{ "nowhere at all", { 0xffffffff, 0x80000000, 0x100000, 20 }, 16, 16, false,
			1u << 4 },
		{ "a part of a number", { 20, 21 }, 7, 7, false, 1u << 4 },
		{ "less than a number", { 20 }, 3, 3, false, 0 },
		{ "byte by byte", { 20, 47 }, 8, 1, false, 1u << 4 | 1u << 31 },
		{ "empty", { 20 }, 0, 4, false, 0 },
		{ "the wrong direction", { 20 }, 4, 4, true, 0 },
	};
	return cr_make_param_array(struct list_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct list_case *c, balloon, lists)
{
	unsigned d = 0;
	bring_up_queue(BALLOON_INFLATE, 0, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(c->pfn); i++)
		store_le32(map + DATA_AT + (size_t)4 * i, c->pfn[i]);
	for (uint32_t at = 0; at < c->size; at += c->piece, d++)
		put(&b->ram, d, DATA_AT + at, c->piece,
			(at + c->piece < c->size ? NEXT : 0) | (c->writable ? WRITE : 0),
			(uint16_t)(d + 1));
	serve_chain(BALLOON_INFLATE, 1);
	cr_expect_eq(pages_freed(), c->freed, "%s: freed %#x", c->name, pages_freed());
	cr_expect_eq(bar_get(b, VP_STATUS, 1), 15);
}

Test(balloon, deflation_frees_nothing)
{
	bring_up_queue(BALLOON_DEFLATE, 0, 0);
	store_le32(map + DATA_AT, 20);
	put(&b->ram, 0, DATA_AT, 4, 0, 0);
	serve_chain(BALLOON_DEFLATE, 1);
	cr_expect_eq(pages_freed(), 0);
}

/* More numbers than a chain is good for, over and over the same buffer: it comes back all the same.
 */
Test(balloon, endless_list)
{
	bring_up_queue(BALLOON_INFLATE, 0, 0);
	for (unsigned i = 0; i < RAM_HIGH / 4; i++)
		store_le32(map + RAM_LOW + (size_t)4 * i, i % 2 ? 20 : 22);
	for (unsigned i = 0; i < RING_SIZE; i++)
		put(&b->ram, i, RAM_LOW, RAM_HIGH, i < RING_SIZE - 1 ? NEXT : 0, (uint16_t)(i + 1));
	serve_chain(BALLOON_INFLATE, 1);
	memset(map + RAM_LOW, 0xff, RAM_HIGH);
	cr_expect_eq(pages_freed(), 1u << 4 | 1u << 6);
}

/* More chains than are served in one turn. */
Test(balloon, many_chains)
{
	bring_up_queue(BALLOON_INFLATE, 0, 0);
	for (uint16_t i = 0; i < RING_SIZE; i++) {
		store_le32(map + DATA_AT + (size_t)4 * i, FIRST + 2 * i);
		put(&b->ram, i, DATA_AT + 4 * i, 4, 0, 0);
		offer(&b->ram, i);
	}
	bar_set(b, VP_NOTIFY, 0, 2);
	wait_used(b, RING_SIZE);
	cr_expect_eq(pages_freed(), 0x55555555);
	serve_chain(BALLOON_INFLATE, RING_SIZE + 1);
}

Test(balloon, broken_chain)
{
	bring_up_queue(BALLOON_INFLATE, 0, 0);
	put(&b->ram, 0, RAM_END, 4, 0, 0);
	offer(&b->ram, 0);
	bar_set(b, VP_NOTIFY, 0, 2);
	while (!(bar_get(b, VP_STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET))
		sched_yield();
	bring_up_queue(BALLOON_INFLATE, 0, 0);
	put(&b->ram, 0, DATA_AT, 4, 0, 0);
	serve_chain(BALLOON_INFLATE, 1);
}

/* --- free pages reported --- */

#define P PAGE

struct report_case {
	char name[48];
	unsigned queue;
	uint64_t features;
	uint32_t poison;
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags;
	} buffer[3];
	uint32_t freed;
};

ParameterizedTestParameters(balloon, reports)
{
	static struct report_case c[] = {
		{ "a page", 4, ALL, 0, { { 20 * P, P, WRITE } }, 1u << 4 },
		{ "numbered as Linux does", 3, ALL, 0, { { 20 * P, P, WRITE } }, 1u << 4 },
		{ "likewise, without statistics", 2, BALLOON_F_REPORTING, 0,
			{ { 20 * P, P, WRITE } }, 1u << 4 },
		{ "several buffers", 4, ALL, 0,
			{ { 20 * P, 2 * P, WRITE }, { 40 * P, 8 * P, WRITE },
				{ 18 * P, P, WRITE } },
			3u << 4 | 255u << 24 | 1u << 2 },
		{ "parts of pages are kept", 4, ALL, 0,
			{ { 20 * P + 1, 2 * P, WRITE }, { 30 * P - 1, P, WRITE } }, 1u << 5 },
		{ "readable buffers are none", 4, ALL, 0,
			{ { 22 * P, P, 0 }, { 20 * P, P, WRITE } }, 1u << 4 },
		{ "nothing", 4, ALL, 0, { { 20 * P, 0, WRITE } }, 0 },
		{ "free pages hold a pattern", 4, ALL | BALLOON_F_PAGE_POISON, 0xaaaaaaaa,
			{ { 20 * P, P, WRITE } }, 0 },
		{ "free pages are zeroed", 4, ALL | BALLOON_F_PAGE_POISON, 0,
			{ { 20 * P, P, WRITE } }, 1u << 4 },
		{ "a pattern that was not agreed upon", 4, ALL, 0xaaaaaaaa,
			{ { 20 * P, P, WRITE } }, 1u << 4 },
		{ "reporting was not agreed upon", 4, BALLOON_F_STATS_VQ, 0,
			{ { 20 * P, P, WRITE } }, 0 },
	};
	return cr_make_param_array(struct report_case, c, ARRAY_SIZE(c));
}

/* --- what can be asked --- */

static char report[2048];

static void note(void *opaque, const char *key, const char *value)
{
	size_t at = strlen(report);
	snprintf(report + at, sizeof(report) - at, "%s=%s ", key, value);
}

static const char *get(void)
{
	report[0] = '\0';
	b->dev->class->get(b->dev, note, NULL);
	return report;
}

static uint64_t number(const char *key)
{
	char *at = strstr(get(), key);
	cr_assert(at, "'%s' is not in '%s'", key, report);
	return strtoull(at + strlen(key), NULL, 10);
}

ParameterizedTest(struct report_case *c, balloon, reports)
{
	bring_up_queue(c->queue, c->features, c->poison);
	for (unsigned i = 0; i < 3 && c->buffer[i].addr; i++)
		put(&b->ram, i, c->buffer[i].addr, c->buffer[i].len,
			c->buffer[i].flags | (i < 2 && c->buffer[i + 1].addr ? NEXT : 0),
			(uint16_t)(i + 1));
	serve_chain(c->queue, 1);
	cr_expect_eq(pages_freed(), c->freed, "%s: freed %#x", c->name, pages_freed());
	cr_expect_eq(number("reported="), (uint64_t)__builtin_popcount(c->freed) * PAGE);
}

/* --- statistics --- */

static void put_stat(unsigned i, uint16_t tag, uint64_t value)
{
	store_le16(map + DATA_AT + (size_t)10 * i, tag);
	store_le64(map + DATA_AT + (size_t)10 * i + 2, value);
}

static void wait_for_stats(const char *text)
{
	while (!strstr(get(), text))
		sched_yield();
}

Test(balloon, statistics)
{
	cr_expect_str_eq(get(), "size=0 actual=0 reported=0 ");
	bring_up_queue(BALLOON_STATS, ALL, 0);
	put_stat(0, 4, 123456789);
	put_stat(1, 5, UINT64_MAX);
	put_stat(2, 77, 1);
	put_stat(3, 15, 3);
	put(&b->ram, 0, DATA_AT, 45, 0, 0); /* half a statistic at the end */
	offer(&b->ram, 0);
	bar_set(b, VP_NOTIFY + BALLOON_STATS * VP_NOTIFY_STEP, 0, 2);
	wait_for_stats(
		"free-memory=123456789 total-memory=18446744073709551615 direct-reclaims=3 ");
	cr_expect_null(strstr(report, "swap-in"));
	/* Having been asked, the device wants fresh ones: the buffer has come back. */
	wait_used(b, 1);
	cr_expect_eq(used_len(&b->ram, 0), 0);
	put_stat(0, 0, 5);
	put(&b->ram, 0, DATA_AT, 10, 0, 0);
	offer(&b->ram, 0);
	bar_set(b, VP_NOTIFY + BALLOON_STATS * VP_NOTIFY_STEP, 0, 2);
	wait_for_stats("swap-in=5 ");
	cr_expect_null(strstr(report, "free-memory"), "the old ones are gone");
	cr_expect_lt(number("stats-age-ms="), 60000);
	reset_device(b);
	cr_expect_str_eq(get(), "size=0 actual=0 reported=0 ", "the driver is gone");
}

struct stats_case {
	char name[32];
	uint32_t len;
	uint16_t flags;
	bool free_memory; /* is known afterwards */
};

ParameterizedTestParameters(balloon, odd_statistics)
{
	static struct stats_case c[] = {
		{ "empty", 0, 0, false },
		{ "too short", 9, 0, false },
		{ "one", 10, 0, true },
		{ "far too long", RAM_END - DATA_AT, 0, true },
		{ "the wrong direction", 10, WRITE, false },
	};
	return cr_make_param_array(struct stats_case, c, ARRAY_SIZE(c));
}

/* Two buffers where one should be: the first comes back at once. */
ParameterizedTest(struct stats_case *c, balloon, odd_statistics)
{
	bring_up_queue(BALLOON_STATS, ALL, 0);
	memset(map + DATA_AT, 0xff, RAM_LOW - DATA_AT);
	put_stat(0, 4, 99);
	/* Across the regions a buffer can't be one piece. */
	uint32_t low = c->len > RAM_LOW - DATA_AT ? RAM_LOW - DATA_AT : c->len;
	put(&b->ram, 0, DATA_AT, low, c->flags | NEXT, 1);
	put(&b->ram, 1, RAM_LOW, c->len - low, c->flags, 0);
	put(&b->ram, 2, DATA_AT, 10, c->free_memory ? WRITE : 0, 0);
	offer(&b->ram, 2);
	offer(&b->ram, 0);
	bar_set(b, VP_NOTIFY + BALLOON_STATS * VP_NOTIFY_STEP, 0, 2);
	wait_used(b, 1);
	cr_expect_eq(used_id(&b->ram, 0), 2);
	offer(&b->ram, 2);
	bar_set(b, VP_NOTIFY + BALLOON_STATS * VP_NOTIFY_STEP, 0, 2);
	wait_used(b, 2); /* so chain 0 has been taken in */
	cr_expect_eq(used_id(&b->ram, 1), 0);
	if (!c->free_memory)
		wait_for_stats("free-memory=99 "); /* what chain 2 says */
}

/* --- configuration --- */

#define CONFIG(field) (VP_DEVICE + offsetof(struct balloon_config, field))

static int set_size(const char *text)
{
	static const char *const keys[] = { "size", NULL };
	struct keyval *kv;
	cr_assert_eq(keyval_parse(text, NULL, keys, &kv, NULL), 0);
	int rc = b->dev->class->set(b->dev, kv, NULL);
	keyval_free(kv);
	return rc;
}

Test(balloon, target)
{
	enable_interrupts(b);
	bring_up_queue(BALLOON_INFLATE, ALL, 0);
	uint64_t generation = bar_get(b, VP_GENERATION, 1);
	cr_expect_eq(set_size("size=64K"), 0);
	cr_expect(interrupted(b, 0, 60000));
	cr_expect_eq(bar_get(b, CONFIG(num_pages), 4), 16);
	cr_expect_neq(bar_get(b, VP_GENERATION, 1), generation);
	bar_set(b, CONFIG(actual), 5, 4);
	cr_expect_str_eq(get(), "size=65536 actual=20480 reported=0 ");
	cr_expect_eq(set_size("size=0"), 0);
	cr_expect_eq(bar_get(b, CONFIG(num_pages), 4), 0);
	cr_expect_eq(bar_get(b, CONFIG(actual), 4), 5);
	cr_expect_eq(set_size("size=192K"), -ERANGE, "all there is");
	cr_expect_eq(set_size("size=1000T"), -ERANGE);
	cr_expect_eq(set_size("size=4095"), -EINVAL);
	cr_expect_eq(set_size("size=x"), -EINVAL);
	cr_expect_eq(set_size(""), -EINVAL);
	cr_expect_eq(bar_get(b, CONFIG(num_pages), 4), 0, "unchanged by these");
	reset_device(b);
	cr_expect_eq(bar_get(b, CONFIG(actual), 4), 0, "no driver, no balloon");
}

/* Or khugepaged would take from the host again what the guest has given, page by page. */
Test(balloon, no_new_huge_pages_while_it_holds_pages)
{
	const bool huge = huge_if_there_are();
	bring_up_queue(BALLOON_INFLATE, ALL, 0);
	gmem_expect(&b->ram, 2 * MIB);
	cr_expect_eq(huge_wanted(map), huge);
	bar_set(b, CONFIG(actual) + 1, 1, 1);
	cr_expect(!huge_wanted(map));
	bar_set(b, CONFIG(actual), 1, 4);
	cr_expect(!huge_wanted(map));
	bar_set(b, CONFIG(actual), 0, 4);
	cr_expect_eq(huge_wanted(map), huge);
	bar_set(b, CONFIG(actual), 7, 4);
	cr_expect(!huge_wanted(map));
	reset_device(b);
	cr_expect_eq(huge_wanted(map), huge, "no driver, no balloon");
	bar_set(b, CONFIG(actual), 7, 4); /* before there is a driver */
	cr_expect(!huge_wanted(map));
	reset_device(b);
	cr_expect_eq(bar_get(b, CONFIG(actual), 4), 0);
	cr_expect_eq(huge_wanted(map), huge);
}

Test(balloon, what_the_driver_may_write)
{
	bring_up_queue(BALLOON_INFLATE, ALL, 0x1234);
	cr_expect_eq(bar_get(b, CONFIG(poison_val), 4), 0, "not negotiated");
	bar_set(b, CONFIG(num_pages), 7, 4);
	bar_set(b, CONFIG(free_page_hint_cmd_id), 7, 4);
	cr_expect_eq(bar_get(b, CONFIG(num_pages), 4), 0);
	cr_expect_eq(bar_get(b, CONFIG(free_page_hint_cmd_id), 4), 0);
	bar_set(b, CONFIG(actual) + 1, 0x0201, 2);
	cr_expect_eq(bar_get(b, CONFIG(actual), 4), 0x020100);
	bar_set(b, CONFIG(actual) + 3, 0xffff, 2); /* reaches into the next field */
	cr_expect_eq(bar_get(b, CONFIG(free_page_hint_cmd_id), 4), 0);
	bring_up_queue(BALLOON_INFLATE, ALL | BALLOON_F_PAGE_POISON, 0x1234);
	cr_expect_eq(bar_get(b, CONFIG(poison_val), 4), 0x1234);
	reset_device(b);
	cr_expect_eq(bar_get(b, CONFIG(poison_val), 4), 0);
}

static uint32_t offered(void)
{
	bar_set(b, VP_DEVICE_FEATURE_SELECT, 0, 4);
	return (uint32_t)bar_get(b, VP_DEVICE_FEATURE, 4) & 0xff;
}

Test(balloon, features)
{
	cr_expect_eq(offered(), BALLOON_F_STATS_VQ | BALLOON_F_REPORTING | BALLOON_F_PAGE_POISON);
	cr_expect_eq(bar_get(b, VP_NUM_QUEUES, 2), 5);
	tear_down();
	balloon_up("size=8K,reporting=off,deflate-on-oom=on");
	cr_expect_eq(offered(), BALLOON_F_STATS_VQ | BALLOON_F_DEFLATE_ON_OOM);
	cr_expect_eq(bar_get(b, VP_NUM_QUEUES, 2), 3);
	cr_expect_eq(bar_get(b, CONFIG(num_pages), 4), 2);
}

Test(balloon, option_errors)
{
	static const char *const text[] = { "size=192K", "size=1", "size=", "reporting=maybe",
		"deflate-on-oom=2" };
	for (unsigned i = 0; i < ARRAY_SIZE(text); i++) {
		struct keyval *kv;
		struct device *d = NULL;
		struct lacuna_error *err = NULL;
		cr_assert_eq(keyval_parse(text[i], virtio_balloon_class.implied_key,
				     virtio_balloon_class.keys, &kv, NULL),
			0);
		cr_expect_lt(virtio_balloon_class.create(&b->env, kv, &d, &err), 0, "%s", text[i]);
		cr_expect_not_null(err, "%s", text[i]);
		cr_expect_null(d);
		lacuna_error_free(err);
		keyval_free(kv);
	}
}

/* Resets while the worker is busy: nothing is freed after the reset is complete. */
Test(balloon, resets_under_load)
{
	for (unsigned round = 0; round < 200; round++) {
		bring_up_queue(BALLOON_INFLATE, ALL, 0);
		for (unsigned i = 0; i < 16 * RING_SIZE; i++)
			store_le32(map + DATA_AT + (size_t)4 * i, 40 + i % 3 * 2);
		for (uint16_t i = 0; i < RING_SIZE; i++) {
			put(&b->ram, i, DATA_AT, 64 * (i + 1u), 0, 0);
			offer(&b->ram, i);
		}
		bar_set(b, VP_NOTIFY, 0, 2);
		if (round % 2)
			while (!load_shared(&b->ram, USED_IDX))
				sched_yield();
		reset_device(b);
		memset(map + 40 * PAGE, 0xff, 8 * PAGE);
		cr_assert_eq(pages_freed(), 0);
	}
}
