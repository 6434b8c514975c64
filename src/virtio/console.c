// SPDX-License-Identifier: Apache-2.0
/* The console device (virtio 1.2, 5.3): its ports, its configuration and its life. */
#include "virtio/console.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "util/err.h"
#include "util/fd.h"
#include "util/thread.h"
#include "virtio/console_port.h"
#include "virtio/pci.h"

#define QUEUE_SIZE 64u
#define NAME_SIZE  63u /* of a port; fits a control message */

static unsigned queue_count(const struct console *c)
{
	return c->virtio.offered & CONSOLE_F_MULTIPORT ? 2 * (c->port_count + 1) : 2;
}

/* --- from the driver --- */

static void kicked(void *opaque, uint32_t events)
{
	const struct console_kick *k = opaque;
	struct console *c = k->console;
	struct virtio_device *v = &c->virtio;
	eventfd_drain(v->queue[k->queue].kick);
	/* The lock is what makes deactivation wait for us. */
	LOCK_SCOPE(&v->lock);
	if (!v->active)
		return;
	if (k->queue == CONSOLE_CONTROL_RX)
		console_control_tell(c);
	else if (k->queue == CONSOLE_CONTROL_TX)
		console_control_receive(c);
	else if (k->queue % 2)
		console_port_output(&c->port[k->queue < 2 ? 0 : k->queue / 2 - 1]);
	else
		console_port_input(&c->port[k->queue < 2 ? 0 : k->queue / 2 - 1]);
}

static void console_activate(struct virtio_device *v)
{
	const struct console *c = container_of(v, struct console, virtio);
	for (unsigned i = 0; i < v->queue_count; i++)
		virtio_device_kick(v, i);
	/* Linux looks at the window's size only when the configuration has changed. */
	if (c->config.cols && v->transport)
		v->transport->config_interrupt(v);
}

static bool console_deactivate(struct virtio_device *v)
{
	struct console *c = container_of(v, struct console, virtio);
	for (unsigned i = 0; i < c->port_count; i++) {
		struct console_port *p = &c->port[i];
		p->tell = 0;
		p->ready = p->guest_open = p->tx_held = false;
	}
	return true;
}

/* 5.3.4: a character at any time, without queues and before the driver is set up. */
static void console_config_write(
	struct virtio_device *v, unsigned offset, uint32_t value, unsigned size)
{
	struct console *c = container_of(v, struct console, virtio);
	uint8_t character = (uint8_t)value;
	if (offset == offsetof(struct console_config, emerg_wr))
		chardev_write(c->port[0].chardev, &character, 1);
}

static const struct virtio_model console_model = {
	.name = "virtio-console",
	.id = 3,
	.activate = console_activate,
	.deactivate = console_deactivate,
	.config_write = console_config_write,
};

/* --- from outside --- */

/* Lock not held. */
static void resize(struct console_port *p, unsigned cols, unsigned rows)
{
	struct console *c = p->console;
	{
		LOCK_SCOPE(&c->virtio.lock);
		if (p->cols == cols && p->rows == rows)
			return;
		p->cols = (uint16_t)cols;
		p->rows = (uint16_t)rows;
		if (p->ready && !p->name) {
			p->tell |= TELL_RESIZE;
			console_control_tell(c);
		}
	}
	const le16 size[2] = { htole16((uint16_t)cols), htole16((uint16_t)rows) };
	if (p->id == 0)
		virtio_device_config_change(&c->virtio, 0, size, sizeof(size));
}

static void look_at_window(struct console_port *p)
{
	unsigned cols, rows;
	if (chardev_window(p->chardev, &cols, &rows))
		resize(p, cols, rows);
}

static void on_input(void *opaque)
{
	struct console_port *p = opaque;
	look_at_window(p);
	LOCK_SCOPE(&p->console->virtio.lock);
	if (p->console->virtio.active)
		console_port_input(p);
}

static void on_space(void *opaque)
{
	struct console_port *p = opaque;
	LOCK_SCOPE(&p->console->virtio.lock);
	if (p->console->virtio.active)
		console_port_output(p);
}

static void on_presence(void *opaque, bool present)
{
	struct console_port *p = opaque;
	if (present)
		look_at_window(p);
	LOCK_SCOPE(&p->console->virtio.lock);
	if (p->console->virtio.active)
		console_control_host(p);
}

static const struct chardev_client client = {
	.input = on_input,
	.space = on_space,
	.presence = on_presence,
};

static int parse_window(
	const char *text, unsigned *ret_cols, unsigned *ret_rows, struct lacuna_error **err)
{
	char cols[8] = "";
	const char *x = strchr(text, 'x');
	uint64_t c = 0, r = 0;
	if (!x || x == text || (size_t)(x - text) >= sizeof(cols))
		return err_set(
			err, EINVAL, "size: '%s' is no size; give COLUMNSxROWS, as 80x25", text);
	memcpy(cols, text, (size_t)(x - text));
	int rc = parse_u64("size: columns", cols, 1, UINT16_MAX, &c, err);
	if (rc == 0)
		rc = parse_u64("size: rows", x + 1, 1, UINT16_MAX, &r, err);
	if (rc < 0)
		return rc;
	*ret_cols = (unsigned)c;
	*ret_rows = (unsigned)r;
	return 0;
}

static int console_set(struct device *dev, const struct keyval *args, struct lacuna_error **err)
{
	struct console *c = container_of(dev, struct console, dev);
	const char *size = keyval_get(args, "size");
	unsigned cols = 0, rows = 0;
	uint64_t port;
	if (!size)
		return err_set(err, EINVAL, "nothing to set: give size=COLUMNSxROWS");
	int rc = keyval_u64(args, "port", 0, 0, c->port_count - 1, &port, err);
	if (rc == 0)
		rc = parse_window(size, &cols, &rows, err);
	if (rc < 0)
		return rc;
	if (c->port[port].name)
		return err_set(
			err, EINVAL, "port %u is no console: it has no size", (unsigned)port);
	resize(&c->port[port], cols, rows);
	return 0;
}

struct emitter {
	void (*fn)(void *opaque, const char *key, const char *value);
	void *opaque;
};

static void emit(
	const struct emitter *e, const struct console_port *p, const char *what, const char *value)
{
	char key[32];
	snprintf(key, sizeof(key), "port%u.%s", p->id, what);
	e->fn(e->opaque, key, value);
}

static void emit_bytes(
	const struct emitter *e, const struct console_port *p, const char *what, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, value);
	emit(e, p, what, text);
}

static void get_port(struct console_port *p, const struct emitter *e)
{
	char size[24];
	pthread_mutex_lock(&p->console->virtio.lock);
	unsigned cols = p->cols, rows = p->rows;
	uint64_t in = p->in_bytes, out = p->out_bytes;
	bool open = p->guest_open;
	pthread_mutex_unlock(&p->console->virtio.lock);

	emit(e, p, "end", chardev_kind_name(p->kind));
	if (chardev_path(p->chardev))
		emit(e, p, "path", chardev_path(p->chardev));
	if (p->name)
		emit(e, p, "name", p->name);
	if (cols) {
		snprintf(size, sizeof(size), "%ux%u", cols, rows);
		emit(e, p, "size", size);
	}
	if (p->console->virtio.offered & CONSOLE_F_MULTIPORT)
		emit(e, p, "guest", open ? "open" : "closed");
	emit(e, p, "host", chardev_present(p->chardev) ? "open" : "closed");
	emit_bytes(e, p, "from-guest", in);
	emit_bytes(e, p, "to-guest", out);
}

static void console_get(struct device *dev,
	void (*fn)(void *opaque, const char *key, const char *value), void *opaque)
{
	struct console *c = container_of(dev, struct console, dev);
	const struct emitter e = { fn, opaque };
	for (unsigned i = 0; i < c->port_count; i++)
		get_port(&c->port[i], &e);
}

struct chardev *virtio_console_port(struct device *dev, const char *name)
{
	const struct console *c = container_of(dev, struct console, dev);
	for (unsigned i = 0; i < c->port_count; i++) {
		const struct console_port *p = &c->port[i];
		bool same = name && p->name ? !strcmp(name, p->name) : !name && !p->name;
		if (same && p->kind == CHARDEV_FUNCTION)
			return p->chardev;
	}
	return NULL;
}

/* --- life --- */

static int console_start(struct device *dev, struct lacuna_error **err)
{
	struct console *c = container_of(dev, struct console, dev);
	int rc = 0;
	for (unsigned i = 0; i < queue_count(c) && rc == 0; i++) {
		c->kick[i] = (struct console_kick){ .console = c, .queue = i };
		rc = loop_add_fd(c->loop, c->virtio.queue[i].kick, EPOLLIN, kicked, &c->kick[i],
			&c->kick[i].source, err);
	}
	for (unsigned i = 0; i < c->port_count && rc == 0; i++)
		chardev_attach(c->port[i].chardev, &client, &c->port[i]);
	return rc;
}

static void console_stop(struct device *dev)
{
	struct console *c = container_of(dev, struct console, dev);
	for (unsigned i = 0; i < queue_count(c); i++) {
		loop_remove(c->kick[i].source);
		c->kick[i].source = NULL;
	}
	uint64_t until = chardev_last_output(); /* that of all ports together */
	for (unsigned i = 0; i < c->port_count; i++) {
		/* Also what is still in the queue, which nobody serves now. */
		chardev_finish(c->port[i].chardev, until, c->virtio.log);
		chardev_detach(c->port[i].chardev);
	}
}

static void console_destroy(struct device *dev)
{
	struct console *c = container_of(dev, struct console, dev);
	virtio_pci_free(c->pci);
	virtio_device_done(&c->virtio);
	for (unsigned i = 0; i < c->port_count; i++) {
		chardev_free(c->port[i].chardev);
		free(c->port[i].name);
	}
	free(c->port);
	free(c->kick);
	free(c);
}

static int set_name(struct console_port *p, const char *name, struct lacuna_error **err)
{
	size_t len = strlen(name);
	bool good = len >= 1 && len <= NAME_SIZE;
	for (size_t i = 0; i < len; i++)
		good &= name[i] > ' ' && name[i] < 0x7f && name[i] != '/';
	if (!good)
		return err_set(err, EINVAL,
			"name: '%s' can't be a name in /dev/virtio-ports: give 1 to %u characters without blank or slash",
			name, NAME_SIZE);
	for (unsigned i = 0; i < p->id; i++)
		if (p->console->port[i].name && !strcmp(p->console->port[i].name, name))
			return err_set(err, EEXIST,
				"name: port %u is called '%s' too: give another", i, name);
	p->name = strdup(name);
	return p->name ? 0 : err_nomem(err);
}

static int make_chardev(struct console_port *p, const struct device_env *env,
	const struct chardev_end *end, bool hears, struct lacuna_error **err)
{
	char name[48];
	struct chardev_params params = *env->chardev;
	snprintf(name, sizeof(name), "console: port %u", p->id);
	params.name = name;
	params.retain = !p->name;
	if (!hears)
		params.on_output = NULL;
	chardev_end_apply(end, &params);
	int rc = chardev_new(&params, &p->chardev, err);
	if (rc == 0 && params.pty)
		log_info(env->log, "console0", "port %u is at %s", p->id, chardev_path(p->chardev));
	return rc;
}

/* Where the port's bytes go: to a function, or to what its option says. */
static int find_end(const struct console_port *p, const struct device_env *env,
	const struct keyval *args, struct chardev_end *ret, struct lacuna_error **err)
{
	for (size_t i = 0; i < env->output_count; i++)
		if (env->outputs[i].port == p->id) {
			ret->kind = CHARDEV_FUNCTION;
			ret->sink = env->outputs[i].sink;
			return 0;
		}
	return chardev_end_parse(args, ret, err);
}

/* @hears: it is the first console, in whose output the marker is looked for. */
static int add_port(struct console *c, const struct device_env *env, const struct keyval *args,
	bool *hears, struct lacuna_error **err)
{
	struct console_port *p = &c->port[c->port_count];
	const char *name = keyval_get(args, "name");
	struct chardev_end end = { 0 };
	if (c->port_count == CONSOLE_PORTS_MAX)
		return err_set(err, ENOSPC, "more than %u ports: use fewer", CONSOLE_PORTS_MAX);
	p->console = c;
	p->id = c->port_count++;
	int rc = name ? set_name(p, name, err) : 0;
	if (rc == 0)
		rc = find_end(p, env, args, &end, err);
	if (rc == 0) {
		p->kind = end.kind;
		rc = make_chardev(p, env, &end, *hears && !name, err);
	}
	if (!name)
		*hears = false;
	chardev_end_done(&end);
	return rc;
}

static int init(struct console *c, const struct device_env *env, const struct keyval *args,
	struct lacuna_error **err)
{
	bool hears = true;
	int rc = add_port(c, env, args, &hears, err);
	for (const struct keyval *const *more = env->more; rc == 0 && more && *more; more++)
		rc = add_port(c, env, *more, &hears, err);
	if (rc < 0)
		return rc;
	bool alone = c->port_count == 1 && !c->port[0].name;
	uint64_t features =
		CONSOLE_F_SIZE | CONSOLE_F_EMERG_WRITE | (alone ? 0 : CONSOLE_F_MULTIPORT);
	unsigned queues = alone ? 2 : 2 * (c->port_count + 1);
	c->kick = calloc(queues, sizeof(*c->kick));
	if (!c->kick)
		return err_nomem(err);
	rc = virtio_device_init(
		&c->virtio, &console_model, env->mem, env->log, features, queues, QUEUE_SIZE, err);
	if (rc < 0)
		return rc;
	c->config.max_nr_ports = htole32(c->port_count);
	c->virtio.name = c->dev.name;
	c->virtio.config = &c->config;
	c->virtio.config_size = sizeof(c->config);
	return virtio_pci_new(&c->virtio, env, &c->pci, err);
}

static int console_create(const struct device_env *env, const struct keyval *args,
	struct device **ret, struct lacuna_error **err)
{
	struct console *c = calloc(1, sizeof(*c));
	if (!c)
		return err_nomem(err);
	c->dev.class = &virtio_console_class;
	c->loop = env->loop;
	c->port = calloc(CONSOLE_PORTS_MAX, sizeof(*c->port));
	int rc = c->port ? init(c, env, args, err) : err_nomem(err);
	if (rc < 0) {
		console_destroy(&c->dev);
		return rc;
	}
	*ret = &c->dev;
	return 0;
}

static const char *const console_keys[] = { CHARDEV_END_KEYS, "name", NULL };
static const char *const console_settable[] = { "size", "port", NULL };

const struct device_class virtio_console_class = {
	.name = "virtio-console",
	.option = "console",
	.implied_key = "kind",
	.keys = console_keys,
	.single = true,
	.create = console_create,
	.start = console_start,
	.stop = console_stop,
	.destroy = console_destroy,
	.settable = console_settable,
	.set = console_set,
	.get = console_get,
};
