// SPDX-License-Identifier: Apache-2.0
/* Option text: "key=value,key=value" split once into pairs, and the numbers, sizes, durations and
 * switches in the values. */
#include "util/keyval.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "util/bytes.h"
#include "util/err.h"

/* A million hours: room to spare for whoever turns it into signed nanoseconds and adds a clock. */
#define DURATION_MAX_US 3600000000000000

struct pair {
	const char *key, *value; /* both inside the keyval's own storage */
};

struct keyval {
	size_t count;
	struct pair pair[]; /* at most one per known key; the strings follow */
};

/* "a, b, c" for messages; never fails, cuts off what does not fit. */
static void join(char *buf, size_t size, const char *const known[])
{
	size_t used = 0;
	buf[0] = '\0';
	for (size_t i = 0; known[i]; i++) {
		size_t len = strlen(known[i]), sep = i ? 2 : 0;
		if (used + sep + len + 1 > size)
			return;
		memcpy(buf + used, ", ", sep);
		memcpy(buf + used + sep, known[i], len + 1);
		used += sep + len;
	}
}

static bool is_known(const char *const known[], const char *key)
{
	for (size_t i = 0; known[i]; i++)
		if (!strcmp(known[i], key))
			return true;
	return false;
}

/* Cuts the next item off *@p in place, turning ",," into ","; NULL once the text is used up. */
static char *next_item(char **p)
{
	char *item = *p, *out = item;
	if (!item)
		return NULL;
	for (char *in = item;; in++) {
		if (in[0] == ',' && in[1] == ',') {
			in++;
		} else if (*in == ',' || *in == '\0') {
			*p = *in ? in + 1 : NULL;
			*out = '\0';
			return item;
		}
		*out++ = *in;
	}
}

static int add_item(struct keyval *kv, char *item, const char *implied_key,
	const char *const known[], struct lacuna_error **err)
{
	char list[200];
	char *equals = strchr(item, '=');
	const char *key = item, *value;
	if (equals) {
		*equals = '\0';
		value = equals + 1;
	} else if (implied_key && kv->count == 0) {
		key = implied_key;
		value = item;
	} else {
		value = NULL;
	}
	if (*key == '\0')
		return err_set(err, EINVAL, "a key is missing before a comma or '='");
	if (!is_known(known, key)) {
		join(list, sizeof(list), known);
		return err_set(
			err, EINVAL, "unknown key '%s'; known are: %s", key, *list ? list : "none");
	}
	if (!value)
		return err_set(err, EINVAL, "'%s' has no value; write %s=VALUE", key, key);
	if (keyval_get(kv, key))
		return err_set(err, EINVAL, "key '%s' is given twice", key);
	kv->pair[kv->count++] = (struct pair){ key, value };
	return 0;
}

int keyval_parse(const char *text, const char *implied_key, const char *const known[],
	struct keyval **ret, struct lacuna_error **err)
{
	size_t known_count = 0, text_size = strlen(text) + 1;
	size_t implied_size = implied_key ? strlen(implied_key) + 1 : 0;
	while (known[known_count])
		known_count++;
	struct keyval *kv =
		malloc(sizeof(*kv) + known_count * sizeof(kv->pair[0]) + text_size + implied_size);
	if (!kv)
		return err_nomem(err);
	kv->count = 0;
	char *rest = (char *)&kv->pair[known_count], *implied = NULL;
	memcpy(rest, text, text_size);
	if (implied_key)
		implied = memcpy(rest + text_size, implied_key, implied_size);
	if (*rest == '\0')
		rest = NULL; /* no text, no pairs */
	for (char *item; (item = next_item(&rest));) {
		int rc = add_item(kv, item, implied, known, err);
		if (rc < 0) {
			keyval_free(kv);
			return rc;
		}
	}
	*ret = kv;
	return 0;
}

static bool has_comma_or_equals(const char *key)
{
	return key[strcspn(key, ",=")];
}

/* Appends "key=value", each comma of the value doubled; returns the new end. */
static char *append_item(char *at, const char *key, const char *value)
{
	at = stpcpy(stpcpy(at, key), "=");
	for (; *value; value++) {
		if (*value == ',')
			*at++ = ',';
		*at++ = *value;
	}
	return at;
}

int keyval_join(const char *const *words, char **ret, struct lacuna_error **err)
{
	size_t size = 1;
	for (size_t i = 0; words[i]; i += 2) {
		if (!words[i + 1])
			return err_set(err, EINVAL, "'%s' has no value", words[i]);
		if (has_comma_or_equals(words[i]))
			return err_set(err, EINVAL, "'%s' is no key", words[i]);
		size += strlen(words[i]) + 2 + 2 * strlen(words[i + 1]);
	}
	char *text = malloc(size), *at = text;
	if (!text)
		return err_nomem(err);
	*at = '\0';
	for (size_t i = 0; words[i]; i += 2) {
		if (i)
			*at++ = ',';
		at = append_item(at, words[i], words[i + 1]);
		*at = '\0';
	}
	*ret = text;
	return 0;
}

void keyval_free(struct keyval *kv)
{
	free(kv);
}

const char *keyval_get(const struct keyval *kv, const char *key)
{
	for (size_t i = 0; i < kv->count; i++)
		if (!strcmp(kv->pair[i].key, key))
			return kv->pair[i].value;
	return NULL;
}

int keyval_bool(
	const struct keyval *kv, const char *key, bool def, bool *ret, struct lacuna_error **err)
{
	const char *value = keyval_get(kv, key);
	if (value)
		return parse_bool(key, value, ret, err);
	*ret = def;
	return 0;
}

int keyval_u64(const struct keyval *kv, const char *key, uint64_t def, uint64_t min, uint64_t max,
	uint64_t *ret, struct lacuna_error **err)
{
	const char *value = keyval_get(kv, key);
	if (value)
		return parse_u64(key, value, min, max, ret, err);
	*ret = def;
	return 0;
}

int parse_bool(const char *what, const char *text, bool *ret, struct lacuna_error **err)
{
	bool on = !strcmp(text, "on");
	if (!on && strcmp(text, "off"))
		return err_set(err, EINVAL, "%s: '%s' is neither on nor off", what, text);
	*ret = on;
	return 0;
}

/* The value of a digit in @base, or -1. */
static int digit(char c, unsigned base)
{
	int v = -1;
	if (c >= '0' && c <= '9')
		v = c - '0';
	else if (c >= 'a' && c <= 'f')
		v = c - 'a' + 10;
	else if (c >= 'A' && c <= 'F')
		v = c - 'A' + 10;
	return v < (int)base ? v : -1;
}

/*
 * The digits at the start of @text (no sign, no white space, unlike strtoull); *@end is what
 * follows. -EINVAL without any, -ERANGE when they don't fit 64 bits.
 */
static int scan_number(const char *text, uint64_t *ret, const char **end)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	unsigned base = hex ? 16 : 10;
	const char *first = hex ? text + 2 : text, *p = first;
	uint64_t v = 0;
	bool overflow = false;
	for (int d; (d = digit(*p, base)) >= 0; p++)
		overflow |= __builtin_mul_overflow(v, base, &v) ||
			    __builtin_add_overflow(v, (unsigned)d, &v);
	if (p == first)
		return -EINVAL;
	*ret = v;
	*end = p;
	return overflow ? -ERANGE : 0;
}

static int out_of_range(
	const char *what, const char *shown, uint64_t min, uint64_t max, struct lacuna_error **err)
{
	return err_set(err, ERANGE, "%s: %s is out of range; give %llu to %llu", what, shown,
		(unsigned long long)min, (unsigned long long)max);
}

int check_u64(const char *what, const char *shown, uint64_t v, uint64_t min, uint64_t max,
	struct lacuna_error **err)
{
	return v < min || v > max ? out_of_range(what, shown, min, max, err) : 0;
}

int parse_u64(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *ret,
	struct lacuna_error **err)
{
	const char *end = text;
	uint64_t v = 0;
	int rc = scan_number(text, &v, &end);
	if (rc == -EINVAL || *end)
		return err_set(err, EINVAL, "%s: '%s' is not a number", what, text);
	rc = rc < 0 ? out_of_range(what, text, min, max, err)
		    : check_u64(what, text, v, min, max, err);
	if (rc == 0)
		*ret = v;
	return rc;
}

int parse_fd(const char *what, const char *text, int *ret, struct lacuna_error **err)
{
	uint64_t fd = 0;
	int rc = parse_u64(what, text, 0, INT_MAX, &fd, err);
	if (rc == 0)
		*ret = (int)fd;
	return rc;
}

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* A number and a suffix from @units, which ends with a factor of 0. -EINVAL or -ERANGE. */
static int scan_unit(const char *text, const struct unit *units, uint64_t *ret)
{
	const char *end;
	uint64_t v;
	int rc = scan_number(text, &v, &end);
	if (rc == -EINVAL)
		return rc;
	for (; units->factor; units++)
		if (!strcasecmp(units->suffix, end))
			return rc < 0 || __builtin_mul_overflow(v, units->factor, ret) ? -ERANGE
										       : 0;
	return -EINVAL;
}

int parse_size(const char *what, const char *text, uint64_t *ret, struct lacuna_error **err)
{
	static const struct unit units[] = {
		{ "", 1 },
		{ "K", KIB },
		{ "M", MIB },
		{ "G", GIB },
		{ "T", GIB << 10 },
		{ 0 },
	};
	int rc = scan_unit(text, units, ret);
	if (rc == -EINVAL)
		return err_set(err, EINVAL,
			"%s: '%s' is not a size; give bytes or a number with K, M, G or T, such as 512M",
			what, text);
	if (rc == -ERANGE)
		return err_set(err, ERANGE, "%s: %s is more than 64 bits can hold", what, text);
	return 0;
}

int check_duration(const char *what, const char *shown, uint64_t us, struct lacuna_error **err)
{
	return us && us <= DURATION_MAX_US
		       ? 0
		       : err_set(err, ERANGE, "%s: %s is out of range; give 1us to 1000000h", what,
				 shown);
}

int parse_duration(const char *what, const char *text, uint64_t *ret_us, struct lacuna_error **err)
{
	static const struct unit units[] = {
		{ "", 1000000 },
		{ "us", 1 },
		{ "ms", 1000 },
		{ "s", 1000000 },
		{ "m", 60000000 },
		{ "h", 3600000000 },
		{ 0 },
	};
	uint64_t us = 0;
	int rc = scan_unit(text, units, &us);
	if (rc == -EINVAL)
		return err_set(err, EINVAL,
			"%s: '%s' is not a duration; give seconds or a number with us, ms, s, m or h, such as 500ms",
			what, text);
	rc = check_duration(what, text, rc == -ERANGE ? 0 : us, err);
	if (rc == 0)
		*ret_us = us;
	return rc;
}
