// SPDX-License-Identifier: Apache-2.0
/*
 * The socket device (virtio 1.2, 5.10): options, and the worker that owns everything while the
 * driver is active (vsock_mux.h). Between two drivers there are no connections.
 *
 * The event queue is there for VIRTIO_VSOCK_EVENT_TRANSPORT_RESET (5.10.6.7), by which a guest
 * learns that its connections are gone without its doing. Nothing here does that yet, so its
 * buffers stay with us.
 */
#include "virtio/vsock.h"

#include <errno.h>
#include <stdlib.h>

#include "util/err.h"
#include "virtio/pci.h"
#include "virtio/vsock_mux.h"
#include "virtio/worker.h"

#define QUEUE_SIZE 256u

struct vsock {
	struct device dev;
	struct virtio_device virtio;
	struct virtio_pci *pci;
	struct virtio_workers workers;
	struct vsock_host *host;
	struct vsock_config config;
	uint64_t cid;
	struct vsock_mux mux;
};

/* --- the worker --- */

static struct vsock *of_worker(struct virtio_worker *w)
{
	return container_of(w->set->dev, struct vsock, virtio);
}

static void vsock_begin(struct virtio_worker *w)
{
	vsock_mux_begin(&of_worker(w)->mux);
}

static void vsock_kicked(struct virtio_worker *w, unsigned queue)
{
	vsock_mux_kicked(&of_worker(w)->mux, queue);
}

static bool vsock_end(struct virtio_worker *w)
{
	vsock_mux_end(&of_worker(w)->mux);
	return true;
}

static const struct virtio_worker_ops worker_ops = {
	.begin = vsock_begin,
	.kicked = vsock_kicked,
	.end = vsock_end,
};

static void vsock_activate(struct virtio_device *dev)
{
	virtio_workers_activate(&container_of(dev, struct vsock, virtio)->workers);
}

static bool vsock_deactivate(struct virtio_device *dev)
{
	virtio_workers_deactivate(&container_of(dev, struct vsock, virtio)->workers);
	return false;
}

static const struct virtio_model vsock_model = {
	.name = "virtio-vsock",
	.id = 19,
	.activate = vsock_activate,
	.deactivate = vsock_deactivate,
};

/* --- life --- */

static int vsock_start(struct device *dev, struct lacuna_error **err)
{
	return virtio_workers_start(&container_of(dev, struct vsock, dev)->workers, err);
}

static void vsock_stop(struct device *dev)
{
	virtio_workers_stop(&container_of(dev, struct vsock, dev)->workers);
}

static void vsock_destroy(struct device *dev)
{
	struct vsock *v = container_of(dev, struct vsock, dev);
	virtio_workers_stop(&v->workers);
	vsock_mux_done(&v->mux);
	virtio_workers_done(&v->workers);
	virtio_pci_free(v->pci);
	virtio_device_done(&v->virtio);
	vsock_host_free(v->host);
	free(v);
}

static void vsock_get(struct device *dev,
	void (*emit)(void *opaque, const char *key, const char *value), void *opaque)
{
	const struct vsock *v = container_of(dev, struct vsock, dev);
	device_emit_u64(emit, opaque, "connections", v->mux.connections);
	device_emit_u64(emit, opaque, "rx-bytes", v->mux.to_guest);
	device_emit_u64(emit, opaque, "tx-bytes", v->mux.from_guest);
}

static int read_options(struct vsock *v, const struct keyval *args, struct lacuna_error **err)
{
	const char *path = keyval_get(args, "path"), *text = keyval_get(args, "fd");
	int fd = -1;
	if (!keyval_get(args, "cid"))
		return err_set(err, EINVAL, "no context identifier given: cid=N, 3 or more");
	if (path ? !*path : !text)
		return err_set(err, EINVAL, "no socket given: path=FILE or fd=N");
	int rc = keyval_u64(args, "cid", 0, VSOCK_CID_GUEST_MIN, VSOCK_CID_GUEST_MAX, &v->cid, err);
	if (rc == 0 && text)
		rc = parse_fd("fd", text, &fd, err);
	if (rc < 0)
		return rc;
	return text ? vsock_host_adopt(fd, path, &v->host, err)
		    : vsock_host_new(path, &v->host, err);
}

static unsigned worker_of(const struct virtio_device *dev, unsigned queue)
{
	return 0;
}

static int make_device(struct vsock *v, const struct device_env *env, struct lacuna_error **err)
{
	int rc = virtio_device_init(&v->virtio, &vsock_model, env->mem, env->log, VSOCK_F_STREAM,
		VSOCK_QUEUE_COUNT, QUEUE_SIZE, err);
	if (rc < 0)
		return rc;
	v->virtio.name = v->dev.name;
	v->config.guest_cid = htole64(v->cid);
	v->virtio.config = &v->config;
	v->virtio.config_size = sizeof(v->config);
	rc = virtio_workers_init(&v->workers, &v->virtio, 1, worker_of, &worker_ops, err);
	if (rc < 0)
		return rc;
	rc = vsock_mux_init(&v->mux, &v->virtio, v->workers.worker[0].loop, v->host, v->cid, err);
	if (rc == 0)
		rc = virtio_pci_new(&v->virtio, env, &v->pci, err);
	return rc;
}

static int vsock_create(const struct device_env *env, const struct keyval *args,
	struct device **ret, struct lacuna_error **err)
{
	struct vsock *v = calloc(1, sizeof(*v));
	if (!v)
		return err_nomem(err);
	v->dev.class = &virtio_vsock_class;
	int rc = read_options(v, args, err);
	if (rc == 0)
		rc = make_device(v, env, err);
	if (rc < 0) {
		vsock_destroy(&v->dev);
		return rc;
	}
	*ret = &v->dev;
	return 0;
}

static const char *const vsock_keys[] = { "cid", "path", "fd", NULL };

const struct device_class virtio_vsock_class = {
	.name = "virtio-vsock",
	.option = "vsock",
	.keys = vsock_keys,
	.single = true,
	.create = vsock_create,
	.start = vsock_start,
	.stop = vsock_stop,
	.destroy = vsock_destroy,
	.get = vsock_get,
};
