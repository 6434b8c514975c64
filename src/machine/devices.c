// SPDX-License-Identifier: Apache-2.0
/* The one list of every device class that a user can ask for, and the instances of a machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/private.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/thread.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/net.h"
#include "virtio/rng.h"

static const struct device_class *const classes[] = {
	&virtio_balloon_class,
	&virtio_blk_class,
	&virtio_net_class,
	&virtio_rng_class,
};

static const struct device_class *find_class(const char *option)
{
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		if (!strcmp(classes[i]->option, option))
			return classes[i];
	return NULL;
}

/* How many devices of @class there are already: the number in the name of the next. */
static unsigned count_class(const struct machine *m, const struct device_class *class)
{
	unsigned n = 0;
	for (unsigned i = 0; i < m->device_count; i++)
		n += m->device[i]->class == class;
	return n;
}

static int create(struct machine *m, const struct device_env *env,
	const struct machine_device_option *option, struct lacuna_error **err)
{
	const struct device_class *class = find_class(option->option);
	if (!class)
		return err_set(err, EINVAL, "no device is called '%s'", option->option);
	if (class->single && count_class(m, class))
		return err_set(err, EEXIST, "%s: given twice, but a machine has one at most",
			option->option);
	struct keyval *args;
	int rc = keyval_parse(option->text, class->implied_key, class->keys, &args, err);
	if (rc < 0)
		return err_prefix(err, rc, "%s", option->option);
	struct device *dev;
	rc = class->create(env, args, &dev, err);
	keyval_free(args);
	if (rc < 0)
		return err_prefix(err, rc, "%s%u", option->option, count_class(m, class));
	snprintf(dev->name, sizeof(dev->name), "%s%u", option->option, count_class(m, class));
	m->device[m->device_count++] = dev;
	return 0;
}

int devices_new(struct machine *m, const struct machine_config *config, struct lacuna_error **err)
{
	struct device_env env = {
		.mem = m->mem,
		.loop = m->loop,
		.pio = &m->pio,
		.mmio = &m->mmio,
		.pci = m->pci,
		.log = &m->log,
	};
	m->device = calloc(config->device_count + 1, sizeof(struct device *));
	if (!m->device)
		return err_nomem(err);
	for (size_t i = 0; i < config->device_count; i++) {
		int rc = create(m, &env, &config->devices[i], err);
		if (rc < 0)
			return rc;
	}
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
	LOCK_SCOPE(&m->device_lock);
	while (m->devices_started > 0) {
		struct device *dev = m->device[--m->devices_started];
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
	m->device = NULL;
}
