// SPDX-License-Identifier: Apache-2.0
/*
 * Persistent memory (virtio 1.2, 5.19): a file of the host that the guest sees as memory. Reads and
 * writes never come here; what does is the wish to have them on stable storage, and since that
 * blocks, a worker serves it.
 */
#include "virtio/pmem.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend/memfile.h"
#include "util/bytes.h"
#include "util/err.h"
#include "virtio/pci.h"
#include "virtio/pmem_layout.h"
#include "virtio/worker.h"

#define QUEUE_SIZE 64u
/* An order to let go is obeyed between two turns. */
#define TURN_CHAINS 8u

struct pmem {
	struct device dev;
	struct virtio_device virtio;
	struct virtio_pci *pci;
	struct virtio_workers workers;
	struct pmem_config config;
	struct hostfile file;
	struct virtq_chain chain; /* the worker's */
};

/* What the guest has written to its memory is in the host's page cache, and so in the file. */
static uint32_t flush(const struct pmem *p)
{
	while (fdatasync(p->file.fd) < 0)
		if (errno != EINTR)
			return PMEM_FAILED;
	return PMEM_OK;
}

static void kicked(struct virtio_worker *w, unsigned queue)
{
	struct pmem *p = container_of(w->set, struct pmem, workers);
	struct virtio_device *v = &p->virtio;
	unsigned turn = 0;
	do {
		virtio_queue_kicks_off(v, queue);
		while (turn < TURN_CHAINS && virtio_queue_pop(v, queue, &p->chain)) {
			le32 type, ret;
			if (!virtq_chain_read(&p->chain, 0, &type, sizeof(type)) ||
				p->chain.in_size < sizeof(ret)) {
				virtio_device_fail(
					v, "a request without type or room for an answer");
				return;
			}
			ret = htole32(le32toh(type) == PMEM_T_FLUSH ? flush(p) : PMEM_FAILED);
			bool told = virtq_chain_write(&p->chain, 0, &ret, sizeof(ret));
			virtio_queue_push(v, queue, &p->chain, told ? sizeof(ret) : 0);
			turn++;
		}
		if (turn == TURN_CHAINS) {
			virtio_device_kick(v, queue);
			return;
		}
	} while (virtio_queue_kicks_on(v, queue));
}

static unsigned worker_of(const struct virtio_device *v, unsigned queue)
{
	return 0;
}

static const struct virtio_worker_ops worker_ops = {
	.kicked = kicked,
};

static void pmem_activate(struct virtio_device *v)
{
	virtio_workers_activate(&container_of(v, struct pmem, virtio)->workers);
}

static bool pmem_deactivate(struct virtio_device *v)
{
	virtio_workers_deactivate(&container_of(v, struct pmem, virtio)->workers);
	return false;
}

static const struct virtio_model pmem_model = {
	.name = "virtio-pmem",
	.id = 27,
	.activate = pmem_activate,
	.deactivate = pmem_deactivate,
};

/* --- life --- */

static int pmem_start(struct device *dev, struct lacuna_error **err)
{
	return virtio_workers_start(&container_of(dev, struct pmem, dev)->workers, err);
}

static void pmem_stop(struct device *dev)
{
	virtio_workers_stop(&container_of(dev, struct pmem, dev)->workers);
}

static void pmem_destroy(struct device *dev)
{
	struct pmem *p = container_of(dev, struct pmem, dev);
	virtio_pci_free(p->pci);
	virtio_workers_done(&p->workers);
	virtio_device_done(&p->virtio);
	hostfile_close(&p->file);
	free(p);
}

static int init(struct pmem *p, const struct device_env *env, const struct keyval *args,
	struct lacuna_error **err)
{
	const char *path;
	int fd;
	bool readonly = false;
	uint64_t size = 0, gpa = 0;
	int rc = hostfile_option(args, &path, &fd, err);
	if (rc == 0)
		rc = keyval_bool(args, "readonly", false, &readonly, err);
	if (rc == 0)
		rc = memfile_open(&p->file, path, fd, readonly, &size, err);
	if (rc == 0)
		rc = env->map_file(
			env->map_opaque, p->file.name, p->file.fd, size, readonly, &gpa, err);
	if (rc < 0)
		return rc;
	p->config = (struct pmem_config){ htole64(gpa), htole64(size) };
	rc = virtio_device_init(&p->virtio, &pmem_model, env->mem, env->log, 0, 1, QUEUE_SIZE, err);
	if (rc < 0)
		return rc;
	p->virtio.name = p->dev.name;
	p->virtio.config = &p->config;
	p->virtio.config_size = sizeof(p->config);
	rc = virtio_workers_init(&p->workers, &p->virtio, 1, worker_of, &worker_ops, err);
	return rc < 0 ? rc : virtio_pci_new(&p->virtio, env, &p->pci, err);
}

static int pmem_create(const struct device_env *env, const struct keyval *args, struct device **ret,
	struct lacuna_error **err)
{
	struct pmem *p = calloc(1, sizeof(*p));
	if (!p)
		return err_nomem(err);
	p->dev.class = &virtio_pmem_class;
	p->file.fd = -1;
	int rc = init(p, env, args, err);
	if (rc < 0) {
		pmem_destroy(&p->dev);
		return rc;
	}
	*ret = &p->dev;
	return 0;
}

static const char *const pmem_keys[] = { "path", "fd", "readonly", NULL };

const struct device_class virtio_pmem_class = {
	.name = "virtio-pmem",
	.option = "pmem",
	.implied_key = "path",
	.keys = pmem_keys,
	.create = pmem_create,
	.start = pmem_start,
	.stop = pmem_stop,
	.destroy = pmem_destroy,
};
