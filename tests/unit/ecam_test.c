// SPDX-License-Identifier: Apache-2.0
/* The ECAM window as host memory: slots, live pages, all-ones memory and coalesced zones, without a
 * VM. tests/direct/window_test.c asks the same of whole machines. */
#include "pci/ecam.h"

#include <abi/layout.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "pci/ones.h"
#include "pci_fixture.h"
#include "smaps.h"

#define PAGE      4096u
#define DEVS      12
#define ANY_ZONES 100000u
#define BUS       256u /* pages */

struct shape {
	unsigned buses;
	unsigned bdf[DEVS]; /* functions besides the host bridge at 0; 0 ends the list */
	enum ecam_pages pages;
};

static struct shape shapes[] = {
	{ 1, { 0 }, ECAM_PAGES_LARGE },
	{ 1, { 8, 16, 24 }, ECAM_PAGES_LARGE },
	{ 1, { 1, 2, 3, 4, 5, 6, 7 }, ECAM_PAGES_LARGE }, /* neighbours share a mapping */
	{ 1, { 255 }, ECAM_PAGES_LARGE },
	{ 1, { 0x11, 0x80, 0x81, 0xfe }, ECAM_PAGES_LARGE },
	{ 2, { 8 }, ECAM_PAGES_LARGE },
	{ 2, { 511 }, ECAM_PAGES_LARGE },
	{ 3, { 8 }, ECAM_PAGES_LARGE },                     /* half a chunk, empty */
	{ 3, { 2 * BUS }, ECAM_PAGES_LARGE },               /* half a chunk with a function */
	{ 3, { 3 * BUS - 1 }, ECAM_PAGES_LARGE },           /* its last page */
	{ 3, { BUS - 1, BUS, BUS + 1 }, ECAM_PAGES_LARGE }, /* over the end of a bus */
	{ 4, { 2 * BUS - 1, 2 * BUS }, ECAM_PAGES_LARGE },  /* over the end of a chunk: one slot */
	{ 7, { 4 * BUS + 3 }, ECAM_PAGES_LARGE },           /* empty, occupied, empty in turn */
	{ 255, { 8, 254 * BUS + 255 }, ECAM_PAGES_LARGE },
	{ 256, { 0 }, ECAM_PAGES_LARGE },
	{ 256, { 8, 16 }, ECAM_PAGES_LARGE },
	{ 256, { 65535 }, ECAM_PAGES_LARGE },
	{ 256, { 2 * BUS - 1, 2 * BUS, 100 * BUS + 77, 101 * BUS, 102 * BUS, 128 * BUS, 65534 },
		ECAM_PAGES_LARGE },
	{ 1, { 8 }, ECAM_PAGES_ALL_LARGE }, /* half a chunk */
	{ 2, { 1, 511 }, ECAM_PAGES_ALL_LARGE },
	{ 3, { 2 * BUS }, ECAM_PAGES_ALL_LARGE },     /* one, and a half */
	{ 7, { 4 * BUS + 3 }, ECAM_PAGES_ALL_LARGE }, /* half a chunk, empty */
	{ 7, { 7 * BUS - 1 }, ECAM_PAGES_ALL_LARGE }, /* the same, the rest empty */
	{ 256, { 8, 16 }, ECAM_PAGES_ALL_LARGE },
	{ 256, { 2 * BUS - 1, 2 * BUS, 100 * BUS + 77, 101 * BUS, 102 * BUS, 128 * BUS, 65534 },
		ECAM_PAGES_ALL_LARGE },
};

struct window {
	struct pci_fixture fx;
	struct test_dev d[DEVS];
	unsigned devs;
	struct ecam_window *w;
};

static void window_make(struct window *x, const struct shape *s, unsigned max_zones)
{
	fixture_init(&x->fx, s->buses);
	for (x->devs = 0; x->devs < DEVS && s->bdf[x->devs]; x->devs++) {
		struct test_dev *d = &x->d[x->devs];
		dev_init(d, x->devs);
		dev_place(&x->fx, d, s->bdf[x->devs]);
		pci_config_set(&d->f.config, PCI_DEVICE_ID, 0x2000 + x->devs, 2);
		pci_config_set(&d->f.config, PCI_CONFIG_SIZE - 4, 0xfeed0000 + x->devs, 4);
	}
	cr_assert_eq(ecam_window_new(x->fx.host, max_zones, s->pages, &x->w, NULL), 0);
}

static void window_done(struct window *x)
{
	ecam_window_free(x->w, x->fx.host);
	for (unsigned i = 0; i < x->devs; i++)
		pci_function_done(&x->d[i].f);
	fixture_done(&x->fx);
}

/* What the guest finds at page @bdf; the test fails unless exactly one slot has it. */
static const uint8_t *page_of(const struct ecam_window *w, unsigned bdf)
{
	uint64_t gpa = LAYOUT_ECAM_BASE + (uint64_t)bdf * PAGE;
	const uint8_t *page = NULL;
	for (unsigned i = 0; i < w->slot_count; i++) {
		const struct ecam_slot *s = &w->slot[i];
		if (gpa < s->gpa || gpa - s->gpa >= s->size)
			continue;
		cr_assert_null(page, "page 0x%x is in two slots", bdf);
		page = (const uint8_t *)s->hva + (gpa - s->gpa);
	}
	cr_assert_not_null(page, "page 0x%x is in no slot", bdf);
	return page;
}

ParameterizedTestParameters(ecam, slots)
{
	return ROWS(shapes);
}

ParameterizedTest(struct shape *s, ecam, slots)
{
	struct window x;
	window_make(&x, s, ANY_ZONES);
	const struct ecam_window *w = x.w;
	uint64_t at = LAYOUT_ECAM_BASE;
	const void *large = NULL;
	for (unsigned i = 0; i < w->slot_count; i++) {
		const struct ecam_slot *slot = &w->slot[i];
		cr_expect_eq(slot->gpa, at, "slot %u leaves a gap or overlaps", i);
		cr_expect(slot->size && slot->size % PAGE == 0);
		cr_expect_eq((uintptr_t)slot->hva % PAGE, 0);
		at += slot->size;
		bool occupied = false;
		for (uint64_t gpa = slot->gpa; gpa < at; gpa += PAGE)
			occupied |= x.fx.host->function[(gpa - LAYOUT_ECAM_BASE) / PAGE] != NULL;
		if (occupied)
			continue;
		/* All empty ones name one region, at the alignment KVM wants for a large page. */
		large = large ? large : slot->hva;
		cr_expect_eq(slot->hva, large);
		cr_expect_leq(slot->size, ONES_LARGE_SIZE);
		cr_expect(slot->size == ONES_LARGE_SIZE || i == w->slot_count - 1);
		cr_expect_eq((uintptr_t)slot->hva % ONES_LARGE_SIZE, slot->gpa % ONES_LARGE_SIZE);
	}
	cr_expect_eq(at, LAYOUT_ECAM_BASE + (uint64_t)s->buses * LAYOUT_ECAM_BUS_SIZE);
	cr_expect(!w->large_pages || large || s->pages == ECAM_PAGES_ALL_LARGE);
	window_done(&x);
}

ParameterizedTestParameters(ecam, contents)
{
	return ROWS(shapes);
}

/* Every page of the window against the trap path. */
ParameterizedTest(struct shape *s, ecam, contents)
{
	struct window x;
	static uint8_t absent[PAGE];
	memset(absent, 0xff, sizeof(absent));
	window_make(&x, s, ANY_ZONES);
	unsigned functions = 0;
	for (unsigned bdf = 0; bdf < s->buses * BUS; bdf++) {
		const uint8_t *page = page_of(x.w, bdf);
		if (!x.fx.host->function[bdf]) {
			cr_assert_arr_eq(page, absent, PAGE, "page 0x%x", bdf);
			continue;
		}
		functions++;
		for (unsigned reg = 0; reg < PAGE; reg += 4)
			cr_assert_eq(load_le32(page + reg), cfg_read(&x.fx, bdf, reg, 4));
	}
	cr_expect_eq(functions, x.devs + 1);
	for (unsigned i = 0; i < x.devs; i++) {
		const uint8_t *page = page_of(x.w, s->bdf[i]);
		cr_expect_eq(load_le32(page), 0x20001af4 + (i << 16), "function %u", i);
		cr_expect_eq(load_le32(page + PAGE - 4), 0xfeed0000 + i);
	}
	window_done(&x);
}

ParameterizedTestParameters(ecam, writes)
{
	return ROWS(shapes);
}

/* A write on either trap path is seen in the window at once, in its own page only; when the window
 * goes, the functions keep what was written. */
ParameterizedTest(struct shape *s, ecam, writes)
{
	struct window x;
	window_make(&x, s, ANY_ZONES);
	for (unsigned i = 0; i < x.devs; i++) {
		unsigned bdf = s->bdf[i];
		cfg_write(&x.fx, bdf, PCI_INTERRUPT_LINE, 0x40 + i, 1);
		port_write(&x.fx, LAYOUT_PORT_PCI_ADDRESS, 0x80000000u | bdf << 8 | 0x04, 4);
		port_write(&x.fx, LAYOUT_PORT_PCI_DATA, PCI_COMMAND_MASTER, 2);
		cfg_write(&x.fx, bdf, PCI_VENDOR_ID, 0, 4);
		cfg_write(&x.fx, bdf, 0x100, 0, 4);
	}
	for (unsigned bdf = 0; bdf < s->buses * BUS; bdf += 7)
		if (!x.fx.host->function[bdf])
			cfg_write(&x.fx, bdf, PCI_INTERRUPT_LINE, 0, 1);
	for (unsigned i = 0; i < x.devs; i++) {
		const uint8_t *page = page_of(x.w, s->bdf[i]);
		cr_expect_eq(page[PCI_INTERRUPT_LINE], 0x40 + i);
		cr_expect_eq(page[PCI_COMMAND], PCI_COMMAND_MASTER);
		cr_expect_eq(load_le32(page), 0x20001af4 + (i << 16));
	}
	cr_expect_eq(page_of(x.w, 0)[PCI_INTERRUPT_LINE], 0);

	ecam_window_free(x.w, x.fx.host);
	x.w = NULL;
	for (unsigned i = 0; i < x.devs; i++) {
		const struct pci_function *f = &x.d[i].f;
		cr_expect_eq(f->config.space, f->private_space);
		cr_expect(!f->config.flush);
		cr_expect_eq(cfg_read(&x.fx, s->bdf[i], PCI_INTERRUPT_LINE, 1), 0x40 + i);
		cr_expect_eq(cfg_read(&x.fx, s->bdf[i], PAGE - 4, 4), 0xfeed0000 + i);
		cfg_write(&x.fx, s->bdf[i], PCI_INTERRUPT_LINE, 0x11, 1);
		cr_expect_eq(cfg_read(&x.fx, s->bdf[i], PCI_INTERRUPT_LINE, 1), 0x11);
	}
	/* and a second window can be made of them */
	cr_assert_eq(ecam_window_new(x.fx.host, 0, s->pages, &x.w, NULL), 0);
	for (unsigned i = 0; i < x.devs; i++)
		cr_expect_eq(page_of(x.w, s->bdf[i])[PCI_INTERRUPT_LINE], 0x11);
	window_done(&x);
}

/* The kernel refuses to write where a mapping is read-only, without a signal: a way to ask. */
static bool writable(int pipe_fd[2], const void *at)
{
	cr_assert_eq(write(pipe_fd[1], "", 1), 1);
	if (read(pipe_fd[0], (void *)(uintptr_t)at, 1) == 1)
		return true;
	char byte;
	cr_assert_eq(errno, EFAULT);
	cr_assert_eq(read(pipe_fd[0], &byte, 1), 1);
	return false;
}

ParameterizedTestParameters(ecam, pages_are_read_only)
{
	return ROWS(shapes);
}

ParameterizedTest(struct shape *s, ecam, pages_are_read_only)
{
	struct window x;
	int fd[2];
	char byte;
	cr_assert_eq(pipe(fd), 0);
	window_make(&x, s, ANY_ZONES);
	for (unsigned bdf = 0; bdf < s->buses * BUS; bdf++)
		if (x.fx.host->function[bdf] || bdf % 61 == 0)
			cr_assert(!writable(fd, page_of(x.w, bdf)), "page 0x%x", bdf);
	cr_expect(writable(fd, &byte)); /* the question makes sense */
	window_done(&x);
	close(fd[0]);
	close(fd[1]);
}

/* --- zones --- */

ParameterizedTestParameters(ecam, zones)
{
	return ROWS(shapes);
}

/* Exactly the absent pages, each once. */
ParameterizedTest(struct shape *s, ecam, zones)
{
	struct window x;
	static uint8_t covered[256 * BUS];
	memset(covered, 0, sizeof(covered));
	window_make(&x, s, ANY_ZONES);
	for (unsigned i = 0; i < x.w->zone_count; i++) {
		const struct ecam_zone *z = &x.w->zone[i];
		cr_assert(z->gpa % PAGE == 0 && z->size && z->size % PAGE == 0);
		cr_assert_leq(z->size, UINT32_MAX, "KVM takes 32 bits");
		for (uint64_t at = 0; at < z->size; at += PAGE) {
			uint64_t bdf = (z->gpa - LAYOUT_ECAM_BASE + at) / PAGE;
			cr_assert_lt(bdf, (uint64_t)s->buses * BUS);
			covered[bdf]++;
		}
	}
	for (unsigned bdf = 0; bdf < s->buses * BUS; bdf++)
		cr_assert_eq(covered[bdf], x.fx.host->function[bdf] ? 0 : 1, "page 0x%x", bdf);
	window_done(&x);
}

struct limit_case {
	unsigned max, count;
	uint64_t smallest; /* in pages */
};

/* Gaps of 9, 1, 99, 3 and 139 pages. */
ParameterizedTestParameters(ecam, zone_limit)
{
	static struct limit_case c[] = {
		{ 0, 0, 0 },
		{ 1, 1, 139 },
		{ 2, 2, 99 },
		{ 3, 3, 9 },
		{ 4, 4, 3 },
		{ 5, 5, 1 },
		{ 6, 5, 1 },
	};
	return ROWS(c);
}

ParameterizedTest(struct limit_case *c, ecam, zone_limit)
{
	struct window x;
	static const struct shape shape = { 1, { 10, 12, 112, 116 }, ECAM_PAGES_LARGE };
	window_make(&x, &shape, c->max);
	uint64_t smallest = UINT64_MAX;
	for (unsigned i = 0; i < x.w->zone_count; i++)
		smallest = min_u64(smallest, x.w->zone[i].size / PAGE);
	cr_expect_eq(x.w->zone_count, c->count);
	if (c->count)
		cr_expect_eq(smallest, c->smallest);
	window_done(&x);
}

/* --- nothing absent, and more pieces than the kernel maps --- */

static void fill(struct pci_fixture *fx, struct pci_function *f, unsigned count, unsigned step)
{
	static const struct pci_identity id = { .vendor = 0x1af4, .device = 0x1044 };
	for (unsigned i = 0; i < count; i++) {
		unsigned bdf = (i + 1) * step;
		cr_assert_eq(pci_function_init(&f[i], "f", &id, NULL, NULL), 0);
		pci_config_set(&f[i].config, PCI_SUBSYSTEM_ID, bdf, 2);
		f[i].host = fx->host;
		f[i].bus = (uint8_t)(bdf >> 8);
		f[i].devfn = (uint8_t)bdf;
		fx->host->function[bdf] = &f[i];
		fx->host->function_count++;
	}
}

/* Without large pages the window is one slot, and shows the same. */
Test(ecam, small_pages)
{
	struct pci_fixture fx;
	struct ecam_window *w;
	uint8_t ones[PAGE];
	memset(ones, 0xff, sizeof(ones));
	fixture_init(&fx, 7);
	cr_assert_eq(ecam_window_new(fx.host, ANY_ZONES, ECAM_PAGES_SMALL, &w, NULL), 0);
	cr_expect_eq(w->slot_count, 1);
	cr_expect_eq(w->slot[0].size, (uint64_t)7 * BUS * PAGE);
	cr_expect(!w->large_pages);
	cr_expect_arr_neq(page_of(w, 0), ones, PAGE);
	for (unsigned page = 1; page < 7 * BUS; page++)
		cr_expect_arr_eq(page_of(w, page), ones, PAGE, "page 0x%x", page);
	ecam_window_free(w, fx.host);
	fixture_done(&fx);
}

/* Where it says so, the chunk with functions is a huge page in the mapping that KVM looks at. */
Test(ecam, all_large)
{
	struct window x;
	static const struct shape shape = { 4, { 8, 511 }, ECAM_PAGES_ALL_LARGE };
	window_make(&x, &shape, ANY_ZONES);
	cr_expect_eq(x.w->slot_count, 2);
	cr_expect_eq(x.w->slot[0].size, ONES_LARGE_SIZE);
	cr_expect_eq((uintptr_t)x.w->slot[0].hva % ONES_LARGE_SIZE, 0);
	if (x.w->large_pages)
		cr_expect_eq(huge_kib(x.w->slot[0].hva), ONES_LARGE_SIZE / 1024);
	else
		cr_log_warn("this host makes no huge page of a memfd");
	window_done(&x);
}

Test(ecam, full_bus)
{
	struct pci_fixture fx;
	struct ecam_window *w;
	struct pci_function *f = calloc(255, sizeof(*f));
	fixture_init(&fx, 1);
	fill(&fx, f, 255, 1);
	cr_assert_eq(ecam_window_new(fx.host, ANY_ZONES, ECAM_PAGES_LARGE, &w, NULL), 0);
	cr_expect_eq(w->zone_count, 0);
	cr_expect_eq(w->slot_count, 1);
	cr_expect(!w->large_pages);
	for (unsigned bdf = 1; bdf < 256; bdf++)
		cr_expect_eq(load_le16(page_of(w, bdf) + PCI_SUBSYSTEM_ID), bdf);
	ecam_window_free(w, fx.host);
	for (unsigned i = 0; i < 255; i++)
		pci_function_done(&f[i]);
	free(f);
	fixture_done(&fx);
}

/* ThreadSanitizer itself stops when it finds no room for one more mapping. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if !defined(__SANITIZE_THREAD__) && !__has_feature(thread_sanitizer)
static unsigned long max_map_count(void)
{
	char text[32] = "";
	int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return strtoul(text, NULL, 10);
}

/* Every other page has a function: 65,536 mappings, more than most hosts allow. Either way the
 * functions come out of it whole. */
Test(ecam, too_many_mappings, .timeout = 60)
{
	enum { COUNT = 128 * BUS - 1 };
	struct pci_fixture fx;
	struct ecam_window *w = NULL;
	struct lacuna_error *err = NULL;
	struct pci_function *f = calloc(COUNT, sizeof(*f));
	fixture_init(&fx, 256);
	fill(&fx, f, COUNT, 2);
	int rc = ecam_window_new(fx.host, 960, ECAM_PAGES_LARGE, &w, &err);
	if (max_map_count() < 65536) {
		cr_expect_eq(rc, -ENOMEM);
		cr_expect(err && strstr(lacuna_error_message(err), "vm.max_map_count"));
		cr_expect_null(w);
	} else {
		cr_expect_eq(rc, 0);
		cr_expect_eq(w->zone_count, 960);
	}
	lacuna_error_free(err);
	ecam_window_free(w, fx.host);
	for (unsigned i = 0; i < COUNT; i++) {
		cr_assert_eq(f[i].config.space, f[i].private_space);
		uint64_t bdf = 2 * (i + 1ull);
		cr_assert_eq(cfg_read(&fx, (unsigned)bdf, PCI_SUBSYSTEM_ID, 2), bdf);
		pci_function_done(&f[i]);
	}
	free(f);
	fixture_done(&fx);
}

#endif

/* --- all-ones memory --- */

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void expect_ones_of(const struct ones *ones, size_t size)
{
	static uint8_t byte[ONES_FILE_SIZE + 1];
	cr_expect_eq(ones->file_size, size);
	cr_assert_eq(pread(ones->fd, byte, sizeof(byte), 0), (ssize_t)size);
	for (size_t i = 0; i < size; i++)
		cr_assert_eq(byte[i], 0xff);
}

Test(ecam, ones_are_shared_and_counted)
{
	const struct ones *one, *two, *three;
	cr_assert_eq(ones_get(false, &one, NULL), 0);
	int fd = one->fd;
	cr_expect(is_open(fd));
	cr_expect_null(one->large, "not asked for yet");
	expect_ones_of(one, ONES_FILE_FIRST);
	cr_assert_eq(ones_get(true, &two, NULL), 0);
	expect_ones_of(one, ONES_FILE_SIZE);
	cr_assert_eq(ones_get(true, &three, NULL), 0);
	cr_expect_eq(two->fd, fd);
	cr_expect_eq(two->large, three->large);
	cr_assert_not_null(two->large);
	cr_expect_eq((uintptr_t)two->large % ONES_LARGE_SIZE, 0);
	for (unsigned i = 0; i < ONES_LARGE_SIZE; i += 8)
		cr_assert_eq(load_le64((const uint8_t *)two->large + i), UINT64_MAX);
	ones_put();
	ones_put();
	cr_expect(is_open(fd), "one holder is left");
	ones_put();
	cr_expect(!is_open(fd), "the last one has gone");
	cr_assert_eq(ones_get(false, &one, NULL), 0); /* and anew */
	cr_expect(is_open(one->fd));
	cr_expect_null(one->large);
	ones_put();
}

static void *getter(void *opaque)
{
	for (unsigned i = 0; i < 200; i++) {
		const struct ones *o;
		char byte = 0;
		if (ones_get(i % 16 == 0, &o, NULL) < 0 || pread(o->fd, &byte, 1, 77) != 1 ||
			byte != '\xff')
			return (void *)(uintptr_t)1;
		ones_put();
	}
	return NULL;
}

Test(ecam, ones_from_many_threads)
{
	pthread_t thread[4];
	for (unsigned i = 0; i < ARRAY_SIZE(thread); i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, getter, NULL), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(thread); i++) {
		void *failed;
		pthread_join(thread[i], &failed);
		cr_expect_null(failed);
	}
}

/* Two VMs of one process: one copy of the large region, and neither frees it under the other. */
Test(ecam, two_windows)
{
	struct window x[2];
	static const struct shape shape = { 4, { 8 }, ECAM_PAGES_LARGE };
	for (unsigned i = 0; i < 2; i++)
		window_make(&x[i], &shape, ANY_ZONES);
	cr_expect_eq(page_of(x[0].w, 3 * BUS), page_of(x[1].w, 3 * BUS));
	cr_expect_neq(page_of(x[0].w, 8), page_of(x[1].w, 8));
	cfg_write(&x[0].fx, 8, PCI_INTERRUPT_LINE, 0x33, 1);
	cr_expect_eq(page_of(x[1].w, 8)[PCI_INTERRUPT_LINE], 0);
	window_done(&x[0]);
	cr_expect_eq(load_le32(page_of(x[1].w, 3 * BUS)), UINT32_MAX);
	cr_expect_eq(load_le32(page_of(x[1].w, 9)), UINT32_MAX);
	window_done(&x[1]);
	ecam_window_free(NULL, NULL);
}
