/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Just enough of Criterion's interface to run the unit tests under ThreadSanitizer, whose address
 * space layout Criterion's own runner can't live with. Each test is a child process; the parent
 * counts how they end. `make SANITIZE=thread` finds this header first.
 */
#ifndef SHIM_CRITERION_H
#define SHIM_CRITERION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct criterion_test_params {
	size_t size;
	void *params;
	size_t length;
};

struct shim_options {
	int timeout, signal, exit_code;
	bool disabled;
	void (*init)(void), (*fini)(void);
	const char *description;
};

struct shim_test {
	const char *suite, *name;
	void (*run)(void *param);
	struct criterion_test_params (*params)(void);
	struct shim_options options;
	struct shim_test *next;
};

void shim_register(struct shim_test *test);
void shim_register_suite(const char *suite, struct shim_options options);
void shim_check(bool ok, bool fatal, const char *file, int line, const char *what);

#define SHIM_TEST(s, n, param_fn, ...)                                     \
	static struct shim_test shim_test_##s##_##n = { .suite = #s,       \
		.name = #n,                                                \
		.run = shim_run_##s##_##n,                                 \
		.params = (param_fn),                                      \
		.options = { __VA_ARGS__ } };                              \
	__attribute__((constructor)) static void shim_init_##s##_##n(void) \
	{                                                                  \
		shim_register(&shim_test_##s##_##n);                       \
	}

#define TestSuite(s, ...)                                                      \
	__attribute__((constructor)) static void shim_suite_##s(void)          \
	{                                                                      \
		shim_register_suite(#s, (struct shim_options){ __VA_ARGS__ }); \
	}                                                                      \
	_Static_assert(1, "")

#define Test(s, n, ...)                                   \
	static void shim_run_##s##_##n(void *shim_param); \
	SHIM_TEST(s, n, NULL, __VA_ARGS__)                \
	static void shim_run_##s##_##n(void *shim_param)

#define ParameterizedTestParameters(s, n) \
	static struct criterion_test_params shim_params_##s##_##n(void)

#define ParameterizedTest(param, s, n, ...)                 \
	static void shim_body_##s##_##n(param);             \
	static void shim_run_##s##_##n(void *shim_param)    \
	{                                                   \
		shim_body_##s##_##n(shim_param);            \
	}                                                   \
	SHIM_TEST(s, n, shim_params_##s##_##n, __VA_ARGS__) \
	static void shim_body_##s##_##n(param)

#define cr_make_param_array(type, array, len, ...) \
	((struct criterion_test_params){ .size = sizeof(type), .params = (array), .length = (len) })

#define SHIM_SKIPPED      77
#define cr_skip_test(...) exit(SHIM_SKIPPED)

#define SHIM_CHECK(ok, fatal) shim_check((ok), (fatal), __FILE__, __LINE__, #ok)
#define cr_assert(c, ...)     SHIM_CHECK(c, true)
#define cr_expect(c, ...)     SHIM_CHECK(c, false)
#define cr_assert_not(c, ...) SHIM_CHECK(!(c), true)
#define cr_expect_not(c, ...) SHIM_CHECK(!(c), false)

#define cr_assert_eq(a, b, ...)         SHIM_CHECK((a) == (b), true)
#define cr_expect_eq(a, b, ...)         SHIM_CHECK((a) == (b), false)
#define cr_assert_neq(a, b, ...)        SHIM_CHECK((a) != (b), true)
#define cr_expect_neq(a, b, ...)        SHIM_CHECK((a) != (b), false)
#define cr_assert_lt(a, b, ...)         SHIM_CHECK((a) < (b), true)
#define cr_expect_lt(a, b, ...)         SHIM_CHECK((a) < (b), false)
#define cr_assert_leq(a, b, ...)        SHIM_CHECK((a) <= (b), true)
#define cr_expect_leq(a, b, ...)        SHIM_CHECK((a) <= (b), false)
#define cr_assert_gt(a, b, ...)         SHIM_CHECK((a) > (b), true)
#define cr_expect_gt(a, b, ...)         SHIM_CHECK((a) > (b), false)
#define cr_assert_geq(a, b, ...)        SHIM_CHECK((a) >= (b), true)
#define cr_expect_geq(a, b, ...)        SHIM_CHECK((a) >= (b), false)
#define cr_assert_null(a, ...)          SHIM_CHECK((a) == NULL, true)
#define cr_expect_null(a, ...)          SHIM_CHECK((a) == NULL, false)
#define cr_assert_not_null(a, ...)      SHIM_CHECK((a) != NULL, true)
#define cr_expect_not_null(a, ...)      SHIM_CHECK((a) != NULL, false)
#define cr_assert_str_eq(a, b, ...)     SHIM_CHECK(!strcmp((a), (b)), true)
#define cr_expect_str_eq(a, b, ...)     SHIM_CHECK(!strcmp((a), (b)), false)
#define cr_assert_str_empty(a, ...)     SHIM_CHECK(!*(a), true)
#define cr_expect_str_empty(a, ...)     SHIM_CHECK(!*(a), false)
#define cr_assert_arr_eq(a, b, n, ...)  SHIM_CHECK(!memcmp((a), (b), (n)), true)
#define cr_expect_arr_eq(a, b, n, ...)  SHIM_CHECK(!memcmp((a), (b), (n)), false)
#define cr_expect_arr_neq(a, b, n, ...) SHIM_CHECK(memcmp((a), (b), (n)), false)
#define cr_assert_fail(...)             SHIM_CHECK(!"cr_assert_fail", true)
#define cr_expect_float_eq(a, b, epsilon, ...) \
	SHIM_CHECK((a) - (b) <= (epsilon) && (b) - (a) <= (epsilon), false)
#define cr_expect_fail(...) SHIM_CHECK(!"cr_expect_fail", false)
#define cr_log_warn(...)    (fprintf(stderr, "warning: " __VA_ARGS__), fputc('\n', stderr))

#endif
