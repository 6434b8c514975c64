/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ECAM window as memory. Each 4 KiB page of the window is a function's live configuration page
 * or all ones, so that a guest reads present and absent functions alike without an exit.
 *
 *	buses with functions   a mapping put together from live pages and pieces of the all-ones
 *	                       memfd, 4 KiB pages
 *	buses without          memory slots of 2 MiB that all name one all-ones huge page: 256 buses
 *	                       cost one page
 *
 * With ECAM_PAGES_ALL_LARGE each pair of buses with functions is a huge page of its own, too, live
 * pages and all ones in their places: 2 MiB more, and one fault in place of up to 512.
 *
 * This file builds host memory and says which slots and coalesced zones it wants; src/machine/
 * hands them to KVM. The mapping a guest gets is PROT_READ and its slots are read-only; the host
 * writes through an alias of the live pages.
 */
#ifndef PCI_ECAM_H
#define PCI_ECAM_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stdint.h>

struct pci_host;
struct ones;

/* Where huge pages are wanted. */
enum ecam_pages {
	ECAM_PAGES_LARGE,     /* behind buses without functions */
	ECAM_PAGES_ALL_LARGE, /* everywhere */
	ECAM_PAGES_SMALL,     /* nowhere */
};

struct ecam_slot {
	uint64_t gpa, size;
	const void *hva;
};

/* A range without functions: writes into it go to KVM's coalesced ring and are dropped when it is
 * drained. */
struct ecam_zone {
	uint64_t gpa, size;
};

struct ecam_window {
	struct ecam_slot *slot;
	unsigned slot_count;
	struct ecam_zone *zone;
	unsigned zone_count;
	enum ecam_pages pages; /* what is wanted */
	bool large_pages;      /* there are huge pages, where they are wanted */

	const struct ones *ones;
	int live_fd;   /* memfd of the live pages, in order of bdf; or of all of @map */
	uint8_t *live; /* writable alias */
	uint64_t live_size;
	uint8_t *map; /* mapping of all buses that have functions, 2 MiB chunks */
	uint64_t map_size, map_reserved;
	void *map_base;
};

/*
 * Builds the window of @host as it is now and moves each function's configuration bytes into its
 * live page. No function may be added or removed afterwards while the window exists. @max_zones
 * bounds the zones: the largest gaps get one. Where there is no huge page to be had, 4 KiB pages do
 * the same with more faults.
 */
int ecam_window_new(struct pci_host *host, unsigned max_zones, enum ecam_pages pages,
	struct ecam_window **ret, struct lacuna_error **err);

/* Gives the functions their private bytes back. The slots must be gone. */
void ecam_window_free(struct ecam_window *w, struct pci_host *host);

#endif
