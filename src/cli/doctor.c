// SPDX-License-Identifier: Apache-2.0
/* `lacuna doctor`: one line per topic, "ok" or "!!". */
#include <stdio.h>

#include "cli/cli.h"

static void print_line(void *opaque, bool ok, const char *topic, const char *text)
{
	printf("%s  %s: %s\n", ok ? "ok" : "!!", topic, text);
}

int command_doctor(int argc, char **argv)
{
	struct lacuna_error *err = NULL;
	if (argc > 1)
		return fail("doctor: unexpected argument '%s'", argv[1]);
	if (lacuna_host_check(print_line, NULL, &err) < 0)
		return fail_error(err);
	return STATUS_OK;
}
