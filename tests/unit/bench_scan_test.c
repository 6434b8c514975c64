// SPDX-License-Identifier: Apache-2.0
/* lacuna bench pci: a mechanism that finds something else than the others is caught. */
#include "bench/scan.h"

#include <criterion/criterion.h>
#include <string.h>

static json_t *row(const char *mechanism, int buses, const char *scan, const char *pass,
	int accesses, const char *checksum)
{
	return json_pack("{s:s, s:s, s:i, s:i, s:s, s:s, s:i, s:s}", "part", "pci", "mechanism",
		mechanism, "buses", buses, "functions", 8, "pass", pass, "scan", scan, "accesses",
		accesses, "checksum", checksum);
}

static void set_text(json_t *rows, size_t i, const char *key, const char *text)
{
	json_object_set_new(json_array_get(rows, i), key, json_string(text));
}

/* Three mechanisms by two passes, and two scans of other machines, which have found other things.
 */
static json_t *good_rows(void)
{
	return json_pack("[o, o, o, o, o, o, o, o]", row("type1", 16, "linux", "cold", 528, "0xa"),
		row("ecam-trap", 16, "linux", "cold", 528, "0xa"),
		row("ecam-large", 16, "linux", "cold", 528, "0xa"),
		row("type1", 16, "linux", "warm", 528, "0xa"),
		row("ecam-trap", 16, "linux", "warm", 528, "0xa"),
		row("ecam-large", 16, "linux", "warm", 528, "0xa"),
		row("type1", 16, "all", "cold", 4112, "0xb"),
		row("ecam-large", 1, "linux", "cold", 48, "0xc"));
}

static void expect_refused(json_t *rows, const char *first, const char *second)
{
	struct why why = { "" };
	cr_expect_eq(scan_rows_agree(rows, &why), -1);
	cr_expect(strstr(why.text, first), "'%s' is not in: %s", first, why.text);
	cr_expect(strstr(why.text, second), "'%s' is not in: %s", second, why.text);
	cr_expect_null(strchr(why.text, '\n'));
	json_decref(rows);
}

Test(bench_scan, all_agree)
{
	struct why why;
	json_t *rows = good_rows(), *none = json_array();
	cr_expect_eq(scan_rows_agree(rows, &why), 0);
	cr_expect_eq(scan_rows_agree(none, &why), 0);
	json_decref(rows);
	json_decref(none);
}

Test(bench_scan, one_function_wrong)
{
	for (size_t i = 0; i < 6; i++) {
		json_t *rows = good_rows();
		set_text(rows, i, "checksum", "0xbad");
		expect_refused(rows, "16 buses, 8 functions, scan linux: ", "0xbad");
	}
	json_t *rows = good_rows();
	set_text(rows, 2, "checksum", "0xbad");
	expect_refused(rows, "ecam-large found other functions (checksum 0xbad, cold)",
		"than type1 (0xa, cold)");
}

Test(bench_scan, no_checksum)
{
	json_t *rows = good_rows();
	json_object_del(json_array_get(rows, 7), "checksum");
	expect_refused(rows, "1 buses, 8 functions", "ecam-large found other functions");
}

Test(bench_scan, other_accesses)
{
	json_t *rows = good_rows();
	json_object_set_new(json_array_get(rows, 4), "accesses", json_integer(527));
	expect_refused(rows, "ecam-trap took 527 accesses", "type1 528");
}

/* A row without measurements neither agrees nor contradicts, even as the first one. */
Test(bench_scan, not_available)
{
	struct why why;
	json_t *rows = good_rows();
	for (size_t i = 0; i < 2; i++) {
		set_text(rows, i, "checksum", "0xbad");
		set_text(rows, i, "not_available", "no such thing");
	}
	cr_expect_eq(scan_rows_agree(rows, &why), 0);
	set_text(rows, 3, "checksum", "0xbad");
	expect_refused(rows, "found other functions", "ecam-large (0xa, cold)");
}
