/* SPDX-License-Identifier: Apache-2.0 */
/* Where messages of one VM go. A zeroed struct log drops everything. Immutable once the VM has
 * started; any thread. */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

#include <lacuna/log.h>
#include <stdatomic.h>
#include <stdint.h>

struct log {
	lacuna_log_fn fn;
	void *opaque;
	enum lacuna_log_level level; /* messages above it are dropped */
};

void log_message(const struct log *log, enum lacuna_log_level level, const char *component,
	const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#define log_warning(log, component, ...) \
	log_message(log, LACUNA_LOG_WARNING, component, __VA_ARGS__)
#define log_info(log, component, ...)  log_message(log, LACUNA_LOG_INFO, component, __VA_ARGS__)
#define log_debug(log, component, ...) log_message(log, LACUNA_LOG_DEBUG, component, __VA_ARGS__)

/* A guest can cause a line as often as it likes, so such lines pass one of these: ten a second, the
 * rest dropped. */
struct log_limit {
	_Atomic uint64_t second;
	_Atomic unsigned count;
};

void log_guest(const struct log *log, struct log_limit *limit, const char *component,
	const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* As log_warning(), for what may go wrong at every request: at most one line in ten seconds. */
void log_warning_rarely(const struct log *log, struct log_limit *limit, const char *component,
	const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
