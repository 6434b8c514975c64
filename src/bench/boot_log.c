// SPDX-License-Identifier: Apache-2.0
/* Lines of a guest's console. */
#include "bench/boot_log.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const boot_initcall_names[] = { "pci_arch_init", "acpi_init", "pci_subsys_init", NULL };
static_assert(sizeof(boot_initcall_names) / sizeof(boot_initcall_names[0]) == BOOT_INITCALLS + 1,
	"a name for each");

void boot_log_init(struct boot_log *log, const char *marker)
{
	*log = (struct boot_log){ .marker = marker, .clock_ns = NAN, .init_us = NAN };
	for (size_t i = 0; i < BOOT_INITCALLS; i++)
		log->end_us[i] = log->took_us[i] = NAN;
}

/* Decimal digits, with one point among them if @point. NULL: there are none. */
static const char *take_number(const char *s, bool point, double *ret)
{
	size_t len = strspn(s, point ? "0123456789." : "0123456789");
	char *end;
	if (!len || len > 20 || *s == '.')
		return NULL;
	*ret = strtod(s, &end);
	return end == s + len ? end : NULL;
}

/* "[    1.234567] " or "[    1.234567][    T1] " (printk.time, printk.caller); behind it. */
static const char *take_stamp(const char *s, double *ret_us)
{
	double seconds;
	if (*s != '[')
		return NULL;
	s++;
	s = take_number(s + strspn(s, " "), true, &seconds);
	if (!s || *s != ']')
		return NULL;
	s++;
	if (*s == '[') {
		s += strcspn(s, "]");
		s += *s == ']';
	}
	*ret_us = seconds * 1e6;
	return *s == ' ' ? s + 1 : NULL;
}

static const char *behind(const char *s, const char *word)
{
	return strncmp(s, word, strlen(word)) != 0 ? NULL : s + strlen(word);
}

/* initcall pci_arch_init+0x0/0x6f returned 0 after 1234 usecs (init/main.c) */
static void take_initcall(struct boot_log *log, double at_us, const char *s)
{
	size_t len = strcspn(s, "+ ");
	double took;
	for (size_t i = 0; i < BOOT_INITCALLS; i++) {
		if (strncmp(s, boot_initcall_names[i], len) != 0 || boot_initcall_names[i][len])
			continue;
		const char *found = strstr(s, " returned ");
		found = found ? strstr(found, " after ") : NULL;
		found = found ? take_number(found + strlen(" after "), false, &took) : NULL;
		if (!found || strncmp(found, " usecs", strlen(" usecs")) != 0)
			return;
		log->end_us[i] = at_us;
		log->took_us[i] = took;
	}
}

static void take_line(struct boot_log *log)
{
	double at_us, ns;
	const char *s = take_stamp(log->line, &at_us), *found;
	if (!s)
		return;
	if ((found = behind(s, "initcall ")))
		take_initcall(log, at_us, found);
	else if ((found = behind(s, "kvm-clock: using sched offset of ")) &&
		 (found = take_number(found, false, &ns)) && behind(found, " cycles"))
		log->clock_ns = ns; /* despite its name: arch/x86/kernel/kvmclock.c */
	else if (behind(s, "Run ") && strstr(s, " as init process") && isnan(log->init_us))
		log->init_us = at_us;
}

static void look_for_marker(struct boot_log *log, uint64_t when)
{
	if (log->marker_ns || !memmem(log->line, log->len, log->marker, strlen(log->marker)))
		return;
	log->marker_ns = when;
	if (log->on_marker)
		log->on_marker(log->opaque);
}

void boot_log_feed(struct boot_log *log, const char *data, size_t size, uint64_t when)
{
	for (size_t i = 0; i < size; i++) {
		bool end = data[i] == '\n';
		if (!end && log->len == sizeof(log->line) - 1) { /* keeps what may begin it */
			look_for_marker(log, when);
			memmove(log->line, log->line + log->len - BOOT_MARKER_MAX, BOOT_MARKER_MAX);
			log->len = BOOT_MARKER_MAX;
		}
		if (!end && data[i]) {
			log->line[log->len++] = data[i];
			continue;
		}
		if (!end)
			continue;
		look_for_marker(log, when);
		log->line[log->len] = '\0';
		take_line(log);
		log->len = 0;
	}
	look_for_marker(log, when);
}
