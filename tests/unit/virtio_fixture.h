/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole virtio device on a PCI bus, without KVM, and the driver's half of virtio over PCI:
 * configuration space by pci_host_read() and _write(), the BAR by the bus, as the trap paths do.
 */
#ifndef TESTS_UNIT_VIRTIO_FIXTURE_H
#define TESTS_UNIT_VIRTIO_FIXTURE_H

#include <criterion/criterion.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>

#include "dev/device.h"
#include "loop/loop.h"
#include "pci/host.h"
#include "util/fd.h"
#include "virtio/device.h"
#include "virtio/pci_layout.h"
#include "virtio_guest.h"

#define KICKS    16
#define VECTORS  16
#define MSIX_CAP 0x11
#define VENDOR   0x09

/* Everything around the device under test. */
struct board {
	struct gmem ram;
	struct bus pio, mmio;
	struct pci_host *host;
	struct loop *loop;
	struct log log;
	struct device_env env;
	struct device *dev;
	unsigned bdf;
	uint64_t bar;

	struct {
		uint64_t addr;
		int fd;
	} kick[KICKS]; /* ioeventfds that stand */
	unsigned kicks;
	bool no_kicks;    /* the kernel refuses them */
	int msi[VECTORS]; /* eventfd by GSI */
	int gsis;
};

static inline int board_assign(
	void *opaque, uint64_t addr, unsigned size, int fd, struct lacuna_error **err)
{
	struct board *b = opaque;
	cr_assert_eq(size, 0);
	if (b->no_kicks)
		return -ENOSPC;
	cr_assert_lt(b->kicks, KICKS);
	b->kick[b->kicks].addr = addr;
	b->kick[b->kicks++].fd = fd;
	return 0;
}

static inline void board_deassign(void *opaque, uint64_t addr, unsigned size, int fd)
{
	struct board *b = opaque;
	for (unsigned i = 0; i < b->kicks; i++)
		if (b->kick[i].addr == addr && b->kick[i].fd == fd) {
			b->kick[i] = b->kick[--b->kicks];
			return;
		}
	cr_assert(b->no_kicks, "no ioeventfd at %#llx", (unsigned long long)addr);
}

static inline int board_connect(
	void *opaque, int *gsi, uint64_t addr, uint32_t data, int fd, struct lacuna_error **err)
{
	struct board *b = opaque;
	if (*gsi < 0)
		*gsi = b->gsis++;
	cr_assert_lt(*gsi, VECTORS);
	b->msi[*gsi] = fd;
	return 0;
}

static inline void board_disconnect(void *opaque, int gsi, int fd)
{
}

static inline void board_release(void *opaque, int gsi)
{
}

static inline void board_init(struct board *b)
{
	static const struct ioeventfd_ops kick_ops = { board_assign, board_deassign };
	static const struct msi_ops msi_ops = { board_connect, board_disconnect, board_release };
	memset(b, 0, sizeof(*b));
	ram_init(&b->ram);
	bus_init(&b->pio);
	bus_init(&b->mmio);
	b->mmio.ioeventfd = &kick_ops;
	b->mmio.ioeventfd_opaque = b;
	const struct pci_host_config config = {
		.buses = 1,
		.type1 = true,
		.windows = { 0xc0000000, 0x10000000, (uint64_t)4 << 30, (uint64_t)1 << 30 },
		.pio = &b->pio,
		.mmio = &b->mmio,
		.msi = &msi_ops,
		.msi_opaque = b,
		.log = &b->log,
	};
	cr_assert_eq(pci_host_new(&config, &b->host, NULL), 0);
	cr_assert_eq(loop_new(&b->loop, NULL), 0);
	cr_assert_eq(loop_start(b->loop, NULL), 0);
	b->env = (struct device_env){
		.mem = &b->ram,
		.loop = b->loop,
		.pio = &b->pio,
		.mmio = &b->mmio,
		.pci = b->host,
		.log = &b->log,
	};
}

static inline uint32_t config_read(struct board *b, unsigned offset, unsigned size)
{
	return (uint32_t)pci_host_read(b->host, b->bdf, offset, size);
}

static inline void config_write(struct board *b, unsigned offset, uint32_t value, unsigned size)
{
	pci_host_write(b->host, b->bdf, offset, value, size);
}

/* Starts b->dev as the machine would. */
static inline void board_start(struct board *b)
{
	cr_assert_eq(pci_host_power_on(b->host, NULL), 0);
	cr_assert_eq(b->dev->class->start(b->dev, NULL), 0);
	b->bdf = 1 << 3;
	b->bar = (config_read(b, 0x10, 4) & ~0xfu) | (uint64_t)config_read(b, 0x14, 4) << 32;
	config_write(b, 4, config_read(b, 4, 2) | 4, 2); /* bus master */
}

/* Makes the device of @class as the machine would for option text @text. */
static inline void board_add(struct board *b, const struct device_class *class, const char *text)
{
	struct keyval *kv;
	cr_assert_eq(keyval_parse(text, class->implied_key, class->keys, &kv, NULL), 0);
	cr_assert_eq(class->create(&b->env, kv, &b->dev, NULL), 0);
	keyval_free(kv);
	board_start(b);
}

static inline void board_done(struct board *b)
{
	if (b->dev) {
		b->dev->class->stop(b->dev);
		b->dev->class->destroy(b->dev);
	}
	cr_expect_eq(b->kicks, 0, "every ioeventfd is taken back");
	loop_stop(b->loop);
	loop_free(b->loop);
	pci_host_free(b->host);
	bus_done(&b->mmio);
	bus_done(&b->pio);
	ram_done(&b->ram);
}

/* --- registers --- */

static inline uint64_t bar_get(struct board *b, uint64_t offset, unsigned size)
{
	uint64_t v;
	bus_read(&b->mmio, b->bar + offset, size, &v);
	return v;
}

static inline void bar_set(struct board *b, uint64_t offset, uint64_t value, unsigned size)
{
	bus_write(&b->mmio, b->bar + offset, value, size);
}

static inline unsigned find_cap(struct board *b, uint8_t id, uint8_t type)
{
	for (unsigned at = config_read(b, 0x34, 1); at; at = config_read(b, at + 1, 1))
		if (config_read(b, at, 1) == id &&
			(id != VENDOR || config_read(b, at + 3, 1) == type))
			return at;
	return 0;
}

/* --- the driver (3.1.1) --- */

static inline void reset_device(struct board *b)
{
	bar_set(b, VP_STATUS, 0, 1);
	while (bar_get(b, VP_STATUS, 1)) /* 2.4.2: until the device is done */
		sched_yield();
}

static inline void enable_interrupts(struct board *b)
{
	unsigned cap = find_cap(b, MSIX_CAP, 0);
	config_write(b, cap + 2, 0x8000, 2);
	for (unsigned i = 0; i < 2; i++) {
		bar_set(b, VP_MSIX_TABLE + 16 * i, 0xfee00000, 4);
		bar_set(b, VP_MSIX_TABLE + 16 * i + 4, 0, 4);
		bar_set(b, VP_MSIX_TABLE + 16 * i + 8, 0x40 + i, 4);
		bar_set(b, VP_MSIX_TABLE + 16 * i + 12, 0, 4);
	}
}

static inline void negotiate(struct board *b, uint64_t features)
{
	bar_set(b, VP_STATUS, 1, 1);
	bar_set(b, VP_STATUS, 3, 1);
	for (unsigned i = 0; i < 2; i++) {
		bar_set(b, VP_DRIVER_FEATURE_SELECT, i, 4);
		bar_set(b, VP_DRIVER_FEATURE, (uint32_t)(features >> (32 * i)), 4);
	}
	bar_set(b, VP_STATUS, 11, 1);
}

static inline void place_ring(struct board *b, unsigned queue)
{
	bar_set(b, VP_QUEUE_SELECT, queue, 2);
	bar_set(b, VP_QUEUE_SIZE, RING_SIZE, 2);
	bar_set(b, VP_QUEUE_VECTOR, 1, 2);
	bar_set(b, VP_QUEUE_DESC, DESC_AT, 4);
	bar_set(b, VP_QUEUE_DESC + 4, 0, 4);
	bar_set(b, VP_QUEUE_DRIVER, AVAIL_AT, 4);
	bar_set(b, VP_QUEUE_DRIVER + 4, 0, 4);
	bar_set(b, VP_QUEUE_DEVICE, USED_AT, 4);
	bar_set(b, VP_QUEUE_DEVICE + 4, 0, 4);
	bar_set(b, VP_QUEUE_ENABLE, 1, 2);
}

/* From reset to DRIVER_OK with one queue; the rings are empty. */
static inline void bring_up(struct board *b, uint64_t features)
{
	reset_device(b);
	memset(gmem_ptr(&b->ram, DESC_AT, TABLE_AT - DESC_AT), 0, TABLE_AT - DESC_AT);
	negotiate(b, features);
	bar_set(b, VP_CONFIG_VECTOR, 0, 2);
	place_ring(b, 0);
	bar_set(b, VP_STATUS, 15, 1);
	cr_assert_eq(bar_get(b, VP_STATUS, 1), 15);
}

static inline void kick(struct board *b)
{
	bar_set(b, VP_NOTIFY, 0, 2);
}

static inline void wait_used(struct board *b, uint16_t idx)
{
	while (load_shared(&b->ram, USED_IDX) != idx)
		sched_yield();
}

static inline void turned(void *opaque, uint32_t events)
{
	int *fds = opaque;
	eventfd_drain(fds[0]);
	eventfd_signal(fds[1]);
}

/* Returns when the loop has looked at every descriptor that was ready before the call, or begun to.
 */
static inline void loop_turn(struct board *b)
{
	struct loop_source *source;
	int fds[2] = { eventfd(1, EFD_NONBLOCK), eventfd(0, 0) };
	cr_assert_eq(loop_add_fd(b->loop, fds[0], POLLIN, turned, fds, &source, NULL), 0);
	eventfd_drain(fds[1]); /* blocks */
	loop_remove(source);
	close(fds[0]);
	close(fds[1]);
}

/* Waits for vector @v: the routes come in the order in which the vectors were unmasked. */
static inline bool interrupted(struct board *b, unsigned v, int timeout_ms)
{
	struct pollfd p = { .fd = b->msi[v], .events = POLLIN };
	return poll(&p, 1, timeout_ms) == 1 && eventfd_drain(p.fd);
}

#endif
