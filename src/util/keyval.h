/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Option text of the form "key=value,key=value". Values can't hold a comma unless it is doubled
 * (",,"), as elsewhere in the field. Numbers are decimal or 0x-hex; sizes take K, M, G, T suffixes
 * (powers of 1024); booleans are on|off.
 */
#ifndef UTIL_KEYVAL_H
#define UTIL_KEYVAL_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keyval;

/*
 * Parses @text. A first word without '=' is the value of @implied_key (NULL: not allowed). @known
 * is a NULL-terminated list of the keys accepted. -EINVAL for an unknown, repeated or empty key,
 * with the known ones named in the message.
 */
int keyval_parse(const char *text, const char *implied_key, const char *const known[],
	struct keyval **ret, struct lacuna_error **err);
void keyval_free(struct keyval *kv);

/* The text of @words, a NULL-terminated list of key, value, key, value ...; the caller's, to be
 * freed. -EINVAL for a key without value, or with a comma or '=' in it. */
int keyval_join(const char *const *words, char **ret, struct lacuna_error **err);

/* The value of @key or NULL if it was not given. Lives as long as @kv. */
const char *keyval_get(const struct keyval *kv, const char *key);

/* Each stores the default when @key was not given; -EINVAL names key and value and what is
 * accepted. */
int keyval_bool(
	const struct keyval *kv, const char *key, bool def, bool *ret, struct lacuna_error **err);
int keyval_u64(const struct keyval *kv, const char *key, uint64_t def, uint64_t min, uint64_t max,
	uint64_t *ret, struct lacuna_error **err);

/* One value on its own. @what names it in the message ("memory"). -EINVAL or -ERANGE. */
int parse_u64(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *ret,
	struct lacuna_error **err);
int parse_fd(const char *what, const char *text, int *ret, struct lacuna_error **err);
int parse_bool(const char *what, const char *text, bool *ret, struct lacuna_error **err);
/* Bytes; 0 is accepted. */
int parse_size(const char *what, const char *text, uint64_t *ret, struct lacuna_error **err);
/* "500ms", "10s", "2m", "1h", or plain seconds; result in microseconds, 1 to 1000000 hours. */
int parse_duration(const char *what, const char *text, uint64_t *ret_us, struct lacuna_error **err);

/* The same limits for a number that is none of ours; @shown is what messages call it. -ERANGE. */
int check_u64(const char *what, const char *shown, uint64_t v, uint64_t min, uint64_t max,
	struct lacuna_error **err);
int check_duration(const char *what, const char *shown, uint64_t us, struct lacuna_error **err);

#endif
