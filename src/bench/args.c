// SPDX-License-Identifier: Apache-2.0
/* Values of options, and the other small things that the commands share. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/child.h"

int why_set(struct why *why, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	// cppcheck-suppress ctuuninitvar ; here it is filled in
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return -1;
}

int why_error(struct why *why, struct lacuna_error *err)
{
	why_set(why, "%s", lacuna_error_message(err));
	lacuna_error_free(err);
	return -1;
}

uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

void *must_realloc(void *p, size_t size)
{
	void *q = realloc(p, size);
	if (q)
		return q;
	child_close();
	_exit(fail("bench: out of memory"));
}

/* --- numbers and lists --- */

/* Decimal digits alone: no sign, no blanks. */
static bool parse_number(const char *text, size_t len, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;
	for (size_t i = 0; i < len; i++) {
		unsigned digit = (unsigned char)text[i] - '0';
		if (digit > 9 || n > (max - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*ret = n;
	return len && n >= min;
}

int option_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	if (parse_number(text, strlen(text), min, max, ret))
		return STATUS_OK;
	return fail("%s: '%s' is not a number from %llu to %llu", option, text,
		(unsigned long long)min, (unsigned long long)max);
}

int option_program(const char *path, const char **ret)
{
	*ret = path;
	return access(path, X_OK) == 0 ? STATUS_OK
				       : fail("program: '%s': %s", path, strerror(errno));
}

static int list_add(
	struct list *list, const char *option, const char *word, size_t len, uint64_t value)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->value[i] == value)
			return fail("%s: '%.*s' is given twice", option, (int)len, word);
	if (list->count == LIST_MAX)
		return fail("%s: more than %d values", option, LIST_MAX);
	list->value[list->count++] = value;
	return STATUS_OK;
}

int option_numbers(
	const char *option, const char *text, uint64_t min, uint64_t max, struct list *ret)
{
	*ret = (struct list){ 0 };
	for (;;) {
		size_t len = strcspn(text, ",");
		uint64_t n;
		if (!parse_number(text, len, min, max, &n))
			return fail("%s: '%.*s' is not a number from %llu to %llu", option,
				(int)len, text, (unsigned long long)min, (unsigned long long)max);
		int status = list_add(ret, option, text, len, n);
		if (status || !text[len])
			return status;
		text += len + 1;
	}
}

/* Its number, or that of the NULL. */
static size_t find_word(const char *const *words, const char *word, size_t len)
{
	size_t i = 0;
	while (words[i] && (strncmp(words[i], word, len) || words[i][len]))
		i++;
	return i;
}

static int unknown_word(const char *option, const char *word, size_t len, const char *const *words)
{
	char known[256] = "";
	const char *all = words[find_word(words, "all", 3)] ? "" : ", all";
	for (size_t at = 0; *words && at < sizeof(known); words++)
		at += (size_t)snprintf(
			known + at, sizeof(known) - at, "%s%s", at ? ", " : "", *words);
	return fail("%s: '%.*s' is none of: %s%s", option, (int)len, word, known, all);
}

int option_words(const char *option, const char *text, const char *const *words, struct list *ret)
{
	*ret = (struct list){ 0 };
	if (!strcmp(text, "all") && !words[find_word(words, "all", 3)]) {
		while (words[ret->count])
			ret->value[ret->count] = ret->count, ret->count++;
		return STATUS_OK;
	}
	for (;;) {
		size_t len = strcspn(text, ","), i = find_word(words, text, len);
		if (!words[i])
			return unknown_word(option, text, len, words);
		int status = list_add(ret, option, text, len, i);
		if (status || !text[len])
			return status;
		text += len + 1;
	}
}

bool list_has(const struct list *list, uint64_t value)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->value[i] == value)
			return true;
	return false;
}

json_t *list_json(const struct list *list, const char *const *words)
{
	json_t *a = json_array();
	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(a, words ? json_string(words[list->value[i]])
					       : json_integer((json_int_t)list->value[i]));
	return a;
}

/* --- rounds --- */

/* splitmix64 */
uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

void round_order(uint64_t round, size_t count, size_t *ret_order)
{
	uint64_t state = round;
	for (size_t i = 0; i < count; i++) {
		size_t at = random_next(&state) % (i + 1);
		ret_order[i] = ret_order[at];
		ret_order[at] = i;
	}
}

/* --- progress --- */

static bool shown;

void progress(const char *fmt, ...)
{
	if (!isatty(STDERR_FILENO))
		return;
	char line[80]; /* what is longer would wrap, and then can't be taken back */
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\r\033[K%s", line);
	fflush(stderr);
	shown = true;
}

void progress_clear(void)
{
	if (shown)
		fprintf(stderr, "\r\033[K");
	shown = false;
}
