// SPDX-License-Identifier: Apache-2.0
/*
 * Devicetree Specification 0.4, 5: the flattened form, read in the order in which it lies. Only
 * what lacuna writes is understood: addresses and sizes outside /cpus have two cells.
 */
#include "fdt.h"

#include <stddef.h>

#include "guest.h"
#include "string.h"

#define BP_SETUP_DATA 0x250
#define SETUP_DTB     2

#define MAGIC      0xd00dfeed
#define BEGIN_NODE 1
#define END_NODE   2
#define PROP       3
#define NOP        4

struct setup_data {
	uint64_t next;
	uint32_t type, len;
	uint8_t data[];
};

struct header {
	uint32_t magic, totalsize, off_struct, off_strings, off_mem_rsvmap, version,
		last_comp_version, boot_cpuid_phys, size_strings, size_struct;
};

struct property {
	const char *name;
	const uint8_t *value;
	uint32_t size;
};

static uint32_t load(const void *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return __builtin_bswap32(v);
}

static const uint8_t *find_tree(void)
{
	uint64_t at;
	for (memcpy(&at, guest_boot_params + BP_SETUP_DATA, 8); at;) {
		const struct setup_data *d = (const struct setup_data *)at;
		if (d->type == SETUP_DTB && load(d->data) == MAGIC)
			return d->data;
		at = d->next;
	}
	return NULL;
}

/*
 * Calls @fn at the end of each node's properties, with the node's own of these names; false ends
 * the walk. A value of size 0 and no name is one that the node has not.
 */
static void walk(const char *const names[], unsigned count,
	bool (*fn)(const struct property *found, void *opaque), void *opaque)
{
	const uint8_t *tree = find_tree();
	struct property found[4] = { 0 };
	bool fresh = false; /* properties of a node that fn has not seen */
	if (!tree)
		return;
	const struct header *h = (const struct header *)tree;
	const char *strings = (const char *)tree + load(&h->off_strings);
	const uint8_t *p = tree + load(&h->off_struct), *end = p + load(&h->size_struct);
	while (p < end) {
		uint32_t token = load(p);
		p += 4;
		if (token == PROP) {
			struct property q = { strings + load(p + 4), p + 8, load(p) };
			for (unsigned i = 0; i < count; i++)
				if (str_equal(q.name, names[i]))
					found[i] = q;
			p += 8 + ((q.size + 3) & ~3u);
			continue;
		}
		if (token == NOP)
			continue;
		/* a node begins or ends, or the tree does; properties come first in each */
		if (fresh && !fn(found, opaque))
			return;
		memset(found, 0, sizeof(found));
		fresh = token == BEGIN_NODE;
		if (fresh)
			p += (strlen((const char *)p) + 4) & ~(size_t)3;
		else if (token != END_NODE)
			return;
	}
}

static bool is(const struct property *p, const char *text)
{
	return p->size == strlen(text) + 1 && !memcmp(p->value, text, p->size);
}

static bool note_ecam(const struct property *found, void *opaque)
{
	struct fdt_ecam *ecam = opaque;
	if (!is(&found[0], "pci-host-ecam-generic") || found[1].size < 16 || found[2].size < 8)
		return true;
	ecam->base = (uint64_t)load(found[1].value) << 32 | load(found[1].value + 4);
	ecam->first_bus = load(found[2].value);
	ecam->last_bus = load(found[2].value + 4);
	return false;
}

bool fdt_ecam(struct fdt_ecam *ret)
{
	static const char *const names[] = { "compatible", "reg", "bus-range" };
	*ret = (struct fdt_ecam){ .first_bus = 1 };
	walk(names, 3, note_ecam, ret);
	return ret->last_bus >= ret->first_bus;
}

struct processors {
	uint32_t *ids;
	unsigned count, max;
};

static bool note_processor(const struct property *found, void *opaque)
{
	struct processors *all = opaque;
	if (is(&found[0], "cpu") && found[1].size == 4)
		all->ids[all->count++] = load(found[1].value);
	return all->count < all->max;
}

unsigned fdt_processors(uint32_t *ids, unsigned max)
{
	static const char *const names[] = { "device_type", "reg" };
	struct processors all = { .ids = ids, .max = max };
	walk(names, 2, note_processor, &all);
	return all.count;
}
