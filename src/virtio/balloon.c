// SPDX-License-Identifier: Apache-2.0
/*
 * The traditional memory balloon (virtio 1.2, 5.5). Pages that the driver puts into it, and free
 * pages that it reports, go back to the host; they read as zeros when the guest touches them again,
 * so deflation needs nothing to be done. One worker serves all queues, for giving gigabytes back
 * takes its time.
 */
#include "virtio/balloon.h"

#include <stdlib.h>
#include <time.h>

#include "loop/loop.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/thread.h"
#include "virtio/balloon_layout.h"
#include "virtio/pci.h"
#include "virtio/worker.h"

#define QUEUE_SIZE 128u
/* An order to let go is obeyed between two turns, so each is kept short: at worst every page takes
 * a system call. */
#define TURN_CHAINS 8u
/* Of one chain; 32 MiB. Linux sends 256. What a driver sends beyond stays in use, which is no
 * error. */
#define LIST_PAGES 8192u
#define STATS_MAX  64u /* in one buffer; there are 16 kinds */

/* 5.5.6.4, and what Linux 6.12 has added, by tag. Sizes are bytes. */
static const char *const stat_name[] = { "swap-in", "swap-out", "major-faults", "minor-faults",
	"free-memory", "total-memory", "available-memory", "disk-caches", "hugetlb-allocations",
	"hugetlb-failures", "oom-kills", "alloc-stalls", "async-scans", "direct-scans",
	"async-reclaims", "direct-reclaims" };

struct balloon {
	struct device dev;
	struct virtio_device virtio;
	struct virtio_pci *pci;
	struct virtio_workers workers;
	struct loop_source *refresh; /* somebody wants fresh statistics */
	struct gmem *mem;
	struct balloon_config config;
	uint64_t stat[ARRAY_SIZE(stat_name)]; /* the device's lock */
	uint32_t stats_known;                 /* likewise: a bit for each */
	uint64_t stats_ms;                    /* likewise: when they came */
	_Atomic uint64_t reported;            /* bytes given back by reporting */

	/* the worker's own */
	struct virtq_chain chain;
	struct virtq_chain held; /* the buffer in which the driver's next statistics will come */
	bool holds;
};

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- pages --- */

/* Pages that touch, in either direction, are one run and one system call. */
struct run {
	uint8_t *start, *end;
};

static void flush(struct balloon *b, struct run *run)
{
	gmem_discard(b->mem, run->start, (size_t)(run->end - run->start));
	run->start = run->end = NULL;
}

static void add_page(struct balloon *b, struct run *run, uint32_t pfn)
{
	uint8_t *page = gmem_ptr(b->mem, (uint64_t)pfn * BALLOON_PAGE, BALLOON_PAGE);
	if (!page) {
		log_guest(b->virtio.log, &b->virtio.log_limit, b->virtio.name,
			"page 0x%x is not in RAM: ignored", pfn);
	} else if (run->start && page == run->end) {
		run->end += BALLOON_PAGE;
	} else if (run->start && page + BALLOON_PAGE == run->start) {
		run->start = page;
	} else {
		if (run->start)
			flush(b, run);
		*run = (struct run){ page, page + BALLOON_PAGE };
	}
}

/* 5.5.6: an array of page numbers. */
static void inflate(struct balloon *b, const struct virtq_chain *c)
{
	le32 list[1024];
	struct run run = { NULL, NULL };
	uint32_t size = (uint32_t)min_u64(c->out_size, LIST_PAGES * sizeof(list[0]));
	for (uint32_t at = 0; size - at >= sizeof(list[0]);) {
		uint32_t n =
			(uint32_t)min_u64(align_down(size - at, sizeof(list[0])), sizeof(list));
		if (!virtq_chain_read(c, at, list, n))
			break;
		for (uint32_t i = 0; i < n / sizeof(list[0]); i++)
			add_page(b, &run, le32toh(list[i]));
		at += n;
	}
	if (run.start)
		flush(b, &run);
}

/* 5.5.6.7: the buffers themselves are free memory. With a poison value the guest expects to find it
 * there, and zeros are what it would find. */
static void report(struct balloon *b, const struct virtq_chain *c)
{
	pthread_mutex_lock(&b->virtio.lock);
	bool poisoned = b->config.poison_val != 0;
	pthread_mutex_unlock(&b->virtio.lock);
	if (poisoned || !virtio_device_has(&b->virtio, BALLOON_F_REPORTING))
		return;
	for (unsigned i = c->out_count; i < c->out_count + c->in_count; i++)
		b->reported += gmem_discard(b->mem, c->iov[i].iov_base, c->iov[i].iov_len);
}

/* --- statistics, 5.5.6.3: the driver fills the buffer anew whenever it gets it back --- */

static void take_stats(struct balloon *b, const struct virtq_chain *c)
{
	uint8_t bytes[STATS_MAX * BALLOON_STAT_SIZE];
	uint32_t size = (uint32_t)min_u64(c->out_size, sizeof(bytes));
	if (!virtq_chain_read(c, 0, bytes, size))
		return;
	LOCK_SCOPE(&b->virtio.lock);
	b->stats_known = 0;
	b->stats_ms = now_ms();
	for (uint32_t at = 0; size - at >= BALLOON_STAT_SIZE; at += BALLOON_STAT_SIZE) {
		uint16_t tag = load_le16(bytes + at);
		if (tag >= ARRAY_SIZE(stat_name))
			continue;
		b->stat[tag] = load_le64(bytes + at + 2);
		b->stats_known |= 1u << tag;
	}
}

static void ask_for_stats(struct balloon *b)
{
	if (!b->holds)
		return;
	b->holds = false;
	virtio_queue_push(&b->virtio, BALLOON_STATS, &b->held, 0);
}

static void hold(struct balloon *b, const struct virtq_chain *c)
{
	ask_for_stats(b); /* there should be one buffer only; a second one frees the first */
	take_stats(b, c);
	b->held = *c;
	b->holds = true;
}

static void on_refresh(void *opaque)
{
	struct balloon *b = opaque;
	if (b->workers.worker[0].serving && virtio_device_may_run(&b->virtio))
		ask_for_stats(b);
}

/* --- queues --- */

/*
 * What a queue is for. 5.5.2 numbers the queues for good, but Linux numbers those that exist, one
 * after the other. Nothing else can be meant by a number, since hints are not offered.
 */
static unsigned role(const struct virtio_device *v, unsigned queue)
{
	if (queue < BALLOON_STATS)
		return queue;
	return queue == BALLOON_STATS && virtio_device_has(v, BALLOON_F_STATS_VQ)
		       ? BALLOON_STATS
		       : BALLOON_REPORTING;
}

static void serve(struct balloon *b, unsigned queue)
{
	unsigned what = role(&b->virtio, queue);
	if (what == BALLOON_STATS) {
		hold(b, &b->chain);
		return;
	}
	if (what == BALLOON_INFLATE)
		inflate(b, &b->chain);
	else if (what == BALLOON_REPORTING)
		report(b, &b->chain);
	virtio_queue_push(&b->virtio, queue, &b->chain, 0);
}

static void kicked(struct virtio_worker *w, unsigned queue)
{
	struct balloon *b = container_of(w->set, struct balloon, workers);
	struct virtio_device *v = &b->virtio;
	unsigned turn = 0;
	do {
		virtio_queue_kicks_off(v, queue);
		while (turn < TURN_CHAINS && virtio_queue_pop(v, queue, &b->chain)) {
			serve(b, queue);
			turn++;
		}
		if (turn == TURN_CHAINS) {
			virtio_device_kick(v, queue);
			return;
		}
	} while (virtio_queue_kicks_on(v, queue));
}

static bool end(struct virtio_worker *w)
{
	container_of(w->set, struct balloon, workers)->holds = false;
	return true;
}

static unsigned worker_of(const struct virtio_device *v, unsigned queue)
{
	return 0;
}

static const struct virtio_worker_ops worker_ops = {
	.kicked = kicked,
	.end = end,
};

/* --- model --- */

static void balloon_activate(struct virtio_device *v)
{
	virtio_workers_activate(&container_of(v, struct balloon, virtio)->workers);
}

static bool balloon_deactivate(struct virtio_device *v)
{
	virtio_workers_deactivate(&container_of(v, struct balloon, virtio)->workers);
	return false;
}

/* The driver is gone, and with it its balloon: what it held is in use again. */
static void balloon_reset(struct virtio_device *v)
{
	struct balloon *b = container_of(v, struct balloon, virtio);
	b->config.actual = b->config.poison_val = 0;
	b->stats_known = 0;
	gmem_spare_host(b->mem, false);
}

static void balloon_config_write(
	struct virtio_device *v, unsigned offset, uint32_t value, unsigned size)
{
	struct balloon *b = container_of(v, struct balloon, virtio);
	unsigned field = (unsigned)align_down(offset, 4);
	bool writable = field == offsetof(struct balloon_config, actual) ||
			(field == offsetof(struct balloon_config, poison_val) &&
				virtio_device_has(v, BALLOON_F_PAGE_POISON));
	if (writable && offset + size <= field + 4)
		store_le((uint8_t *)&b->config + offset, value, size);
	gmem_spare_host(b->mem, b->config.actual != 0);
}

static const struct virtio_model balloon_model = {
	.name = "virtio-balloon",
	.id = 5,
	.activate = balloon_activate,
	.deactivate = balloon_deactivate,
	.config_write = balloon_config_write,
	.reset = balloon_reset,
};

/* --- while the machine runs --- */

static int parse_target(
	const struct balloon *b, const char *text, le32 *ret, struct lacuna_error **err)
{
	uint64_t size;
	int rc = parse_size("size", text, &size, err);
	if (rc < 0)
		return rc;
	if (size % BALLOON_PAGE)
		return err_set(err, EINVAL, "size: %s is not a multiple of 4K", text);
	if (size >= b->mem->size)
		return err_set(err, ERANGE,
			"size: %s is all of the guest's memory or more: give less than %llu MiB",
			text, (unsigned long long)(b->mem->size / MIB));
	if (size / BALLOON_PAGE > UINT32_MAX)
		return err_set(err, ERANGE,
			"size: %s is more than a balloon can hold: give less than 16T", text);
	*ret = htole32((uint32_t)(size / BALLOON_PAGE));
	return 0;
}

static int balloon_set(struct device *dev, const struct keyval *args, struct lacuna_error **err)
{
	struct balloon *b = container_of(dev, struct balloon, dev);
	const char *size = keyval_get(args, "size");
	le32 target;
	if (!size)
		return err_set(err, EINVAL, "nothing to set: give size=SIZE");
	int rc = parse_target(b, size, &target, err);
	if (rc == 0)
		virtio_device_config_change(&b->virtio, offsetof(struct balloon_config, num_pages),
			&target, sizeof(target));
	return rc;
}

/* The statistics are the last that came; fresh ones are asked for and will be there next time. */
static void balloon_get(struct device *dev,
	void (*emit)(void *opaque, const char *key, const char *value), void *opaque)
{
	struct balloon *b = container_of(dev, struct balloon, dev);
	uint64_t stat[ARRAY_SIZE(stat_name)];

	pthread_mutex_lock(&b->virtio.lock);
	uint64_t target = (uint64_t)le32toh(b->config.num_pages) * BALLOON_PAGE;
	uint64_t actual = (uint64_t)le32toh(b->config.actual) * BALLOON_PAGE;
	uint32_t known = b->stats_known;
	uint64_t age = now_ms() - b->stats_ms;
	memcpy(stat, b->stat, sizeof(stat));
	pthread_mutex_unlock(&b->virtio.lock);

	device_emit_u64(emit, opaque, "size", target);
	device_emit_u64(emit, opaque, "actual", actual);
	device_emit_u64(emit, opaque, "reported", b->reported);
	if (known)
		device_emit_u64(emit, opaque, "stats-age-ms", age);
	for (unsigned i = 0; i < ARRAY_SIZE(stat_name); i++)
		if (known >> i & 1)
			device_emit_u64(emit, opaque, stat_name[i], stat[i]);
	loop_signal(b->refresh);
}

/* --- life --- */

static int balloon_start(struct device *dev, struct lacuna_error **err)
{
	return virtio_workers_start(&container_of(dev, struct balloon, dev)->workers, err);
}

static void balloon_stop(struct device *dev)
{
	virtio_workers_stop(&container_of(dev, struct balloon, dev)->workers);
}

static void balloon_destroy(struct device *dev)
{
	struct balloon *b = container_of(dev, struct balloon, dev);
	virtio_pci_free(b->pci);
	virtio_workers_stop(&b->workers);
	loop_remove(b->refresh);
	virtio_workers_done(&b->workers);
	virtio_device_done(&b->virtio);
	free(b);
}

static int init(struct balloon *b, const struct device_env *env, const struct keyval *args,
	struct lacuna_error **err)
{
	bool deflate_on_oom = false, reporting = true;
	const char *size = keyval_get(args, "size");
	int rc = size ? parse_target(b, size, &b->config.num_pages, err) : 0;
	if (rc == 0)
		rc = keyval_bool(args, "deflate-on-oom", false, &deflate_on_oom, err);
	if (rc == 0)
		rc = keyval_bool(args, "reporting", true, &reporting, err);
	if (rc < 0)
		return rc;
	/* A driver whose free pages hold a pattern reports them only to a device that knows of it:
	 * hence the poison value. */
	uint64_t features = BALLOON_F_STATS_VQ | (deflate_on_oom ? BALLOON_F_DEFLATE_ON_OOM : 0) |
			    (reporting ? BALLOON_F_REPORTING | BALLOON_F_PAGE_POISON : 0);
	rc = virtio_device_init(&b->virtio, &balloon_model, env->mem, env->log, features,
		(reporting ? BALLOON_REPORTING : BALLOON_STATS) + 1, QUEUE_SIZE, err);
	if (rc < 0)
		return rc;
	b->virtio.name = b->dev.name;
	b->virtio.config = &b->config;
	b->virtio.config_size = sizeof(b->config);
	rc = virtio_workers_init(&b->workers, &b->virtio, 1, worker_of, &worker_ops, err);
	if (rc == 0)
		rc = loop_add_event(b->workers.worker[0].loop, on_refresh, b, &b->refresh, err);
	return rc < 0 ? rc : virtio_pci_new(&b->virtio, env, &b->pci, err);
}

static int balloon_create(const struct device_env *env, const struct keyval *args,
	struct device **ret, struct lacuna_error **err)
{
	struct balloon *b = calloc(1, sizeof(*b));
	if (!b)
		return err_nomem(err);
	b->dev.class = &virtio_balloon_class;
	b->mem = env->mem;
	int rc = init(b, env, args, err);
	if (rc < 0) {
		balloon_destroy(&b->dev);
		return rc;
	}
	*ret = &b->dev;
	return 0;
}

static const char *const balloon_keys[] = { "size", "deflate-on-oom", "reporting", NULL };
static const char *const balloon_settable[] = { "size", NULL };

const struct device_class virtio_balloon_class = {
	.name = "virtio-balloon",
	.option = "balloon",
	.implied_key = "size",
	.keys = balloon_keys,
	.single = true,
	.create = balloon_create,
	.start = balloon_start,
	.stop = balloon_stop,
	.destroy = balloon_destroy,
	.settable = balloon_settable,
	.set = balloon_set,
	.get = balloon_get,
};
