// SPDX-License-Identifier: Apache-2.0
/* The network device (virtio 1.2, 5.1): configuration, link, life, and its threads' sources. */
#include "virtio/net.h"

#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "util/err.h"
#include "util/thread.h"
#include "virtio/net_options.h"
#include "virtio/pci.h"

#define QUEUE_SIZE 256u

/* Linux 6.2 */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* --- the link --- */

/* The caller holds the link's lock. */
static void tell_link(struct net *net)
{
	bool up = net->link_wanted && !net->lost;
	if (up == net->link_up)
		return;
	net->link_up = up;
	le16 status = htole16(up ? NET_S_LINK_UP : 0);
	virtio_device_config_change(
		&net->virtio, offsetof(struct net_config, status), &status, sizeof(status));
}

void net_lost(struct net *net, const char *why)
{
	LOCK_SCOPE(&net->link_lock);
	if (net->lost)
		return;
	net->lost = true;
	tell_link(net);
	if (!why)
		why = net->tap     ? "its tap is gone"
		      : net->passt ? "passt has ended"
				   : "the other end of its socket is gone";
	log_warning(net->log, net->virtio.name, "%s: the guest's link is down", why);
	/* What waits for the host to have room would wait for ever: it is dropped now. */
	for (unsigned i = 0; i < net->pairs; i++)
		virtio_device_kick(&net->virtio, net_tx_queue(&net->pair[i]));
}

static void passt_ended(void *opaque, uint32_t events)
{
	struct net *net = opaque;
	net_lost(net, NULL);
	loop_set_events(net->passt_source, 0); /* it stays readable; it is reaped with the device */
}

/* --- the threads --- */

void net_wait(struct net_pair *p, uint32_t add, uint32_t remove)
{
	uint32_t events = p->net->lost ? 0 : (p->events | add) & ~remove;
	if (events == p->events || !p->source)
		return;
	p->events = events;
	loop_set_events(p->source, events);
}

static void host_ready(void *opaque, uint32_t events)
{
	struct net_pair *p = opaque;
	bool broken = events & (EPOLLERR | EPOLLHUP);
	if (broken && !(p->events & EPOLLIN)) /* else reading tells, after what is left to read */
		net_lost(p->net, NULL);
	if (broken || (events & EPOLLIN))
		net_receive(p);
	if (events & EPOLLOUT)
		net_transmit(p);
}

int net_set_offloads(struct net *net, uint64_t offloads)
{
	static const struct {
		uint64_t feature;
		unsigned flag;
	} map[] = {
		{ NET_F_GUEST_CSUM, TUN_F_CSUM },
		{ NET_F_GUEST_TSO4, TUN_F_TSO4 },
		{ NET_F_GUEST_TSO6, TUN_F_TSO6 },
		{ NET_F_GUEST_ECN, TUN_F_TSO_ECN },
		{ NET_F_GUEST_USO4 | NET_F_GUEST_USO6, TUN_F_USO4 | TUN_F_USO6 },
	};
	unsigned flags = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(map); i++)
		if ((offloads & map[i].feature) == map[i].feature)
			flags |= map[i].flag;
	/* 5.1.3.1: each needs the checksum's, and ECN one of the two for TCP. */
	if (!(flags & TUN_F_CSUM))
		flags = 0;
	if (!(flags & (TUN_F_TSO4 | TUN_F_TSO6)))
		flags &= ~(unsigned)TUN_F_TSO_ECN;
	net->offloads = offloads;
	return net->tap ? tap_set_offloads(net->tap, flags) : 0;
}

static void begin(struct virtio_worker *w)
{
	struct virtio_device *v = w->set->dev;
	struct net *net = container_of(v, struct net, virtio);
	struct net_pair *p = &net->pair[w->index];
	if (w->index == 0 && net_set_offloads(net, v->accepted & NET_GUEST_OFFLOADS) < 0)
		log_debug(net->log, v->name, "the tap refuses the offloads");
	p->events = 0;
	if (loop_add_fd(w->loop, p->fd, 0, host_ready, p, &p->source, NULL) < 0)
		net_lost(net, "its descriptor can't be waited for");
}

static void kicked(struct virtio_worker *w, unsigned queue)
{
	struct net *net = container_of(w->set->dev, struct net, virtio);
	/* 5.1.2: where it is depends on what was negotiated. */
	unsigned control = virtio_device_has(&net->virtio, NET_F_MQ) ? 2 * net->pairs : 2;
	if (queue == control)
		net_control(net, queue);
	else if (queue > control)
		return;
	else if (queue % 2)
		net_transmit(&net->pair[queue / 2]);
	else
		net_receive(&net->pair[queue / 2]);
}

static bool end(struct virtio_worker *w)
{
	struct net *net = container_of(w->set->dev, struct net, virtio);
	struct net_pair *p = &net->pair[w->index];
	loop_remove(p->source);
	p->source = NULL;
	p->chain_waits = false;
	net_receive_end(p);
	/* The thread that enables pairs disables them, and so after the driver's last word. */
	if (w->index == 0 && net_use_pairs(net, 1) < 0)
		log_debug(net->log, net->virtio.name, "the tap keeps its queues");
	return true;
}

static const struct virtio_worker_ops worker_ops = {
	.begin = begin,
	.kicked = kicked,
	.end = end,
};

static unsigned worker_of(const struct virtio_device *v, unsigned queue)
{
	return queue == v->queue_count - 1 ? 0 : queue / 2;
}

static void net_activate(struct virtio_device *v)
{
	virtio_workers_activate(&container_of(v, struct net, virtio)->workers);
}

static bool net_deactivate(struct virtio_device *v)
{
	virtio_workers_deactivate(&container_of(v, struct net, virtio)->workers);
	return false;
}

static const struct virtio_model net_model = {
	.name = "virtio-net",
	.id = 1,
	.activate = net_activate,
	.deactivate = net_deactivate,
};

/* --- properties --- */

static int net_set(struct device *dev, const struct keyval *args, struct lacuna_error **err)
{
	struct net *net = container_of(dev, struct net, dev);
	const char *link = keyval_get(args, "link");
	bool up = link && !strcmp(link, "up");
	if (!link || (!up && strcmp(link, "down")))
		return err_set(
			err, EINVAL, "link: '%s' is unknown; give up or down", link ? link : "");
	LOCK_SCOPE(&net->link_lock);
	if (up && net->lost)
		return err_set(err, ENOTCONN, "link: the host's side is gone for good");
	net->link_wanted = up;
	tell_link(net);
	return 0;
}

static void net_get(struct device *dev,
	void (*emit)(void *opaque, const char *key, const char *value), void *opaque)
{
	struct net *net = container_of(dev, struct net, dev);
	uint64_t sum[6] = { 0 };
	static const char *const keys[] = { "rx-packets", "rx-bytes", "rx-dropped", "tx-packets",
		"tx-bytes", "tx-dropped" };
	static_assert(ARRAY_SIZE(keys) == ARRAY_SIZE(sum), "one name each");
	char text[24];
	uint8_t mac[6];
	{
		LOCK_SCOPE(&net->virtio.lock);
		memcpy(mac, net->config.mac, sizeof(mac));
	}
	emit(opaque, "link", net->link_up ? "up" : "down");
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		mac[3], mac[4], mac[5]);
	emit(opaque, "mac", text);
	for (unsigned i = 0; i < net->pairs; i++) {
		const struct net_count *both[] = { &net->pair[i].rx, &net->pair[i].tx };
		for (unsigned d = 0; d < 2; d++) {
			uint64_t *s = d ? sum + 3 : sum;
			s[0] += both[d]->packets;
			s[1] += both[d]->bytes;
			s[2] += both[d]->dropped;
		}
	}
	for (unsigned i = 0; i < ARRAY_SIZE(sum); i++)
		device_emit_u64(emit, opaque, keys[i], sum[i]);
}

/* --- life --- */

static int net_start(struct device *dev, struct lacuna_error **err)
{
	struct net *net = container_of(dev, struct net, dev);
	int rc = 0;
	if (net->passt) {
		rc = passt_wait(net->passt, netstream_fd(net->stream), err);
		if (rc == 0)
			rc = loop_add_fd(net->loop, passt_pidfd(net->passt), EPOLLIN, passt_ended,
				net, &net->passt_source, err);
	}
	if (net->tap && !net->tap->up)
		log_warning(net->log, net->virtio.name,
			"tap '%s' is down and carries nothing until 'ip link set %s up'",
			net->tap->name, net->tap->name);
	return rc < 0 ? rc : virtio_workers_start(&net->workers, err);
}

static void net_stop(struct device *dev)
{
	struct net *net = container_of(dev, struct net, dev);
	virtio_workers_stop(&net->workers);
	loop_remove(net->passt_source);
	net->passt_source = NULL;
}

static void net_destroy(struct device *dev)
{
	struct net *net = container_of(dev, struct net, dev);
	for (unsigned i = 0; i < net->pairs; i++)
		loop_remove(net->pair[i].source);
	virtio_pci_free(net->pci);
	virtio_workers_done(&net->workers);
	virtio_device_done(&net->virtio);
	for (unsigned i = 0; i < net->pairs; i++) {
		free(net->pair[i].spill);
		pthread_mutex_destroy(&net->pair[i].lock);
	}
	free(net->pair);
	netstream_free(net->stream);
	passt_free(net->passt);
	tap_close(net->tap);
	pthread_mutex_destroy(&net->link_lock);
	free(net);
}

static uint64_t features_of(const struct net *net)
{
	uint64_t f =
		NET_F_MAC | NET_F_STATUS | NET_F_MRG_RXBUF | NET_F_CTRL_VQ | NET_F_CTRL_MAC_ADDR;
	if (net->config.mtu)
		f |= NET_F_MTU;
	if (net->pairs > 1)
		f |= NET_F_MQ;
	if (net->tap)
		f |= NET_F_CSUM | NET_F_HOST_TSO4 | NET_F_HOST_TSO6 | NET_F_HOST_ECN |
		     NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_GUEST_ECN |
		     NET_F_CTRL_GUEST_OFFLOADS;
	if (net->tap && net->tap->uso)
		f |= NET_F_HOST_USO | NET_F_GUEST_USO4 | NET_F_GUEST_USO6;
	return f;
}

static int make_pairs(struct net *net, unsigned pairs, struct lacuna_error **err)
{
	net->pair = calloc(pairs, sizeof(*net->pair));
	if (!net->pair)
		return err_nomem(err);
	for (unsigned i = 0; i < pairs; i++) {
		struct net_pair *p = &net->pair[net->pairs++];
		p->net = net;
		p->index = i;
		p->fd = net->tap ? net->tap->fd[i] : netstream_fd(net->stream);
		p->enabled = i == 0;
		pthread_mutex_init(&p->lock, NULL);
		p->spill = malloc(NET_FRAME_MAX);
		if (!p->spill)
			return err_nomem(err);
	}
	return 0;
}

int net_new(const struct device_env *env, const struct net_options *o, struct net **ret,
	struct lacuna_error **err)
{
	struct net *net = calloc(1, sizeof(*net));
	if (!net) {
		struct net_options left = *o;
		net_options_done(&left);
		return err_nomem(err);
	}
	net->dev.class = &virtio_net_class;
	net->log = env->log;
	net->loop = env->loop;
	net->tap = o->tap;
	net->stream = o->stream;
	net->passt = o->passt;
	net->link_wanted = true;
	net->link_up = true;
	pthread_mutex_init(&net->link_lock, NULL);
	unsigned pairs = net->tap ? net->tap->queues : 1;
	memcpy(net->config.mac, o->mac, sizeof(net->config.mac));
	net->config.status = htole16(NET_S_LINK_UP);
	net->config.max_virtqueue_pairs = htole16((uint16_t)pairs);
	net->config.mtu = htole16(o->mtu);

	int rc = make_pairs(net, pairs, err);
	if (rc == 0)
		rc = virtio_device_init(&net->virtio, &net_model, env->mem, env->log,
			features_of(net), 2 * pairs + 1, QUEUE_SIZE, err);
	if (rc == 0) {
		net->virtio.name = net->dev.name;
		net->virtio.config = &net->config;
		net->virtio.config_size = sizeof(net->config);
		rc = virtio_workers_init(
			&net->workers, &net->virtio, pairs, worker_of, &worker_ops, err);
	}
	if (rc == 0)
		rc = virtio_pci_new(&net->virtio, env, &net->pci, err);
	if (rc < 0) {
		net_destroy(&net->dev);
		return rc;
	}
	*ret = net;
	return 0;
}

static int net_create(const struct device_env *env, const struct keyval *args, struct device **ret,
	struct lacuna_error **err)
{
	struct net_options options;
	struct net *net = NULL;
	int rc = net_options_read(args, &options, err);
	if (rc == 0)
		rc = net_new(env, &options, &net, err);
	if (rc == 0)
		*ret = &net->dev;
	return rc;
}

static const char *const net_settable[] = { "link", NULL };

const struct device_class virtio_net_class = {
	.name = "virtio-net",
	.option = "net",
	.implied_key = "kind",
	.keys = net_option_keys,
	.create = net_create,
	.start = net_start,
	.stop = net_stop,
	.destroy = net_destroy,
	.settable = net_settable,
	.set = net_set,
	.get = net_get,
};
