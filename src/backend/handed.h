/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that are handed in: an option names an open one by its number. A duplicate is used,
 * and the original stays the caller's. Both have one open file description, so nothing is done
 * that others would see: no flag and no offset of it is changed.
 */
#ifndef BACKEND_HANDED_H
#define BACKEND_HANDED_H

#include <lacuna/error.h>
#include <stdbool.h>

/* A duplicate that is closed on exec, or -EBADF. @name is what messages call @fd. */
int handed_dup(const char *name, int fd, struct lacuna_error **err);

/* The same of a Unix stream socket: one on which connections can be accepted without waiting, or
 * one that is connected. -EINVAL for anything else. */
int handed_socket(int fd, bool listening, struct lacuna_error **err);

#endif
