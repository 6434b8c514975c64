// SPDX-License-Identifier: Apache-2.0
/* Streams whose other end is the program's: finding one by its name, and what it gets to read. */
#include <string.h>

#include "backend/chardev.h"
#include "machine/private.h"
#include "util/err.h"
#include "virtio/console.h"

/* Which there are is fixed once the machine has been made, so no lock is needed. */
static struct chardev *find(const struct machine *m, const char *name)
{
	if (!strcmp(name, "serial"))
		return m->serial_chardev;
	const char *port = strcmp(name, "console") ? name : NULL;
	struct chardev *found = NULL;
	for (unsigned i = 0; i < m->device_count && !found; i++)
		if (m->device[i]->class == &virtio_console_class)
			found = virtio_console_port(m->device[i], port);
	return found;
}

int machine_input(struct machine *m, const char *stream, const void *data, size_t size,
	size_t *ret_taken, struct lacuna_error **err)
{
	struct chardev *c = find(m, stream);
	*ret_taken = 0;
	if (!c || !chardev_has_sink(c))
		return err_set(err, ENODEV, "no stream is called '%s'", stream);
	if (m->ending)
		return err_set(err, ESRCH, "the VM has ended");
	*ret_taken = chardev_input(c, data, size);
	return 0;
}
