// SPDX-License-Identifier: Apache-2.0
/* `lacuna run`: options to machine, machine to exit status. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/control.h"
#include "cli/opts.h"
#include "cli/signals.h"
#include "cli/stats_json.h"
#include "cli/terminal.h"
#include "cli/window.h"

struct run_options {
	const char *stats_file, *control;
	bool verbose, stdio; /* stdio: the guest's serial port or console is the terminal's, or the
				pipe's */
};

static const struct opt run_opts[] = {
	{ "stats-file", "FILE", "none",
		.help = "write statistics there when the machine ends; -: stdout" },
	{ "control", "SOCKET", "none",
		.help = "make a Unix socket there that 'lacuna control' talks to" },
	{ "verbose", .value = OPT_NO_VALUE, .help = "tell on stderr what the guest does wrong" },
	{ 0 },
};

static int set_option(void *opaque, const char *name, const char *value)
{
	struct run_options *o = opaque;
	if (!strcmp(name, "verbose")) {
		o->verbose = true;
		return STATUS_OK;
	}
	const char **file = !strcmp(name, "control") ? &o->control : &o->stats_file;
	if (*file)
		return fail("%s: given twice", name);
	*file = value;
	return STATUS_OK;
}

static void print_log(
	void *opaque, enum lacuna_log_level level, const char *component, const char *message)
{
	fprintf(stderr, "lacuna: %s: %s\n", component, message);
}

static int configure(struct lacuna_config *config, struct run_options *o, int argc, char **argv)
{
	struct opt_parser parser = {
		.command = "run",
		.own = run_opts,
		.config = config,
		.set = set_option,
		.opaque = o,
	};
	int status = opts_parse(&parser, argc, argv);
	if (status)
		return status;
	o->stdio = !strcmp(parser.serial, "stdio") || parser.console_stdio >= 0;
	window_follow(parser.console_stdio);
	lacuna_config_set_log(
		config, print_log, NULL, o->verbose ? LACUNA_LOG_DEBUG : LACUNA_LOG_INFO);
	if (o->stdio && !was_open(STDOUT_FILENO))
		return fail("%s: standard output is closed; redirect it or give --%s off",
			parser.console_stdio < 0 ? "serial" : "console",
			parser.console_stdio < 0 ? "serial" : "console");
	if (o->control)
		status = control_open(o->control);
	return status == STATUS_OK && o->stats_file ? stats_file_open(o->stats_file) : status;
}

/* How the machine ended, as an exit status and, where something went wrong, a line on stderr. */
static int report_end(const struct lacuna_vm *vm, enum lacuna_end_reason reason, int code)
{
	int sig = signals_caught();
	switch (reason) {
	case LACUNA_END_EXIT_CODE:
		return code;
	case LACUNA_END_TIMEOUT:
		return STATUS_TIMEOUT;
	case LACUNA_END_CRASH:
		fail("guest crashed: %s", lacuna_vm_end_message(vm));
		return STATUS_CRASH;
	case LACUNA_END_FAILED:
		return fail("%s", lacuna_vm_end_message(vm));
	case LACUNA_END_STOPPED:
		if (sig == SIGHUP)
			return fail("stopped: the terminal has gone (SIGHUP)");
		return sig ? STATUS_SIGNAL + sig : STATUS_OK;
	default:
		return STATUS_OK;
	}
}

static int run(struct lacuna_vm *vm, const struct run_options *o)
{
	enum lacuna_end_reason reason = LACUNA_END_NONE;
	struct lacuna_error *err = NULL;
	int code = 0;
	if (o->stdio && terminal_open())
		fprintf(stderr, "lacuna: all keys go to the guest; Ctrl-a x ends it\n");
	int rc = lacuna_vm_start(vm, &err);
	int status = STATUS_OK;
	if (rc == 0) {
		window_report(vm);
		status = control_start(vm);
	}
	if (status != STATUS_OK)
		lacuna_vm_stop(vm);
	if (rc == 0)
		rc = lacuna_vm_wait(vm, &reason, &code, &err);
	control_close();
	terminal_close();
	if (rc < 0)
		return fail_error(err);
	if (status == STATUS_OK)
		status = report_end(vm, reason, code);
	int written = stats_file_write(vm);
	return status == STATUS_OK ? written : status;
}

static int run_help(void)
{
	printf("Usage: lacuna run [OPTIONS]\n\n"
	       "Runs a virtual machine until it ends. Options, with their defaults in brackets:\n");
	opts_help(machine_opts);
	opts_help(run_opts);
	printf("\nExit status: 0 after a power-off, a reset or Ctrl-a x; N when the guest wrote N to port\n"
	       "0xF4; 124 after --timeout; 125 when lacuna itself failed; 134 when the guest crashed;\n"
	       "128 + N when signal N ended lacuna.\n");
	return STATUS_OK;
}

/* Nothing of the machine needs saving. */
static void discard_all(void)
{
	terminal_close();
	stats_file_discard();
	control_close();
}

int command_run(int argc, char **argv)
{
	struct run_options o = { 0 };
	struct lacuna_config *config = NULL;
	struct lacuna_vm *vm = NULL;
	struct lacuna_error *err = NULL;
	if (opts_want_help(argc, argv))
		return run_help();
	int rc = signals_open(discard_all);
	if (rc < 0)
		return fail("start the signal thread: %s", strerror(-rc));
	if (lacuna_config_new(&config, &err) < 0)
		return fail_error(err);
	int status = configure(config, &o, argc, argv);
	if (status == STATUS_OK && lacuna_vm_new(config, &vm, &err) < 0)
		status = fail_error(err);
	lacuna_config_free(config);
	if (status == STATUS_OK) {
		signals_watch(vm);
		status = run(vm, &o);
	}
	signals_close();
	control_close();
	stats_file_discard();
	lacuna_vm_free(vm);
	return status;
}
