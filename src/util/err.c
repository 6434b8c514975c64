// SPDX-License-Identifier: Apache-2.0
/* The error object: a code and a sentence, or the static one that says that memory is out. */
#include "util/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lacuna_error {
	int code;
	char *message;
};

/* Neither written nor freed; const, so that the library has no writable data here. */
static struct lacuna_error *const nomem = (struct lacuna_error *)&(const struct lacuna_error){
	.code = ENOMEM,
	.message = (char *)"out of memory",
};

static void fill(struct lacuna_error **err, int code, char *message)
{
	if (!err || *err) {
		free(message);
		return;
	}
	struct lacuna_error *e = message ? malloc(sizeof(*e)) : NULL;
	if (!e) {
		free(message);
		*err = nomem;
		return;
	}
	e->code = code;
	e->message = message;
	*err = e;
}

__attribute__((format(printf, 3, 0))) static int set(
	struct lacuna_error **err, int code, const char *fmt, va_list ap)
{
	if (err) {
		char *message = NULL;
		if (vasprintf(&message, fmt, ap) < 0)
			message = NULL;
		fill(err, code, message);
	}
	return -code;
}

int err_set(struct lacuna_error **err, int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int rc = set(err, code, fmt, ap);
	va_end(ap);
	return rc;
}

#define ERRNO_MAX 4095 /* what the kernel returns as an error; include/linux/err.h */

int lacuna_error_set(struct lacuna_error **err, int code, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int rc = set(err, code > 0 && code <= ERRNO_MAX ? code : EINVAL, format, ap);
	va_end(ap);
	return rc;
}

int err_errno(struct lacuna_error **err, const char *fmt, ...)
{
	int code = errno;
	if (err) {
		char *what = NULL, *message = NULL;
		char text[128];
		va_list ap;
		va_start(ap, fmt);
		if (vasprintf(&what, fmt, ap) < 0)
			what = NULL;
		va_end(ap);
		/* GNU strerror_r: thread-safe, and the text may be static */
		if (!what || asprintf(&message, "%s: %s", what,
				     strerror_r(code, text, sizeof(text))) < 0)
			message = NULL;
		free(what);
		fill(err, code, message);
	}
	return -code;
}

int err_prefix(struct lacuna_error **err, int rc, const char *fmt, ...)
{
	if (!err || !*err || *err == nomem)
		return rc;
	char *prefix = NULL, *message = NULL;
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&prefix, fmt, ap) < 0)
		prefix = NULL;
	va_end(ap);
	if (prefix && asprintf(&message, "%s: %s", prefix, (*err)->message) >= 0) {
		free((*err)->message);
		(*err)->message = message;
	}
	free(prefix);
	return rc;
}

int err_nomem(struct lacuna_error **err)
{
	if (err && !*err)
		*err = nomem;
	return -ENOMEM;
}

const char *lacuna_error_message(const struct lacuna_error *err)
{
	return err ? err->message : "no error";
}

int lacuna_error_code(const struct lacuna_error *err)
{
	return err ? err->code : 0;
}

void lacuna_error_free(struct lacuna_error *err)
{
	if (!err || err == nomem)
		return;
	free(err->message);
	free(err);
}
