// SPDX-License-Identifier: Apache-2.0
/* Whether all mechanisms have found the same. */
#include <string.h>

#include "bench/scan.h"

static bool same(const json_t *a, const json_t *b, const char *key)
{
	return json_equal(json_object_get(a, key), json_object_get(b, key));
}

static bool same_scan(const json_t *a, const json_t *b)
{
	return same(a, b, "buses") && same(a, b, "functions") && same(a, b, "scan");
}

static const char *word(const json_t *row, const char *key)
{
	const char *s = json_string_value(json_object_get(row, key));
	return s ? s : "none";
}

static long long number(const json_t *row, const char *key)
{
	return json_integer_value(json_object_get(row, key));
}

static int compare(const json_t *a, const json_t *b, struct why *why)
{
	if (!json_is_string(json_object_get(a, "checksum")) || !same(a, b, "checksum"))
		return why_set(why,
			"%lld buses, %lld functions, scan %s: %s found other functions (checksum "
			"%s, %s) than %s (%s, %s)",
			number(b, "buses"), number(b, "functions"), word(b, "scan"),
			word(b, "mechanism"), word(b, "checksum"), word(b, "pass"),
			word(a, "mechanism"), word(a, "checksum"), word(a, "pass"));
	if (!same(a, b, "accesses"))
		return why_set(why,
			"%lld buses, %lld functions, scan %s: %s took %lld accesses, %s %lld",
			number(b, "buses"), number(b, "functions"), word(b, "scan"),
			word(b, "mechanism"), number(b, "accesses"), word(a, "mechanism"),
			number(a, "accesses"));
	return 0;
}

int scan_rows_agree(const json_t *rows, struct why *why)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		if (json_object_get(row, "not_available"))
			continue;
		size_t first = 0; /* of the same scan; at the latest this row itself */
		while (json_object_get(json_array_get(rows, first), "not_available") ||
			!same_scan(json_array_get(rows, first), row))
			first++;
		if (compare(json_array_get(rows, first), row, why) < 0)
			return -1;
	}
	return 0;
}
