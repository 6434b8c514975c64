// SPDX-License-Identifier: Apache-2.0
/*
 * Files as memory of devices: each gets a place, a memory slot and a region on the MMIO bus, which
 * hears of what the slot can't serve, as writes to a read-only file.
 *
 * When the host truncates a file, what is gone can't be served by anybody, and the machine ends.
 * KVM can't be relied on to say so: an access may fail with EFAULT, arrive as MMIO, or be tried
 * again and again inside the kernel, with a guest that hangs (asynchronous page faults). So the
 * file is watched, too, or looked at now and then where that is not possible.
 */
#include "machine/devmem.h"

#include <abi/layout.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "machine/private.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"

#define LOOK_US 1000000

#define SLOT_MAX (((uint64_t)1 << 43) - 4096) /* KVM counts the pages of a slot in 31 bits */

struct devmem {
	struct machine *machine;
	const struct gmem_file *file;
	struct region region;
	struct log_limit log_limit;
	struct devmem *next;
};

/* --- places --- */

void devmem_space_init(struct devmem_space *space, uint64_t ram_size, unsigned phys_bits,
	const struct pci_windows *windows)
{
	gpa_t limit = (uint64_t)1 << min_u64(phys_bits, 52);
	struct gmem_region region[2];
	const struct gmem_region *last = &region[gmem_split(ram_size, region) - 1];
	gpa_t free = max_u64(last->gpa + last->size, LAYOUT_RAM_HIGH_BASE);
	gpa_t window = windows->mem64_size ? windows->mem64_base : limit;

	space->gap[0].next = align_up(free, DEVMEM_ALIGN);
	space->gap[0].end = window;
	space->gap[1].next = align_up(window + windows->mem64_size, DEVMEM_ALIGN);
	space->gap[1].end = limit;
}

int devmem_take(struct devmem_space *space, uint64_t size, gpa_t *ret, struct lacuna_error **err)
{
	for (unsigned i = 0; i < ARRAY_SIZE(space->gap); i++) {
		gpa_t next = space->gap[i].next, end = space->gap[i].end;
		if (next > end || size > end - next)
			continue;
		*ret = next;
		space->gap[i].next = align_up(next + size, DEVMEM_ALIGN);
		return 0;
	}
	return err_set(err, ENOSPC,
		"%llu MiB find no place in the addresses that this CPU reaches: give a smaller file or less memory",
		(unsigned long long)(size / MIB));
}

/* --- files that get shorter --- */

/* Whether the host has made the file shorter, and what to say then. */
static bool explain(const struct gmem_file *f, char *message, size_t size)
{
	struct stat st;
	if (fstat(f->fd, &st) < 0 || (uint64_t)st.st_size >= f->region.size)
		return false;
	snprintf(message, size,
		"memory of the guest is gone: %.122s was truncated from %llu to %llu bytes",
		f->name, (unsigned long long)f->region.size, (unsigned long long)st.st_size);
	return true;
}

bool devmem_lost(const struct machine *m, char *message, size_t size)
{
	for (const struct devmem *d = m->devmem; d; d = d->next)
		if (explain(d->file, message, size))
			return true;
	return false;
}

static void look(void *opaque)
{
	struct machine *m = opaque;
	char message[sizeof(m->end_message)];
	if (devmem_lost(m, message, sizeof(message)))
		machine_end(m, LACUNA_END_FAILED, 0, message);
}

static void file_changed(void *opaque, uint32_t events)
{
	struct machine *m = opaque;
	char event[4096];
	if (read(m->devmem_watch, event, sizeof(event)) > 0) /* what has changed is looked at */
		look(m);
}

static int look_often(struct machine *m, struct lacuna_error **err)
{
	log_debug(&m->log, "pmem", "the file is not watched, but looked at every second: %s",
		strerrordesc_np(errno));
	int rc = m->devmem_timer ? 0 : loop_add_timer(m->loop, look, m, &m->devmem_timer, err);
	if (rc == 0)
		loop_arm(m->devmem_timer, LOOK_US, LOOK_US);
	return rc;
}

/* A host without watches to spare, or one that lets us open nothing (the watch is set by name), is
 * no reason to refuse the file; but nobody looking at it is. */
static int watch(struct machine *m, int fd, struct lacuna_error **err)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (m->devmem_watch < 0) {
		AUTO_CLOSE int watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		if (watch_fd < 0)
			return look_often(m, err);
		int rc = loop_add_fd(
			m->loop, watch_fd, EPOLLIN, file_changed, m, &m->devmem_source, err);
		if (rc < 0)
			return rc;
		m->devmem_watch = TAKE_FD(watch_fd);
	}
	return inotify_add_watch(m->devmem_watch, path, IN_MODIFY) < 0 ? look_often(m, err) : 0;
}

/* --- accesses that the slot did not serve --- */

static void lost(const struct devmem *d)
{
	char message[sizeof(d->machine->end_message)];
	if (!explain(d->file, message, sizeof(message)))
		snprintf(message, sizeof(message),
			"memory of the guest is gone: %.122s can't be read or written",
			d->file->name);
	machine_end(d->machine, LACUNA_END_FAILED, 0, message);
}

static uint64_t devmem_read(void *opaque, uint64_t offset, unsigned size)
{
	lost(opaque);
	return ones(size);
}

static void devmem_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct devmem *d = opaque;
	if (d->file->readonly)
		log_guest(&d->machine->log, &d->log_limit, "pmem",
			"write to read-only %s at 0x%llx: dropped", d->file->name,
			(unsigned long long)offset);
	else
		lost(d);
}

static const struct region_ops region_ops = { .read = devmem_read, .write = devmem_write };

/* --- mapping --- */

static int map(struct machine *m, struct devmem *d, const char *name, int fd, uint64_t size,
	bool readonly, struct lacuna_error **err)
{
	gpa_t gpa = 0;
	if (readonly && !m->vm.readonly_mem)
		return err_set(err, ENOTSUP,
			"readonly=on: this VM has no read-only memory slots (KVM_CAP_READONLY_MEM)");
	int rc = devmem_take(&m->devmem_space, size, &gpa, err);
	if (rc < 0)
		return rc;
	if (size > SLOT_MAX)
		return err_set(err, ERANGE,
			"%s has %llu MiB, more than KVM maps in one piece: give less than 8T", name,
			(unsigned long long)(size / MIB));
	rc = gmem_add_file(m->mem, gpa, size, name, fd, readonly, &d->file, err);
	if (rc < 0)
		return rc;
	rc = kvm_vm_set_slot(&m->vm, m->slots++, gpa, size, d->file->region.hva, readonly, err);
	if (rc < 0)
		return rc;
	d->region = (struct region){
		.name = "pmem",
		.base = gpa,
		.size = size,
		.ops = &region_ops,
		.opaque = d,
	};
	return bus_add(&m->mmio, &d->region, err);
}

int devmem_map(void *machine, const char *name, int fd, uint64_t size, bool readonly,
	uint64_t *ret_gpa, struct lacuna_error **err)
{
	struct machine *m = machine;
	struct devmem *d = calloc(1, sizeof(*d));
	if (!d)
		return err_nomem(err);
	d->machine = m;
	int rc = map(m, d, name, fd, size, readonly, err);
	if (rc == 0)
		rc = watch(m, fd, err);
	if (rc < 0) {
		bus_remove(&m->mmio, &d->region);
		free(d);
		return rc;
	}
	d->next = m->devmem;
	m->devmem = d;
	*ret_gpa = d->region.base;
	return 0;
}

void devmem_free(struct machine *m)
{
	loop_remove(m->devmem_source);
	loop_remove(m->devmem_timer);
	fd_close(&m->devmem_watch);
	while (m->devmem) {
		struct devmem *d = m->devmem;
		m->devmem = d->next;
		bus_remove(&m->mmio, &d->region);
		free(d);
	}
}
