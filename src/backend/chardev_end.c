// SPDX-License-Identifier: Apache-2.0
/* From option text to what a chardev is made of. */
#include "backend/chardev_end.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/bytes.h"
#include "util/err.h"

static const char *const names[] = { "off", "stdio", "file", "fd", "socket", "pty", "function" };
static_assert(ARRAY_SIZE(names) == CHARDEV_FUNCTION + 1, "a name for each");

const char *chardev_kind_name(enum chardev_kind kind)
{
	return names[kind];
}

#define GIVE "give stdio, off, pty, file=FILE, socket=PATH or fd=IN:OUT"

static int parse_word(const char *word, enum chardev_kind *ret, struct lacuna_error **err)
{
	if (!strcmp(word, "off") || !strcmp(word, "none"))
		*ret = CHARDEV_OFF;
	else if (!strcmp(word, "stdio"))
		*ret = CHARDEV_STDIO;
	else if (!strcmp(word, "pty"))
		*ret = CHARDEV_PTY;
	else
		return err_set(err, EINVAL, "'%s' is unknown; " GIVE, word);
	return 0;
}

static int parse_fds(const char *text, struct chardev_end *end, struct lacuna_error **err)
{
	const char *colon = strchr(text, ':');
	char first[16] = "";
	if (!colon || (size_t)(colon - text) >= sizeof(first))
		return err_set(
			err, EINVAL, "'%s' is not a pair of descriptors; give fd=IN:OUT", text);
	memcpy(first, text, (size_t)(colon - text));
	int rc = parse_fd("fd", first, &end->in, err);
	return rc < 0 ? rc : parse_fd("fd", colon + 1, &end->out, err);
}

static int copy_path(const char *path, char **ret, struct lacuna_error **err)
{
	if (!*path)
		return err_set(err, EINVAL, "the file name is empty");
	*ret = strdup(path);
	return *ret ? 0 : err_nomem(err);
}

int chardev_end_parse(const struct keyval *kv, struct chardev_end *ret, struct lacuna_error **err)
{
	const char *word = keyval_get(kv, "kind"), *file = keyval_get(kv, "file");
	const char *fd = keyval_get(kv, "fd"), *socket = keyval_get(kv, "socket");
	const char *link = keyval_get(kv, "link");
	struct chardev_end end = { .kind = CHARDEV_OFF };
	int rc = 0;
	if (!!word + !!file + !!fd + !!socket != 1)
		return err_set(err, EINVAL,
			word || file || fd || socket ? "more than one end is given; " GIVE : GIVE);
	if (word) {
		rc = parse_word(word, &end.kind, err);
	} else if (fd) {
		end.kind = CHARDEV_FD;
		rc = parse_fds(fd, &end, err);
	} else {
		end.kind = file ? CHARDEV_FILE : CHARDEV_SOCKET;
		rc = copy_path(file ? file : socket, &end.path, err);
	}
	if (rc == 0 && link && end.kind != CHARDEV_PTY)
		rc = err_set(err, EINVAL, "link=%s: only a pty has a link", link);
	else if (rc == 0 && link)
		rc = copy_path(link, &end.path, err);
	if (rc < 0) {
		chardev_end_done(&end);
		return rc;
	}
	*ret = end;
	return 0;
}

void chardev_end_done(struct chardev_end *end)
{
	free(end->path);
	end->path = NULL;
}

void chardev_end_apply(const struct chardev_end *end, struct chardev_params *params)
{
	params->in_fd = params->out_fd = -1;
	switch (end->kind) {
	case CHARDEV_OFF:
		break;
	case CHARDEV_STDIO:
		params->in_fd = STDIN_FILENO;
		params->out_fd = STDOUT_FILENO;
		params->out_name = "stdout";
		params->escape = isatty(STDIN_FILENO);
		break;
	case CHARDEV_FILE:
		params->path = end->path;
		break;
	case CHARDEV_FD:
		params->in_fd = end->in;
		params->out_fd = end->out;
		params->out_name = "its descriptor";
		break;
	case CHARDEV_SOCKET:
		params->socket = end->path;
		break;
	case CHARDEV_PTY:
		params->pty = true;
		params->link = end->path;
		break;
	case CHARDEV_FUNCTION:
		params->sink = end->sink;
		break;
	}
}
