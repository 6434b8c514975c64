// SPDX-License-Identifier: Apache-2.0
/* An address space: a sorted array of regions behind a read-write lock that is held for the look-up
 * only. */
#include "bus/bus.h"

#include <stdlib.h>
#include <string.h>

#include "util/bytes.h"
#include "util/err.h"

void bus_init(struct bus *bus)
{
	memset(bus, 0, sizeof(*bus));
	pthread_rwlock_init(&bus->lock, NULL);
}

void bus_done(struct bus *bus)
{
	free(bus->region);
	pthread_rwlock_destroy(&bus->lock);
	memset(bus, 0, sizeof(*bus));
}

/* Index of the first region that ends above @addr. Bases and sizes never wrap (bus_add). */
static unsigned lower_bound(const struct bus *bus, uint64_t addr)
{
	unsigned low = 0, high = bus->count;
	while (low < high) {
		unsigned mid = low + (high - low) / 2;
		const struct region *r = bus->region[mid];
		if (r->base + (r->size - 1) < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int insert(struct bus *bus, const struct region *region, struct lacuna_error **err)
{
	unsigned at = lower_bound(bus, region->base);
	if (at < bus->count && bus->region[at]->base <= region->base + (region->size - 1))
		return err_set(err, EEXIST, "region '%s' overlaps '%s'", region->name,
			bus->region[at]->name);
	if (bus->count == bus->capacity) {
		unsigned capacity = bus->capacity ? 2 * bus->capacity : 16;
		const struct region **grown =
			realloc(bus->region, capacity * sizeof(const struct region *));
		if (!grown)
			return err_nomem(err);
		bus->region = grown;
		bus->capacity = capacity;
	}
	memmove(&bus->region[at + 1], &bus->region[at],
		(bus->count - at) * sizeof(const struct region *));
	bus->region[at] = region;
	bus->count++;
	return 0;
}

int bus_add(struct bus *bus, const struct region *region, struct lacuna_error **err)
{
	if (!region->size || region->size - 1 > UINT64_MAX - region->base)
		return err_set(err, EINVAL, "region '%s' is empty or wraps", region->name);
	pthread_rwlock_wrlock(&bus->lock);
	int rc = insert(bus, region, err);
	pthread_rwlock_unlock(&bus->lock);
	return rc;
}

void bus_remove(struct bus *bus, const struct region *region)
{
	pthread_rwlock_wrlock(&bus->lock);
	for (unsigned i = 0; i < bus->count; i++) {
		if (bus->region[i] != region)
			continue;
		bus->count--;
		memmove(&bus->region[i], &bus->region[i + 1],
			(bus->count - i) * sizeof(const struct region *));
		break;
	}
	pthread_rwlock_unlock(&bus->lock);
}

/* Copies the region that holds all of the access, so that it may move while its handler runs. */
static bool find(struct bus *bus, uint64_t addr, unsigned size, struct region *ret)
{
	bool found = false;
	pthread_rwlock_rdlock(&bus->lock);
	unsigned at = lower_bound(bus, addr);
	if (at < bus->count) {
		const struct region *r = bus->region[at];
		if (addr >= r->base && size <= r->size && addr - r->base <= r->size - size) {
			*ret = *r;
			found = true;
		}
	}
	pthread_rwlock_unlock(&bus->lock);
	return found;
}

/*
 * The size of the pieces an access of @size is made in; 0: the region can't be accessed so
 * narrowly. KVM cuts an access that crosses a page in two, so sizes such as 3 occur; those are made
 * byte by byte.
 */
static unsigned piece_size(const struct region_ops *ops, unsigned size)
{
	unsigned min = ops->min_size ? ops->min_size : 1, max = ops->max_size ? ops->max_size : 8;
	unsigned piece = is_power_of_2(size) ? size : 1;
	if (piece < min)
		return 0;
	return piece < max ? piece : max;
}

enum region_class bus_read(struct bus *bus, uint64_t addr, unsigned size, uint64_t *ret)
{
	struct region r;
	*ret = ones(size);
	if (!find(bus, addr, size, &r))
		return REGION_OTHER;
	unsigned piece = piece_size(r.ops, size);
	if (!piece || !r.ops->read)
		return r.class;
	uint64_t value = 0;
	for (unsigned at = 0; at < size; at += piece) {
		uint64_t part = r.ops->read(r.opaque, addr - r.base + at, piece) & ones(piece);
		value |= part << (8 * at);
	}
	*ret = value;
	return r.class;
}

enum region_class bus_write(struct bus *bus, uint64_t addr, uint64_t value, unsigned size)
{
	struct region r;
	if (!find(bus, addr, size, &r))
		return REGION_OTHER;
	unsigned piece = piece_size(r.ops, size);
	if (!piece || !r.ops->write)
		return r.class;
	for (unsigned at = 0; at < size; at += piece)
		r.ops->write(
			r.opaque, addr - r.base + at, (value >> (8 * at)) & ones(piece), piece);
	return r.class;
}

int bus_ioeventfd_add(
	struct bus *bus, uint64_t addr, unsigned size, int fd, struct lacuna_error **err)
{
	if (!bus->ioeventfd)
		return 0;
	return bus->ioeventfd->assign(bus->ioeventfd_opaque, addr, size, fd, err);
}

void bus_ioeventfd_remove(struct bus *bus, uint64_t addr, unsigned size, int fd)
{
	if (bus->ioeventfd)
		bus->ioeventfd->deassign(bus->ioeventfd_opaque, addr, size, fd);
}
