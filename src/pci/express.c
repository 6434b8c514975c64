// SPDX-License-Identifier: Apache-2.0
/* PCI Express and extended capabilities. */
#include "pci/express.h"

#include "pci/host.h"
#include "pci/regs.h"
#include "util/bytes.h"
#include "util/err.h"

static void set(struct pci_function *f, unsigned reg, uint32_t value, unsigned size)
{
	pci_config_set(&f->config, f->express + reg, value, size);
}

static void writable(struct pci_function *f, unsigned reg, uint32_t mask, unsigned size)
{
	pci_config_writable(&f->config, f->express + reg, mask, size);
}

static int add(struct pci_function *f, unsigned type, uint32_t devcap, struct lacuna_error **err)
{
	static const uint8_t zeros[EXPRESS_CAP_SIZE];
	f->express = pci_function_add_cap(f, PCI_CAP_ID_EXPRESS, zeros, EXPRESS_CAP_SIZE, false);
	f->serial = pci_function_add_ext_cap(f, PCI_EXT_ID_SERIAL, 1, SERIAL_SIZE);
	if (!f->express || !f->serial)
		return err_set(err, ENOSPC, "no room for the PCI Express capability");
	set(f, EXPRESS_FLAGS, EXPRESS_VERSION | EXPRESS_TYPE(type), 2);
	set(f, EXPRESS_DEVCAP, DEVCAP_ROLE_BASED_ERRORS | devcap, 4);
	set(f, EXPRESS_DEVCTL, DEVCTL_DEFAULT, 2);
	set(f, EXPRESS_DEVCAP2, DEVCAP2_TIMEOUT_DISABLE, 4);
	writable(f, EXPRESS_DEVCTL, DEVCTL_WRITABLE | (devcap & DEVCAP_FLR ? DEVCTL_FLR : 0), 2);
	pci_config_write_1_clear(&f->config, f->express + EXPRESS_DEVSTA, DEVSTA_ERRORS, 2);
	writable(f, EXPRESS_DEVCTL2, DEVCAP2_TIMEOUT_DISABLE, 2);
	return 0;
}

static void add_link(struct pci_function *f, uint32_t lnkcap)
{
	set(f, EXPRESS_LNKCAP, LNKCAP_2_5GT_X1 | lnkcap, 4);
	set(f, EXPRESS_LNKCAP2, LNKCAP2_2_5GT, 4);
	set(f, EXPRESS_LNKCTL2, LNKCTL2_2_5GT, 2);
	writable(f, EXPRESS_LNKCTL, LNKCTL_WRITABLE, 2);
}

int pci_express_add(struct pci_function *f, struct lacuna_error **err)
{
	return add(f, EXPRESS_RCIEP, DEVCAP_FLR, err);
}

int pci_express_add_port(struct pci_function *f, unsigned port, struct lacuna_error **err)
{
	int rc = add(f, EXPRESS_PORT, 0, err);
	if (rc < 0)
		return rc;
	add_link(f, LNKCAP_DL_ACTIVE | LNKCAP_PORT(port));
	writable(f, EXPRESS_ROOTCTL, ROOTCTL_WRITABLE, 2);
	pci_config_write_1_clear(&f->config, f->express + EXPRESS_ROOTSTA, ROOTSTA_PME, 4);

	/* No two functions here talk to each other except through guest RAM, so every redirection
	 * that can be asked for is in force already. */
	unsigned acs = pci_function_add_ext_cap(f, PCI_EXT_ID_ACS, 1, ACS_SIZE);
	if (!acs)
		return err_set(err, ENOSPC, "no room for access control services");
	pci_config_set(&f->config, acs + ACS_CAP, ACS_FEATURES, 2);
	pci_config_writable(&f->config, acs + ACS_CTL, ACS_FEATURES, 2);
	return 0;
}

void pci_express_placed(struct pci_function *f)
{
	if (!f->express)
		return;
	/* The same for all functions of a device, another for each device: an EUI-64 whose first
	 * octet says that it is locally administered. */
	pci_config_set(&f->config, f->serial + PCI_EXT_HEADER,
		(uint32_t)f->bus << 8 | (f->devfn & ~7u), 4);
	pci_config_set(&f->config, f->serial + PCI_EXT_HEADER + 4, 0x024c4143, 4);
	if (!f->parent)
		return;
	set(f, EXPRESS_FLAGS, EXPRESS_VERSION | EXPRESS_TYPE(EXPRESS_ENDPOINT), 2);
	add_link(f, 0);
	set(f, EXPRESS_LNKSTA, LNKSTA_2_5GT_X1, 2);
	set(&f->parent->function, EXPRESS_LNKSTA, LNKSTA_2_5GT_X1 | LNKSTA_DL_ACTIVE, 2);
}

bool pci_express_take_reset(struct pci_function *f)
{
	if (!f->express)
		return false;
	unsigned control = (unsigned)pci_config_read(&f->config, f->express + EXPRESS_DEVCTL, 2);
	if (!(control & DEVCTL_FLR))
		return false;
	set(f, EXPRESS_DEVCTL, control & ~DEVCTL_FLR, 2); /* it always reads as 0 */
	return true;
}
