// SPDX-License-Identifier: Apache-2.0
/* The block device (virtio 1.2, 5.2): options, configuration, life, and what changes at run time.
 */
#include "virtio/blk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/bytes.h"
#include "util/err.h"
#include "util/thread.h"
#include "virtio/blk_queue.h"
#include "virtio/pci.h"

#define QUEUE_SIZE 256u
#define QUEUES_MAX 16u

static_assert(QUEUE_SIZE <= ENGINE_DEPTH, "a sound driver never meets the engine's limit");

/* 5.2.6.2: a driver that can't flush gets writes that are durable at once. One that can't change
 * the mode has what the user said. */
static void choose_cache_mode(struct blk *b)
{
	bool write_back = virtio_device_has(&b->virtio, BLK_F_CONFIG_WCE) ? b->config.writeback
									  : b->write_back;
	b->target.write_through = !write_back || !virtio_device_has(&b->virtio, BLK_F_FLUSH);
}

static void blk_activate(struct virtio_device *v)
{
	struct blk *b = container_of(v, struct blk, virtio);
	b->target.discard = virtio_device_has(v, BLK_F_DISCARD);
	b->target.write_zeroes = virtio_device_has(v, BLK_F_WRITE_ZEROES);
	choose_cache_mode(b);
	virtio_workers_activate(&b->workers);
}

static bool blk_deactivate(struct virtio_device *v)
{
	struct blk *b = container_of(v, struct blk, virtio);
	b->config.writeback = b->write_back;
	virtio_workers_deactivate(&b->workers);
	return false;
}

static void blk_config_write(
	struct virtio_device *v, unsigned offset, uint32_t value, unsigned size)
{
	struct blk *b = container_of(v, struct blk, virtio);
	if (offset != offsetof(struct blk_config, writeback) || size != 1 ||
		!virtio_device_has(v, BLK_F_CONFIG_WCE))
		return;
	b->config.writeback = value & 1;
	choose_cache_mode(b);
}

static const struct virtio_model blk_model = {
	.name = "virtio-blk",
	.id = 2,
	.activate = blk_activate,
	.deactivate = blk_deactivate,
	.config_write = blk_config_write,
};

/* --- life --- */

static int blk_start(struct device *dev, struct lacuna_error **err)
{
	struct blk *b = container_of(dev, struct blk, dev);
	int rc = virtio_workers_start(&b->workers, err);
	b->started = rc == 0;
	return rc;
}

static void blk_stop(struct device *dev)
{
	struct blk *b = container_of(dev, struct blk, dev);
	for (unsigned i = 0; i < b->queues && b->started; i++)
		blk_queue_stop(&b->queue[i]);
	for (unsigned i = 0; i < b->queues && b->started; i++)
		while (sem_wait(&b->stopped) < 0)
			;
	b->started = false;
	virtio_workers_stop(&b->workers);
}

static void blk_destroy(struct device *dev)
{
	struct blk *b = container_of(dev, struct blk, dev);
	virtio_pci_free(b->pci);
	virtio_workers_stop(&b->workers);
	for (unsigned i = 0; i < b->queues && b->queue; i++)
		blk_queue_done(&b->queue[i]);
	virtio_workers_done(&b->workers);
	virtio_device_done(&b->virtio);
	free(b->queue);
	disk_close(b->disk);
	sem_destroy(&b->stopped);
	pthread_mutex_destroy(&b->limits.lock);
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
		.size_max = htole32(BLK_SIZE_MAX),
		.seg_max = htole32(QUEUE_SIZE - 2), /* a chain also has header and status */
		.blk_size = htole32(d->block_size),
		.physical_block_exp = log2_of(d->physical_size / d->block_size),
		.writeback = b->write_back,
		.num_queues = htole16((uint16_t)b->queues),
		.max_discard_sectors = htole32(BLK_MAX_DISCARD_SECTORS),
		.max_discard_seg = htole32(BLK_MAX_RANGES),
		.discard_sector_alignment = htole32(sectors),
		.max_write_zeroes_sectors = htole32(BLK_MAX_ZERO_SECTORS),
		.max_write_zeroes_seg = htole32(BLK_MAX_RANGES),
		.write_zeroes_may_unmap = 1,
	};
}

/* --- options --- */

struct blk_options {
	const char *path; /* NULL: fd */
	int fd;
	bool readonly, direct;
	enum engine_kind kind;
};

/* The index of the value of @key in the NULL-terminated @names; 0 if it was not given. */
static int read_choice(const struct keyval *args, const char *key, const char *const *names,
	unsigned *ret, struct lacuna_error **err)
{
	const char *value = keyval_get(args, key);
	char known[64] = "";
	*ret = 0;
	if (!value)
		return 0;
	for (unsigned i = 0; names[i]; i++) {
		if (!strcmp(value, names[i])) {
			*ret = i;
			return 0;
		}
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s",
			i ? ", " : "", names[i]);
	}
	return err_set(err, EINVAL, "%s '%s' is none of: %s", key, value, known);
}

static int read_limits(struct blk *b, const struct keyval *args, struct lacuna_error **err)
{
	const char *bw = keyval_get(args, "bw");
	int rc = keyval_u64(args, "iops", 0, 1, BUCKET_SECOND, &b->limits.requests.rate, err);
	if (rc < 0 || !bw)
		return rc;
	rc = parse_size("bw", bw, &b->limits.bytes.rate, err);
	if (rc == 0 && b->limits.bytes.rate < DISK_SECTOR)
		rc = err_set(err, EINVAL, "bw '%s' is less than one sector of 512 bytes", bw);
	return rc;
}

static int read_options(struct blk *b, const struct keyval *args, struct blk_options *ret,
	struct lacuna_error **err)
{
	static const char *const cache_modes[] = { "writeback", "writethrough", NULL };
	static const char *const engines[] = {
		[ENGINE_AUTO] = "auto",
		[ENGINE_URING] = "io_uring",
		[ENGINE_THREADS] = "threads",
		NULL,
	};
	int rc = hostfile_option(args, &ret->path, &ret->fd, err);
	if (rc < 0)
		return rc;
	const char *serial = keyval_get(args, "serial");
	size_t length = serial ? strlen(serial) : 0;
	if (length > sizeof(b->target.serial))
		return err_set(err, EINVAL, "serial '%s' is longer than %zu bytes", serial,
			sizeof(b->target.serial));
	if (length)
		memcpy(b->target.serial, serial, length);
	unsigned cache = 0, kind = 0;
	uint64_t queues = 1;
	rc = keyval_bool(args, "readonly", false, &ret->readonly, err);
	if (rc == 0)
		rc = keyval_bool(args, "direct", false, &ret->direct, err);
	if (rc == 0)
		rc = keyval_u64(args, "queues", 1, 1, QUEUES_MAX, &queues, err);
	if (rc == 0)
		rc = read_choice(args, "cache", cache_modes, &cache, err);
	if (rc == 0)
		rc = read_choice(args, "aio", engines, &kind, err);
	b->queues = (unsigned)queues;
	b->write_back = cache == 0;
	ret->kind = (enum engine_kind)kind;
	return rc < 0 ? rc : read_limits(b, args, err);
}

/* --- making one --- */

static unsigned same_index(const struct virtio_device *v, unsigned queue)
{
	return queue;
}

static int init_queues(struct blk *b, enum engine_kind kind, struct lacuna_error **err)
{
	b->queue = calloc(b->queues, sizeof(*b->queue));
	if (!b->queue)
		return err_nomem(err);
	int rc = virtio_workers_init(
		&b->workers, &b->virtio, b->queues, same_index, &blk_queue_ops, err);
	for (unsigned i = 0; i < b->queues && rc == 0; i++)
		rc = blk_queue_init(b, i, kind, err);
	return rc;
}

static int init(struct blk *b, const struct device_env *env, const struct keyval *args,
	struct lacuna_error **err)
{
	struct blk_options o = { 0 };
	int rc = read_options(b, args, &o, err);
	if (rc == 0 && o.path)
		rc = disk_open(o.path, o.readonly, o.direct, &b->disk, err);
	else if (rc == 0)
		rc = disk_adopt(o.fd, o.readonly, o.direct, &b->disk, err);
	if (rc < 0)
		return rc;
	b->target.disk = b->disk;
	fill_config(b);
	uint64_t features = BLK_F_SIZE_MAX | BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH |
			    BLK_F_TOPOLOGY | BLK_F_CONFIG_WCE;
	features |= o.readonly ? BLK_F_RO : BLK_F_DISCARD | BLK_F_WRITE_ZEROES;
	if (b->queues > 1)
		features |= BLK_F_MQ;
	rc = virtio_device_init(
		&b->virtio, &blk_model, env->mem, env->log, features, b->queues, QUEUE_SIZE, err);
	if (rc < 0)
		return rc;
	b->virtio.name = b->dev.name;
	b->virtio.config = &b->config;
	b->virtio.config_size = BLK_CONFIG_SIZE;
	rc = init_queues(b, o.kind, err);
	return rc < 0 ? rc : virtio_pci_new(&b->virtio, env, &b->pci, err);
}

static int blk_create(const struct device_env *env, const struct keyval *args, struct device **ret,
	struct lacuna_error **err)
{
	struct blk *b = calloc(1, sizeof(*b));
	if (!b)
		return err_nomem(err);
	b->dev.class = &virtio_blk_class;
	b->log = env->log;
	pthread_mutex_init(&b->limits.lock, NULL);
	sem_init(&b->stopped, 0, 0);
	int rc = init(b, env, args, err);
	if (rc < 0)
		blk_destroy(&b->dev);
	else
		*ret = &b->dev;
	return rc;
}

/* --- while the machine runs --- */

static int blk_set(struct device *dev, const struct keyval *args, struct lacuna_error **err)
{
	struct blk *b = container_of(dev, struct blk, dev);
	const char *text = keyval_get(args, "size");
	uint64_t size;
	if (!text)
		return err_set(err, EINVAL, "nothing to change: size=SIZE");
	int rc = parse_size("size", text, &size, err);
	if (rc == 0)
		rc = disk_grow(b->disk, size, err);
	if (rc < 0)
		return rc;
	le64 capacity = htole64(size / DISK_SECTOR);
	virtio_device_config_change(
		&b->virtio, offsetof(struct blk_config, capacity), &capacity, sizeof(capacity));
	return 0;
}

static void blk_get(struct device *dev,
	void (*emit)(void *opaque, const char *key, const char *value), void *opaque)
{
	static const struct {
		const char *key;
		size_t offset;
	} counters[] = {
		{ "reads", offsetof(struct blk_counters, reads) },
		{ "writes", offsetof(struct blk_counters, writes) },
		{ "flushes", offsetof(struct blk_counters, flushes) },
		{ "errors", offsetof(struct blk_counters, errors) },
		{ "bytes-read", offsetof(struct blk_counters, bytes_read) },
		{ "bytes-written", offsetof(struct blk_counters, bytes_written) },
	};
	struct blk *b = container_of(dev, struct blk, dev);
	device_emit_u64(emit, opaque, "size", b->disk->size);
	emit(opaque, "aio", b->queue[0].engine->ops->name);
	for (unsigned i = 0; i < ARRAY_SIZE(counters); i++) {
		uint64_t sum = 0;
		for (unsigned q = 0; q < b->queues; q++)
			sum += *(_Atomic uint64_t *)(void *)((char *)&b->queue[q].counters +
							     counters[i].offset);
		device_emit_u64(emit, opaque, counters[i].key, sum);
	}
}

static const char *const blk_keys[] = { "path", "fd", "readonly", "serial", "queues", "cache",
	"direct", "aio", "iops", "bw", NULL };
static const char *const blk_settable[] = { "size", NULL };

const struct device_class virtio_blk_class = {
	.name = "virtio-blk",
	.option = "disk",
	.implied_key = "path",
	.keys = blk_keys,
	.create = blk_create,
	.start = blk_start,
	.stop = blk_stop,
	.destroy = blk_destroy,
	.settable = blk_settable,
	.set = blk_set,
	.get = blk_get,
};
