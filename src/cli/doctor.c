// SPDX-License-Identifier: Apache-2.0
/* `lacuna doctor`: one line per topic, "ok" or "!!". */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/opts.h"

static void print_line(void *opaque, bool ok, const char *topic, const char *text)
{
	printf("%s  %s: %s\n", ok ? "ok" : "!!", topic, text);
}

int command_doctor(int argc, char **argv)
{
	struct lacuna_error *err = NULL;
	if (opts_want_help(argc, argv)) {
		printf("Usage: lacuna doctor\n\n"
		       "Says what this host's KVM offers: \"ok\" for what is fine, \"!!\" for what keeps\n"
		       "machines from running well.\n");
		return STATUS_OK;
	}
	if (argc > 1)
		return fail("doctor: unexpected argument '%s'", argv[1]);
	if (lacuna_host_check(print_line, NULL, &err) < 0)
		return fail_error(err);
	return STATUS_OK;
}
