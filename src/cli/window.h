/* SPDX-License-Identifier: Apache-2.0 */
/* The size of the terminal's window, told to the port of the console that has the terminal. */
#ifndef CLI_WINDOW_H
#define CLI_WINDOW_H

#include <lacuna/vm.h>

/* Port @port of console0 is the terminal's. Before any thread may call window_report(). */
void window_follow(int port);

/* Tells the size as it is now; nothing if there is no such port or terminal. Any thread. */
void window_report(struct lacuna_vm *vm);

#endif
