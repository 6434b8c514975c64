// SPDX-License-Identifier: Apache-2.0
/* The control socket: one thread that polls all its clients and never waits for one of them. */
#include "cli/control.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/stats_json.h"

#define CLIENTS_MAX     64  /* more wait for their turn */
#define ACCEPT_AGAIN_MS 100 /* when there are no descriptors left */

struct client {
	int fd;
	size_t len;        /* of what has come of a line */
	char *answer;      /* the rest of it; NULL: all has been sent */
	size_t sent, size; /* of the answer */
	bool ended;        /* no more requests will come */
	char line[CONTROL_LINE_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* the signal thread may close */
static char *socket_path;
static struct stat socket_node; /* somebody may have put another in its place */
static int listen_fd = -1, quit_fd = -1;
static bool serving, closed;
static pthread_t thread;

/* the thread's own */
static struct client *clients[CLIENTS_MAX];
static unsigned client_count;

/* --- requests --- */

/* JSON is UTF-8; a file name may be anything. */
static json_t *text(const char *s)
{
	json_t *value = json_string(s);
	if (value)
		return value;
	char *copy = strdup(s);
	for (char *p = copy; p && *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	value = copy ? json_string(copy) : NULL;
	free(copy);
	return value;
}

static json_t *refusal(const char *why)
{
	return json_pack("{s:b, s:o}", "ok", 0, "error", text(why));
}

static json_t *outcome(int rc, struct lacuna_error *err, json_t *ok)
{
	if (rc == 0)
		return ok;
	json_decref(ok);
	json_t *answer = refusal(lacuna_error_message(err));
	lacuna_error_free(err);
	return answer;
}

static void add_property(void *opaque, const char *device, const char *key, const char *value)
{
	json_t *devices = opaque, *d = json_object_get(devices, device);
	if (!d) {
		d = json_object();
		json_object_set_new(devices, device, d);
	}
	json_object_set_new(d, key, text(value));
}

static json_t *do_get(struct lacuna_vm *vm, char *arguments)
{
	struct lacuna_error *err = NULL;
	json_t *devices = json_object();
	int rc = lacuna_vm_device_get(vm, arguments, add_property, devices, &err);
	return outcome(rc, err, json_pack("{s:b, s:o}", "ok", 1, "devices", devices));
}

static json_t *do_set(struct lacuna_vm *vm, char *arguments)
{
	struct lacuna_error *err = NULL;
	char *properties = arguments ? strchr(arguments, ' ') : NULL;
	if (!properties)
		return refusal("set: give a device and KEY=VALUE");
	*properties++ = '\0';
	int rc = lacuna_vm_device_set(vm, arguments, properties, &err);
	return outcome(rc, err, json_pack("{s:b}", "ok", 1));
}

static json_t *do_stats(struct lacuna_vm *vm, char *arguments)
{
	return json_pack("{s:b, s:o}", "ok", 1, "stats", stats_json(vm));
}

static json_t *ask(
	struct lacuna_vm *vm, int (*call)(struct lacuna_vm *vm, struct lacuna_error **err))
{
	struct lacuna_error *err = NULL;
	int rc = call(vm, &err);
	return outcome(rc, err, json_pack("{s:b}", "ok", 1));
}

static json_t *do_power_button(struct lacuna_vm *vm, char *arguments)
{
	return ask(vm, lacuna_vm_power_button);
}

static json_t *do_pause(struct lacuna_vm *vm, char *arguments)
{
	return ask(vm, lacuna_vm_pause);
}

static json_t *do_resume(struct lacuna_vm *vm, char *arguments)
{
	return ask(vm, lacuna_vm_resume);
}

static json_t *do_state(struct lacuna_vm *vm, char *arguments)
{
	static const char *const names[] = {
		[LACUNA_VM_CREATED] = "created",
		[LACUNA_VM_RUNNING] = "running",
		[LACUNA_VM_PAUSED] = "paused",
		[LACUNA_VM_ENDED] = "ended",
	};
	return json_pack("{s:b, s:s}", "ok", 1, "state", names[lacuna_vm_state(vm)]);
}

static json_t *do_stop(struct lacuna_vm *vm, char *arguments)
{
	lacuna_vm_stop(vm);
	return json_pack("{s:b}", "ok", 1);
}

static const struct request {
	const char *verb;
	bool takes_arguments;
	json_t *(*run)(struct lacuna_vm *vm, char *arguments); /* @arguments: NULL or not empty */
} requests[] = {
	{ "get", true, do_get },
	{ "set", true, do_set },
	{ "stats", false, do_stats },
	{ "state", false, do_state },
	{ "pause", false, do_pause },
	{ "resume", false, do_resume },
	{ "power-button", false, do_power_button },
	{ "stop", false, do_stop },
};

static json_t *answer_line(struct lacuna_vm *vm, char *line)
{
	char *arguments = strchr(line, ' ');
	if (arguments)
		*arguments++ = '\0';
	if (arguments && !*arguments)
		arguments = NULL;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		const struct request *r = &requests[i];
		if (strcmp(line, r->verb))
			continue;
		if (arguments && !r->takes_arguments)
			return refusal("this request takes no argument");
		return r->run(vm, arguments);
	}
	return refusal(
		"unknown request; give get, set, stats, state, pause, resume, power-button or stop");
}

/* --- clients --- */

/* Out of memory: the client is told nothing, and finds its connection closed. */
static void give(struct client *c, json_t *answer)
{
	char *dump = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	json_decref(answer);
	c->sent = 0;
	c->size = dump ? strlen(dump) + 1 : 0;
	c->answer = dump;
	if (dump)
		dump[c->size - 1] = '\n'; /* where the terminator was: it is no string from here */
	else
		c->ended = true;
}

static void send_answer(struct client *c)
{
	while (c->answer && c->sent < c->size) {
		ssize_t n = send(
			c->fd, c->answer + c->sent, c->size - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) { /* it has gone */
			c->ended = true;
			c->len = 0;
			break;
		}
		c->sent += (size_t)n;
	}
	free(c->answer);
	c->answer = NULL;
}

/* Answers what has come, as long as the client takes its answers: it can't make us keep more than
 * one. */
static void serve(struct lacuna_vm *vm, struct client *c)
{
	char *end;
	send_answer(c);
	while (!c->answer && (end = memchr(c->line, '\n', c->len))) {
		size_t used = (size_t)(end - c->line) + 1;
		*end = '\0';
		give(c, strlen(c->line) == used - 1 ? answer_line(vm, c->line)
						    : refusal("the request holds a zero byte"));
		memmove(c->line, c->line + used, c->len - used);
		c->len -= used;
		send_answer(c);
	}
	if (!c->answer && c->len == sizeof(c->line)) {
		give(c, refusal("the request is too long"));
		c->ended = true;
		c->len = 0;
		send_answer(c);
	}
}

static void receive(struct client *c)
{
	ssize_t n = recv(c->fd, c->line + c->len, sizeof(c->line) - c->len, MSG_DONTWAIT);
	if (n > 0)
		c->len += (size_t)n;
	else if (n == 0 || errno != EAGAIN)
		c->ended = true;
}

/* False: not now, for the program has no more descriptors or memory. */
static bool accept_client(void)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return errno == EAGAIN || errno == ECONNABORTED;
	struct client *c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return false;
	}
	c->fd = fd;
	clients[client_count++] = c;
	return true;
}

static void drop_client(unsigned index)
{
	struct client *c = clients[index];
	clients[index] = clients[--client_count];
	close(c->fd);
	free(c->answer);
	free(c);
}

static void *control_thread(void *opaque)
{
	struct lacuna_vm *vm = opaque;
	bool accepting = true;
	for (;;) {
		bool room = accepting && client_count < CLIENTS_MAX;
		struct pollfd fds[2 + CLIENTS_MAX] = {
			{ .fd = quit_fd, .events = POLLIN },
			{ .fd = room ? listen_fd : -1, .events = POLLIN },
		};
		unsigned count = client_count;
		for (unsigned i = 0; i < count; i++)
			fds[2 + i] = (struct pollfd){ .fd = clients[i]->fd,
				.events = clients[i]->answer ? POLLOUT : POLLIN };
		poll(fds, 2 + count, accepting ? -1 : ACCEPT_AGAIN_MS);
		if (fds[0].revents)
			break;
		for (unsigned i = count;
			i-- > 0;) { /* backwards: the last takes a gone one's place */
			struct client *c = clients[i];
			if (!fds[2 + i].revents)
				continue;
			if (!c->answer)
				receive(c);
			serve(vm, c);
			if (c->ended && !c->answer)
				drop_client(i);
		}
		accepting = !fds[1].revents || accept_client();
	}
	while (client_count)
		drop_client(client_count - 1);
	return NULL;
}

/* --- life --- */

static int make_socket(const struct sockaddr_un *address, const char *path)
{
	if (closed) /* by a signal: the program is about to end */
		return STATUS_FAILED;
	listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The mode of a socket is that of the node to be: nobody else can ever connect. */
	if (listen_fd < 0 || fchmod(listen_fd, 0600) < 0)
		return fail("control: make a socket: %s", strerror(errno));
	if (bind(listen_fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		return errno == EADDRINUSE
			       ? fail("control: '%s' is there already: remove it if no machine uses it, or give another name",
					 path)
			       : fail("control: create '%s': %s", path, strerror(errno));
	socket_path = strdup(path);
	if (!socket_path || lstat(path, &socket_node) < 0 || listen(listen_fd, SOMAXCONN) < 0) {
		int why = errno;
		unlink(path);
		return fail("control: '%s': %s", path, strerror(why));
	}
	return STATUS_OK;
}

int control_open(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (!*path)
		return fail("control: the file name is empty");
	if (strlen(path) >= sizeof(address.sun_path))
		return fail(
			"control: the path of a socket can have %zu bytes, not %zu: give a shorter one",
			sizeof(address.sun_path) - 1, strlen(path));
	memcpy(address.sun_path, path, strlen(path) + 1);
	pthread_mutex_lock(&lock);
	int status = make_socket(&address, path);
	pthread_mutex_unlock(&lock);
	return status;
}

int control_start(struct lacuna_vm *vm)
{
	if (listen_fd < 0)
		return STATUS_OK;
	quit_fd = eventfd(0, EFD_CLOEXEC);
	if (quit_fd < 0)
		return fail("control: %s", strerror(errno));
	int rc = pthread_create(&thread, NULL, control_thread, vm);
	if (rc)
		return fail("control: start a thread: %s", strerror(rc));
	serving = true;
	return STATUS_OK;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void control_close(void)
{
	struct stat now;
	if (serving) {
		eventfd_write(quit_fd, 1);
		pthread_join(thread, NULL);
		serving = false;
	}
	pthread_mutex_lock(&lock);
	if (socket_path && lstat(socket_path, &now) == 0 && now.st_dev == socket_node.st_dev &&
		now.st_ino == socket_node.st_ino)
		unlink(socket_path);
	free(socket_path);
	socket_path = NULL;
	close_fd(&listen_fd);
	close_fd(&quit_fd);
	closed = true;
	pthread_mutex_unlock(&lock);
}
