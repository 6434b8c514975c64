/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An address space (ports or memory-mapped I/O): which region owns an address, and the call into
 * it.
 *
 * Any thread may read, write, add and remove. The bus lock covers a look-up only; the handler runs
 * without it, so a region may be removed or moved (by another vCPU) while one of its handlers runs.
 * The region's opaque must therefore outlive every vCPU thread; devices do, since the device list
 * is frozen at start.
 *
 * Accesses have 1, 2, 4 or 8 bytes. One that no region contains whole reads all ones and is dropped
 * when written. One whose size a region does not accept is split into the largest pieces it does
 * accept, or dropped if it is smaller than the smallest.
 */
#ifndef BUS_BUS_H
#define BUS_BUS_H

#include <lacuna/error.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* What an access is counted as in the statistics. */
enum region_class {
	REGION_OTHER, /* also: nobody owns the address */
	REGION_SERIAL,
	REGION_CMOS,
	REGION_RESET,
	REGION_PCI_TYPE1, /* counted by the PCI host, which knows the function */
	REGION_ECAM,      /* likewise */
	REGION_BAR,
};

struct region_ops {
	/* @offset is from the region's base; @size is 1, 2, 4 or 8 and the access lies inside the
	 * region. */
	uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
	void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
	uint8_t min_size, max_size; /* powers of two; 0 means 1 and 8 */
};

/* Owned by the device that adds it; the bus keeps a pointer while the region is on it. */
struct region {
	const char *name;
	uint64_t base, size;
	const struct region_ops *ops;
	void *opaque;
	enum region_class class;
};

/* Set by the machine: how the kernel is told to turn a write to an address into an eventfd signal.
 * May be NULL (tests). */
struct ioeventfd_ops {
	int (*assign)(
		void *opaque, uint64_t addr, unsigned size, int fd, struct lacuna_error **err);
	void (*deassign)(void *opaque, uint64_t addr, unsigned size, int fd);
};

struct bus {
	pthread_rwlock_t lock;
	const struct region **region; /* sorted by base */
	unsigned count, capacity;
	const struct ioeventfd_ops *ioeventfd;
	void *ioeventfd_opaque;
};

void bus_init(struct bus *bus);
void bus_done(struct bus *bus);

/* -EEXIST if [base, base+size) overlaps a region there, -EINVAL if it is empty or wraps, -ENOMEM.
 */
int bus_add(struct bus *bus, const struct region *region, struct lacuna_error **err);
/* Removing a region that is not on the bus does nothing. */
void bus_remove(struct bus *bus, const struct region *region);

/* Both return the class of the region that was hit. */
enum region_class bus_read(struct bus *bus, uint64_t addr, unsigned size, uint64_t *ret);
enum region_class bus_write(struct bus *bus, uint64_t addr, uint64_t value, unsigned size);

/* @size 0 means a write of any size. 0 and nothing done where no ops are set. */
int bus_ioeventfd_add(
	struct bus *bus, uint64_t addr, unsigned size, int fd, struct lacuna_error **err);
void bus_ioeventfd_remove(struct bus *bus, uint64_t addr, unsigned size, int fd);

#endif
