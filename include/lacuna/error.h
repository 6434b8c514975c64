/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors of liblacuna. A call that can fail returns 0 or a negative errno value. Where its last
 * argument, a struct lacuna_error **err, is not NULL, *err must be NULL before the call, and after
 * a failure is an error object: one sentence that names what failed, why, and where it helps what
 * to try. It is the caller's, until lacuna_error_free(). One that *err has already is left alone.
 */
#ifndef LACUNA_ERROR_H
#define LACUNA_ERROR_H

#include <lacuna/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lacuna_error;

/** The sentence, without a final full stop or line break. Lives as long as @err. Never NULL; @err
 * may be NULL. */
LACUNA_API const char *lacuna_error_message(const struct lacuna_error *err);

/** The positive errno value behind the error; 0 for NULL. */
LACUNA_API int lacuna_error_code(const struct lacuna_error *err);

/** Frees @err; NULL is fine. */
LACUNA_API void lacuna_error_free(struct lacuna_error *err);

#if defined(__GNUC__)
#define LACUNA_PRINTF(text, values) __attribute__((format(printf, text, values)))
#else
#define LACUNA_PRINTF(text, values)
#endif

/**
 * Fills an error from a callback that the library has called with @err (lacuna/device.h), which may
 * be NULL: @code is an errno value, and the sentence is what @format says; the library puts the
 * name of the device before it. The first error stands. Returns -@code, so that "return
 * lacuna_error_set(err, ENOENT, ...)" is a whole failure path. A @code outside 1 to 4095 becomes
 * EINVAL: a mistake must not look like success.
 */
LACUNA_API int lacuna_error_set(struct lacuna_error **err, int code, const char *format, ...)
	LACUNA_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
