// SPDX-License-Identifier: Apache-2.0
/* Configuration space as bytes and masks. All stores are of whole aligned dwords: a guest may be
 * reading the page. */
#include "pci/config.h"

#include "util/bytes.h"
#include "util/cache.h"

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

void pci_config_write(struct pci_config *c, unsigned offset, uint64_t value, unsigned size)
{
	unsigned at = offset;
	while (at < offset + size && at < PCI_CONFIG_MASKED) {
		unsigned dword = at & ~3u;
		uint32_t old = load_dword(c, dword), new = old;
		for (; at < offset + size && (at & ~3u) == dword; at++) {
			unsigned shift = 8 * (at & 3);
			uint32_t byte = (value >> (8 * (at - offset))) & 0xff;
			uint32_t writable = (uint32_t)c->wmask[at] << shift;
			new = (new & ~writable) | ((byte << shift) & writable);
			new &= ~((byte & c->w1c[at]) << shift);
		}
		store_dword(c, dword, new);
	}
}

void pci_config_set(struct pci_config *c, unsigned offset, uint32_t value, unsigned size)
{
	unsigned dword = offset & ~3u, shift = 8 * (offset & 3);
	uint32_t mask = (uint32_t)ones(size) << shift;
	store_dword(c, dword, (load_dword(c, dword) & ~mask) | ((value << shift) & mask));
}

void pci_config_writable(struct pci_config *c, unsigned offset, uint32_t mask, unsigned size)
{
	for (unsigned i = 0; i < size && offset + i < PCI_CONFIG_MASKED; i++)
		c->wmask[offset + i] |= (mask >> (8 * i)) & 0xff;
}

void pci_config_write_1_clear(struct pci_config *c, unsigned offset, uint32_t mask, unsigned size)
{
	for (unsigned i = 0; i < size && offset + i < PCI_CONFIG_MASKED; i++)
		c->w1c[offset + i] |= (mask >> (8 * i)) & 0xff;
}
