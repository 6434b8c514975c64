// SPDX-License-Identifier: Apache-2.0
/* What a guest is given at reset, for people and tests to look at. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/private.h"
#include "util/err.h"
#include "util/text.h"

typedef int (*dump_fn)(void *opaque, const char *name, const void *data, size_t size);

/* Of the machine, whether its guest was given them or not. */
static int dump_acpi(struct machine *m, dump_fn fn, void *opaque, struct lacuna_error **err)
{
	struct acpi_tables tables = { 0 };
	int rc = acpi_build(&m->acpi_config, &tables, err);
	for (unsigned i = 0; rc >= 0 && i < tables.count; i++) {
		const struct acpi_table *t = &tables.table[i];
		char name[16];
		/* what iasl -d takes; the RSDP is no table with a header */
		snprintf(name, sizeof(name), "%s.%s", t->name,
			strcmp(t->name, "RSDP") ? "aml" : "bin");
		for (char *p = name; *p; p++)
			*p = (char)tolower((unsigned char)*p);
		rc = fn(opaque, name, tables.image + t->offset, t->size);
	}
	acpi_done(&tables);
	return rc < 0 ? rc : 0;
}

/* Hands @text out as one file, and frees it. */
static int dump_text(
	const char *name, struct text text, dump_fn fn, void *opaque, struct lacuna_error **err)
{
	int rc = text.failed ? err_nomem(err) : fn(opaque, name, text.data, text.size);
	free(text.data);
	return rc;
}

static struct text e820_text(const struct machine *m)
{
	struct text out = { 0 };
	for (unsigned i = 0; i < m->e820.count; i++) {
		const struct e820_entry *e = &m->e820.entry[i];
		text_add(&out, "%016llx-%016llx %s\n", (unsigned long long)e->base,
			(unsigned long long)(e->base + e->size - 1), e820_type_name(e->type));
	}
	return out;
}

static struct text cmdline_text(const struct machine *m)
{
	struct text out = { 0 };
	text_add(&out, "%s\n", m->cmdline);
	return out;
}

/* As lspci -xxxx prints it: a line of bus:device.function, then 16 bytes a line. */
static struct text pci_text(const struct machine *m)
{
	struct text out = { 0 };
	for (unsigned bdf = 0; bdf < m->pci->config.buses * 256; bdf++) {
		const struct pci_function *f = pci_host_find(m->pci, bdf);
		if (!f)
			continue;
		text_add(&out, "%02x:%02x.%x %s\n", bdf >> 8, (bdf >> 3) & 31, bdf & 7, f->name);
		for (unsigned at = 0; at < PCI_CONFIG_SIZE; at += 16) {
			text_add(&out, "%02x:", at);
			for (unsigned i = 0; i < 16; i++)
				text_add(&out, " %02x",
					(unsigned)pci_config_read(&f->config, at + i, 1));
			text_add(&out, "\n");
		}
		text_add(&out, "\n");
	}
	return out;
}

static int dump_fdt(struct machine *m, dump_fn fn, void *opaque, struct lacuna_error **err)
{
	struct dtb dtb = { 0 };
	if (m->pci_config == MACHINE_PCI_TYPE1)
		return err_set(err, EINVAL,
			"fdt: a device tree describes the ECAM window, of which pci config=type1 has none; give another config");
	int rc = dtb_build(&m->dtb_config, &dtb, err);
	if (rc < 0)
		return rc;
	rc = fn(opaque, "machine.dtb", dtb.data, dtb.size);
	if (rc >= 0)
		rc = dump_text("machine.dts", dtb_source(&dtb), fn, opaque, err);
	dtb_done(&dtb);
	return rc;
}

int machine_dump(
	struct machine *m, const char *what, dump_fn fn, void *opaque, struct lacuna_error **err)
{
	if (!strcmp(what, "acpi"))
		return dump_acpi(m, fn, opaque, err);
	if (!strcmp(what, "fdt"))
		return dump_fdt(m, fn, opaque, err);
	if (!strcmp(what, "e820"))
		return dump_text("e820.txt", e820_text(m), fn, opaque, err);
	if (!strcmp(what, "cmdline"))
		return dump_text("cmdline.txt", cmdline_text(m), fn, opaque, err);
	if (!strcmp(what, "pci"))
		return dump_text("pci.txt", pci_text(m), fn, opaque, err);
	return err_set(
		err, EINVAL, "there is no dump of '%s': acpi, fdt, e820, cmdline or pci", what);
}
