// SPDX-License-Identifier: Apache-2.0
/* Public face of the machine's configuration: arguments are checked here, options below. */
#include "api/config.h"

#include <stdlib.h>

#include "util/err.h"

static int is_null(const char *function, struct lacuna_error **err)
{
	return err_set(err, EINVAL, "%s: an argument is NULL", function);
}

int lacuna_config_new(struct lacuna_config **ret, struct lacuna_error **err)
{
	if (!ret)
		return is_null(__func__, err);
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
		return is_null(__func__, err);
	return machine_config_set(&config->machine, key, value, err);
}

int lacuna_config_set_words(struct lacuna_config *config, const char *key, const char *const *words,
	struct lacuna_error **err)
{
	if (!config || !key || !words)
		return is_null(__func__, err);
	return machine_config_set_words(&config->machine, key, words, err);
}

int lacuna_config_set_u64(
	struct lacuna_config *config, const char *key, uint64_t value, struct lacuna_error **err)
{
	if (!config || !key)
		return is_null(__func__, err);
	return machine_config_set_u64(&config->machine, key, value, err);
}

int lacuna_config_set_bool(
	struct lacuna_config *config, const char *key, bool value, struct lacuna_error **err)
{
	if (!config || !key)
		return is_null(__func__, err);
	return machine_config_set_bool(&config->machine, key, value, err);
}

int lacuna_config_set_fd(
	struct lacuna_config *config, const char *key, int fd, struct lacuna_error **err)
{
	if (!config || !key)
		return is_null(__func__, err);
	return machine_config_set_fd(&config->machine, key, fd, err);
}

int lacuna_config_set_serial_output(
	struct lacuna_config *config, lacuna_output_fn fn, void *opaque, struct lacuna_error **err)
{
	if (!config || !fn)
		return is_null(__func__, err);
	const struct chardev_sink sink = { fn, opaque };
	return machine_config_set_serial(&config->machine, &sink, err);
}

int lacuna_config_add_console_output(struct lacuna_config *config, const char *name,
	lacuna_output_fn fn, void *opaque, struct lacuna_error **err)
{
	if (!config || !fn)
		return is_null(__func__, err);
	const struct chardev_sink sink = { fn, opaque };
	return machine_config_add_output(&config->machine, name, &sink, err);
}

void lacuna_config_set_log(
	struct lacuna_config *config, lacuna_log_fn fn, void *opaque, enum lacuna_log_level level)
{
	config->machine.log = (struct log){ .fn = fn, .opaque = opaque, .level = level };
}
