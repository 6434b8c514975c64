// SPDX-License-Identifier: Apache-2.0
/* `lacuna dump`: makes a machine, writes what its guest would be given to files, and frees it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/opts.h"

static const char *const kinds[] = { "acpi", "fdt", "e820", "cmdline", "pci" };
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct dump_options {
	bool wanted[KINDS];
	const char *out;
};

static const struct opt dump_opts[] = {
	{ "out", "DIR", .help = "where the files go; made if it is not there" },
	{ 0 },
};

static int set_option(void *opaque, const char *name, const char *value)
{
	struct dump_options *o = opaque;
	if (o->out)
		return fail("%s: given twice", name);
	o->out = value;
	return STATUS_OK;
}

static int add_kind(void *opaque, const char *word)
{
	struct dump_options *o = opaque;
	for (size_t i = 0; i < KINDS; i++)
		if (!strcmp(kinds[i], word)) {
			o->wanted[i] = true;
			return STATUS_OK;
		}
	return fail("dump: unknown '%s'; give acpi, fdt, e820, cmdline or pci", word);
}

/* Called for each file; 0 or -errno after a message. */
static int write_file(void *opaque, const char *name, const void *data, size_t size)
{
	const struct dump_options *o = opaque;
	char *path = NULL;
	if (asprintf(&path, "%s/%s", o->out, name) < 0) {
		fail("out of memory");
		return -ENOMEM;
	}
	int rc = 0;
	FILE *f = fopen(path, "we");
	if (!f || fwrite(data, 1, size, f) != size)
		rc = -errno;
	if (f && fclose(f) && rc == 0)
		rc = -errno;
	if (rc < 0)
		fail("write '%s': %s", path, strerror(-rc));
	else
		printf("%s\n", path);
	free(path);
	return rc;
}

static int dump(struct lacuna_vm *vm, struct dump_options *o)
{
	if (mkdir(o->out, 0777) < 0 && errno != EEXIST)
		return fail("out: make folder '%s': %s", o->out, strerror(errno));
	for (size_t i = 0; i < KINDS; i++) {
		struct lacuna_error *err = NULL;
		if (!o->wanted[i] || lacuna_vm_dump(vm, kinds[i], write_file, o, &err) == 0)
			continue;
		return err ? fail_error(err) : STATUS_FAILED; /* write_file() has told why */
	}
	return STATUS_OK;
}

static int dump_help(void)
{
	printf("Usage: lacuna dump acpi|fdt|e820|cmdline|pci... --out DIR [OPTIONS]\n\n"
	       "Writes what a guest would be given and prints the names of the files. Options, with\n"
	       "their defaults in brackets:\n");
	opts_help(dump_opts);
	opts_help(machine_opts);
	return STATUS_OK;
}

static int configure(struct lacuna_config *config, struct dump_options *o, int argc, char **argv)
{
	struct opt_parser parser = {
		.command = "dump",
		.own = dump_opts,
		.config = config,
		.set = set_option,
		.word = add_kind,
		.opaque = o,
	};
	int status = opts_parse(&parser, argc, argv);
	bool any = false;
	if (status)
		return status;
	for (size_t i = 0; i < KINDS; i++)
		any |= o->wanted[i];
	if (!any)
		return fail("dump: say what: acpi, fdt, e820, cmdline or pci");
	if (!o->out)
		return fail("dump: say where: --out=DIR");
	return STATUS_OK;
}

int command_dump(int argc, char **argv)
{
	struct dump_options o = { 0 };
	struct lacuna_config *config = NULL;
	struct lacuna_vm *vm = NULL;
	struct lacuna_error *err = NULL;
	if (opts_want_help(argc, argv))
		return dump_help();
	if (lacuna_config_new(&config, &err) < 0)
		return fail_error(err);
	int status = configure(config, &o, argc, argv);
	if (status == STATUS_OK && lacuna_vm_new(config, &vm, &err) < 0)
		status = fail_error(err);
	lacuna_config_free(config);
	if (status == STATUS_OK)
		status = dump(vm, &o);
	lacuna_vm_free(vm);
	return status;
}
