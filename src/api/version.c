// SPDX-License-Identifier: Apache-2.0
/* The version, which the Makefile holds. */
#include <lacuna/version.h>

const char *lacuna_version(void)
{
	return LACUNA_VERSION_STRING;
}
