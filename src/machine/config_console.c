// SPDX-License-Identifier: Apache-2.0
/* Option "console": each is a port of the one virtio console, with an end that the text names or a
 * function of the program's. */
#include <stdlib.h>
#include <string.h>

#include "machine/config.h"
#include "util/err.h"
#include "util/keyval.h"
#include "virtio/console.h"

static const char *const keys[] = { CHARDEV_END_KEYS, "name", "bus", NULL };

static struct machine_device_option *find_device(
	const struct machine_config *config, const char *key)
{
	for (size_t i = 0; i < config->device_count; i++)
		if (!strcmp(config->devices[i].option, key))
			return &config->devices[i];
	return NULL;
}

/* The first option makes the device, the others add to it. */
static int add_to_device(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	struct machine_device_option *d = find_device(config, key);
	if (!d)
		return machine_config_add_device(config, key, value, err);
	char **more = reallocarray(d->more, d->more_count + 1, sizeof(*more));
	if (!more)
		return err_nomem(err);
	d->more = more;
	more[d->more_count] = strdup(value);
	if (!more[d->more_count])
		return err_nomem(err);
	d->more_count++;
	return 0;
}

int machine_config_add_console(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	struct chardev_end end = { 0 };
	struct keyval *kv = NULL;
	int rc = keyval_parse(value, keys[0], keys, &kv, err);
	if (rc == 0)
		rc = chardev_end_parse(kv, &end, err);
	if (rc == 0 && end.kind == CHARDEV_STDIO && config->console_stdio)
		rc = err_set(err, EEXIST, "stdio is another port's already");
	if (rc < 0)
		err_prefix(err, rc, "%s", key);
	else if (end.kind != CHARDEV_OFF)
		rc = add_to_device(config, key, value, err);
	if (rc == 0 && end.kind != CHARDEV_OFF) {
		config->console_stdio |= end.kind == CHARDEV_STDIO;
		config->console_hvc |= !keyval_get(kv, "name");
	}
	chardev_end_done(&end);
	keyval_free(kv);
	return rc;
}

/* -EEXIST if the port that the console option @text makes is called @name. */
static int check_name(const char *text, const char *name, struct lacuna_error **err)
{
	struct keyval *kv = NULL;
	int rc = keyval_parse(text, keys[0], keys, &kv, err);
	if (rc < 0)
		return rc;
	const char *own = keyval_get(kv, "name");
	if (own && !strcmp(own, name))
		rc = err_set(err, EEXIST,
			"console: name: another port is called '%s' too: give another", name);
	keyval_free(kv);
	return rc;
}

static int check_names(
	const struct machine_config *config, const char *name, struct lacuna_error **err)
{
	const struct machine_device_option *d = find_device(config, "console");
	int rc = d ? check_name(d->text, name, err) : 0;
	for (size_t i = 0; d && i < d->more_count && rc == 0; i++)
		rc = check_name(d->more[i], name, err);
	return rc;
}

static int check_output(
	const struct machine_config *config, const char *name, struct lacuna_error **err)
{
	if (name && (!strcmp(name, "serial") || !strcmp(name, "console")))
		return err_set(err, EINVAL,
			"console: name: '%s' is what lacuna_vm_input() calls another stream: give another",
			name);
	if (!name && config->console_function)
		return err_set(err, EEXIST,
			"console: another function has the port without a name: give this one a name");
	return name ? check_names(config, name, err) : 0;
}

int machine_config_add_output(struct machine_config *config, const char *name,
	const struct chardev_sink *sink, struct lacuna_error **err)
{
	int rc = check_output(config, name, err);
	if (rc < 0)
		return rc;
	struct console_output *outputs =
		reallocarray(config->outputs, config->output_count + 1, sizeof(*outputs));
	if (!outputs)
		return err_nomem(err);
	config->outputs = outputs;
	const struct machine_device_option *d = find_device(config, "console");
	outputs[config->output_count] = (struct console_output){
		.port = d ? (unsigned)d->more_count + 1 : 0,
		.sink = *sink,
	};
	const char *const words[] = { name ? "name" : NULL, name, NULL };
	char *text = NULL;
	rc = keyval_join(words, &text, err);
	if (rc == 0)
		rc = add_to_device(config, "console", text, err);
	free(text);
	if (rc < 0)
		return rc;
	config->output_count++;
	config->console_hvc |= !name;
	config->console_function |= !name;
	return 0;
}
