// SPDX-License-Identifier: Apache-2.0
/* `lacuna bench`: finds the command, reads options, runs it and does with its document what was
 * asked. */
#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/child.h"
#include "bench/plot.h"
#include "bench/result.h"
#include "cli/outfile.h"

static const struct bench_command *const commands[] = {
	&bench_boot,
	&bench_pci,
	&bench_start,
	&bench_io,
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct opt shared_opts[] = {
	{ "format", "table|json|csv", "table", .help = "what is printed" },
	{ "save", "FILE", "none", .help = "write the result there as JSON, too" },
	{ "against", "FILE", "none",
		.help = "compare with the result that --save wrote to FILE, and say what is\n"
			"worse beyond noise; on stderr, unless the format is table" },
	{ "plot", "DIR", "none", .help = "draw charts there, as SVG and PNG, with gnuplot" },
	{ "from", "FILE", "none",
		.help = "measure nothing, but take the result that --save wrote to FILE" },
	{ 0 },
};

enum format { TABLE, JSON, CSV };

static struct {
	const struct bench_command *command;
	enum format format;
	const char *save, *against, *plot, *from;
	json_t *earlier;
} asked;

static struct outfile save_file = OUTFILE_INIT("save");

static int set_format(const char *value)
{
	static const char *const names[] = { "table", "json", "csv" };
	for (int i = 0; i < 3; i++) {
		if (!strcmp(value, names[i])) {
			asked.format = i;
			return STATUS_OK;
		}
	}
	return fail("format: '%s' is none of: table, json, csv", value);
}

static int set_option(void *opaque, const char *name, const char *value)
{
	if (!strcmp(name, "format"))
		return set_format(value);
	const char **path = !strcmp(name, "save")      ? &asked.save
			    : !strcmp(name, "against") ? &asked.against
			    : !strcmp(name, "plot")    ? &asked.plot
			    : !strcmp(name, "from")    ? &asked.from
						       : NULL;
	if (!path)
		return asked.command->set(name, value);
	if (*path)
		return fail("%s: given twice", name);
	if (!*value)
		return fail("%s: the file name is empty", name);
	*path = value;
	return STATUS_OK;
}

static const struct bench_command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static int help(const struct bench_command *c)
{
	if (c) {
		printf("Usage: lacuna bench %s [OPTIONS]\n\n%s. Options, with their defaults in "
		       "brackets:\n",
			c->name, c->help);
		opts_help(c->opts);
		opts_help(shared_opts);
	} else {
		printf("Usage: lacuna bench COMMAND [OPTIONS]\n\n"
		       "Measures, in this host, what lacuna claims. Commands:\n");
		for (size_t i = 0; i < COMMANDS; i++)
			printf("  %-10s %s\n", commands[i]->name, commands[i]->help);
		printf("\n'lacuna help bench COMMAND' lists the options of one.\n");
	}
	printf("\nExit status: 0 when it was measured; 1 when something is worse than --against;\n"
	       "125 when lacuna itself failed; 128 + N when signal N ended it.\n");
	return STATUS_OK;
}

static int print(const json_t *document)
{
	if (asked.format == JSON)
		output_json(stdout, document);
	else if (asked.format == CSV)
		output_csv(stdout, document);
	else
		output_table(stdout, document, asked.command->table);
	return fflush(stdout) ? STATUS_FAILED : STATUS_OK; /* main() says why */
}

static int save(const json_t *document)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	if (!f)
		return fail("save: out of memory");
	output_json(f, document);
	fclose(f);
	int status = outfile_write(&save_file, text, size);
	free(text);
	return status;
}

/* Everything that was asked for is done, as far as it goes; the first failure is the status. */
static int finish(const json_t *document)
{
	int status = print(document);
	int saved = asked.save ? save(document) : STATUS_OK;
	int drawn = asked.plot ? asked.command->plot(asked.plot, document) : STATUS_OK;
	unsigned worse = 0;
	if (asked.earlier)
		worse = output_difference(asked.format == TABLE ? stdout : stderr, document,
			asked.earlier, asked.command->table);
	if (status == STATUS_OK)
		status = saved;
	if (status == STATUS_OK)
		status = drawn;
	return status == STATUS_OK && worse ? STATUS_WORSE : status;
}

/* What would be a pity to find out after a long run. */
static int check(void)
{
	char path[PATH_MAX];
	if (asked.plot && !asked.command->plot)
		return fail("plot: 'bench %s' has no charts", asked.command->name);
	if (asked.plot && !child_find("gnuplot", path))
		return fail("plot: gnuplot is not installed: install it (Debian: gnuplot-nox) or "
			    "leave --plot out");
	if (asked.against)
		asked.earlier = output_load("against", asked.against, asked.command->name);
	if (asked.against && !asked.earlier)
		return STATUS_FAILED;
	return asked.save ? outfile_open(&save_file, asked.save) : STATUS_OK;
}

static int take(json_t **ret)
{
	*ret = output_load("from", asked.from, asked.command->name);
	return *ret ? STATUS_OK : STATUS_FAILED;
}

static int run(void)
{
	json_t *document = NULL;
	int status = check();
	if (status == STATUS_OK)
		status = asked.from ? take(&document) : asked.command->run(&document);
	progress_clear();
	if (status == STATUS_OK && !document)
		status = fail("bench: out of memory");
	if (status == STATUS_OK)
		status = finish(document);
	json_decref(document);
	json_decref(asked.earlier);
	return status;
}

int command_bench(int argc, char **argv)
{
	if (argc < 2)
		return fail("bench: no command given; see 'lacuna help bench'");
	asked.command = find_command(argv[1]);
	if (!asked.command && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		return help(NULL);
	if (!asked.command)
		return fail("bench: unknown command '%s'; see 'lacuna help bench'", argv[1]);
	if (opts_want_help(argc, argv))
		return help(asked.command);
	char name[32];
	snprintf(name, sizeof(name), "bench %s", asked.command->name);
	struct opt_parser parser = {
		.command = name,
		.own = asked.command->opts,
		.shared = shared_opts,
		.set = set_option,
	};
	int status = opts_parse(&parser, argc - 1, argv + 1);
	if (status == STATUS_OK)
		status = child_open();
	if (status != STATUS_OK)
		return status;
	undo_push((void (*)(void *))outfile_discard, &save_file);
	status = run();
	child_close();
	return status;
}
