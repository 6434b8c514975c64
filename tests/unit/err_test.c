// SPDX-License-Identifier: Apache-2.0
/* Errors that callbacks of the embedder's fill. */
#include <criterion/criterion.h>
#include <errno.h>
#include <lacuna/error.h>

#include "util/bytes.h"

Test(err, set_by_a_callback)
{
	struct lacuna_error *err = NULL;
	cr_expect_eq(lacuna_error_set(NULL, ENOENT, "%s", "nobody listens"), -ENOENT);
	cr_expect_eq(lacuna_error_set(&err, ENOENT, "no %s with %d", "card", 7), -ENOENT);
	cr_expect_eq(lacuna_error_set(&err, EIO, "a second one"), -EIO);
	cr_expect_eq(lacuna_error_code(err), ENOENT);
	cr_expect_str_eq(lacuna_error_message(err), "no card with 7");
	lacuna_error_free(err);
	static const int wrong[] = { 0, -1, -EIO, 4096, INT32_MAX, INT32_MIN };
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		err = NULL;
		cr_expect_eq(lacuna_error_set(&err, wrong[i], "wrong"), -EINVAL);
		cr_expect_eq(lacuna_error_code(err), EINVAL);
		lacuna_error_free(err);
	}
}
