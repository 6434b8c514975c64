// SPDX-License-Identifier: Apache-2.0
/* The block device (virtio 1.2, 5.2): configuration, and the thread that serves the queue. */
#include "virtio/blk.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "util/err.h"
#include "util/fd.h"
#include "util/thread.h"
#include "virtio/blk_layout.h"
#include "virtio/pci.h"

#define QUEUE_SIZE 256u

/* What the thread shall do. Written by others, obeyed by the thread. */
enum order { ORDER_IDLE, ORDER_SERVE, ORDER_RELEASE, ORDER_QUIT };

struct blk {
	struct device dev;
	struct virtio_device virtio;
	struct virtio_pci *pci;
	struct disk *disk;
	struct blk_config config;
	struct blk_target target; /* of the thread while it serves */
	struct virtq_chain chain; /* likewise */

	_Atomic enum order order;
	int order_fd; /* eventfd: the order has changed */
	pthread_t thread;
	bool started;
};

static void give_order(struct blk *b, enum order order)
{
	b->order = order;
	eventfd_signal(b->order_fd);
}

static void serve(struct blk *b)
{
	struct virtio_device *v = &b->virtio;
	do {
		virtio_queue_kicks_off(v, 0);
		/* An order is obeyed between two requests. */
		while (b->order == ORDER_SERVE && virtio_queue_pop(v, 0, &b->chain)) {
			uint32_t written;
			if (blk_request(&b->target, &b->chain, &written) < 0) {
				virtio_device_fail(v, "a request without header or status byte");
				return;
			}
			virtio_queue_push(v, 0, &b->chain, written);
		}
	} while (b->order == ORDER_SERVE && virtio_queue_kicks_on(v, 0));
}

static void release(struct blk *b)
{
	/* Idle first: once released, the driver may activate the device again. And an order to quit
	 * must not be lost. */
	enum order seen = ORDER_RELEASE;
	atomic_compare_exchange_strong(&b->order, &seen, ORDER_IDLE);
	virtio_device_released(&b->virtio);
}

static void *io_thread(void *opaque)
{
	struct blk *b = opaque;
	struct virtio_device *v = &b->virtio;
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = b->order_fd, .events = POLLIN },
			{ .fd = v->queue[0].kick, .events = POLLIN },
		};
		/* Fails by a signal only; then neither is readable below, and we wait again. */
		poll(fds, 2, -1);
		eventfd_drain(b->order_fd);
		eventfd_drain(v->queue[0].kick);
		enum order order = b->order;
		switch (order) {
		case ORDER_IDLE:
			break;
		case ORDER_SERVE:
			serve(b);
			break;
		case ORDER_RELEASE:
			release(b);
			break;
		case ORDER_QUIT:
			return NULL;
		}
	}
}

static void blk_activate(struct virtio_device *v)
{
	struct blk *b = container_of(v, struct blk, virtio);
	b->target.discard = virtio_device_has(v, BLK_F_DISCARD);
	b->target.write_zeroes = virtio_device_has(v, BLK_F_WRITE_ZEROES);
	b->target.write_through = !virtio_device_has(v, BLK_F_FLUSH); /* 5.2.6.2 */
	give_order(b, ORDER_SERVE);
}

static bool blk_deactivate(struct virtio_device *v)
{
	struct blk *b = container_of(v, struct blk, virtio);
	give_order(b, ORDER_RELEASE);
	return false;
}

static const struct virtio_model blk_model = {
	.name = "virtio-blk",
	.id = 2,
	.activate = blk_activate,
	.deactivate = blk_deactivate,
};

/* --- life --- */

static int blk_start(struct device *dev, struct lacuna_error **err)
{
	struct blk *b = container_of(dev, struct blk, dev);
	int rc = thread_start(&b->thread, 0, io_thread, b);
	if (rc)
		return err_set(err, rc, "can't start the I/O thread");
	b->started = true;
	return 0;
}

static void blk_stop(struct device *dev)
{
	struct blk *b = container_of(dev, struct blk, dev);
	if (!b->started)
		return;
	give_order(b, ORDER_QUIT);
	pthread_join(b->thread, NULL);
	b->started = false;
}

static void blk_destroy(struct device *dev)
{
	struct blk *b = container_of(dev, struct blk, dev);
	virtio_pci_free(b->pci);
	virtio_device_done(&b->virtio);
	fd_close(&b->order_fd);
	disk_close(b->disk);
	free(b);
}

static uint8_t log2_of(uint32_t v)
{
	return (uint8_t)(31 - __builtin_clz(v));
}

static void fill_config(struct blk *b)
{
	const struct disk *d = b->disk;
	uint32_t sectors = d->block_size / DISK_SECTOR;
	b->config = (struct blk_config){
		.capacity = htole64(d->size / DISK_SECTOR),
		.seg_max = htole32(QUEUE_SIZE - 2), /* a chain also has header and status */
		.blk_size = htole32(d->block_size),
		.physical_block_exp = log2_of(d->physical_size / d->block_size),
		.writeback = 1,
		.num_queues = htole16(1),
		.max_discard_sectors = htole32(BLK_MAX_DISCARD_SECTORS),
		.max_discard_seg = htole32(BLK_MAX_RANGES),
		.discard_sector_alignment = htole32(sectors),
		.max_write_zeroes_sectors = htole32(BLK_MAX_ZERO_SECTORS),
		.max_write_zeroes_seg = htole32(BLK_MAX_RANGES),
		.write_zeroes_may_unmap = 1,
	};
}

static int read_options(struct blk *b, const struct keyval *args, const char **ret_path,
	bool *ret_readonly, struct lacuna_error **err)
{
	const char *path = keyval_get(args, "path");
	if (!path || !*path)
		return err_set(err, EINVAL, "no file given: path=FILE");
	const char *serial = keyval_get(args, "serial");
	size_t length = serial ? strlen(serial) : 0;
	if (length > sizeof(b->target.serial))
		return err_set(err, EINVAL, "serial '%s' is longer than %zu bytes", serial,
			sizeof(b->target.serial));
	if (length)
		memcpy(b->target.serial, serial, length);
	*ret_path = path;
	return keyval_bool(args, "readonly", false, ret_readonly, err);
}

static int blk_create(const struct device_env *env, const struct keyval *args, struct device **ret,
	struct lacuna_error **err)
{
	struct blk *b = calloc(1, sizeof(*b));
	if (!b)
		return err_nomem(err);
	b->dev.class = &virtio_blk_class;
	b->order_fd = -1;
	const char *path = NULL;
	bool readonly = false;
	int rc = read_options(b, args, &path, &readonly, err);
	if (rc == 0)
		rc = disk_open(path, readonly, &b->disk, err);
	if (rc < 0)
		goto fail;
	b->target.disk = b->disk;
	b->order_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (b->order_fd < 0) {
		rc = err_errno(err, "eventfd");
		goto fail;
	}
	uint64_t features = BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH | BLK_F_TOPOLOGY |
			    (readonly ? BLK_F_RO : BLK_F_DISCARD | BLK_F_WRITE_ZEROES);
	rc = virtio_device_init(
		&b->virtio, &blk_model, env->mem, env->log, features, 1, QUEUE_SIZE, err);
	if (rc < 0)
		goto fail;
	b->virtio.name = b->dev.name;
	fill_config(b);
	b->virtio.config = &b->config;
	b->virtio.config_size = BLK_CONFIG_SIZE;
	rc = virtio_pci_new(&b->virtio, env, &b->pci, err);
	if (rc < 0)
		goto fail;
	*ret = &b->dev;
	return 0;
fail:
	blk_destroy(&b->dev);
	return rc;
}

static const char *const blk_keys[] = { "path", "readonly", "serial", NULL };

const struct device_class virtio_blk_class = {
	.name = "virtio-blk",
	.option = "disk",
	.implied_key = "path",
	.keys = blk_keys,
	.create = blk_create,
	.start = blk_start,
	.stop = blk_stop,
	.destroy = blk_destroy,
};
