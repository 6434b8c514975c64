// SPDX-License-Identifier: Apache-2.0
/* Public face of the machine's configuration: arguments are checked here, options below. */
#include "api/config.h"

#include <stdlib.h>

#include "util/err.h"

int lacuna_config_new(struct lacuna_config **ret, struct lacuna_error **err)
{
	struct lacuna_config *config = malloc(sizeof(*config));
	if (!config)
		return err_nomem(err);
	machine_config_init(&config->machine);
	*ret = config;
	return 0;
}

void lacuna_config_free(struct lacuna_config *config)
{
	if (!config)
		return;
	machine_config_done(&config->machine);
	free(config);
}

int lacuna_config_set(
	struct lacuna_config *config, const char *key, const char *value, struct lacuna_error **err)
{
	if (!config || !key || !value)
		return err_set(err, EINVAL, "lacuna_config_set: an argument is NULL");
	return machine_config_set(&config->machine, key, value, err);
}

void lacuna_config_set_log(
	struct lacuna_config *config, lacuna_log_fn fn, void *opaque, enum lacuna_log_level level)
{
	config->machine.log = (struct log){ .fn = fn, .opaque = opaque, .level = level };
}
