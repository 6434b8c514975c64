/* SPDX-License-Identifier: Apache-2.0 */
/* The public configuration object is the machine's own with another name. */
#ifndef API_CONFIG_H
#define API_CONFIG_H

#include <lacuna/config.h>

#include "machine/config.h"

struct lacuna_config {
	struct machine_config machine;
};

#endif
