// SPDX-License-Identifier: Apache-2.0
/* The option table of a machine, and the parser behind each row. Values are parsed completely
 * before anything is stored, so a refused option changes nothing. */
#include "machine/config.h"

#include <abi/pvbit.h>
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/handed.h"
#include "machine/custom.h"
#include "pci/topology.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"
#include "util/keyval.h"

#define MEMORY_MAX                                                                    \
	((uint64_t)1 << 51) /* half of what 52 address bits reach, so sums can't wrap \
			     */

/* What an option takes. Text is for all but kvm; numbers and switches are read from it. */
struct option {
	const char *key;
	bool many; /* may be given again */
	bool list; /* the text is a list of words, see keyval_parse() */
	int (*set)(struct machine_config *config, const char *key, const char *value,
		struct lacuna_error **err);
	int (*read)(const char *key, const char *text, uint64_t *ret, struct lacuna_error **err);
	/* @shown is what messages call the value: as it was given. */
	int (*set_u64)(struct machine_config *config, const char *key, const char *shown,
		uint64_t value, struct lacuna_error **err);
	void (*set_bool)(struct machine_config *config, bool value);
	int (*set_fd)(struct machine_config *config, int fd, struct lacuna_error **err);
};

/* --- numbers and switches --- */

static int read_cpus(const char *key, const char *text, uint64_t *ret, struct lacuna_error **err)
{
	return parse_u64(key, text, 1, MACHINE_CPUS_MAX, ret, err);
}

static int set_cpus(struct machine_config *config, const char *key, const char *shown,
	uint64_t value, struct lacuna_error **err)
{
	int rc = check_u64(key, shown, value, 1, MACHINE_CPUS_MAX, err);
	if (rc == 0)
		config->cpus = (unsigned)value;
	return rc;
}

static int set_memory(struct machine_config *config, const char *key, const char *shown,
	uint64_t value, struct lacuna_error **err)
{
	if (value < MACHINE_MEMORY_MIN)
		return err_set(err, ERANGE, "%s: %s is too little; give at least 32M", key, shown);
	if (value > MEMORY_MAX)
		return err_set(err, ERANGE, "%s: %s is more than an x86-64 machine can address",
			key, shown);
	if (value % (4 * KIB))
		return err_set(err, EINVAL, "%s: %s is not a multiple of 4K", key, shown);
	config->memory = value;
	return 0;
}

static int set_timeout(struct machine_config *config, const char *key, const char *shown,
	uint64_t value, struct lacuna_error **err)
{
	int rc = check_duration(key, shown, value, err);
	if (rc == 0)
		config->timeout_us = value;
	return rc;
}

static void set_hugepages(struct machine_config *config, bool value)
{
	config->hugepages = value;
}

static void set_add_cmdline(struct machine_config *config, bool value)
{
	config->add_cmdline = value;
}

/* --- texts --- */

static int copy_string(char **ret, const char *value, struct lacuna_error **err)
{
	char *copy = strdup(value);
	if (!copy)
		return err_nomem(err);
	*ret = copy;
	return 0;
}

static int set_path(char **ret, const char *key, const char *value, struct lacuna_error **err)
{
	if (*value == '\0')
		return err_set(err, EINVAL, "%s: the file name is empty", key);
	return copy_string(ret, value, err);
}

static int set_kernel(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	return set_path(&config->kernel.path, key, value, err);
}

int machine_config_choose(const char *key, const char *value, const char *const names[],
	const char *accepted, unsigned *ret, struct lacuna_error **err)
{
	for (unsigned i = 0; names[i]; i++)
		if (!strcmp(names[i], value)) {
			*ret = i;
			return 0;
		}
	return err_set(err, EINVAL, "%s: '%s' is unknown; give %s", key, value, accepted);
}

static int set_kernel_unpack(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	static const char *const names[] = {
		[BOOT_UNPACK_AUTO] = "auto",
		[BOOT_UNPACK_HOST] = "host",
		[BOOT_UNPACK_GUEST] = "guest",
		NULL,
	};
	unsigned who = 0;
	int rc = machine_config_choose(key, value, names, "auto, host or guest", &who, err);
	if (rc == 0)
		config->kernel_unpack = (enum boot_unpack)who;
	return rc;
}

static int set_tables(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	static const char *const names[] = {
		[MACHINE_TABLES_ACPI] = "acpi",
		[MACHINE_TABLES_FDT] = "fdt",
		[MACHINE_TABLES_BOTH] = "both",
		NULL,
	};
	unsigned tables = 0;
	int rc = machine_config_choose(key, value, names, "acpi, fdt or both", &tables, err);
	if (rc == 0)
		config->tables = (enum machine_tables)tables;
	return rc;
}

static int set_kernel_cache(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	return strcmp(value, "off") ? set_path(&config->kernel_cache, key, value, err) : 0;
}

static int set_cmdline(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	return copy_string(&config->cmdline, value, err);
}

static int set_marker(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	size_t len = strlen(value);
	if (len == 0 || len > MACHINE_MARKER_MAX)
		return err_set(err, EINVAL, "%s: give a text of 1 to %d bytes, not of %zu", key,
			MACHINE_MARKER_MAX, len);
	return copy_string(&config->marker, value, err);
}

static int set_serial(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	static const char *const keys[] = { CHARDEV_END_KEYS, NULL };
	struct keyval *kv = NULL;
	int rc = keyval_parse(value, keys[0], keys, &kv, err);
	if (rc == 0)
		rc = chardev_end_parse(kv, &config->serial, err);
	keyval_free(kv);
	return err_prefix(err, rc, "%s", key);
}

int machine_config_add_device(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	struct machine_device_option *devices =
		reallocarray(config->devices, config->device_count + 1, sizeof(config->devices[0]));
	if (!devices)
		return err_nomem(err);
	config->devices = devices;
	struct machine_device_option d = { .option = strdup(key), .text = strdup(value) };
	if (!d.option || !d.text) {
		free(d.option);
		free(d.text);
		return err_nomem(err);
	}
	devices[config->device_count++] = d;
	return 0;
}

/* --- files and descriptors --- */

static int take_fd(int *ret, const char *key, int fd, struct lacuna_error **err)
{
	char name[32];
	snprintf(name, sizeof(name), "%s: fd %d", key, fd);
	int own = handed_dup(name, fd, err);
	if (own >= 0)
		*ret = own;
	return own < 0 ? own : 0;
}

static int set_kernel_fd(struct machine_config *config, int fd, struct lacuna_error **err)
{
	config->kernel.number = fd;
	return take_fd(&config->kernel.fd, "kernel", fd, err);
}

/* Takes @file over. */
static int store_initrd(
	struct machine_config *config, struct boot_file file, struct lacuna_error **err)
{
	struct boot_file *initrds =
		reallocarray(config->initrds, config->initrd_count + 1, sizeof(*initrds));
	if (!initrds) {
		free(file.path);
		fd_close(&file.fd);
		return err_nomem(err);
	}
	config->initrds = initrds;
	initrds[config->initrd_count++] = file;
	return 0;
}

static int add_initrd(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	struct boot_file file = { .fd = -1 };
	int rc = set_path(&file.path, key, value, err);
	return rc < 0 ? rc : store_initrd(config, file, err);
}

static int add_initrd_fd(struct machine_config *config, int fd, struct lacuna_error **err)
{
	struct boot_file file = { .fd = -1, .number = fd };
	int rc = take_fd(&file.fd, "initrd", fd, err);
	return rc < 0 ? rc : store_initrd(config, file, err);
}

static int set_kvm_fd(struct machine_config *config, int fd, struct lacuna_error **err)
{
	return take_fd(&config->kvm_fd, "kvm", fd, err);
}

/* --- the table --- */

static const struct option options[] = {
	{ "add-cmdline", .set_bool = set_add_cmdline },
	{ "balloon", .many = true, .list = true, .set = machine_config_add_device },
	{ "cmdline", .set = set_cmdline },
	{ "console", .many = true, .list = true, .set = machine_config_add_console },
	{ "cpus", .read = read_cpus, .set_u64 = set_cpus },
	{ "disk", .many = true, .list = true, .set = machine_config_add_device },
	{ "hugepages", .set_bool = set_hugepages },
	{ "initrd", .many = true, .set = add_initrd, .set_fd = add_initrd_fd },
	{ "kernel", .set = set_kernel, .set_fd = set_kernel_fd },
	{ "kernel-cache", .set = set_kernel_cache },
	{ "kernel-unpack", .set = set_kernel_unpack },
	{ "kvm", .set_fd = set_kvm_fd },
	{ "marker", .set = set_marker },
	{ "memory", .read = parse_size, .set_u64 = set_memory },
	{ "net", .many = true, .list = true, .set = machine_config_add_device },
	{ "pci", .list = true, .set = machine_config_set_pci },
	{ "pmem", .many = true, .list = true, .set = machine_config_add_device },
	{ "rng", .many = true, .list = true, .set = machine_config_add_device },
	{ "serial", .list = true, .set = set_serial },
	{ "tables", .set = set_tables },
	{ "timeout", .read = parse_duration, .set_u64 = set_timeout },
	{ "vsock", .many = true, .list = true, .set = machine_config_add_device },
};
static_assert(ARRAY_SIZE(options) <= 32, "struct machine_config.given has a bit for each");

void machine_config_init(struct machine_config *config)
{
	*config = (struct machine_config){
		.cpus = 1,
		.memory = 256 * MIB,
		.kernel.fd = -1,
		.kvm_fd = -1,
		.add_cmdline = true,
		.pci.ports = PCI_ANY,
		.pci.pv_bit = KVM_FEATURE_PCI_GO_MMCONFIG,
	};
}

void machine_config_done(struct machine_config *config)
{
	for (size_t i = 0; i < config->device_count; i++) {
		free(config->devices[i].option);
		free(config->devices[i].text);
		for (size_t j = 0; j < config->devices[i].more_count; j++)
			free(config->devices[i].more[j]);
		free(config->devices[i].more);
		custom_pci_free(config->devices[i].pci);
		custom_virtio_free(config->devices[i].virtio);
	}
	free(config->devices);
	free(config->outputs);
	free(config->kernel.path);
	fd_close(&config->kernel.fd);
	fd_close(&config->kvm_fd);
	free(config->kernel_cache);
	for (size_t i = 0; i < config->initrd_count; i++) {
		free(config->initrds[i].path);
		fd_close(&config->initrds[i].fd);
	}
	free(config->initrds);
	free(config->cmdline);
	chardev_end_done(&config->serial);
	free(config->marker);
	*config = (struct machine_config){ 0 };
}

/* The row of @key, or NULL and why it can't be set (any more) in *@ret_rc. */
static const struct option *find_option(const struct machine_config *config, const char *key,
	int *ret_rc, struct lacuna_error **err)
{
	for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
		if (strcmp(options[i].key, key))
			continue;
		if (options[i].many || !(config->given >> i & 1))
			return &options[i];
		*ret_rc = err_set(err, EEXIST, "%s: given twice", key);
		return NULL;
	}
	*ret_rc = err_set(err, EINVAL, "unknown option '%s'", key);
	return NULL;
}

/* Notes that @o has been set, if it has. */
static int note(struct machine_config *config, const struct option *o, int rc)
{
	if (rc == 0)
		config->given |= 1u << (o - options);
	return rc;
}

static int set_text(struct machine_config *config, const struct option *o, const char *value,
	struct lacuna_error **err)
{
	uint64_t number;
	bool on;
	int rc;
	if (o->read) {
		rc = o->read(o->key, value, &number, err);
		return rc < 0 ? rc : o->set_u64(config, o->key, value, number, err);
	}
	if (o->set_bool) {
		rc = parse_bool(o->key, value, &on, err);
		if (rc == 0)
			o->set_bool(config, on);
		return rc;
	}
	if (!o->set)
		return err_set(err, EINVAL, "%s: only a descriptor can be given", o->key);
	return o->set(config, o->key, value, err);
}

int machine_config_set(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	int rc = 0;
	const struct option *o = find_option(config, key, &rc, err);
	return o ? note(config, o, set_text(config, o, value, err)) : rc;
}

int machine_config_set_words(struct machine_config *config, const char *key,
	const char *const *words, struct lacuna_error **err)
{
	char *text = NULL;
	int rc = 0;
	const struct option *o = find_option(config, key, &rc, err);
	if (!o)
		return rc;
	if (!o->list)
		return err_set(err, EINVAL, "%s: it takes a value, not a list of words", key);
	rc = keyval_join(words, &text, err);
	if (rc < 0)
		return err_prefix(err, rc, "%s", key);
	rc = note(config, o, o->set(config, key, text, err));
	free(text);
	return rc;
}

int machine_config_set_u64(
	struct machine_config *config, const char *key, uint64_t value, struct lacuna_error **err)
{
	char shown[24];
	int rc = 0;
	const struct option *o = find_option(config, key, &rc, err);
	if (!o)
		return rc;
	if (!o->set_u64)
		return err_set(err, EINVAL, "%s: it takes no number", key);
	snprintf(shown, sizeof(shown), "%" PRIu64, value);
	return note(config, o, o->set_u64(config, key, shown, value, err));
}

int machine_config_set_bool(
	struct machine_config *config, const char *key, bool value, struct lacuna_error **err)
{
	int rc = 0;
	const struct option *o = find_option(config, key, &rc, err);
	if (!o)
		return rc;
	if (!o->set_bool)
		return err_set(err, EINVAL, "%s: it is nothing that is on or off", key);
	o->set_bool(config, value);
	return note(config, o, 0);
}

int machine_config_set_fd(
	struct machine_config *config, const char *key, int fd, struct lacuna_error **err)
{
	int rc = 0;
	const struct option *o = find_option(config, key, &rc, err);
	if (!o)
		return rc;
	if (!o->set_fd)
		return err_set(err, EINVAL, "%s: it takes no descriptor", key);
	return note(config, o, o->set_fd(config, fd, err));
}

int machine_config_set_serial(
	struct machine_config *config, const struct chardev_sink *sink, struct lacuna_error **err)
{
	int rc = 0;
	const struct option *o = find_option(config, "serial", &rc, err);
	if (!o)
		return rc;
	config->serial = (struct chardev_end){ .kind = CHARDEV_FUNCTION, .sink = *sink };
	return note(config, o, 0);
}

bool machine_config_has_option(const char *key)
{
	for (unsigned i = 0; i < ARRAY_SIZE(options); i++)
		if (!strcmp(options[i].key, key))
			return true;
	return false;
}

int machine_config_check(const struct machine_config *config, struct lacuna_error **err)
{
	if (config->initrd_count && !machine_config_has_kernel(config))
		return err_set(err, EINVAL,
			"initrd: the built-in probe guest takes none; give a kernel too");
	if (config->hugepages && config->memory % (2 * MIB))
		return err_set(
			err, EINVAL, "memory: with hugepages=on the size must be a multiple of 2M");
	if (config->tables != MACHINE_TABLES_ACPI && config->pci.config == MACHINE_PCI_TYPE1)
		return err_set(err, EINVAL,
			"tables: a device tree describes the ECAM window, of which pci config=type1 has none; give tables=acpi or another config");
	if (config->console_stdio && config->serial.kind == CHARDEV_STDIO)
		return err_set(err, EINVAL,
			"console: stdio is the serial port's already; give --serial off, or the console another end");
	return 0;
}
