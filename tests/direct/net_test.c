// SPDX-License-Identifier: Apache-2.0
/* The network device driven by the net guest, with an echo at the other end of a Unix socket, where
 * passt would be. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"

static struct sockaddr_un addr = { .sun_family = AF_UNIX };
static char folder[] = "/tmp/lacuna-net-XXXXXX";
static char option[160];
static int listener;
static pthread_t thread;

static void send_back(int fd)
{
	static char buf[1 << 16];
	ssize_t n;
	while (fd >= 0 && (n = recv(fd, buf, sizeof(buf), 0)) > 0)
		if (send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
			break;
	close(fd);
}

static void *echo(void *opaque)
{
	send_back(accept(listener, NULL, NULL));
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

/* --- descriptors of ours --- */

TestSuite(net_fd, .init = need_kvm, .timeout = TEST_TIMEOUT);

static void *echo_stream(void *opaque)
{
	send_back(*(int *)opaque);
	return NULL;
}

Test(net_fd, stream)
{
	int pair[2];
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	cr_assert_eq(pthread_create(&thread, NULL, echo_stream, &pair[1]), 0);
	snprintf(option, sizeof(option), "passt,fd=%d", pair[0]);
	guest_check(&(struct guest){
		.image = "net", .cmdline = "test=echo", .net = option, .output = "all came back" });
	cr_expect_not(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
	close(pair[0]); /* the last one: the other end sees that */
	pthread_join(thread, NULL);
}

/* In a network of our own, where nobody else sends anything. False: not allowed here. */
static bool make_tap(int *ret_tap, int *ret_packets)
{
	struct ifreq r = { .ifr_name = "lacuna0", .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	if (unshare(CLONE_NEWNET) < 0)
		return false;
	int ipv6 = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
	if (ipv6 >= 0)
		cr_assert_eq(write(ipv6, "1", 1), 1);
	close(ipv6);
	*ret_tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (*ret_tap < 0 || ioctl(*ret_tap, TUNSETIFF, &r) < 0)
		return false;
	*ret_packets = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	cr_assert_geq(*ret_packets, 0);
	r.ifr_mtu = 9000;
	cr_assert_eq(ioctl(*ret_packets, SIOCSIFMTU, &r), 0);
	r.ifr_flags = IFF_UP | IFF_NOARP;
	cr_assert_eq(ioctl(*ret_packets, SIOCSIFFLAGS, &r), 0);
	at.sll_ifindex = (int)if_nametoindex(r.ifr_name);
	cr_assert_eq(bind(*ret_packets, (struct sockaddr *)&at, sizeof(at)), 0);
	return true;
}

static void *echo_packets(void *opaque)
{
	static char frame[1 << 16];
	struct sockaddr_ll from = { 0 };
	int fd = *(int *)opaque;
	for (;;) {
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &size);
		if (n > 0 && from.sll_pkttype != PACKET_OUTGOING)
			cr_assert_eq(send(fd, frame, (size_t)n, 0), n);
	}
	return NULL;
}

/* Its flags are the caller's affair: nothing waits, and nothing is changed. */
Test(net_fd, blocking_tap)
{
	int tap, packets;
	if (!make_tap(&tap, &packets))
		cr_skip_test("taps are not allowed here");
	cr_assert_eq(pthread_create(&thread, NULL, echo_packets, &packets), 0);
	snprintf(option, sizeof(option), "fd=%d", tap);
	guest_check(&(struct guest){
		.image = "net", .cmdline = "test=echo", .net = option, .output = "all came back" });
	cr_expect_not(fcntl(tap, F_GETFL) & O_NONBLOCK);
	close(tap);
}
