// SPDX-License-Identifier: Apache-2.0
/* The program: picks the command, says what went wrong and turns it into an exit status. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/opts.h"

static bool open_at_start[3];

static int command_help(int argc, char **argv);
static int command_version(int argc, char **argv);

static const struct command {
	const char *name, *arguments, *help;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "run", "[OPTIONS]", "run a virtual machine until it ends", command_run },
	{ "dump", "WHAT... --out DIR [OPTIONS]", "write what a guest would be given to files",
		command_dump },
	{ "control", "SOCKET REQUEST", "ask something of a running machine", command_control },
	{ "doctor", "", "say what this host's KVM offers", command_doctor },
	{ "bench", "COMMAND [OPTIONS]", "measure, beside the floor and other monitors",
		command_bench },
	{ "help", "[COMMAND]", "show this text, or the options of a command", command_help },
	{ "version", "", "show the version", command_version },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

bool was_open(int fd)
{
	return open_at_start[fd];
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int command_help(int argc, char **argv)
{
	const struct command *c = argc > 1 ? find_command(argv[1]) : NULL;
	int words = c && c->run == command_bench ? 3 : 2; /* "bench" has commands of its own */
	if (argc > 1 && !c)
		return fail("unknown command '%s'; see 'lacuna help'", argv[1]);
	if (argc > words)
		return fail("help: unexpected argument '%s'", argv[words]);
	if (c) {
		if (c->run == command_run || c->run == command_dump || c->run == command_control ||
			c->run == command_bench) {
			char *args[] = { argv[1], argc > 2 ? argv[2] : (char *)"--help",
				(char *)"--help", NULL };
			return c->run(argc, args);
		}
		printf("Usage: lacuna %s%s%s\n\n%s\n", c->name, *c->arguments ? " " : "",
			c->arguments, c->help);
		return STATUS_OK;
	}
	printf("Usage: lacuna COMMAND\n\n"
	       "A small virtual machine monitor for KVM. Commands:\n");
	for (size_t i = 0; i < COMMANDS; i++) {
		char head[64];
		snprintf(head, sizeof(head), "%s %s", commands[i].name, commands[i].arguments);
		printf("  %-34s %s\n", head, commands[i].help);
	}
	printf("\n'lacuna help run' lists the options of a machine; lacuna(1) explains them.\n");
	return STATUS_OK;
}

static int command_version(int argc, char **argv)
{
	if (argc > 1)
		return fail("version: unexpected argument '%s'", argv[1]);
	printf("lacuna %s\n", lacuna_version());
	return STATUS_OK;
}

/* A file opened later must not become descriptor 0, 1 or 2 and then be taken for the console. */
static int occupy_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		open_at_start[fd] = fcntl(fd, F_GETFD) >= 0;
		if (!open_at_start[fd] && open("/dev/null", O_RDWR) != fd)
			return -1;
	}
	return 0;
}

/* Every queue and interrupt vector of a machine is a descriptor, and the usual limit of 1,024 is
 * meant for programs that use select(). */
static void raise_fd_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	raise_fd_limit();
	if (occupy_standard_fds() < 0)
		return fail("open '/dev/null': %s", strerror(errno));
	/* A reader that has gone or a file at its limit is an error like any other. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (argc < 2)
		return fail("no command given; see 'lacuna help'");
	const char *name = argv[1];
	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		name = "help";
	else if (!strcmp(name, "--version"))
		name = "version";
	const struct command *c = find_command(name);
	if (!c)
		return fail("unknown command '%s'; see 'lacuna help'", name);
	int status = c->run(argc - 1, argv + 1);
	if (fflush(stdout) || ferror(stdout))
		return fail("write to standard output: %s", strerror(errno));
	return status;
}
