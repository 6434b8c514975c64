// SPDX-License-Identifier: Apache-2.0
/* What a guest is given at reset, for people and tests to look at. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/private.h"
#include "util/err.h"

typedef int (*dump_fn)(void *opaque, const char *name, const void *data, size_t size);

static int dump_acpi(struct machine *m, dump_fn fn, void *opaque, struct lacuna_error **err)
{
	for (unsigned i = 0; i < m->acpi.count; i++) {
		const struct acpi_table *t = &m->acpi.table[i];
		char name[16];
		/* what iasl -d takes; the RSDP is no table with a header */
		snprintf(name, sizeof(name), "%s.%s", t->name,
			strcmp(t->name, "RSDP") ? "aml" : "bin");
		for (char *p = name; *p; p++)
			*p = (char)tolower((unsigned char)*p);
		int rc = fn(opaque, name, m->acpi.image + t->offset, t->size);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- text --- */

struct text {
	char *data;
	size_t size, capacity;
	bool failed; /* memory was out, and something is missing */
};

__attribute__((format(printf, 2, 3))) static void say(struct text *t, const char *fmt, ...)
{
	for (;;) {
		va_list ap;
		va_start(ap, fmt);
		int n = vsnprintf(
			t->data ? t->data + t->size : NULL, t->capacity - t->size, fmt, ap);
		va_end(ap);
		if (n >= 0 && (size_t)n < t->capacity - t->size) {
			t->size += (size_t)n;
			return;
		}
		size_t capacity = 2 * t->capacity + (n > 0 ? (size_t)n : 0) + 1;
		char *grown = n < 0 || t->failed ? NULL : realloc(t->data, capacity);
		if (!grown) {
			t->failed = true;
			return;
		}
		t->data = grown;
		t->capacity = capacity;
	}
}

/* Collects it, then hands it out as one file. */
static int dump_text(struct machine *m, const char *name,
	void (*write)(struct machine *m, struct text *out), dump_fn fn, void *opaque,
	struct lacuna_error **err)
{
	struct text text = { .data = NULL };
	write(m, &text);
	int rc = text.failed ? err_nomem(err) : fn(opaque, name, text.data, text.size);
	free(text.data);
	return rc;
}

static void write_e820(struct machine *m, struct text *out)
{
	for (unsigned i = 0; i < m->e820.count; i++) {
		const struct e820_entry *e = &m->e820.entry[i];
		say(out, "%016llx-%016llx %s\n", (unsigned long long)e->base,
			(unsigned long long)(e->base + e->size - 1), e820_type_name(e->type));
	}
}

static void write_cmdline(struct machine *m, struct text *out)
{
	say(out, "%s\n", m->cmdline);
}

/* As lspci -xxxx prints it: a line of bus:device.function, then 16 bytes a line. */
static void write_pci(struct machine *m, struct text *out)
{
	for (unsigned bdf = 0; bdf < m->pci->config.buses * 256; bdf++) {
		const struct pci_function *f = pci_host_find(m->pci, bdf);
		if (!f)
			continue;
		say(out, "%02x:%02x.%x %s\n", bdf >> 8, (bdf >> 3) & 31, bdf & 7, f->name);
		for (unsigned at = 0; at < PCI_CONFIG_SIZE; at += 16) {
			say(out, "%02x:", at);
			for (unsigned i = 0; i < 16; i++)
				say(out, " %02x", (unsigned)pci_config_read(&f->config, at + i, 1));
			say(out, "\n");
		}
		say(out, "\n");
	}
}

int machine_dump(
	struct machine *m, const char *what, dump_fn fn, void *opaque, struct lacuna_error **err)
{
	if (!strcmp(what, "acpi"))
		return dump_acpi(m, fn, opaque, err);
	if (!strcmp(what, "e820"))
		return dump_text(m, "e820.txt", write_e820, fn, opaque, err);
	if (!strcmp(what, "cmdline"))
		return dump_text(m, "cmdline.txt", write_cmdline, fn, opaque, err);
	if (!strcmp(what, "pci"))
		return dump_text(m, "pci.txt", write_pci, fn, opaque, err);
	return err_set(err, EINVAL, "there is no dump of '%s': acpi, e820, cmdline or pci", what);
}
