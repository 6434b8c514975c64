// SPDX-License-Identifier: Apache-2.0
/* The network device driven by the net guest, with an echo at the other end of a Unix socket, where
 * passt would be. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"

static struct sockaddr_un addr = { .sun_family = AF_UNIX };
static char folder[] = "/tmp/lacuna-net-XXXXXX";
static char option[160];
static int listener;
static pthread_t thread;

static void *echo(void *opaque)
{
	static char buf[1 << 16];
	ssize_t n;
	int fd = accept(listener, NULL, NULL);
	while (fd >= 0 && (n = recv(fd, buf, sizeof(buf), 0)) > 0)
		if (send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
			break;
	close(fd);
	return NULL;
}

static void start_echo(void)
{
	need_kvm();
	cr_assert_not_null(mkdtemp(folder));
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", folder);
	snprintf(option, sizeof(option), "passt,socket=%s,mac=52:54:00:01:02:03", addr.sun_path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(listen(listener, 1), 0);
	cr_assert_eq(pthread_create(&thread, NULL, echo, NULL), 0);
}

static void stop_echo(void)
{
	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(listener);
	unlink(addr.sun_path);
	rmdir(folder);
}

TestSuite(net, .init = start_echo, .fini = stop_echo, .timeout = TEST_TIMEOUT);

Test(net, echo)
{
	guest_check(&(struct guest){
		.image = "net", .cmdline = "test=echo", .net = option, .output = "all came back" });
}

Test(net, bad_frames)
{
	guest_check(&(struct guest){ .image = "net", .cmdline = "test=bad-frame", .net = option });
}

/* What is sent back for one driver is not written into the memory that the next one has lent. */
Test(net, reset_during_traffic)
{
	guest_check(&(struct guest){ .image = "net", .cmdline = "test=mid-reset", .net = option });
}

struct seen {
	char link[8];
	uint64_t dropped;
};

static void look(void *opaque, const char *device, const char *key, const char *value)
{
	struct seen *s = opaque;
	if (!strcmp(key, "link"))
		snprintf(s->link, sizeof(s->link), "%s", value);
}

Test(net, link)
{
	struct seen seen;
	enum lacuna_end_reason reason;
	int code, console[2], nothing = open("/dev/null", O_RDONLY);
	char text[256] = "";
	cr_assert(nothing >= 0 && pipe(console) == 0);
	struct lacuna_vm *vm =
		guest_new(&(struct guest){ .image = "net", .cmdline = "test=link", .net = option },
			nothing, console[1]);
	cr_assert_eq(lacuna_vm_start(vm, NULL), 0);
	for (size_t n = 0; !strstr(text, "link: 1"); n++) /* the guest has seen it */
		cr_assert(n < sizeof(text) - 1 && read(console[0], text + n, 1) == 1);
	cr_assert_eq(lacuna_vm_device_get(vm, "net0", look, &seen, NULL), 0);
	cr_expect_str_eq(seen.link, "up");
	cr_expect_eq(lacuna_vm_device_set(vm, "net0", "link=left", NULL), -EINVAL);
	cr_assert_eq(lacuna_vm_device_set(vm, "net0", "link=down", NULL), 0);
	cr_assert_eq(lacuna_vm_device_get(vm, "net0", look, &seen, NULL), 0);
	cr_expect_str_eq(seen.link, "down");
	cr_assert_eq(lacuna_vm_wait(vm, &reason, &code, NULL), 0);
	cr_expect_eq(reason, LACUNA_END_EXIT_CODE);
	cr_expect_eq(code, 0);
	lacuna_vm_free(vm);
	close(console[0]);
	close(console[1]);
	close(nothing);
}
