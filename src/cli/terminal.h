/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal on standard input while a machine's serial port is connected to it: every key goes
 * to the guest, Ctrl-c and Ctrl-z included. Whatever ends lacuna puts it back as it was, short of
 * SIGKILL. If standard input is no terminal, all of this does nothing. Any thread.
 */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>

/* Takes the terminal over; once. True if there is one. */
bool terminal_open(void);

/* Back to how it was; and raw again after a stop, unless the shell keeps lacuna in the background
 * or terminal_close() has been called. */
void terminal_restore(void);
void terminal_resume(void);

/* Back to how it was, for good. */
void terminal_close(void);

#endif
