// SPDX-License-Identifier: Apache-2.0
/* Builds the ECAM window (PCIe 5.0, 7.2.2) from live pages and all-ones memory. */
#include "pci/ecam.h"

#include <abi/layout.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "pci/host.h"
#include "pci/ones.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"
#include "util/hugepage.h"

#define PAGE        4096ul
#define CHUNK       ONES_LARGE_SIZE /* two buses: what one large page covers */
#define CHUNK_PAGES (CHUNK / PAGE)

static unsigned page_count(const struct pci_host *host)
{
	return host->config.buses * 256;
}

static unsigned chunk_count(const struct pci_host *host)
{
	return (page_count(host) + CHUNK_PAGES - 1) / CHUNK_PAGES;
}

static unsigned chunk_end(const struct pci_host *host, unsigned chunk)
{
	return (unsigned)min_u64((chunk + 1) * CHUNK_PAGES, page_count(host));
}

static bool chunk_has_functions(const struct pci_host *host, unsigned chunk)
{
	for (unsigned page = chunk * CHUNK_PAGES; page < chunk_end(host, chunk); page++)
		if (host->function[page])
			return true;
	return false;
}

/* Whether it has a place in the mapping, or names the all-ones huge page. */
static bool chunk_is_mapped(
	const struct ecam_window *w, const struct pci_host *host, unsigned chunk)
{
	return w->pages == ECAM_PAGES_SMALL || chunk_has_functions(host, chunk);
}

/* The first page from @page on, up to @end, that has (or has not) a function. */
static unsigned skip(const struct pci_host *host, unsigned page, unsigned end, bool present)
{
	while (page < end && !host->function[page] == !present)
		page++;
	return page;
}

static int map_fixed(uint8_t *at, uint64_t size, int fd, uint64_t offset, struct lacuna_error **err)
{
	if (mmap(at, size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, (off_t)offset) == MAP_FAILED)
		return err_errno(err, "map the ECAM window (vm.max_map_count may be too low)");
	return 0;
}

/* Fills the mapping of one chunk at @at; @live is the index of its first live page. */
static int map_chunk(struct ecam_window *w, const struct pci_host *host, unsigned chunk,
	uint8_t *at, unsigned *live, struct lacuna_error **err)
{
	unsigned first = chunk * CHUNK_PAGES, end = chunk_end(host, chunk);
	for (unsigned page = first; page < end;) {
		uint8_t *to = at + (page - first) * PAGE;
		unsigned next = skip(host, page, end, true);
		int rc;
		if (next > page) { /* adjacent functions have adjacent live pages */
			rc = map_fixed(to, (next - page) * PAGE, w->live_fd, *live * PAGE, err);
			*live += next - page;
		} else {
			next = skip(host, page, end, false);
			next = (unsigned)min_u64(next, page + w->ones->file_size / PAGE);
			rc = map_fixed(to, (next - page) * PAGE, w->ones->fd, 0, err);
		}
		if (rc < 0)
			return rc;
		page = next;
	}
	return 0;
}

/* A place for each chunk that is mapped, at the alignment KVM wants for a large page. */
static int reserve_map(
	struct ecam_window *w, const struct pci_host *host, struct lacuna_error **err)
{
	for (unsigned chunk = 0; chunk < chunk_count(host); chunk++)
		w->map_size += chunk_is_mapped(w, host, chunk) ? CHUNK : 0;
	w->map_reserved = w->map_size + CHUNK;
	void *base = mmap(NULL, w->map_reserved, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return err_errno(err, "reserve the ECAM window");
	w->map_base = base;
	w->map = (uint8_t *)align_up((uintptr_t)base, CHUNK);
	return 0;
}

/*
 * One huge page for the chunk that is mapped at @at; false if there is none to be had. A memfd has
 * none by itself (shmem_enabled is "never" by default): MADV_COLLAPSE makes one, of a chunk whose
 * page table is there. mincore() tells: of a single page that was touched, all are in memory.
 */
static bool make_huge(const uint8_t *at)
{
	unsigned char in_core[CHUNK_PAGES] = { 0 };
	(void)*(const volatile uint8_t *)at;
	madvise((void *)(uintptr_t)at, CHUNK, MADV_COLLAPSE);
	return mincore((void *)(uintptr_t)at, CHUNK, in_core) == 0 && in_core[CHUNK_PAGES - 1] & 1;
}

/* The mapping is the live file as it is, in huge pages where there are any; all of it ones so far.
 * What lies past the last bus is never looked at. Where there is not one to be had, it would only
 * take memory: then they are not wanted any more. */
static int map_whole(struct ecam_window *w, const struct pci_host *host, struct lacuna_error **err)
{
	unsigned chunks = (unsigned)(w->map_size / CHUNK), huge = 0;
	bool last_is_half =
		page_count(host) % CHUNK_PAGES && chunk_is_mapped(w, host, chunk_count(host) - 1);
	int rc = map_fixed(w->map, w->map_size, w->live_fd, 0, err);
	if (rc < 0)
		return rc;
	chunks -= last_is_half;
	for (unsigned i = 0; i < chunks; i++)
		huge += make_huge(w->map + i * CHUNK);
	w->large_pages = huge > 0 && huge == chunks;
	if (!huge) {
		w->pages = ECAM_PAGES_LARGE;
		return 0;
	}
	memset(w->live, 0xff, w->live_size);
	return 0;
}

/* The file of the live pages and its writable alias. */
static int open_live_file(struct ecam_window *w, uint64_t size, struct lacuna_error **err)
{
	AUTO_CLOSE int fd = memfd_create("lacuna-config", MFD_CLOEXEC);
	w->live_size = size;
	if (fd < 0 || ftruncate(fd, (off_t)w->live_size) < 0)
		return err_errno(err, "memory for PCI configuration pages");
	uint8_t *live = mmap(NULL, w->live_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (live == MAP_FAILED)
		return err_errno(err, "memory for PCI configuration pages");
	w->live_fd = TAKE_FD(fd);
	w->live = live;
	return 0;
}

static void close_live_file(struct ecam_window *w)
{
	if (w->live)
		munmap(w->live, w->live_size);
	w->live = NULL;
	fd_close(&w->live_fd);
}

static int make_live_file(
	struct ecam_window *w, const struct pci_host *host, struct lacuna_error **err)
{
	if (w->pages == ECAM_PAGES_ALL_LARGE) {
		int rc = open_live_file(w, w->map_size, err);
		if (rc == 0)
			rc = map_whole(w, host, err);
		if (rc < 0 || w->pages == ECAM_PAGES_ALL_LARGE)
			return rc;
		close_live_file(w);
	}
	return open_live_file(w, (uint64_t)host->function_count * PAGE, err);
}

/* Copies every function's bytes into its live page, which becomes the place where they are kept. */
static void move_functions(struct ecam_window *w, struct pci_host *host)
{
	uint64_t next = 0, place = 0; /* in the file: of a live page; of a chunk */
	for (unsigned chunk = 0; chunk < chunk_count(host); chunk++) {
		unsigned first = chunk * CHUNK_PAGES;
		if (!chunk_is_mapped(w, host, chunk))
			continue;
		for (unsigned page = first; page < chunk_end(host, chunk); page++) {
			struct pci_function *f = host->function[page];
			if (w->pages == ECAM_PAGES_ALL_LARGE)
				next = place + (page - first) * PAGE;
			if (f)
				pci_config_move(&f->config, w->live + next, true);
			next += f ? PAGE : 0;
		}
		place += CHUNK;
	}
}

static void add_slot(struct ecam_window *w, unsigned first_page, unsigned end_page, const void *hva)
{
	w->slot[w->slot_count++] = (struct ecam_slot){
		.gpa = LAYOUT_ECAM_BASE + (uint64_t)first_page * PAGE,
		.size = (uint64_t)(end_page - first_page) * PAGE,
		.hva = hva,
	};
}

/* One slot for each run of chunks that are mapped, one for each other chunk. */
static int make_slots(struct ecam_window *w, struct pci_host *host, struct lacuna_error **err)
{
	unsigned chunks = chunk_count(host), live = 0;
	w->slot = calloc(chunks, sizeof(*w->slot)); // NOLINT: there is a bus, so chunks > 0
	if (!w->slot)
		return err_nomem(err);

	uint8_t *at = w->map;
	for (unsigned chunk = 0; chunk < chunks;) {
		unsigned first = chunk;
		uint8_t *hva = at;
		for (; chunk < chunks && chunk_is_mapped(w, host, chunk); chunk++, at += CHUNK) {
			int rc = 0;
			if (w->pages != ECAM_PAGES_ALL_LARGE)
				rc = map_chunk(w, host, chunk, at, &live, err);
			if (rc < 0)
				return rc;
		}
		if (chunk > first) {
			add_slot(w, first * CHUNK_PAGES, chunk_end(host, chunk - 1), hva);
			continue;
		}
		add_slot(w, chunk * CHUNK_PAGES, chunk_end(host, chunk), w->ones->large);
		chunk++;
	}
	return 0;
}

static int by_size_descending(const void *a, const void *b)
{
	const struct ecam_zone *x = a, *y = b;
	return x->size < y->size ? 1 : x->size > y->size ? -1 : 0;
}

/* Every gap between functions is a zone; where there are too many, the smallest gaps go without and
 * trap. */
static int make_zones(struct ecam_window *w, const struct pci_host *host, unsigned max_zones,
	struct lacuna_error **err)
{
	w->zone = calloc(host->function_count + 1, sizeof(*w->zone));
	if (!w->zone)
		return err_nomem(err);
	unsigned end = page_count(host);
	for (unsigned page = 0; page < end;) {
		unsigned next = skip(host, page, end, false);
		if (next > page)
			w->zone[w->zone_count++] = (struct ecam_zone){
				.gpa = LAYOUT_ECAM_BASE + (uint64_t)page * PAGE,
				.size = (uint64_t)(next - page) * PAGE,
			};
		page = skip(host, next, end, true);
	}
	if (w->zone_count > max_zones) {
		qsort(w->zone, w->zone_count, sizeof(*w->zone), by_size_descending);
		w->zone_count = max_zones;
	}
	return 0;
}

int ecam_window_new(struct pci_host *host, unsigned max_zones, enum ecam_pages pages,
	struct ecam_window **ret, struct lacuna_error **err)
{
	struct ecam_window *w = calloc(1, sizeof(*w));
	if (!w)
		return err_nomem(err);
	w->live_fd = -1;
	w->pages = pages;
	bool empty_chunks = false;
	for (unsigned chunk = 0; chunk < chunk_count(host); chunk++)
		empty_chunks |= !chunk_is_mapped(w, host, chunk);
	int rc = ones_get(empty_chunks, &w->ones, err);
	if (rc == 0)
		rc = reserve_map(w, host, err);
	if (rc == 0)
		rc = make_live_file(w, host, err);
	if (rc == 0)
		rc = make_slots(w, host, err);
	if (rc == 0)
		rc = make_zones(w, host, max_zones, err);
	if (rc < 0) {
		ecam_window_free(w, host);
		return err_prefix(err, rc, "pci");
	}
	move_functions(w, host);
	if (empty_chunks)
		w->large_pages =
			w->ones->large_is_huge && (w->large_pages || w->pages == ECAM_PAGES_LARGE);
	*ret = w;
	return 0;
}

void ecam_window_free(struct ecam_window *w, struct pci_host *host)
{
	if (!w)
		return;
	for (unsigned bdf = 0; w->live && bdf < page_count(host); bdf++) {
		struct pci_function *f = host->function[bdf];
		if (!f || f->config.space == f->private_space)
			continue;
		pci_config_move(&f->config, f->private_space, false);
	}
	if (w->map_base)
		munmap(w->map_base, w->map_reserved);
	close_live_file(w);
	if (w->ones)
		ones_put();
	free(w->slot);
	free(w->zone);
	free(w);
}
