// SPDX-License-Identifier: Apache-2.0
/* `lacuna control`: one request to a running machine, and what it answers as text. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/control.h"
#include "cli/opts.h"

static int control_help(void)
{
	printf("Usage: lacuna control SOCKET REQUEST\n\n"
	       "Sends a request to the machine that 'lacuna run --control SOCKET' runs:\n"
	       "  get [DEVICE]               print properties of one device, or of all\n"
	       "  set DEVICE KEY=VALUE...    change properties of a device, such as disk0\n"
	       "  stats                      print statistics as JSON\n"
	       "  state                      print created, running, paused or ended\n"
	       "  pause                      halt the guest\n"
	       "  resume                     let it go on\n"
	       "  power-button               press the ACPI power button\n"
	       "  stop                       end the machine now, as if the power were cut\n");
	return STATUS_OK;
}

/* The words as one line: blanks between them, commas between properties. */
static int make_request(int argc, char **argv, char line[CONTROL_LINE_MAX])
{
	bool is_set = !strcmp(argv[0], "set");
	size_t len = 0;
	if (argc > 2 && !is_set)
		return fail("control: unexpected argument '%s'", argv[2]);
	if (argc < 3 && is_set)
		return fail("control: set needs a device and KEY=VALUE; see 'lacuna help control'");
	for (int i = 0; i < argc; i++) {
		int n = snprintf(line + len, CONTROL_LINE_MAX - len, "%s%s",
			i == 0   ? ""
			: i <= 2 ? " "
				 : ",",
			argv[i]);
		if (n < 0 || (size_t)n >= CONTROL_LINE_MAX - len - 1)
			return fail("control: the request is too long; the most is %d bytes",
				CONTROL_LINE_MAX - 1);
		len += (size_t)n;
	}
	if (strchr(line, '\n'))
		return fail("control: a request can't hold a line break");
	line[len++] = '\n';
	line[len] = '\0';
	return STATUS_OK;
}

static int connect_to(const char *path, int *ret)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address.sun_path))
		return fail(
			"control: the path of a socket can have %zu bytes, not %zu: give a shorter one",
			sizeof(address.sun_path) - 1, strlen(path));
	memcpy(address.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail("control: make a socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int why = errno;
		close(fd);
		return why == ECONNREFUSED
			       ? fail("control: nobody listens at '%s': its machine has ended, or it is no control socket",
					 path)
			       : fail("control: connect to '%s': %s", path, strerror(why));
	}
	*ret = fd;
	return STATUS_OK;
}

/* Sends @line and reads the answer up to its line break. */
static int exchange(int fd, const char *line, json_t **ret)
{
	size_t left = strlen(line);
	while (left) {
		ssize_t n = send(fd, line, left, MSG_NOSIGNAL);
		if (n < 0)
			return fail("control: send the request: %s", strerror(errno));
		line += n;
		left -= (size_t)n;
	}
	FILE *f = fdopen(fd, "r");
	char *answer = NULL;
	size_t size = 0;
	ssize_t n = f ? getline(&answer, &size, f) : -1;
	*ret = n > 0 ? json_loadb(answer, (size_t)n, 0, NULL) : NULL;
	free(answer);
	if (f)
		fclose(f);
	else
		close(fd);
	if (n <= 0)
		return fail("control: the machine ended without an answer");
	return json_is_object(*ret) ? STATUS_OK : fail("control: the answer makes no sense");
}

static void print_properties(const char *device, json_t *properties)
{
	for (void *i = json_object_iter(properties); i; i = json_object_iter_next(properties, i))
		printf("%s %s=%s\n", device, json_object_iter_key(i),
			json_string_value(json_object_iter_value(i)));
}

static int print_answer(const json_t *answer)
{
	json_t *devices = json_object_get(answer, "devices");
	const json_t *stats = json_object_get(answer, "stats");
	const char *state = json_string_value(json_object_get(answer, "state"));
	if (!json_is_true(json_object_get(answer, "ok"))) {
		const char *why = json_string_value(json_object_get(answer, "error"));
		return fail("control: %s", why ? why : "refused");
	}
	for (void *i = json_object_iter(devices); i; i = json_object_iter_next(devices, i))
		print_properties(json_object_iter_key(i), json_object_iter_value(i));
	if (state)
		printf("%s\n", state);
	if (stats) {
		json_dumpf(stats, stdout, JSON_INDENT(2));
		printf("\n");
	}
	return STATUS_OK;
}

int command_control(int argc, char **argv)
{
	char line[CONTROL_LINE_MAX];
	int fd = -1;
	if (opts_want_help(argc, argv))
		return control_help();
	if (argc < 3)
		return fail("control: give a socket and a request; see 'lacuna help control'");
	int status = make_request(argc - 2, argv + 2, line);
	if (status == STATUS_OK)
		status = connect_to(argv[1], &fd);
	if (status != STATUS_OK)
		return status;
	json_t *answer = NULL;
	status = exchange(fd, line, &answer);
	if (status == STATUS_OK)
		status = print_answer(answer);
	json_decref(answer);
	return status;
}
