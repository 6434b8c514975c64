/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals that ask lacuna to end or to pause. They are blocked in every thread and taken by one
 * thread of their own, so no system call of the library is ever interrupted by them.
 */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <lacuna/vm.h>

/* Starts the thread; before any other thread exists. 0 or -errno. A signal that asks for the end
 * now ends the program, after @before_end, called on that thread, has undone what must not stay. */
int signals_open(void (*before_end)(void));

/* From now on such a signal stops @vm instead. */
void signals_watch(struct lacuna_vm *vm);

/* From now on it is noted, no more: the program is about to end. */
void signals_close(void);

/* The signal that asked for the end, or 0. */
int signals_caught(void);

#endif
