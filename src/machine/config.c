// SPDX-License-Identifier: Apache-2.0
/* The option table of a machine, and the parser behind each row. Values are parsed completely
 * before anything is stored, so a refused option changes nothing. */
#include "machine/config.h"

#include <abi/pvbit.h>
#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "pci/topology.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/keyval.h"

#define MEMORY_MAX                                                                    \
	((uint64_t)1 << 51) /* half of what 52 address bits reach, so sums can't wrap \
			     */

struct option {
	const char *key;
	bool many; /* may be given again */
	int (*set)(struct machine_config *config, const char *key, const char *value,
		struct lacuna_error **err);
};

static int set_cpus(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	uint64_t cpus;
	int rc = parse_u64(key, value, 1, MACHINE_CPUS_MAX, &cpus, err);
	if (rc == 0)
		config->cpus = (unsigned)cpus;
	return rc;
}

static int set_memory(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	uint64_t memory;
	int rc = parse_size(key, value, &memory, err);
	if (rc < 0)
		return rc;
	if (memory < MACHINE_MEMORY_MIN)
		return err_set(err, ERANGE, "%s: %s is too little; give at least 32M", key, value);
	if (memory > MEMORY_MAX)
		return err_set(err, ERANGE, "%s: %s is more than an x86-64 machine can address",
			key, value);
	if (memory % (4 * KIB))
		return err_set(err, EINVAL, "%s: %s is not a multiple of 4K", key, value);
	config->memory = memory;
	return 0;
}

static int set_hugepages(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	return parse_bool(key, value, &config->hugepages, err);
}

static int set_add_cmdline(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	return parse_bool(key, value, &config->add_cmdline, err);
}

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
	return set_path(&config->kernel, key, value, err);
}

static int add_initrd(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	struct boot_file file = { .fd = -1 };
	int rc = set_path(&file.path, key, value, err);
	if (rc < 0)
		return rc;
	struct boot_file *initrds =
		reallocarray(config->initrds, config->initrd_count + 1, sizeof(*initrds));
	if (!initrds) {
		free(file.path);
		return err_nomem(err);
	}
	config->initrds = initrds;
	initrds[config->initrd_count++] = file;
	return 0;
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

static int set_timeout(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	return parse_duration(key, value, &config->timeout_us, err);
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

/* The index of the value of @key in @names, which is NULL-terminated; 0 when @key was not given. */
static int choose(const struct keyval *kv, const char *key, const char *const names[],
	const char *accepted, unsigned *ret, struct lacuna_error **err)
{
	const char *value = keyval_get(kv, key);
	*ret = 0;
	if (!value)
		return 0;
	for (unsigned i = 0; names[i]; i++)
		if (!strcmp(names[i], value)) {
			*ret = i;
			return 0;
		}
	return err_set(err, EINVAL, "%s: '%s' is unknown; give %s", key, value, accepted);
}

/*
 * Bits of CPUID 0x40000001 EAX that KVM has given a meaning (KVM cpuid.rst): a stock guest that
 * sees one of them acts on it. 15 is KVM_FEATURE_MSI_EXT_DEST_ID, but was also the number used in
 * 2020; it can be had by saying so, and is harmless as long as no APIC id needs more than 8 bits.
 */
#define PV_BITS_TAKEN 0x0103feffu
static_assert((PV_BITS_TAKEN >> KVM_FEATURE_PCI_GO_MMCONFIG) % 2 == 0, "our own bit is free");
static_assert(MACHINE_CPUS_MAX < 255, "bit 15 would have guests use 15-bit APIC ids");

static int parse_pv_bit(const struct keyval *kv, int *ret, struct lacuna_error **err)
{
	const char *value = keyval_get(kv, "pv-bit"), *ack = keyval_get(kv, "pv-bit-15");
	uint64_t bit = KVM_FEATURE_PCI_GO_MMCONFIG;
	if (ack && strcmp(ack, "i-understand"))
		return err_set(err, EINVAL, "pv-bit-15: '%s' is unknown; give i-understand", ack);
	if (value && !strcmp(value, "off")) {
		*ret = -1;
		return 0;
	}
	int rc = keyval_u64(kv, "pv-bit", bit, 0, 31, &bit, err);
	if (rc < 0)
		return rc;
	if (bit == KVM_FEATURE_PCI_GO_MMCONFIG_LEGACY) {
		if (!ack)
			return err_set(err, EINVAL,
				"pv-bit=15 means MSI_EXT_DEST_ID to guests of today; add pv-bit-15=i-understand to have it all the same");
	} else if (PV_BITS_TAKEN >> bit & 1) {
		return err_set(err, EINVAL,
			"pv-bit=%u has another meaning in KVM; give off, 8, 18 to 23 or 25 to 31",
			(unsigned)bit);
	}
	*ret = (int)bit;
	return 0;
}

static int parse_buses(const struct keyval *kv, unsigned *ret, struct lacuna_error **err)
{
	const char *value = keyval_get(kv, "buses");
	uint64_t buses = 0;
	int rc = 0;
	if (value && strcmp(value, "auto"))
		rc = parse_u64("buses", value, 1, 256, &buses, err);
	*ret = (unsigned)buses;
	return rc;
}

static int parse_ports(const struct keyval *kv, int *ret, struct lacuna_error **err)
{
	const char *value = keyval_get(kv, "ports");
	uint64_t ports = 0;
	*ret = PCI_ANY;
	if (!value || !strcmp(value, "auto"))
		return 0;
	int rc = parse_u64("ports", value, 0, PCI_PORTS_MAX, &ports, err);
	if (rc == 0)
		*ret = (int)ports;
	return rc;
}

static int parse_pci(
	const struct keyval *kv, struct machine_config *config, struct lacuna_error **err)
{
	static const char *const configs[] = { "ecam", "both", "type1", NULL };
	static const char *const windows[] = { "auto", "memory", "trap", NULL };
	unsigned kind = 0, window = 0, buses = 0;
	int pv_bit = -1, ports = PCI_ANY, rc;
	rc = choose(kv, "config", configs, "ecam, both or type1", &kind, err);
	if (rc == 0)
		rc = choose(kv, "window", windows, "auto, memory or trap", &window, err);
	if (rc == 0)
		rc = parse_buses(kv, &buses, err);
	if (rc == 0)
		rc = parse_pv_bit(kv, &pv_bit, err);
	if (rc == 0)
		rc = parse_ports(kv, &ports, err);
	if (rc < 0)
		return rc;
	if (kind == MACHINE_PCI_TYPE1 && window != MACHINE_WINDOW_AUTO)
		return err_set(err, EINVAL,
			"config=type1 has no window; leave window=%s out or take config=both",
			windows[window]);
	config->pci.config = (enum machine_pci_config)kind;
	config->pci.window = (enum machine_pci_window)window;
	config->pci.buses = buses;
	config->pci.ports = ports;
	config->pci.pv_bit = pv_bit;
	return 0;
}

static int set_kernel_unpack(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	static const char *const names[] = {
		[BOOT_UNPACK_AUTO] = "auto",
		[BOOT_UNPACK_HOST] = "host",
		[BOOT_UNPACK_GUEST] = "guest",
	};
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i], value)) {
			config->kernel_unpack = (enum boot_unpack)i;
			return 0;
		}
	return err_set(err, EINVAL, "%s: '%s' is unknown; give auto, host or guest", key, value);
}

static int set_kernel_cache(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	return strcmp(value, "off") ? set_path(&config->kernel_cache, key, value, err) : 0;
}

static int set_pci(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	static const char *const keys[] = { "config", "window", "buses", "ports", "pv-bit",
		"pv-bit-15", NULL };
	struct keyval *kv = NULL;
	int rc = keyval_parse(value, NULL, keys, &kv, err);
	if (rc == 0)
		rc = parse_pci(kv, config, err);
	keyval_free(kv);
	return err_prefix(err, rc, "%s", key);
}

static int add_device(struct machine_config *config, const char *key, const char *value,
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
		return add_device(config, key, value, err);
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

/* A port of the one virtio console. */
static int add_console(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	static const char *const keys[] = { CHARDEV_END_KEYS, "name", "bus", NULL };
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

static const struct option options[] = {
	{ "add-cmdline", false, set_add_cmdline },
	{ "balloon", true, add_device },
	{ "cmdline", false, set_cmdline },
	{ "console", true, add_console },
	{ "cpus", false, set_cpus },
	{ "disk", true, add_device },
	{ "hugepages", false, set_hugepages },
	{ "initrd", true, add_initrd },
	{ "kernel", false, set_kernel },
	{ "kernel-cache", false, set_kernel_cache },
	{ "kernel-unpack", false, set_kernel_unpack },
	{ "marker", false, set_marker },
	{ "memory", false, set_memory },
	{ "net", true, add_device },
	{ "pci", false, set_pci },
	{ "pmem", true, add_device },
	{ "rng", true, add_device },
	{ "serial", false, set_serial },
	{ "timeout", false, set_timeout },
	{ "vsock", true, add_device },
};
static_assert(ARRAY_SIZE(options) <= 32, "struct machine_config.given has a bit for each");

void machine_config_init(struct machine_config *config)
{
	*config = (struct machine_config){
		.cpus = 1,
		.memory = 256 * MIB,
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
	}
	free(config->devices);
	free(config->kernel);
	free(config->kernel_cache);
	for (size_t i = 0; i < config->initrd_count; i++)
		free(config->initrds[i].path);
	free(config->initrds);
	free(config->cmdline);
	chardev_end_done(&config->serial);
	free(config->marker);
	*config = (struct machine_config){ 0 };
}

int machine_config_set(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
		const struct option *o = &options[i];
		if (strcmp(o->key, key))
			continue;
		if (!o->many && config->given >> i & 1)
			return err_set(err, EEXIST, "%s: given twice", key);
		int rc = o->set(config, key, value, err);
		if (rc == 0)
			config->given |= 1u << i;
		return rc;
	}
	return err_set(err, EINVAL, "unknown option '%s'", key);
}

int machine_config_check(const struct machine_config *config, struct lacuna_error **err)
{
	if (config->initrd_count && !config->kernel)
		return err_set(err, EINVAL,
			"initrd: the built-in probe guest takes none; give a kernel too");
	if (config->hugepages && config->memory % (2 * MIB))
		return err_set(
			err, EINVAL, "memory: with hugepages=on the size must be a multiple of 2M");
	if (config->console_stdio && config->serial.kind == CHARDEV_STDIO)
		return err_set(err, EINVAL,
			"console: stdio is the serial port's already; give --serial off, or the console another end");
	return 0;
}
