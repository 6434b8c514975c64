/* SPDX-License-Identifier: Apache-2.0 */
/* What a console device and its driver exchange (virtio 1.2, 5.3.2 to 5.3.6). */
#ifndef VIRTIO_CONSOLE_LAYOUT_H
#define VIRTIO_CONSOLE_LAYOUT_H

#include <assert.h>
#include <stddef.h>

#include "util/bytes.h"

#define CONSOLE_F_SIZE        (1ull << 0)
#define CONSOLE_F_MULTIPORT   (1ull << 1)
#define CONSOLE_F_EMERG_WRITE (1ull << 2)

#define CONSOLE_PORTS_MAX 31u

/* 5.3.2: the queues of a port, and those for control messages; rx and tx as the driver sees them.
 */
#define CONSOLE_RX(port)   ((port) ? 2 * (port) + 2 : 0)
#define CONSOLE_TX(port)   (CONSOLE_RX(port) + 1)
#define CONSOLE_CONTROL_RX 2u
#define CONSOLE_CONTROL_TX 3u

struct console_config {
	le16 cols, rows;
	le32 max_nr_ports;
	le32 emerg_wr;
};
static_assert(sizeof(struct console_config) == 12, "virtio 1.2, 5.3.4");

struct console_message {
	le32 id;
	le16 event;
	le16 value;
};
static_assert(sizeof(struct console_message) == 8, "virtio 1.2, 5.3.6.2");

enum {
	CONSOLE_DEVICE_READY = 0,
	CONSOLE_DEVICE_ADD = 1,
	CONSOLE_DEVICE_REMOVE = 2,
	CONSOLE_PORT_READY = 3,
	CONSOLE_CONSOLE_PORT = 4,
	CONSOLE_RESIZE = 5,
	CONSOLE_PORT_OPEN = 6,
	CONSOLE_PORT_NAME = 7,
};

/* Follows a CONSOLE_RESIZE message. Linux before 6.15 reads rows first. */
struct console_resize {
	le16 cols, rows;
};
static_assert(sizeof(struct console_resize) == 4, "virtio 1.2, 5.3.6.2");

#endif
