// SPDX-License-Identifier: Apache-2.0
/* Option "pci" of a machine: how configuration space is reached, and how much of it there is. */
#include <abi/pvbit.h>
#include <assert.h>
#include <string.h>

#include "machine/config.h"
#include "pci/topology.h"
#include "util/err.h"
#include "util/keyval.h"

/* Leaves @ret alone when @key was not given. */
static int choose(const struct keyval *kv, const char *key, const char *const names[],
	const char *accepted, unsigned *ret, struct lacuna_error **err)
{
	const char *value = keyval_get(kv, key);
	return value ? machine_config_choose(key, value, names, accepted, ret, err) : 0;
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

/* On unless it is switched off. */
static int parse_off(
	const struct keyval *kv, const char *key, bool *ret_off, struct lacuna_error **err)
{
	static const char *const words[] = { "on", "off", NULL };
	unsigned word = 0;
	int rc = choose(kv, key, words, "on or off", &word, err);
	*ret_off = word;
	return rc;
}

static int parse(const struct keyval *kv, struct machine_config *config, struct lacuna_error **err)
{
	static const char *const configs[] = { "ecam", "both", "type1", NULL };
	static const char *const windows[] = { "auto", "memory", "trap", NULL };
	static const char *const pages_words[] = {
		[ECAM_PAGES_LARGE] = "on",
		[ECAM_PAGES_ALL_LARGE] = "all",
		[ECAM_PAGES_SMALL] = "off",
		NULL,
	};
	unsigned kind = 0, window = 0, buses = 0, pages = ECAM_PAGES_LARGE;
	int pv_bit = -1, ports = PCI_ANY, rc;
	bool no_coalesce = false;
	rc = choose(kv, "config", configs, "ecam, both or type1", &kind, err);
	if (rc == 0)
		rc = choose(kv, "window", windows, "auto, memory or trap", &window, err);
	if (rc == 0)
		rc = parse_buses(kv, &buses, err);
	if (rc == 0)
		rc = parse_pv_bit(kv, &pv_bit, err);
	if (rc == 0)
		rc = parse_ports(kv, &ports, err);
	if (rc == 0)
		rc = choose(kv, "large-pages", pages_words, "on, all or off", &pages, err);
	if (rc == 0)
		rc = parse_off(kv, "coalesce", &no_coalesce, err);
	if (rc < 0)
		return rc;
	if (kind == MACHINE_PCI_TYPE1 && window != MACHINE_WINDOW_AUTO)
		return err_set(err, EINVAL,
			"config=type1 has no window; leave window=%s out or take config=both",
			windows[window]);
	if (pages != ECAM_PAGES_LARGE &&
		(kind == MACHINE_PCI_TYPE1 || window == MACHINE_WINDOW_TRAP))
		return err_set(err, EINVAL,
			"large-pages=%s is about a window of memory, which this has not; leave it out",
			pages_words[pages]);
	config->pci.config = (enum machine_pci_config)kind;
	config->pci.window = (enum machine_pci_window)window;
	config->pci.pages = (enum ecam_pages)pages;
	config->pci.no_coalesce = no_coalesce;
	config->pci.buses = buses;
	config->pci.ports = ports;
	config->pci.pv_bit = pv_bit;
	return 0;
}

int machine_config_set_pci(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err)
{
	static const char *const keys[] = { "config", "window", "large-pages", "coalesce", "buses",
		"ports", "pv-bit", "pv-bit-15", NULL };
	struct keyval *kv = NULL;
	int rc = keyval_parse(value, NULL, keys, &kv, err);
	if (rc == 0)
		rc = parse(kv, config, err);
	keyval_free(kv);
	return err_prefix(err, rc, "%s", key);
}
