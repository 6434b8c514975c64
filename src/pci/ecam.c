// SPDX-License-Identifier: Apache-2.0
/* Builds the ECAM window (PCIe 5.0, 7.2.2) from live pages and all-ones memory. */
#include "pci/ecam.h"

#include <abi/layout.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "pci/host.h"
#include "pci/ones.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"

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

/* Whether it is put together page by page. */
static bool chunk_is_pieces(
	const struct ecam_window *w, const struct pci_host *host, unsigned chunk)
{
	return w->small_pages || chunk_has_functions(host, chunk);
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

/* Copies every function's bytes into its live page, which becomes the place where they are kept. */
static int make_live_pages(struct ecam_window *w, struct pci_host *host, struct lacuna_error **err)
{
	AUTO_CLOSE int fd = memfd_create("lacuna-config", MFD_CLOEXEC);
	w->live_size = (uint64_t)host->function_count * PAGE;
	if (fd < 0 || ftruncate(fd, (off_t)w->live_size) < 0)
		return err_errno(err, "memory for PCI configuration pages");
	uint8_t *live = mmap(NULL, w->live_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (live == MAP_FAILED)
		return err_errno(err, "memory for PCI configuration pages");
	w->live_fd = TAKE_FD(fd);
	w->live = live;
	unsigned n = 0;
	for (unsigned bdf = 0; bdf < page_count(host); bdf++) {
		struct pci_function *f = host->function[bdf];
		if (!f)
			continue;
		pci_config_move(&f->config, live + (uint64_t)n++ * PAGE, true);
	}
	return 0;
}

static void add_slot(struct ecam_window *w, unsigned first_page, unsigned end_page, const void *hva)
{
	w->slot[w->slot_count++] = (struct ecam_slot){
		.gpa = LAYOUT_ECAM_BASE + (uint64_t)first_page * PAGE,
		.size = (uint64_t)(end_page - first_page) * PAGE,
		.hva = hva,
	};
}

/* One slot for each run of chunks that are made of pieces, one for each other chunk. */
static int make_slots(struct ecam_window *w, struct pci_host *host, struct lacuna_error **err)
{
	unsigned chunks = chunk_count(host), occupied = 0, live = 0;
	for (unsigned chunk = 0; chunk < chunks; chunk++)
		occupied += chunk_is_pieces(w, host, chunk);
	w->map_size = (uint64_t)occupied * CHUNK;
	w->map_reserved = w->map_size + CHUNK;
	w->map_base = mmap(NULL, w->map_reserved, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (w->map_base == MAP_FAILED) {
		w->map_base = NULL;
		return err_errno(err, "reserve the ECAM window");
	}
	w->map = (uint8_t *)align_up((uintptr_t)w->map_base, CHUNK);
	w->slot = calloc(chunks, sizeof(*w->slot)); // NOLINT: there is a bus, so chunks > 0
	if (!w->slot)
		return err_nomem(err);

	uint8_t *at = w->map;
	for (unsigned chunk = 0; chunk < chunks;) {
		unsigned first = chunk;
		uint8_t *hva = at;
		for (; chunk < chunks && chunk_is_pieces(w, host, chunk); chunk++, at += CHUNK) {
			int rc = map_chunk(w, host, chunk, at, &live, err);
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

int ecam_window_new(struct pci_host *host, unsigned max_zones, bool large_pages,
	struct ecam_window **ret, struct lacuna_error **err)
{
	struct ecam_window *w = calloc(1, sizeof(*w));
	if (!w)
		return err_nomem(err);
	w->live_fd = -1;
	w->small_pages = !large_pages;
	bool empty_chunks = false;
	for (unsigned chunk = 0; chunk < chunk_count(host); chunk++)
		empty_chunks |= !chunk_is_pieces(w, host, chunk);
	int rc = ones_get(empty_chunks, &w->ones, err);
	if (rc == 0)
		rc = make_live_pages(w, host, err);
	if (rc == 0)
		rc = make_slots(w, host, err);
	if (rc == 0)
		rc = make_zones(w, host, max_zones, err);
	if (rc < 0) {
		ecam_window_free(w, host);
		return err_prefix(err, rc, "pci");
	}
	w->large_pages = empty_chunks && w->ones->large_is_huge;
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
	if (w->live)
		munmap(w->live, w->live_size);
	fd_close(&w->live_fd);
	if (w->ones)
		ones_put();
	free(w->slot);
	free(w->zone);
	free(w);
}
