// SPDX-License-Identifier: Apache-2.0
/* Opening taps, and saying what is wrong with those that can't be used. */
#include "backend/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "backend/handed.h"
#include "util/err.h"
#include "util/fd.h"

#define CLONE_DEVICE "/dev/net/tun"
#define HEADER_SIZE  12

/* Linux 6.2 */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static int open_device(int *ret, struct lacuna_error **err)
{
	*ret = open(CLONE_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (*ret >= 0)
		return 0;
	if (errno == EACCES || errno == EPERM)
		return err_errno(err,
			"%s may not be opened; have it made accessible, or use passt, which needs no rights",
			CLONE_DEVICE);
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return err_set(err, errno,
			"%s is not there: load the module tun, or use passt, which needs no tap",
			CLONE_DEVICE);
	return err_errno(err, "open %s", CLONE_DEVICE);
}

/* One more queue of @name, on a descriptor of its own: 0 or -errno. */
static int attach(int fd, const char *name, bool multi_queue)
{
	struct ifreq r = { 0 };
	memcpy(r.ifr_name, name, strlen(name));
	r.ifr_flags =
		(short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (multi_queue ? IFF_MULTI_QUEUE : 0));
	return ioctl(fd, TUNSETIFF, &r) < 0 ? -errno : 0;
}

static int explain(int rc, const struct tap *t, struct lacuna_error **err)
{
	switch (-rc) {
	case EBUSY:
		return err_set(err, EBUSY,
			"tap '%s' is in use: end the program that has it, or make another by 'ip tuntap add NAME mode tap'",
			t->name);
	case EPERM:
		return err_set(err, EPERM,
			"tap '%s' belongs to somebody else: make it by 'ip tuntap add %s mode tap user NAME'",
			t->name, t->name);
	case EINVAL:
		return err_set(err, EINVAL,
			"interface '%s' is not a tap: make one by 'ip tuntap add NAME mode tap'",
			t->name);
	case E2BIG:
		return err_set(err, E2BIG,
			"tap '%s' has no %u queues left: give a smaller queues=", t->name,
			t->queues);
	default:
		errno = -rc;
		return err_errno(err, "tap '%s'", t->name);
	}
}

/*
 * The first queue. A tap made for several queues wants to be told so even for one, and one made for
 * one never takes several; for both, and for what is no tap, the kernel says EINVAL.
 */
static int attach_first(struct tap *t, bool *ret_multi_queue, struct lacuna_error **err)
{
	bool many = t->queues > 1;
	int rc = attach(t->fd[0], t->name, many);
	if (rc == -EINVAL && attach(t->fd[0], t->name, !many) == 0) {
		if (many)
			return err_set(err, EINVAL,
				"tap '%s' was made for one queue: leave queues= out, or make it by 'ip tuntap add %s mode tap multi_queue'",
				t->name, t->name);
		many = true;
		rc = 0;
	}
	*ret_multi_queue = many;
	return rc < 0 ? explain(rc, t, err) : 0;
}

/* The header has the same form for all queues. */
static int set_up(struct tap *t, struct lacuna_error **err)
{
	int size = HEADER_SIZE, little = 1;
	if (ioctl(t->fd[0], TUNSETVNETHDRSZ, &size) < 0 ||
		ioctl(t->fd[0], TUNSETVNETLE, &little) < 0)
		return err_errno(err, "tap '%s': set the form of its header", t->name);
	t->uso = tap_set_offloads(t, TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6) == 0;
	if (tap_set_offloads(t, 0) < 0)
		return err_errno(err, "tap '%s': set its offloads", t->name);

	AUTO_CLOSE int any = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { 0 };
	memcpy(r.ifr_name, t->name, sizeof(r.ifr_name));
	t->up = ioctl(any, SIOCGIFFLAGS, &r) == 0 && (r.ifr_flags & IFF_UP);
	return 0;
}

static int open_queues(struct tap *t, struct lacuna_error **err)
{
	/* TUNSETIFF would make an interface that is not there. */
	unsigned index = if_nametoindex(t->name);
	if (!index)
		return err_set(err, ENODEV,
			"there is no interface '%s': make it by 'ip tuntap add %s mode tap'",
			t->name, t->name);
	bool multi_queue = false;
	int rc = open_device(&t->fd[0], err);
	if (rc == 0)
		rc = attach_first(t, &multi_queue, err);
	if (rc == 0 && if_nametoindex(t->name) != index)
		rc = err_set(err, ENODEV, "interface '%s' has just gone", t->name);
	for (unsigned i = 1; i < t->queues && rc == 0; i++) {
		rc = open_device(&t->fd[i], err);
		if (rc < 0)
			break;
		rc = attach(t->fd[i], t->name, multi_queue);
		if (rc < 0)
			rc = explain(rc, t, err);
		else
			rc = tap_enable_queue(t, i, false);
	}
	return rc < 0 ? rc : set_up(t, err);
}

static struct tap *tap_new(unsigned queues)
{
	struct tap *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->queues = queues;
	for (unsigned i = 0; i < TAP_QUEUES_MAX; i++)
		t->fd[i] = -1;
	return t;
}

int tap_open(const char *name, unsigned queues, struct tap **ret, struct lacuna_error **err)
{
	if (!*name || strlen(name) >= IFNAMSIZ)
		return err_set(err, EINVAL,
			"'%s' is no name of an interface: give 1 to %d characters", name,
			IFNAMSIZ - 1);
	struct tap *t = tap_new(queues);
	if (!t)
		return err_nomem(err);
	memcpy(t->name, name, strlen(name));
	int rc = open_queues(t, err);
	if (rc < 0) {
		tap_close(t);
		return rc;
	}
	*ret = t;
	return 0;
}

/* Flags of the open file description are not ours to change: where they would have us wait, each
 * call has to say that it does not (Linux 5.11). */
static int check_flags(struct tap *t, int fd, struct lacuna_error **err)
{
	int flags = fcntl(t->fd[0], F_GETFL);
	if ((flags & O_ACCMODE) != O_RDWR)
		return err_set(err, EACCES, "fd %d: open /dev/net/tun for reading and writing", fd);
	if (flags & O_NONBLOCK)
		return 0;
	/* No frame: it is shorter than its header, and so refused by who knows the flag. */
	struct iovec nothing = { .iov_base = &flags, .iov_len = 1 };
	t->io_flags = RWF_NOWAIT;
	if (pwritev2(t->fd[0], &nothing, 1, -1, t->io_flags) < 0 && errno == EOPNOTSUPP)
		return err_set(
			err, EINVAL, "fd %d is blocking: open /dev/net/tun with O_NONBLOCK", fd);
	return 0;
}

static int check_adopted(struct tap *t, int fd, struct lacuna_error **err)
{
	struct ifreq r = { 0 };
	if (ioctl(t->fd[0], TUNGETIFF, &r) < 0)
		return err_set(err, EINVAL,
			"fd %d is not a tap: open /dev/net/tun and attach it (TUNSETIFF) first",
			fd);
	if (!(r.ifr_flags & IFF_TAP))
		return err_set(err, EINVAL,
			"fd %d is a tun, without Ethernet frames: attach it with IFF_TAP", fd);
	if (!(r.ifr_flags & IFF_VNET_HDR) || !(r.ifr_flags & IFF_NO_PI))
		return err_set(err, EINVAL, "fd %d: attach it with IFF_VNET_HDR and IFF_NO_PI", fd);
	memcpy(t->name, r.ifr_name, sizeof(t->name));
	t->name[sizeof(t->name) - 1] = '\0';
	int rc = check_flags(t, fd, err);
	return rc < 0 ? rc : set_up(t, err);
}

int tap_adopt(int fd, struct tap **ret, struct lacuna_error **err)
{
	struct tap *t = tap_new(1);
	if (!t)
		return err_nomem(err);
	char name[16];
	snprintf(name, sizeof(name), "fd %d", fd);
	t->fd[0] = handed_dup(name, fd, err);
	int rc = t->fd[0] < 0 ? t->fd[0] : check_adopted(t, fd, err);
	if (rc < 0) {
		tap_close(t);
		return rc;
	}
	*ret = t;
	return 0;
}

void tap_close(struct tap *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < TAP_QUEUES_MAX; i++)
		fd_close(&t->fd[i]);
	free(t);
}

int tap_set_offloads(const struct tap *t, unsigned flags)
{
	return ioctl(t->fd[0], TUNSETOFFLOAD, (unsigned long)flags) < 0 ? -errno : 0;
}

int tap_enable_queue(const struct tap *t, unsigned queue, bool enable)
{
	struct ifreq r = { .ifr_flags = (short)(enable ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE) };
	return ioctl(t->fd[queue], TUNSETQUEUE, &r) < 0 ? -errno : 0;
}
