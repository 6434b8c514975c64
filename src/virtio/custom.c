// SPDX-License-Identifier: Apache-2.0
/*
 * A virtio device of the embedder's own. Its callbacks come on the one worker that serves all its
 * queues; chains are objects that any thread may take and put back, under a lock of this file's.
 *
 * The queues are open from the worker's begin() until the driver resets the device or the VM ends.
 * What is put back later is only counted: the last chain of a reset device has the worker let go,
 * which completes the reset (src/virtio/worker.h), so no chain outlives the activation that it
 * comes from. One that never comes back leaves the device in reset, and is freed with it.
 *
 * Guest memory is touched under the lock alone, and only while the queues are open and the function
 * is bus master: once the guest's write that ends either is done, its memory is its own. A chain
 * put back while the function is no bus master waits, as late, for the guest to allow it again.
 *
 * Kicks are asked for when a pop has found nothing, and not before: an embedder that leaves chains
 * in the queue until it has room is not told of more.
 */
#include "virtio/custom.h"

#include <lacuna/device.h>
#include <semaphore.h>
#include <stdlib.h>

#include "util/bytes.h"
#include "util/err.h"
#include "util/thread.h"
#include "virtio/pci.h"
#include "virtio/worker.h"

#define RETRY_US 10000u

struct lacuna_virtio_chain {
	struct lacuna_virtio *owner;
	struct lacuna_virtio_chain *next, **link; /* among those under way, or late */
	const struct gmem_file *files;
	unsigned queue, out_count;
	uint16_t head;
	uint32_t out_size, in_size;
	uint32_t written;   /* of a late one */
	struct iovec iov[]; /* to read, then to write */
};

struct custom_queue {
	unsigned out; /* chains under way */
	bool quiet;   /* the driver was asked not to kick */
};

struct lacuna_virtio {
	struct device dev;
	struct virtio_device virtio;
	struct virtio_model model;
	struct virtio_workers workers;
	struct virtio_pci *pci;
	struct lacuna_virtio_ops ops;
	void *state;
	bool created; /* and so to be destroyed */
	uint64_t features;
	/* On the worker's thread: something was put below for it; memory was out, perhaps there is
	 * some now. */
	struct loop_source *event, *retry;
	bool started;
	_Atomic bool stopping;
	sem_t stopped;

	/* Under the virtio device's lock: what the driver sees, and of each byte what the device
	 * gave, the bits the driver may change, and whether it has and nobody was told. */
	uint8_t *config, *given, *writable, *touched;

	/* the worker's own */
	bool active; /* between activate() and deactivate() */

	pthread_mutex_t lock; /* all below, and the rings of an open device */
	bool open;
	unsigned out;
	struct custom_queue *queue;
	struct lacuna_virtio_chain *chains; /* under way */
	struct lacuna_virtio_chain *late, **late_end;
	struct virtq_chain popped;
};

static struct lacuna_virtio *of(struct virtio_device *dev)
{
	return container_of(dev, struct lacuna_virtio, virtio);
}

/* --- chains --- */

/* From v->popped; NULL: memory is out. */
static struct lacuna_virtio_chain *new_chain(struct lacuna_virtio *v, unsigned queue)
{
	const struct virtq_chain *p = &v->popped;
	unsigned count = p->out_count + p->in_count;
	struct lacuna_virtio_chain *c = malloc(sizeof(*c) + count * sizeof(c->iov[0]));
	if (!c)
		return NULL;
	*c = (struct lacuna_virtio_chain){
		.owner = v,
		.next = v->chains,
		.link = &v->chains,
		.files = p->files,
		.queue = queue,
		.out_count = p->out_count,
		.head = p->head,
		.out_size = p->out_size,
		.in_size = p->in_size,
	};
	memcpy(c->iov, p->iov, count * sizeof(c->iov[0]));
	if (c->next)
		c->next->link = &c->next;
	v->chains = c;
	v->queue[queue].out++;
	v->out++;
	return c;
}

static void unlink_chain(struct lacuna_virtio *v, struct lacuna_virtio_chain *c)
{
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	v->queue[c->queue].out--;
	v->out--;
}

static void tell_driver(struct lacuna_virtio *v, const struct lacuna_virtio_chain *c)
{
	virtio_queue_put_head(&v->virtio, c->queue, c->head, c->written);
	virtio_queue_signal(&v->virtio, c->queue);
}

/* Tells the driver of those that came back meanwhile, or forgets them. */
static void settle_late(struct lacuna_virtio *v, bool tell)
{
	for (struct lacuna_virtio_chain *c = v->late, *next; c; c = next) {
		next = c->next;
		if (tell)
			tell_driver(v, c);
		free(c);
	}
	v->late = NULL;
	v->late_end = &v->late;
}

/* No more than the queues have entries, for nothing is popped meanwhile. */
static void add_late(struct lacuna_virtio *v, struct lacuna_virtio_chain *c)
{
	c->next = NULL;
	*v->late_end = c;
	v->late_end = &c->next;
}

static void close_queues(struct lacuna_virtio *v)
{
	LOCK_SCOPE(&v->lock);
	v->open = false;
	settle_late(v, false);
}

static bool may_copy(const struct lacuna_virtio *v)
{
	return v->open && v->virtio.dma;
}

/* The next chain, if there is one, in *@ret; false: there may be, but memory is out. */
static bool take(struct lacuna_virtio *v, unsigned queue, struct lacuna_virtio_chain **ret)
{
	struct virtq *ring = &v->virtio.queue[queue].ring;
	struct custom_queue *q = &v->queue[queue];
	if (!virtio_queue_pop(&v->virtio, queue, &v->popped))
		return true;
	/* Each has a descriptor of the ring's own table (2.7.5), so a sound driver has no more
	 * under way. One that offers the same again and again would have all of the host's memory.
	 */
	if (q->out == ring->size) {
		virtio_device_fail(&v->virtio, "a chain was offered again before it came back");
		return true;
	}
	*ret = new_chain(v, queue);
	if (!*ret) {
		virtq_unpop(ring);
		loop_arm(v->retry, RETRY_US, 0);
		return false;
	}
	if (!q->quiet)
		virtio_queue_kicks_off(&v->virtio, queue);
	q->quiet = true;
	return true;
}

struct lacuna_virtio_chain *lacuna_virtio_pop(struct lacuna_virtio *v, unsigned queue)
{
	struct lacuna_virtio_chain *c = NULL;
	if (queue >= v->virtio.queue_count)
		return NULL;
	LOCK_SCOPE(&v->lock);
	if (!v->open || !take(v, queue, &c) || c)
		return c;
	v->queue[queue].quiet = false;
	if (virtio_queue_kicks_on(&v->virtio, queue) && take(v, queue, &c) && !c)
		/* A driver that moves its index to and fro is not waited for here. */
		virtio_device_kick(&v->virtio, queue);
	return c;
}

void lacuna_virtio_push(
	struct lacuna_virtio *v, struct lacuna_virtio_chain *chain, uint32_t written)
{
	bool last;
	{
		LOCK_SCOPE(&v->lock);
		unlink_chain(v, chain);
		chain->written = (uint32_t)min_u64(written, chain->in_size);
		add_late(v, chain);
		if (!v->open || may_copy(v))
			settle_late(v, v->open);
		last = !v->open && !v->out;
	}
	if (last)
		loop_signal(v->event);
}

uint32_t lacuna_virtio_chain_readable(const struct lacuna_virtio_chain *chain)
{
	return chain->out_size;
}

uint32_t lacuna_virtio_chain_writable(const struct lacuna_virtio_chain *chain)
{
	return chain->in_size;
}

int lacuna_virtio_chain_read(
	const struct lacuna_virtio_chain *chain, uint32_t offset, void *buf, uint32_t size)
{
	if (offset > chain->out_size || size > chain->out_size - offset)
		return -EFAULT;
	LOCK_SCOPE(&chain->owner->lock);
	if (!may_copy(chain->owner))
		return -EPERM;
	return virtq_iov_read(chain->files, chain->iov, offset, buf, size) ? 0 : -EFAULT;
}

int lacuna_virtio_chain_write(
	struct lacuna_virtio_chain *chain, uint32_t offset, const void *buf, uint32_t size)
{
	if (offset > chain->in_size || size > chain->in_size - offset)
		return -EFAULT;
	LOCK_SCOPE(&chain->owner->lock);
	if (!may_copy(chain->owner))
		return -EPERM;
	const struct iovec *in = chain->iov + chain->out_count;
	return virtq_iov_write(chain->files, in, offset, buf, size) ? 0 : -EFAULT;
}

void lacuna_virtio_fail(struct lacuna_virtio *v, const char *why)
{
	/* Late, it would be the next driver's device that fails. */
	LOCK_SCOPE(&v->lock);
	if (v->open)
		virtio_device_fail(&v->virtio, why ? why : "its model says so");
}

/* --- configuration --- */

static bool in_config(const struct lacuna_virtio *v, unsigned offset, unsigned size)
{
	return offset <= v->virtio.config_size && size <= v->virtio.config_size - offset;
}

int lacuna_virtio_config_read(struct lacuna_virtio *v, unsigned offset, void *buf, unsigned size)
{
	if (!in_config(v, offset, size))
		return -EINVAL;
	LOCK_SCOPE(&v->virtio.lock);
	memcpy(buf, v->config + offset, size);
	return 0;
}

int lacuna_virtio_config_set(
	struct lacuna_virtio *v, unsigned offset, const void *buf, unsigned size)
{
	if (!in_config(v, offset, size))
		return -EINVAL;
	LOCK_SCOPE(&v->virtio.lock);
	memcpy(v->given + offset, buf, size);
	memcpy(v->config + offset, buf, size);
	virtio_device_config_changed(&v->virtio);
	return 0;
}

static void config_write(struct virtio_device *dev, unsigned offset, uint32_t value, unsigned size)
{
	struct lacuna_virtio *v = of(dev);
	bool touched = false;
	for (unsigned i = offset; i < offset + size; i++, value >>= 8) {
		uint8_t mask = v->writable[i];
		v->config[i] = (uint8_t)((v->config[i] & ~mask) | (value & mask));
		v->touched[i] |= mask != 0;
		touched |= mask != 0;
	}
	if (touched)
		loop_signal(v->event);
}

static void config_reset(struct virtio_device *dev)
{
	struct lacuna_virtio *v = of(dev);
	memset(v->touched, 0, dev->config_size);
	for (unsigned i = 0; i < dev->config_size; i++)
		v->config[i] = (uint8_t)((v->config[i] & ~v->writable[i]) |
					 (v->given[i] & v->writable[i]));
}

/* The next run of bytes from *@at on that the driver wrote; its length, or 0. */
static unsigned next_touched(struct lacuna_virtio *v, unsigned *at)
{
	LOCK_SCOPE(&v->virtio.lock);
	while (*at < v->virtio.config_size && !v->touched[*at])
		++*at;
	unsigned end = *at;
	while (end < v->virtio.config_size && v->touched[end])
		v->touched[end++] = 0;
	return end - *at;
}

/* Once over all bytes: what is written meanwhile is another event. */
static void tell_of_config(struct lacuna_virtio *v)
{
	for (unsigned at = 0, size; (size = next_touched(v, &at)); at += size)
		if (v->ops.config_written)
			v->ops.config_written(v->state, at, size);
}

/* --- the worker --- */

/* Unless the driver has asked for a reset since. */
static void open_queues(struct lacuna_virtio *v)
{
	LOCK_SCOPE(&v->lock);
	v->open = !v->virtio.resetting;
	for (unsigned q = 0; q < v->virtio.queue_count; q++)
		v->queue[q].quiet = false;
}

static bool none_out(struct lacuna_virtio *v)
{
	LOCK_SCOPE(&v->lock);
	return !v->out;
}

static void let_go(struct lacuna_virtio *v)
{
	if (!v->active)
		return;
	v->active = false;
	close_queues(v);
	if (v->ops.deactivate)
		v->ops.deactivate(v->state);
}

static void begin(struct virtio_worker *w)
{
	struct lacuna_virtio *v = of(w->set->dev);
	if (v->stopping) /* the guest is gone already */
		return;
	v->active = true;
	open_queues(v);
	if (v->ops.activate)
		v->ops.activate(v->state, v->virtio.accepted & v->features);
}

static void kicked(struct virtio_worker *w, unsigned queue)
{
	struct lacuna_virtio *v = of(w->set->dev);
	if (v->active)
		v->ops.kicked(v->state, queue);
}

static bool end(struct virtio_worker *w)
{
	struct lacuna_virtio *v = of(w->set->dev);
	let_go(v);
	return none_out(v);
}

static const struct virtio_worker_ops worker_ops = { begin, kicked, end };

static void event(void *opaque)
{
	struct lacuna_virtio *v = opaque;
	struct virtio_worker *w = &v->workers.worker[0];
	if (w->letting_go && none_out(v))
		virtio_worker_done(w);
	tell_of_config(v);
	if (v->stopping) {
		let_go(v);
		sem_post(&v->stopped);
	}
}

static void retry(void *opaque)
{
	struct lacuna_virtio *v = opaque;
	for (unsigned q = 0; q < v->virtio.queue_count; q++)
		kicked(&v->workers.worker[0], q);
}

static unsigned worker_of(const struct virtio_device *dev, unsigned queue)
{
	return 0;
}

static void activate(struct virtio_device *dev)
{
	virtio_workers_activate(&of(dev)->workers);
}

static bool deactivate(struct virtio_device *dev)
{
	close_queues(of(dev));
	virtio_workers_deactivate(&of(dev)->workers);
	return false;
}

/* Waits for what is being copied. */
static void bus_master(struct virtio_device *dev, bool enabled)
{
	struct lacuna_virtio *v = of(dev);
	LOCK_SCOPE(&v->lock);
	if (enabled)
		settle_late(v, true);
}

/* --- life --- */

static int custom_start(struct device *dev, struct lacuna_error **err)
{
	struct lacuna_virtio *v = container_of(dev, struct lacuna_virtio, dev);
	int rc = virtio_workers_start(&v->workers, err);
	v->started = rc == 0;
	return rc;
}

/* Doesn't wait for chains: whoever has them gives them back before destroy() returns, or never. */
static void custom_stop(struct device *dev)
{
	struct lacuna_virtio *v = container_of(dev, struct lacuna_virtio, dev);
	v->stopping = true;
	if (v->started) {
		loop_signal(v->event);
		while (sem_wait(&v->stopped) < 0)
			;
	}
	v->started = false;
	virtio_workers_stop(&v->workers);
}

static void custom_destroy(struct device *dev)
{
	struct lacuna_virtio *v = container_of(dev, struct lacuna_virtio, dev);
	if (v->created && v->ops.destroy)
		v->ops.destroy(v->state);
	for (struct lacuna_virtio_chain *c = v->chains, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	settle_late(v, false);
	virtio_pci_free(v->pci);
	loop_remove(v->event);
	loop_remove(v->retry);
	virtio_workers_done(&v->workers);
	virtio_device_done(&v->virtio);
	free(v->config);
	free(v->given);
	free(v->writable);
	free(v->touched);
	free(v->queue);
	sem_destroy(&v->stopped);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

static int make_config(
	struct lacuna_virtio *v, const struct lacuna_virtio_device *d, struct lacuna_error **err)
{
	v->config = calloc(1, d->config_size + 1);
	v->given = calloc(1, d->config_size + 1);
	v->writable = calloc(1, d->config_size + 1);
	v->touched = calloc(1, d->config_size + 1);
	if (!v->config || !v->given || !v->writable || !v->touched)
		return err_nomem(err);
	if (d->config) {
		memcpy(v->config, d->config, d->config_size);
		memcpy(v->given, d->config, d->config_size);
	}
	if (d->config_writable)
		memcpy(v->writable, d->config_writable, d->config_size);
	v->virtio.config = v->config;
	v->virtio.config_size = (unsigned)d->config_size;
	return 0;
}

static int call_create(struct lacuna_virtio *v, void *opaque, struct lacuna_error **err)
{
	struct lacuna_error *own = NULL;
	int rc = v->ops.create(opaque, v, &v->state, &own);
	rc = device_callback_result("create", rc, own, err);
	v->created = rc == 0;
	return rc;
}

static int build(struct lacuna_virtio *v, const struct device_env *env, struct lacuna_error **err)
{
	const struct lacuna_virtio_device *d = env->custom_virtio;
	v->queue = calloc(d->queues, sizeof(*v->queue));
	if (!v->queue)
		return err_nomem(err);
	int rc = virtio_device_init(&v->virtio, &v->model, env->mem, env->log, v->features,
		d->queues, d->queue_size, err);
	if (rc < 0)
		return rc;
	v->virtio.name = v->dev.name;
	rc = make_config(v, d, err);
	if (rc == 0)
		rc = virtio_workers_init(&v->workers, &v->virtio, 1, worker_of, &worker_ops, err);
	if (rc == 0)
		rc = loop_add_event(v->workers.worker[0].loop, event, v, &v->event, err);
	if (rc == 0)
		rc = loop_add_timer(v->workers.worker[0].loop, retry, v, &v->retry, err);
	if (rc == 0)
		rc = virtio_pci_new(&v->virtio, env, &v->pci, err);
	return rc < 0 ? rc : call_create(v, d->opaque, err);
}

static int custom_create(const struct device_env *env, const struct keyval *args,
	struct device **ret, struct lacuna_error **err)
{
	const struct lacuna_virtio_device *d = env->custom_virtio;
	struct lacuna_virtio *v = calloc(1, sizeof(*v));
	if (!v)
		return err_nomem(err);
	v->dev.class = &virtio_custom_class;
	v->ops = *d->ops;
	v->features = d->features;
	v->late_end = &v->late;
	v->model = (struct virtio_model){
		.name = "virtio-custom",
		.id = d->device_id,
		.activate = activate,
		.deactivate = deactivate,
		.bus_master = bus_master,
		.config_write = config_write,
		.reset = config_reset,
	};
	pthread_mutex_init(&v->lock, NULL);
	sem_init(&v->stopped, 0, 0);
	int rc = build(v, env, err);
	if (rc < 0) {
		custom_destroy(&v->dev);
		return rc;
	}
	*ret = &v->dev;
	return 0;
}

static const char *const no_keys[] = { NULL };

const struct device_class virtio_custom_class = {
	.name = "virtio-custom",
	.keys = no_keys,
	.create = custom_create,
	.start = custom_start,
	.stop = custom_stop,
	.destroy = custom_destroy,
};
