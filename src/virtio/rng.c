// SPDX-License-Identifier: Apache-2.0
/* The entropy device (virtio 1.2, 5.4): fills what the driver makes available with random bytes. */
#include "virtio/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include "loop/loop.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"
#include "util/thread.h"
#include "virtio/pci.h"

#define QUEUE_SIZE 256u
#define CHAIN_MAX  (16 * KIB) /* a device may fill less than it was given */
/* Others wait for the loop: so much is done at a time. */
#define TURN_CHAINS 16u

struct rng {
	struct device dev;
	struct virtio_device virtio;
	struct virtio_pci *pci;
	struct loop *loop;
	struct loop_source *source;
	struct virtq_chain chain;
};

static uint32_t fill(const struct virtq_chain *c)
{
	struct iovec iov[VIRTQ_SIZE_MAX];
	uint32_t done = 0;
	unsigned count = virtq_chain_in(c, 0, (uint32_t)min_u64(c->in_size, CHAIN_MAX), iov);
	for (unsigned i = 0; i < count; i++) {
		size_t at = 0;
		while (at < iov[i].iov_len) {
			ssize_t n =
				getrandom((uint8_t *)iov[i].iov_base + at, iov[i].iov_len - at, 0);
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return done;
			at += (size_t)n;
			done += (uint32_t)n;
		}
	}
	return done;
}

static void kicked(void *opaque, uint32_t events)
{
	struct rng *r = opaque;
	struct virtio_device *v = &r->virtio;
	eventfd_drain(v->queue[0].kick);
	/* The lock is what makes deactivation wait for us. */
	LOCK_SCOPE(&v->lock);
	if (!v->active)
		return;
	unsigned turn = 0;
	do {
		virtio_queue_kicks_off(v, 0);
		while (turn < TURN_CHAINS && virtio_queue_pop(v, 0, &r->chain)) {
			virtio_queue_push(v, 0, &r->chain, fill(&r->chain));
			turn++;
		}
		if (turn == TURN_CHAINS) {
			virtio_device_kick(v, 0);
			return;
		}
	} while (virtio_queue_kicks_on(v, 0));
}

static void rng_activate(struct virtio_device *v)
{
	virtio_device_kick(v, 0);
}

static bool rng_deactivate(struct virtio_device *v)
{
	return true;
}

static const struct virtio_model rng_model = {
	.name = "virtio-rng",
	.id = 4,
	.activate = rng_activate,
	.deactivate = rng_deactivate,
};

static int rng_start(struct device *dev, struct lacuna_error **err)
{
	struct rng *r = container_of(dev, struct rng, dev);
	return loop_add_fd(r->loop, r->virtio.queue[0].kick, EPOLLIN, kicked, r, &r->source, err);
}

static void rng_stop(struct device *dev)
{
	struct rng *r = container_of(dev, struct rng, dev);
	loop_remove(r->source);
	r->source = NULL;
}

static void rng_destroy(struct device *dev)
{
	struct rng *r = container_of(dev, struct rng, dev);
	virtio_pci_free(r->pci);
	virtio_device_done(&r->virtio);
	free(r);
}

static int rng_create(const struct device_env *env, const struct keyval *args, struct device **ret,
	struct lacuna_error **err)
{
	struct rng *r = calloc(1, sizeof(*r));
	if (!r)
		return err_nomem(err);
	r->dev.class = &virtio_rng_class;
	r->loop = env->loop;
	int rc = virtio_device_init(
		&r->virtio, &rng_model, env->mem, env->log, 0, 1, QUEUE_SIZE, err);
	if (rc == 0) {
		r->virtio.name = r->dev.name;
		rc = virtio_pci_new(&r->virtio, env, &r->pci, err);
	}
	if (rc < 0) {
		rng_destroy(&r->dev);
		return rc;
	}
	*ret = &r->dev;
	return 0;
}

static const char *const rng_keys[] = { NULL };

const struct device_class virtio_rng_class = {
	.name = "virtio-rng",
	.option = "rng",
	.keys = rng_keys,
	.create = rng_create,
	.start = rng_start,
	.stop = rng_stop,
	.destroy = rng_destroy,
};
