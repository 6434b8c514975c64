/* SPDX-License-Identifier: Apache-2.0 */
/* Port LAYOUT_PORT_EXIT_CODE: a byte written ends the VM and is the guest's exit code. Reads all
 * ones. */
#ifndef DEV_EXIT_H
#define DEV_EXIT_H

#include <lacuna/error.h>

#include "bus/bus.h"
#include "dev/end.h"

struct exit_port;

int exit_port_new(struct bus *pio, const struct end_sink *end, struct exit_port **ret,
	struct lacuna_error **err);
void exit_port_free(struct exit_port *e);

#endif
