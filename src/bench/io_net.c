// SPDX-License-Identifier: Apache-2.0
/* Taps and a server for the guests of `lacuna bench io`. */
#include "bench/io_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVER_NS (60 * SECOND_NS)

/* Through any socket; ifreq as netdevice(7) has it. */
static int set_address(int fd, const char *name, unsigned long request, uint32_t address)
{
	struct ifreq r = { 0 };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	memcpy(&r.ifr_addr, &in, sizeof(in));
	return ioctl(fd, request, &r);
}

static int set_up(int fd, const char *name)
{
	struct ifreq r = { .ifr_flags = IFF_UP };
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	return ioctl(fd, SIOCSIFFLAGS, &r);
}

/* A tap that goes with its descriptor. */
static int make_tap(const char *name)
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (fd >= 0 && ioctl(fd, TUNSETIFF, &r) < 0) {
		int code = errno;
		close(fd);
		errno = code;
		return -1;
	}
	return fd;
}

static int make_interfaces(struct io_net *n, int fd, struct why *why)
{
	if (set_up(fd, "lo") < 0)
		return why_set(why, "network: set lo up: %s", strerror(errno));
	for (unsigned i = 0; i < IO_MONITORS; i++) {
		char name[IFNAMSIZ];
		uint32_t address = 10u << 24 | 99u << 16 | i << 8 | 1;
		snprintf(name, sizeof(name), "io%u", i);
		snprintf(n->net[i], sizeof(n->net[i]), "10.99.%u", i);
		n->tap[i] = make_tap(name);
		if (n->tap[i] < 0)
			return why_set(why, "network: make a tap: %s", strerror(errno));
		if (set_address(fd, name, SIOCSIFADDR, address) < 0 ||
			set_address(fd, name, SIOCSIFNETMASK, 0xffffff00) < 0 ||
			set_up(fd, name) < 0)
			return why_set(why, "network: set %s up: %s", name, strerror(errno));
	}
	return 0;
}

static void on_said(void *opaque, const char *data, size_t size, uint64_t when)
{
	struct io_net *n = opaque;
	for (size_t i = 0; i < size && !n->ready; i++) {
		size_t len = strlen(n->said);
		if (len == sizeof(n->said) - 1)
			memmove(n->said, n->said + 1, len--);
		n->said[len] = data[i];
		n->said[len + 1] = '\0';
		n->ready = strstr(n->said, "listening") != NULL;
	}
}

static int start_server(struct io_net *n, struct why *why)
{
	static const char *const argv[] = { "iperf3", "-s", "--forceflush", NULL };
	const struct child_spec spec = { .argv = argv, .on_output = on_said, .opaque = n };
	if (child_start(&n->server, &spec, why) < 0)
		return -1;
	n->serving = true;
	uint64_t until = now_ns() + SERVER_NS;
	int rc = 0;
	while (!n->ready && rc == 0)
		rc = child_serve_some(&n->server, until);
	if (n->ready)
		return 0;
	return why_set(why, "iperf3 does not listen: %s", child_said(&n->server));
}

int io_net_open(struct io_net *n, struct why *why)
{
	char path[PATH_MAX];
	*n = (struct io_net){ .tap = { -1, -1 } };
	if (!child_find("iperf3", path))
		return why_set(why, "iperf3 is not installed");
	if (unshare(CLONE_NEWNET) < 0)
		return why_set(why, "network: a network namespace: %s%s", strerror(errno),
			errno == EPERM ? ": run as root" : "");
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return why_set(why, "network: socket: %s", strerror(errno));
	int rc = make_interfaces(n, fd, why);
	close(fd);
	return rc < 0 ? rc : start_server(n, why);
}

void io_net_serve(struct io_net *n)
{
	if (n->serving)
		child_serve(&n->server, 1); /* long past: what is there */
}

void io_net_close(struct io_net *n)
{
	if (n->serving)
		child_end(&n->server);
	n->serving = false;
	for (unsigned i = 0; i < IO_MONITORS; i++)
		if (n->tap[i] >= 0)
			close(n->tap[i]);
}
