// SPDX-License-Identifier: Apache-2.0
/* Formats a message and hands it to the VM's callback. */
#include "util/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define GUEST_LINES_PER_SECOND 10
#define WARNING_SECONDS        10

__attribute__((format(printf, 4, 0))) static void emit(const struct log *log,
	enum lacuna_log_level level, const char *component, const char *fmt, va_list ap)
{
	char line[512];
	vsnprintf(line, sizeof(line), fmt, ap);
	log->fn(log->opaque, level, component, line);
}

void log_message(const struct log *log, enum lacuna_log_level level, const char *component,
	const char *fmt, ...)
{
	if (!log || !log->fn || level > log->level)
		return;
	va_list ap;
	va_start(ap, fmt);
	emit(log, level, component, fmt, ap);
	va_end(ap);
}

static uint64_t seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec;
}

void log_guest(
	const struct log *log, struct log_limit *limit, const char *component, const char *fmt, ...)
{
	if (!log || !log->fn || log->level < LACUNA_LOG_DEBUG)
		return;
	uint64_t second = seconds();
	/* Two threads that both see a new second may both reset the count: a few lines more,
	 * nothing worse. */
	if (atomic_exchange(&limit->second, second) != second)
		atomic_store(&limit->count, 0);
	if (atomic_fetch_add(&limit->count, 1) >= GUEST_LINES_PER_SECOND)
		return;
	va_list ap;
	va_start(ap, fmt);
	emit(log, LACUNA_LOG_DEBUG, component, fmt, ap);
	va_end(ap);
}

void log_warning_rarely(
	const struct log *log, struct log_limit *limit, const char *component, const char *fmt, ...)
{
	if (!log || !log->fn || log->level < LACUNA_LOG_WARNING)
		return;
	/* The time of the last line; 0: none yet. */
	uint64_t now = seconds() + 1, last = limit->second;
	if ((last && now - last < WARNING_SECONDS) ||
		!atomic_compare_exchange_strong(&limit->second, &last, now))
		return;
	va_list ap;
	va_start(ap, fmt);
	emit(log, LACUNA_LOG_WARNING, component, fmt, ap);
	va_end(ap);
}
