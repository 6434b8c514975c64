/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of a command, from tables: "--name value" or "--name=value". The same tables make the
 * help text. A row whose `config` is true is an option of the machine, known to liblacuna by the
 * same name.
 */
#ifndef CLI_OPTS_H
#define CLI_OPTS_H

#include <lacuna/vm.h>

enum opt_value {
	OPT_NEEDS_VALUE,
	OPT_MAY_HAVE_VALUE,
	OPT_NO_VALUE,
};

struct opt {
	const char *name;     /* without "--"; NULL ends a table */
	const char *argument; /* its form in the help text; NULL: none */
	const char *fallback; /* what holds when it is not given; NULL: nothing to say */
	const char *help;
	const char *implied; /* the value that stands for a missing one */
	enum opt_value value;
	bool many; /* may be given again; only for the help text */
};

/* The options of a machine: rows for lacuna_config_set(). */
extern const struct opt machine_opts[];

struct opt_parser {
	const char *command;      /* "run", for messages */
	const struct opt *own;    /* rows of the command itself; they come before the machine's */
	const struct opt *shared; /* further such rows, which other commands have, too; or NULL */
	struct lacuna_config *config; /* takes the options of the machine; NULL: there are none */
	/* One of the command's own options, or of the shared ones. Returns STATUS_OK or what fail()
	 * returned. */
	int (*set)(void *opaque, const char *name, const char *value);
	/* An argument that is not an option; NULL: there are none. */
	int (*word)(void *opaque, const char *word);
	void *opaque;
	/* filled in */
	bool cache;         /* --kernel-cache was given */
	const char *serial; /* the value of --serial, given or not */
	int consoles;       /* ports of the virtio console */
	int console_stdio;  /* number of the one that is the terminal's, or -1 */
};

/* Where the library's default is no serial port, the program's is standard input and output, unless
 * a console has them; and where it is no cache of kernels, the program's is the user's.
 * STATUS_OK, or STATUS_FAILED after a message. argv[0] is skipped. */
int opts_parse(struct opt_parser *parser, int argc, char **argv);

/* Prints the rows of a table. */
void opts_help(const struct opt *table);

/* True if --help or -h is among the arguments. */
bool opts_want_help(int argc, char **argv);

#endif
