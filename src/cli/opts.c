// SPDX-License-Identifier: Apache-2.0
/* Option tables: the machine's own, the parser for all of them, and the help text. */
#include "cli/opts.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define HELP_COLUMN 28

const struct opt machine_opts[] = {
	{ "kernel", "FILE", "the built-in probe guest",
		.help = "bzImage, vmlinux, or another kernel with a PVH note or a multiboot\n"
			"header" },
	{ "kernel-unpack", "auto|host|guest", "auto",
		.help = "who unpacks a bzImage; on the host it is faster, but loses the\n"
			"decompressor's KASLR" },
	{ "kernel-cache", "DIR|off", "~/.cache/lacuna/vmlinux",
		.help = "where unpacked kernels are kept" },
	{ "initrd", "FILE|DIR", "none", .many = true,
		.help = "initial RAM disk: an archive, or a directory that is made into one;\n"
			"several are unpacked one after the other" },
	{ "cmdline", "TEXT", "console=ttyS0 or hvc0", .help = "kernel command line" },
	{ "add-cmdline", "on|off", "on",
		.help = "add what spares Linux futile port accesses: 'pci=noearly' where\n"
			"config=both, 'reserve=0xcf8,8 pci=noearly' where config=ecam" },
	{ "cpus", "N", "1", .help = "virtual CPUs, 1 to 254" },
	{ "memory", "SIZE", "256M", .help = "guest RAM, 32M and up, with K, M, G or T" },
	{ "hugepages", "on|off", "off", .value = OPT_MAY_HAVE_VALUE, .implied = "on",
		.help = "take guest RAM from the host's hugetlb pool" },
	{ "disk", "path=FILE|fd=N[,KEY=VALUE]...", .many = true,
		.help = "virtio block device; readonly=on|off [off], serial=TEXT [none],\n"
			"direct=on|off [off]: past the host's page cache\n"
			"cache=writeback|writethrough [writeback]\n"
			"queues=1..16 [1], iops=N, bw=SIZE (a second) [no limits]\n"
			"aio=auto|io_uring|threads [auto]: how the host carries out requests" },
	{ "net", "tap=NAME|fd=N|passt[,KEY=VALUE]...", .many = true,
		.help = "virtio network device, on a tap or on passt, which needs no rights;\n"
			"passt=SOCKET or passt,fd=N [one of its own], mac=ADDRESS [random],\n"
			"queues=1..8 [1, more with tap only], mtu=68..65535 [the guest's choice]" },
	{ "balloon", "[size=SIZE][,KEY=VALUE]...", .value = OPT_MAY_HAVE_VALUE, .implied = "",
		.help = "virtio memory balloon; size: what it takes from the guest [0];\n"
			"deflate-on-oom=on|off [off]; reporting=on|off [on]: memory that the\n"
			"guest frees goes back to the host" },
	{ "pmem", "path=FILE|fd=N[,readonly=on|off]", .many = true,
		.help = "virtio persistent memory: the guest sees the file as memory" },
	{ "rng", "[bus=N]", .value = OPT_MAY_HAVE_VALUE, .implied = "", .many = true,
		.help = "virtio entropy device; bus=N, which every device takes: its PCI bus, 0\n"
			"or that of a root port [a free place]" },
	{ "vsock", "cid=N,path=FILE|fd=N[,path=FILE]", "none",
		.help = "virtio socket device: a Unix socket at FILE, or one that listens\n"
			"already (fd), leads to the guest's ports, FILE_PORT is where the\n"
			"guest's connections to PORT go" },
	{ "pci", "KEY=VALUE[,...]", NULL,
		.help = "config=ecam|both|type1 [ecam]: how configuration space is reached\n"
			"window=auto|memory|trap [auto]: what is behind the ECAM window\n"
			"large-pages=on|all|off [on]: a 2 MiB page of it serves two empty\n"
			"buses; all: each two others have one of their own\n"
			"coalesce=on|off [on]: KVM gathers writes that need no answer at once\n"
			"buses=auto|1..256 [auto]: how many buses to announce\n"
			"ports=auto|0..255 [auto]: root ports, each with a bus for 8 devices\n"
			"pv-bit=0..31|off [31]: CPUID bit that tells that ECAM is sound" },
	{ "tables", "acpi|fdt|both", "acpi",
		.help = "what tells the guest of the machine: ACPI tables, a flattened device\n"
			"tree, which few x86 kernels read, or both" },
	{ "serial", "stdio|pty[,link=PATH]|file=FILE|socket=PATH|fd=IN:OUT|off",
		"stdio, or off if a console has it",
		.help = "what the first serial port is connected to" },
	{ "console", "stdio|pty|file=FILE|socket=PATH|...[,name=TEXT]", "none", .many = true,
		.help = "a port of the virtio console, connected as --serial says: hvc0, or with\n"
			"a name a byte stream that the guest finds as /dev/virtio-ports/TEXT" },
	{ "marker", "TEXT", "none",
		.help = "note the time when serial port or console first prints TEXT" },
	{ "timeout", "TIME", "none", .help = "end the machine after 500ms, 10s, 2m ..." },
	{ 0 },
};

static const struct opt *find(const struct opt *table, const char *name, size_t len)
{
	for (; table && table->name; table++)
		if (!strncmp(table->name, name, len) && table->name[len] == '\0')
			return table;
	return NULL;
}

static bool is_word(const char *value, const char *word)
{
	size_t len = strlen(word);
	return !strncmp(value, word, len) && (!value[len] || value[len] == ',');
}

/* @value is a good one. */
static void note_console(struct opt_parser *parser, const char *value)
{
	if (is_word(value, "off") || is_word(value, "none"))
		return;
	if (is_word(value, "stdio"))
		parser->console_stdio = parser->consoles;
	parser->consoles++;
}

static int set_machine(struct opt_parser *parser, const char *name, const char *value)
{
	struct lacuna_error *err = NULL;
	if (!strcmp(name, "serial"))
		parser->serial = value;
	else if (!strcmp(name, "kernel-cache"))
		parser->cache = true;
	if (lacuna_config_set(parser->config, name, value, &err) < 0)
		return fail_error(err);
	if (!strcmp(name, "console"))
		note_console(parser, value);
	return STATUS_OK;
}

/* As the XDG Base Directory Specification has it; without a home there is no cache. */
static int set_default_cache(struct opt_parser *parser)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	bool use_xdg = xdg && *xdg == '/'; /* relative ones are to be ignored */
	char path[PATH_MAX];
	if (!use_xdg && (!home || *home != '/'))
		return STATUS_OK;
	int n = snprintf(path, sizeof(path), "%s%s/lacuna/vmlinux", use_xdg ? xdg : home,
		use_xdg ? "" : "/.cache");
	return n < (int)sizeof(path) ? set_machine(parser, "kernel-cache", path) : STATUS_OK;
}

static int set_defaults(struct opt_parser *parser)
{
	int status = parser->cache ? STATUS_OK : set_default_cache(parser);
	if (status != STATUS_OK || parser->serial)
		return status;
	return set_machine(parser, "serial", parser->console_stdio < 0 ? "stdio" : "off");
}

int opts_parse(struct opt_parser *parser, int argc, char **argv)
{
	parser->console_stdio = -1;
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *name = arg + 2, *value = strchr(arg, '=');
		if (strncmp(arg, "--", 2)) {
			int status =
				parser->word
					? parser->word(parser->opaque, arg)
					: fail("%s: unexpected argument '%s'; see 'lacuna help %s'",
						  parser->command, arg, parser->command);
			if (status)
				return status;
			continue;
		}
		size_t len = value ? (size_t)(value++ - name) : strlen(name);
		const struct opt *own = find(parser->own, name, len);
		if (!own)
			own = find(parser->shared, name, len);
		const struct opt *o = own || !parser->config ? own : find(machine_opts, name, len);
		if (!o)
			return fail("unknown option '--%.*s'; see 'lacuna help %s'", (int)len, name,
				parser->command);
		bool more = i + 1 < argc && strncmp(argv[i + 1], "--", 2);
		if (value && o->value == OPT_NO_VALUE)
			return fail("--%s takes no value", o->name);
		if (!value && o->value != OPT_NO_VALUE && more)
			value = argv[++i];
		if (!value && o->value == OPT_NEEDS_VALUE)
			return fail("--%s needs a value: --%s=%s", o->name, o->name, o->argument);
		if (!value)
			value = o->implied;
		int status = own ? parser->set(parser->opaque, o->name, value)
				 : set_machine(parser, o->name, value);
		if (status)
			return status;
	}
	return parser->config ? set_defaults(parser) : STATUS_OK;
}

void opts_help(const struct opt *table)
{
	for (; table->name; table++) {
		int column = printf("  --%s%s%s", table->name, table->argument ? " " : "",
			table->argument ? table->argument : "");
		if (column >= HELP_COLUMN) {
			printf("\n");
			column = 0;
		}
		for (const char *p = table->help; *p;) {
			size_t len = strcspn(p, "\n");
			printf("%*s%.*s", HELP_COLUMN - column, "", (int)len, p);
			p += len + (p[len] == '\n');
			if (*p)
				printf("\n");
			column = 0;
		}
		if (table->fallback)
			printf(" [%s]", table->fallback);
		printf("%s\n", table->many ? "; may be given again" : "");
	}
}

bool opts_want_help(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	return false;
}
