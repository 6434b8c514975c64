// SPDX-License-Identifier: Apache-2.0
/* Option text, numbers, sizes and durations: what is accepted, what is refused and how it is said.
 */
#include "util/keyval.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>

#include "util/bytes.h"

#define CASES(table) cr_make_param_array(__typeof__((table)[0]), table, ARRAY_SIZE(table))

static const char *const disk_keys[] = { "path", "readonly", "serial", NULL };

struct text_case {
	char text[40];
	int rc;
	char path[16], readonly[16]; /* "-": not given */
	char message[40];            /* part of the error */
};

ParameterizedTestParameters(keyval, text)
{
	static struct text_case c[] = {
		{ "", 0, "-", "-", "" },
		{ "a.img", 0, "a.img", "-", "" },
		{ "path=a.img", 0, "a.img", "-", "" },
		{ "a.img,readonly=on", 0, "a.img", "on", "" },
		{ "readonly=on,path=a.img", 0, "a.img", "on", "" },
		{ "path=a,,b,readonly=off", 0, "a,b", "off", "" },
		{ "a,,b", 0, "a,b", "-", "" },
		{ "path=,,", 0, ",", "-", "" },
		{ "path=", 0, "", "-", "" },
		{ "path=a=b", 0, "a=b", "-", "" },
		{ "path=a,,,readonly=on", 0, "a,", "on", "" },
		{ "serial=1,,path=a", 0, "-", "-", "" },
		{ "a.img,path=b.img", -EINVAL, "", "", "'path' is given twice" },
		{ "path=a,path=a", -EINVAL, "", "", "'path' is given twice" },
		{ "a.img,b.img", -EINVAL, "", "", "unknown key 'b.img'" },
		{ "a.img,readonly", -EINVAL, "", "", "'readonly' has no value" },
		{ "size=3", -EINVAL, "", "", "path, readonly, serial" },
		{ "Path=a", -EINVAL, "", "", "unknown key 'Path'" },
		{ "path=a,", -EINVAL, "", "", "key is missing" },
		{ ",path=a", -EINVAL, "", "", "'path' is given twice" },
		{ "path=a,=b", -EINVAL, "", "", "key is missing" },
		{ "=b", -EINVAL, "", "", "key is missing" },
	};
	return CASES(c);
}

static void expect_value(const struct keyval *kv, const char *key, const char *want)
{
	const char *value = keyval_get(kv, key);
	cr_expect_str_eq(value ? value : "-", want, "%s", key);
}

ParameterizedTest(struct text_case *c, keyval, text)
{
	struct keyval *kv = NULL;
	struct lacuna_error *err = NULL;
	int rc = keyval_parse(c->text, "path", disk_keys, &kv, &err);
	cr_assert_eq(rc, c->rc, "'%s': %s", c->text, lacuna_error_message(err));
	if (rc == 0) {
		expect_value(kv, "path", c->path);
		expect_value(kv, "readonly", c->readonly);
		cr_expect_null(err);
	} else {
		cr_expect_null(kv);
		cr_expect(strstr(lacuna_error_message(err), c->message), "'%s': %s", c->text,
			lacuna_error_message(err));
	}
	keyval_free(kv);
	lacuna_error_free(err);
}

Test(keyval, no_implied_key)
{
	struct keyval *kv = NULL;
	struct lacuna_error *err = NULL;
	cr_expect_eq(keyval_parse("path", NULL, disk_keys, &kv, &err), -EINVAL);
	cr_expect_str_eq(lacuna_error_message(err), "'path' has no value; write path=VALUE");
	lacuna_error_free(err);
	cr_expect_eq(keyval_parse("path", NULL, (const char *const[]){ NULL }, &kv, NULL), -EINVAL);
	keyval_free(NULL);
}

Test(keyval, defaults_and_typed_values)
{
	static const char *const keys[] = { "b", "n", NULL };
	struct keyval *kv;
	bool b;
	uint64_t n;
	cr_assert_eq(keyval_parse("", NULL, keys, &kv, NULL), 0);
	cr_expect(keyval_bool(kv, "b", true, &b, NULL) == 0 && b);
	cr_expect(keyval_u64(kv, "n", 77, 1, 9, &n, NULL) == 0 && n == 77);
	keyval_free(kv);
	cr_assert_eq(keyval_parse("b=off,n=9", NULL, keys, &kv, NULL), 0);
	cr_expect(keyval_bool(kv, "b", true, &b, NULL) == 0 && !b);
	cr_expect(keyval_u64(kv, "n", 77, 1, 9, &n, NULL) == 0 && n == 9);
	keyval_free(kv);
	cr_assert_eq(keyval_parse("b=yes,n=10", NULL, keys, &kv, NULL), 0);
	struct lacuna_error *err = NULL;
	cr_expect_eq(keyval_bool(kv, "b", true, &b, &err), -EINVAL);
	cr_expect_str_eq(lacuna_error_message(err), "b: 'yes' is neither on nor off");
	lacuna_error_free(err);
	err = NULL;
	cr_expect_eq(keyval_u64(kv, "n", 77, 1, 9, &n, &err), -ERANGE);
	cr_expect_str_eq(lacuna_error_message(err), "n: 10 is out of range; give 1 to 9");
	lacuna_error_free(err);
	keyval_free(kv);
}

struct number_case {
	char text[28];
	int rc;
	uint64_t value;
};

ParameterizedTestParameters(keyval, size)
{
	static struct number_case c[] = {
		{ "0", 0, 0 },
		{ "1", 0, 1 },
		{ "1k", 0, 1024 },
		{ "1K", 0, 1024 },
		{ "512M", 0, 512 * MIB },
		{ "5G", 0, 5 * GIB },
		{ "2T", 0, 2048 * GIB },
		{ "0x100", 0, 256 },
		{ "0x10M", 0, 16 * MIB },
		{ "007", 0, 7 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "0xffffffffffffffff", 0, UINT64_MAX },
		{ "16777215T", 0, 16777215 * (GIB << 10) },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "0x10000000000000000", -ERANGE, 0 },
		{ "99999999999999999999999", -ERANGE, 0 },
		{ "16777216T", -ERANGE, 0 },
		{ "18014398509481984K", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "M", -EINVAL, 0 },
		{ "0x", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "1.5G", -EINVAL, 0 },
		{ "1MB", -EINVAL, 0 },
		{ "1P", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
	};
	return CASES(c);
}

static void expect_number(const struct number_case *c, int rc, uint64_t got, const char *what,
	struct lacuna_error *err)
{
	cr_assert_eq(rc, c->rc, "'%s': %s", c->text, lacuna_error_message(err));
	if (rc == 0) {
		cr_expect_eq(got, c->value, "'%s'", c->text);
	} else {
		cr_expect(strstr(lacuna_error_message(err), what) == lacuna_error_message(err));
		cr_expect(strstr(lacuna_error_message(err), c->text), "%s",
			lacuna_error_message(err));
	}
	lacuna_error_free(err);
}

ParameterizedTest(struct number_case *c, keyval, size)
{
	struct lacuna_error *err = NULL;
	uint64_t v = 0;
	int rc = parse_size("memory", c->text, &v, &err);
	expect_number(c, rc, v, "memory: ", err);
}

ParameterizedTestParameters(keyval, number)
{
	static struct number_case c[] = {
		{ "1", 0, 1 },
		{ "0xfe", 0, 254 },
		{ "254", 0, 254 },
		{ "0", -ERANGE, 0 },
		{ "255", -ERANGE, 0 },
		{ "18446744073709551617", -ERANGE, 0 }, /* 1, had it wrapped */
		{ "", -EINVAL, 0 },
		{ "two", -EINVAL, 0 },
		{ "2k", -EINVAL, 0 },
		{ "-2", -EINVAL, 0 },
	};
	return CASES(c);
}

ParameterizedTest(struct number_case *c, keyval, number)
{
	struct lacuna_error *err = NULL;
	uint64_t v = 0;
	int rc = parse_u64("cpus", c->text, 1, 254, &v, &err);
	expect_number(c, rc, v, "cpus: ", err);
}

ParameterizedTestParameters(keyval, duration)
{
	static struct number_case c[] = {
		{ "1", 0, 1000000 },
		{ "10s", 0, 10000000 },
		{ "500ms", 0, 500000 },
		{ "1us", 0, 1 },
		{ "2m", 0, 120000000 },
		{ "2M", 0, 120000000 },
		{ "1h", 0, 3600000000 },
		{ "1000000h", 0, 3600000000000000 },
		{ "1000001h", -ERANGE, 0 },
		{ "0", -ERANGE, 0 },
		{ "0ms", -ERANGE, 0 },
		{ "18446744073709551s", -ERANGE, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ "5d", -EINVAL, 0 },
		{ "-5", -EINVAL, 0 },
		{ "0.5", -EINVAL, 0 },
	};
	return CASES(c);
}

ParameterizedTest(struct number_case *c, keyval, duration)
{
	struct lacuna_error *err = NULL;
	uint64_t v = 0;
	int rc = parse_duration("timeout", c->text, &v, &err);
	expect_number(c, rc, v, "timeout: ", err);
}
