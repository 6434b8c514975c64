/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console device (virtio 1.2, 5.3). A machine has one; each option "console" is a port of it,
 * in the order given: what chardev_end.h describes, and name=TEXT. A port without a name is a
 * console (hvc0, hvc1 ...), one with a name is a byte stream that Linux shows as
 * /dev/virtio-ports/TEXT. Served by the loop of the machine: what is written goes into the buffer
 * of a chardev at once, or waits in its queue until there is room.
 *
 * A single console needs no control messages: then F_MULTIPORT is not offered, which spares the
 * guest four queues, and the window's size is where every driver agrees on it, in the
 * configuration.
 */
#ifndef VIRTIO_CONSOLE_H
#define VIRTIO_CONSOLE_H

#include "backend/chardev.h"
#include "dev/device.h"

extern const struct device_class virtio_console_class;

/* A port whose option names no end, for its output goes to a function. */
struct console_output {
	unsigned port; /* in the order of the options, from 0 */
	struct chardev_sink sink;
};

/* The stream of the port called @name (NULL: of the one without a name) whose output goes to a
 * function; NULL: there is none. Any thread. */
struct chardev *virtio_console_port(struct device *dev, const char *name);

#endif
