// SPDX-License-Identifier: Apache-2.0
/* The control queues of a console with several ports (virtio 1.2, 5.3.6.2). */
#include <string.h>

#include "virtio/console_port.h"

#define TURN_CHAINS 64u

struct message {
	struct console_message head;
	uint8_t tail[64]; /* a name, or a size */
};

/* Fills @m for the first thing that the port has to tell, and returns its size. */
static uint32_t next_message(struct console_port *p, struct message *m)
{
	static const uint16_t event[TELL_KINDS] = { CONSOLE_DEVICE_ADD, CONSOLE_CONSOLE_PORT,
		CONSOLE_PORT_NAME, CONSOLE_RESIZE, CONSOLE_PORT_OPEN };
	unsigned kind = (unsigned)__builtin_ctz(p->tell), what = 1u << kind;
	uint32_t size = sizeof(m->head);
	uint16_t value = 1;
	p->tell &= ~what;
	if (what == TELL_NAME) {
		memcpy(m->tail, p->name, strlen(p->name));
		size += (uint32_t)strlen(p->name);
	} else if (what == TELL_RESIZE) {
		const struct console_resize r = { htole16(p->cols), htole16(p->rows) };
		memcpy(m->tail, &r, sizeof(r));
		size += (uint32_t)sizeof(r);
	} else if (what == TELL_OPEN) {
		value = p->told_open;
	}
	m->head = (struct console_message){ htole32(p->id), htole16(event[kind]), htole16(value) };
	return size;
}

static struct console_port *find_news(struct console *c)
{
	for (unsigned i = 0; i < c->port_count; i++)
		if (c->port[i].tell)
			return &c->port[i];
	return NULL;
}

void console_control_tell(struct console *c)
{
	struct virtio_device *v = &c->virtio;
	struct message m;
	struct console_port *p;
	if (!console_multiport(c))
		return;
	do {
		virtio_queue_kicks_off(v, CONSOLE_CONTROL_RX);
		while ((p = find_news(c)) && virtio_queue_pop(v, CONSOLE_CONTROL_RX, &c->chain)) {
			uint32_t size = next_message(p, &m);
			if (!virtq_chain_write(&c->chain, 0, &m, size)) {
				virtio_device_fail(v, "a control buffer too small for a message");
				return;
			}
			virtio_queue_put(v, CONSOLE_CONTROL_RX, &c->chain, size);
		}
	} while (p && virtio_queue_kicks_on(v, CONSOLE_CONTROL_RX));
	virtio_queue_signal(v, CONSOLE_CONTROL_RX);
}

/* Who has left may have left something to read. A console always has a host. */
static bool host_is_there(struct console_port *p)
{
	return !p->name || chardev_present(p->chardev) || chardev_pending(p->chardev);
}

void console_control_host(struct console_port *p)
{
	if (!p->ready || p->told_open == host_is_there(p))
		return;
	p->told_open = !p->told_open;
	p->tell |= TELL_OPEN;
	console_control_tell(p->console);
}

/* --- what the driver says --- */

static void ignored(struct console *c, const char *why, const struct console_message *m)
{
	log_guest(c->virtio.log, &c->virtio.log_limit, c->virtio.name,
		"control message (port %u, event %u, value %u) ignored: %s", le32toh(m->id),
		le16toh(m->event), le16toh(m->value), why);
}

static void device_ready(struct console *c)
{
	for (unsigned i = 0; i < c->port_count; i++) {
		struct console_port *p = &c->port[i];
		p->ready = p->guest_open = false;
		p->tell = TELL_ADD;
	}
}

static void port_ready(struct console_port *p)
{
	p->ready = true;
	p->told_open = host_is_there(p);
	p->tell |= TELL_OPEN;
	if (p->name)
		p->tell |= TELL_NAME;
	else
		p->tell |= TELL_CONSOLE | (p->cols ? TELL_RESIZE : 0);
}

static void obey(struct console *c, const struct console_message *m)
{
	unsigned id = le32toh(m->id), event = le16toh(m->event), value = le16toh(m->value);
	if (event == CONSOLE_DEVICE_READY) {
		if (value)
			device_ready(c);
		else
			ignored(c, "the driver failed", m);
		return;
	}
	if (event != CONSOLE_PORT_READY && event != CONSOLE_PORT_OPEN) {
		ignored(c, "no driver may send this", m);
		return;
	}
	if (id >= c->port_count) {
		ignored(c, "there is no such port", m);
		return;
	}
	struct console_port *p = &c->port[id];
	if (event == CONSOLE_PORT_OPEN) {
		p->guest_open = value;
		console_port_input(p);
	} else if (value) {
		port_ready(p);
	} else {
		p->ready = false;
		ignored(c, "the driver could not set up the port", m);
	}
}

void console_control_receive(struct console *c)
{
	struct virtio_device *v = &c->virtio;
	unsigned turn = 0;
	if (!console_multiport(c))
		return;
	do {
		virtio_queue_kicks_off(v, CONSOLE_CONTROL_TX);
		while (turn < TURN_CHAINS && virtio_queue_pop(v, CONSOLE_CONTROL_TX, &c->chain)) {
			struct console_message m = { 0 };
			bool whole = virtq_chain_read(&c->chain, 0, &m, sizeof(m));
			virtio_queue_put(v, CONSOLE_CONTROL_TX, &c->chain, 0);
			if (whole)
				obey(c, &m);
			else
				ignored(c, "it is too short", &m);
			turn++;
		}
		if (turn == TURN_CHAINS) {
			virtio_device_kick(v, CONSOLE_CONTROL_TX);
			break;
		}
	} while (virtio_queue_kicks_on(v, CONSOLE_CONTROL_TX));
	virtio_queue_signal(v, CONSOLE_CONTROL_TX);
	console_control_tell(c);
}
