// SPDX-License-Identifier: Apache-2.0
/* Configuration space as bytes and masks. All stores are of whole aligned dwords: a guest may be
 * reading the page. */
#include "pci/config.h"

#include <stdlib.h>
#include <string.h>

#include "util/bytes.h"
#include "util/cache.h"
#include "util/thread.h"

static uint32_t load_dword(const struct pci_config *c, unsigned offset)
{
	return le32toh(__atomic_load_n(
		(const uint32_t *)(const void *)&c->space[offset], __ATOMIC_RELAXED));
}

static void store_dword(struct pci_config *c, unsigned offset, uint32_t value)
{
	uint32_t *p = (uint32_t *)(void *)&c->space[offset];
	value = htole32(value);
	if (*p == value)
		return;
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
	if (c->flush)
		cache_flush_line(p);
}

void pci_config_init(struct pci_config *c, uint8_t *space)
{
	*c = (struct pci_config){ .space = space };
	pthread_mutex_init(&c->lock, NULL);
}

uint64_t pci_config_read(const struct pci_config *c, unsigned offset, unsigned size)
{
	uint64_t value = ones(size);
	/* Each dword is loaded once: another vCPU may be writing it. */
	for (unsigned at = offset; at < offset + size && at < PCI_CONFIG_SIZE;) {
		unsigned in = at & 3, shift = 8 * (at - offset);
		unsigned len = (unsigned)min_u64(4 - in, offset + size - at);
		uint64_t part = (load_dword(c, at - in) >> (8 * in)) & ones(len);
		value = (value & ~(ones(len) << shift)) | part << shift;
		at += len;
	}
	return value;
}

static struct pci_register *find(const struct pci_config *c, unsigned dword)
{
	for (unsigned i = 0; i < c->reg_count; i++)
		if (c->reg[i].offset == dword)
			return &c->reg[i];
	return NULL;
}

void pci_config_write(struct pci_config *c, unsigned offset, uint64_t value, unsigned size)
{
	LOCK_SCOPE(&c->lock);
	for (unsigned at = offset, dword; at < offset + size && at < PCI_CONFIG_SIZE;
		at = dword + 4) {
		dword = at & ~3u;
		const struct pci_register *r = find(c, dword);
		if (!r)
			continue;
		unsigned in = at & 3, len = (unsigned)min_u64(4 - in, offset + size - at);
		uint32_t lanes = (uint32_t)(ones(len) << (8 * in));
		uint32_t bits = (uint32_t)(value >> (8 * (at - offset)) << (8 * in)) & lanes;
		uint32_t new = load_dword(c, dword) & ~(r->writable & lanes);
		store_dword(c, dword, (new | (bits & r->writable)) & ~(bits & r->write_1_clear));
	}
}

bool pci_config_may_write(const struct pci_config *c, unsigned offset, unsigned size)
{
	for (unsigned at = offset; at < offset + size && at < PCI_CONFIG_SIZE; at++) {
		const struct pci_register *r = find(c, at & ~3u);
		if (r && ((r->writable | r->write_1_clear) >> (8 * (at & 3)) & 0xff))
			return true;
	}
	return false;
}

void pci_config_set(struct pci_config *c, unsigned offset, uint32_t value, unsigned size)
{
	unsigned dword = offset & ~3u, shift = 8 * (offset & 3);
	uint32_t mask = (uint32_t)ones(size) << shift;
	LOCK_SCOPE(&c->lock);
	store_dword(c, dword, (load_dword(c, dword) & ~mask) | ((value << shift) & mask));
}

static void declare(struct pci_config *c, unsigned offset, uint32_t mask, uint32_t clear_mask)
{
	unsigned dword = offset & ~3u, shift = 8 * (offset & 3);
	struct pci_register *r = find(c, dword);
	if (!r && c->reg_count == c->reg_capacity) {
		unsigned capacity = c->reg_capacity + 16;
		struct pci_register *grown = realloc(c->reg, capacity * sizeof(*grown));
		if (!grown) {
			c->failed = true;
			return;
		}
		c->reg = grown;
		c->reg_capacity = capacity;
	}
	if (!r) {
		r = &c->reg[c->reg_count++];
		*r = (struct pci_register){ .offset = (uint16_t)dword };
	}
	r->writable |= mask << shift;
	r->write_1_clear |= clear_mask << shift;
	r->reset = load_dword(c, dword);
}

void pci_config_writable(struct pci_config *c, unsigned offset, uint32_t mask, unsigned size)
{
	declare(c, offset, mask & (uint32_t)ones(size), 0);
}

void pci_config_write_1_clear(struct pci_config *c, unsigned offset, uint32_t mask, unsigned size)
{
	declare(c, offset, 0, mask & (uint32_t)ones(size));
}

void pci_config_reset(struct pci_config *c)
{
	LOCK_SCOPE(&c->lock);
	for (unsigned i = 0; i < c->reg_count; i++) {
		const struct pci_register *r = &c->reg[i];
		uint32_t mask = r->writable | r->write_1_clear;
		store_dword(c, r->offset, (load_dword(c, r->offset) & ~mask) | (r->reset & mask));
	}
}

void pci_config_move(struct pci_config *c, uint8_t *to, bool flush)
{
	LOCK_SCOPE(&c->lock);
	memcpy(to, c->space, PCI_CONFIG_SIZE);
	for (unsigned line = 0; flush && line < PCI_CONFIG_SIZE; line += CACHE_LINE)
		cache_flush_line(to + line);
	c->space = to;
	c->flush = flush;
}

void pci_config_done(struct pci_config *c)
{
	if (!c->space)
		return;
	free(c->reg);
	c->reg = NULL;
	c->reg_count = c->reg_capacity = 0;
	pthread_mutex_destroy(&c->lock);
}
