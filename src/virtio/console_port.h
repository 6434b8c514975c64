/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the console device share: the device, its ports and how they are served. */
#ifndef VIRTIO_CONSOLE_PORT_H
#define VIRTIO_CONSOLE_PORT_H

#include "backend/chardev_end.h"
#include "dev/device.h"
#include "loop/loop.h"
#include "virtio/console_layout.h"
#include "virtio/device.h"

struct console;
struct virtio_pci;

/* Control messages that the driver has not been sent yet, in the order in which they go. Each tells
 * the state at the time when it is sent, so one of a kind is enough. */
enum {
	TELL_ADD = 1u << 0,
	TELL_CONSOLE = 1u << 1,
	TELL_NAME = 1u << 2,
	TELL_RESIZE = 1u << 3,
	TELL_OPEN = 1u << 4,
	TELL_KINDS = 5,
};

struct console_port {
	struct console *console;
	unsigned id;
	char *name; /* NULL: a console */
	enum chardev_kind kind;
	struct chardev *chardev;

	/* under the device's lock */
	uint16_t cols, rows; /* 0: not known */
	unsigned tell;       /* of TELL_* */
	bool ready;          /* the driver knows the port */
	bool guest_open;
	bool told_open; /* what the driver knows, or is to be told, of the host's end */
	uint64_t in_bytes, out_bytes; /* as the host sees it: from the guest, to the guest */
	struct virtq_chain tx;        /* if tx_held: written as far as tx_done */
	uint32_t tx_done;
	bool tx_held;
};

struct console_kick {
	struct console *console;
	unsigned queue;
	struct loop_source *source;
};

struct console {
	struct device dev;
	struct virtio_device virtio;
	struct virtio_pci *pci;
	struct loop *loop;
	struct console_config config;
	struct virtq_chain chain;  /* of the moment; the device's lock */
	struct console_kick *kick; /* one for each queue */
	unsigned port_count;
	struct console_port *port;
};

/* Those below are called with the device's lock held, while the model has the queues. */

/* What the guest writes, as far as there is room. */
void console_port_output(struct console_port *p);
/* What has come for the guest, as far as it has buffers and has the port open. */
void console_port_input(struct console_port *p);

/* The control queues. The first tells the driver what there is to tell, as far as it has buffers.
 */
void console_control_tell(struct console *c);
void console_control_receive(struct console *c);
/* The host's end may have been opened or closed. */
void console_control_host(struct console_port *p);

static inline bool console_multiport(const struct console *c)
{
	return virtio_device_has(&c->virtio, CONSOLE_F_MULTIPORT);
}

#endif
