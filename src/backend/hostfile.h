/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the files that a guest is given as a disk or as memory. */
#ifndef BACKEND_HOSTFILE_H
#define BACKEND_HOSTFILE_H

#include <lacuna/error.h>
#include <stdbool.h>

/*
 * Opens @path for reading, or for both, and returns the descriptor, the caller's, or -errno. @what
 * stands before the name in messages ("disk ", or nothing). Never waits, whatever kind of file it
 * is; which kinds will do is the caller's to check.
 */
int hostfile_open(const char *what, const char *path, bool readonly, struct lacuna_error **err);

#endif
