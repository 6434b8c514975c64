// SPDX-License-Identifier: Apache-2.0
/* The one list of every device class that a user can ask for, and the instances of a machine. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "backend/chardev.h"
#include "machine/private.h"
#include "pci/custom.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"
#include "util/thread.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/custom.h"
#include "virtio/net.h"
#include "virtio/pmem.h"
#include "virtio/rng.h"
#include "virtio/vsock.h"

static const struct device_class *const classes[] = {
	&virtio_balloon_class,
	&virtio_blk_class,
	&virtio_console_class,
	&virtio_net_class,
	&virtio_pmem_class,
	&virtio_rng_class,
	&virtio_vsock_class,
};

static const struct device_class *find_class(const struct machine_device_option *option)
{
	if (option->pci)
		return &pci_custom_class;
	if (option->virtio)
		return &virtio_custom_class;
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		if (!strcmp(classes[i]->option, option->option))
			return classes[i];
	return NULL;
}

/* How many devices like @option come before it: the number in its name. */
static unsigned number_of(
	const struct machine_config *config, const struct machine_device_option *option)
{
	unsigned n = 0;
	for (const struct machine_device_option *o = config->devices; o < option; o++)
		n += !strcmp(o->option, option->option);
	return n;
}

/* --- where each goes --- */

#define KEYS_MAX 32

/* The device's own keys, and those that every device has. */
static int parse(const struct machine_device_option *option, const struct device_class **ret_class,
	struct keyval **ret, struct lacuna_error **err)
{
	const struct device_class *class = find_class(option);
	if (!class) {
		err_set(err, EINVAL, "no device is called '%s'", option->option);
		return -EINVAL;
	}
	const char *keys[KEYS_MAX] = { 0 };
	unsigned n = 0;
	for (; n < KEYS_MAX - 2 && class->keys[n]; n++)
		keys[n] = class->keys[n];
	keys[n] = "bus";
	*ret_class = class;
	int rc = keyval_parse(option->text, class->implied_key, keys, ret, err);
	return err_prefix(err, rc, "%s", option->option);
}

static int wanted_bus(
	const struct machine_device_option *option, int *ret, struct lacuna_error **err)
{
	const struct device_class *class;
	struct keyval *args;
	uint64_t bus = 0;
	int rc = parse(option, &class, &args, err);
	if (rc < 0)
		return rc;
	rc = keyval_u64(args, "bus", 0, 0, PCI_PORTS_MAX, &bus, err);
	*ret = keyval_get(args, "bus") ? (int)bus : PCI_ANY;
	keyval_free(args);
	return err_prefix(err, rc, "%s", option->option);
}

int devices_plan(struct machine *m, const struct machine_config *config, struct pci_topology *ret,
	struct lacuna_error **err)
{
	m->device_bus = calloc(config->device_count + 1, sizeof(*m->device_bus));
	if (!m->device_bus)
		return err_nomem(err);
	for (size_t i = 0; i < config->device_count; i++) {
		int rc = wanted_bus(&config->devices[i], &m->device_bus[i], err);
		if (rc < 0)
			return rc;
	}
	int rc = pci_topology_plan(config->pci.ports, config->pci.buses, m->device_bus,
		(unsigned)config->device_count, ret, err);
	return err_prefix(err, rc, "pci");
}

/* --- life --- */

/* As parse(), of one more option of the device. */
static int parse_more(const struct machine_device_option *option, size_t index,
	const struct device_class *class, struct keyval **ret, struct lacuna_error **err)
{
	int rc = keyval_parse(option->more[index], class->implied_key, class->keys, ret, err);
	return err_prefix(err, rc, "%s", option->option);
}

static int create(struct machine *m, const struct device_env *env,
	const struct machine_device_option *option, unsigned number, struct lacuna_error **err)
{
	const struct device_class *class;
	struct keyval *args;
	int rc = parse(option, &class, &args, err);
	if (rc < 0)
		return rc;
	struct keyval **more = calloc(option->more_count + 1, sizeof(struct keyval *));
	struct device_env own = *env;
	struct device *dev = NULL;
	own.more = (const struct keyval *const *)more;
	own.custom_pci = option->pci;
	own.custom_virtio = option->virtio;
	if (!more)
		rc = err_nomem(err);
	else if (class->single && number)
		rc = err_set(err, EEXIST, "%s: given twice, but a machine has one at most",
			option->option);
	for (size_t i = 0; i < option->more_count && rc == 0; i++)
		rc = parse_more(option, i, class, &more[i], err);
	if (rc == 0)
		rc = err_prefix(
			err, class->create(&own, args, &dev, err), "%s%u", option->option, number);
	for (size_t i = 0; more && i < option->more_count; i++)
		keyval_free(more[i]);
	free(more);
	keyval_free(args);
	if (rc < 0 || !dev)
		return rc;
	snprintf(dev->name, sizeof(dev->name), "%s%u", option->option, number);
	m->device[m->device_count++] = dev;
	return 0;
}

/* A device has at least a queue, with an eventfd for its kicks and one for each of two vectors. */
#define DEVICE_FDS 3

static int too_few_descriptors(size_t devices, size_t needed, struct lacuna_error **err)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	return err_set(err, EMFILE,
		"%zu devices need about %zu file descriptors and this process may have %llu: raise the limit (ulimit -n)",
		devices, max_u64(needed, limit.rlim_cur + 1), (unsigned long long)limit.rlim_cur);
}

/*
 * The descriptors of interrupt vectors are taken when the guest first uses them. One that can't be
 * had then would leave the guest with a dead device, so it is looked now whether all find room: the
 * lowest free number tells how many are in use.
 */
int devices_check_descriptors(const struct machine *m, struct lacuna_error **err)
{
	struct rlimit limit;
	if (!m->pci->vector_count || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	int lowest = fcntl(m->end_fd, F_DUPFD_CLOEXEC, 0);
	size_t in_use = lowest < 0 ? limit.rlim_cur : (size_t)lowest;
	size_t needed = in_use + m->pci->vector_count;
	fd_close(&lowest);
	return needed > limit.rlim_cur ? too_few_descriptors(m->device_count, needed, err) : 0;
}

/*
 * Linux takes two vectors for a virtio device at the least and has about 200 for each CPU
 * (arch/x86/include/asm/irq_vectors.h). There is no other interrupt to fall back on.
 */
#define CPU_VECTORS 200u

static void check_vectors(const struct machine *m, unsigned cpus)
{
	unsigned needed = 2 * m->device_count;
	if (needed > CPU_VECTORS * cpus)
		log_warning(&m->log, "pci",
			"%u devices need %u interrupt vectors, and a Linux guest has about %u for each CPU: give it %u CPUs",
			m->device_count, needed, CPU_VECTORS,
			(needed + CPU_VECTORS - 1) / CPU_VECTORS);
}

int devices_new(struct machine *m, const struct machine_config *config, struct lacuna_error **err)
{
	const struct chardev_params chardev = platform_chardev(m);
	struct device_env env = {
		.mem = m->mem,
		.loop = m->loop,
		.pio = &m->pio,
		.mmio = &m->mmio,
		.pci = m->pci,
		.log = &m->log,
		.map_file = devmem_map,
		.map_opaque = m,
		.chardev = &chardev,
		.outputs = config->outputs,
		.output_count = config->output_count,
	};
	m->device = calloc(config->device_count + 1, sizeof(struct device *));
	if (!m->device)
		return err_nomem(err);
	m->device_count = 0;
	for (size_t i = 0; i < config->device_count; i++) {
		const struct machine_device_option *option = &config->devices[i];
		env.bus = (unsigned)m->device_bus[i];
		int rc = create(m, &env, option, number_of(config, option), err);
		/* The user can do more with the numbers; but an embedder's create() has its own
		 * story. */
		if (rc == -EMFILE && !option->pci && !option->virtio) {
			if (err) {
				lacuna_error_free(*err);
				*err = NULL;
			}
			return too_few_descriptors(
				config->device_count, config->device_count * DEVICE_FDS, err);
		}
		if (rc < 0)
			return rc;
	}
	if (machine_config_has_kernel(config))
		check_vectors(m, config->cpus);
	return 0;
}

int devices_start(struct machine *m, struct lacuna_error **err)
{
	LOCK_SCOPE(&m->device_lock);
	while (m->devices_started < m->device_count) {
		struct device *dev = m->device[m->devices_started++];
		int rc = dev->class->start ? dev->class->start(dev, err) : 0;
		if (rc < 0)
			return err_prefix(err, rc, "%s", dev->name);
	}
	return 0;
}

void devices_stop(struct machine *m)
{
	unsigned started;
	{
		LOCK_SCOPE(&m->device_lock); /* from here on, nobody changes or asks them */
		started = m->devices_started;
		m->devices_started = 0;
	}
	while (started > 0) {
		struct device *dev = m->device[--started];
		if (dev->class->stop)
			dev->class->stop(dev);
	}
}

/* --- while the machine runs --- */

static struct device *find_device(
	const struct machine *m, const char *name, struct lacuna_error **err)
{
	for (unsigned i = 0; i < m->device_count; i++)
		if (!strcmp(m->device[i]->name, name))
			return m->device[i];
	err_set(err, ENODEV, "no device is called '%s'", name);
	return NULL;
}

static int check_running(const struct machine *m, struct lacuna_error **err)
{
	return m->devices_started ? 0 : err_set(err, ESRCH, "the machine does not run");
}

int machine_device_set(
	struct machine *m, const char *device, const char *text, struct lacuna_error **err)
{
	LOCK_SCOPE(&m->device_lock);
	struct device *dev = find_device(m, device, err);
	if (!dev)
		return -ENODEV;
	if (!dev->class->settable)
		return err_set(err, EINVAL, "%s: nothing of it can be changed", device);
	int rc = check_running(m, err);
	if (rc < 0)
		return rc;
	struct keyval *args;
	rc = keyval_parse(text, NULL, dev->class->settable, &args, err);
	if (rc == 0) {
		rc = dev->class->set(dev, args, err);
		keyval_free(args);
	}
	return err_prefix(err, rc, "%s", device);
}

struct emission {
	void (*fn)(void *opaque, const char *device, const char *key, const char *value);
	void *opaque;
	const struct device *dev;
};

static void emit(void *opaque, const char *key, const char *value)
{
	const struct emission *e = opaque;
	e->fn(e->opaque, e->dev->name, key, value);
}

int machine_device_get(struct machine *m, const char *device,
	void (*fn)(void *opaque, const char *device, const char *key, const char *value),
	void *opaque, struct lacuna_error **err)
{
	LOCK_SCOPE(&m->device_lock);
	if (device && !find_device(m, device, err))
		return -ENODEV;
	int rc = check_running(m, err);
	for (unsigned i = 0; i < m->device_count && rc == 0; i++) {
		struct emission e = { fn, opaque, m->device[i] };
		if ((!device || !strcmp(device, e.dev->name)) && e.dev->class->get)
			e.dev->class->get(m->device[i], emit, &e);
	}
	return rc;
}

void devices_free(struct machine *m)
{
	while (m->device_count > 0) {
		struct device *dev = m->device[--m->device_count];
		dev->class->destroy(dev);
	}
	free(m->device);
	free(m->device_bus);
	m->device = NULL;
	m->device_bus = NULL;
}
