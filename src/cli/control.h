/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket of a running machine (--control): a Unix stream socket that only its owner can
 * connect to. One request a line, one answer a line, in order:
 *
 *	get [DEVICE]                      {"ok": true, "devices": {"disk0": {"size": "1048576"}}}
 *	set DEVICE KEY=VALUE[,...]        {"ok": true}
 *	stats                             {"ok": true, "stats": {...}}, as in the statistics file
 *	power-button, stop                {"ok": true}
 *
 * and for what could not be done {"ok": false, "error": "..."}. `lacuna control` is the client.
 */
#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H

#include <lacuna/vm.h>

#define CONTROL_LINE_MAX 4096 /* of a request, its end of line included */

/* Makes the socket, before the machine; who connects waits. Once per program. STATUS_OK, or
 * STATUS_FAILED after a message. */
int control_open(const char *path);

/* Serves it from a thread of its own, until control_close(). */
int control_start(struct lacuna_vm *vm);

/* Removes the socket. Nothing if there is none. */
void control_close(void);

#endif
