// SPDX-License-Identifier: Apache-2.0
/* Reading option "net". */
#include "virtio/net_options.h"

#include <sys/random.h>

#include "backend/handed.h"
#include "util/err.h"

#define MTU_MIN 68u /* 5.1.4.1 */

const char *const net_option_keys[] = { "tap", "fd", "passt", "socket", "mac", "mtu", "queues",
	"kind", NULL };

/* "52:54:00:12:34:56" */
static int parse_mac(const char *text, uint8_t ret[6], struct lacuna_error **err)
{
	const char *p = text;
	uint8_t mac[6] = { 0 };
	for (unsigned i = 0; i < 12; i++) {
		static const char digits[] = "0123456789abcdef";
		const char *d = *p ? strchr(digits, *p | 0x20) : NULL;
		bool end = i % 2;
		if (!d || (end && p[1] != (i < 11 ? ':' : '\0')))
			return err_set(err, EINVAL,
				"mac: '%s' is no address; give six bytes as 52:54:00:12:34:56",
				text);
		mac[i / 2] = (uint8_t)(mac[i / 2] << 4 | (d - digits));
		p += end ? 2 : 1;
	}
	if (mac[0] & 1)
		return err_set(err, EINVAL,
			"mac: '%s' is a group's address; make the first byte even", text);
	static const uint8_t none[6];
	if (!memcmp(mac, none, 6))
		return err_set(err, EINVAL, "mac: '%s' is nobody's address; leave mac= out", text);
	memcpy(ret, mac, 6);
	return 0;
}

static int make_mac(uint8_t ret[6], struct lacuna_error **err)
{
	if (getrandom(ret, 6, 0) != 6)
		return err_errno(err, "getrandom");
	ret[0] = (uint8_t)((ret[0] & ~1u) | 2u); /* one station's, of local administration */
	return 0;
}

/* What the host's side shall be. */
struct wish {
	const char *tap, *fd, *socket;
	bool passt;
};

static int read_wish(const struct keyval *args, struct wish *ret, struct lacuna_error **err)
{
	const char *kind = keyval_get(args, "kind"), *path = keyval_get(args, "passt");
	const char *socket = keyval_get(args, "socket");
	if (kind && strcmp(kind, "passt"))
		return err_set(err, EINVAL, "'%s' is unknown; give tap=NAME, fd=N or passt", kind);
	*ret = (struct wish){
		.tap = keyval_get(args, "tap"),
		.fd = keyval_get(args, "fd"),
		.socket = path ? path : socket,
		.passt = kind || path,
	};
	/* With the word passt, fd=N is the stream to one. */
	unsigned given = (ret->tap != NULL) + (ret->fd && !kind) + ret->passt;
	if (given > 1)
		return err_set(err, EINVAL, "give one of tap=NAME, fd=N and passt, not %u", given);
	if (socket && (!ret->passt || path))
		return err_set(err, EINVAL, "socket=%s goes with passt: passt,socket=PATH", socket);
	if (socket && ret->fd)
		return err_set(err, EINVAL, "give socket=PATH or fd=N, not both");
	if (!given)
		return err_set(err, EINVAL,
			"no network given: tap=NAME, fd=N, or passt, which needs no rights");
	return 0;
}

static int open_stream(
	const struct wish *wish, int handed, struct net_options *o, struct lacuna_error **err)
{
	int fd = -1, rc;
	if (wish->fd)
		rc = fd = handed_socket(handed, false, err);
	else if (wish->socket)
		rc = passt_connect(wish->socket, &fd, err);
	else
		rc = passt_start(o->mac, &o->passt, &fd, err);
	return rc < 0 ? rc : netstream_new(fd, &o->stream, err);
}

static int open_host(
	const struct wish *wish, unsigned queues, struct net_options *o, struct lacuna_error **err)
{
	int fd = -1;
	if (queues > 1 && !wish->tap)
		return err_set(err, EINVAL, "queues=%u needs tap=NAME", queues);
	if (wish->tap)
		return tap_open(wish->tap, queues, &o->tap, err);
	int rc = wish->fd ? parse_fd("fd", wish->fd, &fd, err) : 0;
	if (rc < 0)
		return rc;
	return wish->passt ? open_stream(wish, fd, o, err) : tap_adopt(fd, &o->tap, err);
}

int net_options_read(const struct keyval *args, struct net_options *ret, struct lacuna_error **err)
{
	struct net_options o = { 0 };
	struct wish wish = { 0 };
	uint64_t mtu = 0, queues = 1;
	const char *mac = keyval_get(args, "mac");
	int rc = read_wish(args, &wish, err);
	if (rc == 0)
		rc = mac ? parse_mac(mac, o.mac, err) : make_mac(o.mac, err);
	if (rc == 0 && keyval_get(args, "mtu"))
		rc = keyval_u64(args, "mtu", 0, MTU_MIN, UINT16_MAX, &mtu, err);
	if (rc == 0)
		rc = keyval_u64(args, "queues", 1, 1, NET_PAIRS_MAX, &queues, err);
	o.mtu = (uint16_t)mtu;
	if (rc == 0)
		rc = open_host(&wish, (unsigned)queues, &o, err);
	if (rc < 0)
		net_options_done(&o);
	else
		*ret = o;
	return rc;
}

void net_options_done(struct net_options *o)
{
	tap_close(o->tap);
	netstream_free(o->stream);
	passt_free(o->passt);
	*o = (struct net_options){ 0 };
}
