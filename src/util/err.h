/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling the error objects of include/lacuna/error.h. Every function takes @err last-but-format,
 * which may be NULL, and returns a negative errno value so that `return err_set(...)` is the whole
 * failure path. The first error stands: a second err_set on the same object is ignored. If memory
 * is out, *err becomes a static "out of memory" object.
 */
#ifndef UTIL_ERR_H
#define UTIL_ERR_H

#include <errno.h>
#include <lacuna/error.h>

/* @code is a positive errno value; the message is what the format says and nothing more. */
int err_set(struct lacuna_error **err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As err_set with the current errno, whose text is appended: "open 'a.img': No such file or
 * directory". */
int err_errno(struct lacuna_error **err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Puts "<format>: " before the message on its way up; returns @rc unchanged. */
int err_prefix(struct lacuna_error **err, int rc, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As err_set(ENOMEM), without allocating. */
int err_nomem(struct lacuna_error **err);

#endif
