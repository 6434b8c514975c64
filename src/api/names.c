// SPDX-License-Identifier: Apache-2.0
/* Names of the public enumerations, as the statistics show them. */
#include <assert.h>
#include <lacuna/vm.h>

#include "kvm/exit_reason.h"
#include "util/bytes.h"

static const char *const end_names[] = {
	[LACUNA_END_NONE] = "none",
	[LACUNA_END_POWEROFF] = "poweroff",
	[LACUNA_END_RESET] = "reset",
	[LACUNA_END_EXIT_CODE] = "exit-code",
	[LACUNA_END_CRASH] = "crash",
	[LACUNA_END_STOPPED] = "stopped",
	[LACUNA_END_TIMEOUT] = "timeout",
	[LACUNA_END_FAILED] = "failed",
};
static_assert(ARRAY_SIZE(end_names) == LACUNA_END_FAILED + 1, "a name for each reason");

const char *lacuna_end_reason_name(enum lacuna_end_reason reason)
{
	return (unsigned)reason < ARRAY_SIZE(end_names) ? end_names[reason] : "none";
}

const char *lacuna_exit_reason_name(unsigned reason)
{
	return kvm_exit_reason_name(reason);
}
