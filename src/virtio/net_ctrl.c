// SPDX-License-Identifier: Apache-2.0
/* The control queue (virtio 1.2, 5.1.6.5): address, offloads, number of queue pairs. */
#include <errno.h>

#include "util/thread.h"
#include "virtio/net.h"

/* --- commands: 0, or a negative value for one that is refused --- */

static int set_mac(struct net *net, const struct virtq_chain *c)
{
	uint8_t mac[6];
	struct virtio_device *v = &net->virtio;
	if (!virtio_device_has(v, NET_F_CTRL_MAC_ADDR) ||
		!virtq_chain_read(c, NET_CTRL_HDR_SIZE, mac, sizeof(mac)) || (mac[0] & 1))
		return -EINVAL;
	/* Nothing is filtered by it: the driver will read it, and so will the user. */
	LOCK_SCOPE(&v->lock);
	memcpy(net->config.mac, mac, sizeof(mac));
	v->generation++;
	return 0;
}

static int set_pairs(struct net *net, const struct virtq_chain *c)
{
	le16 pairs;
	if (!virtio_device_has(&net->virtio, NET_F_MQ) ||
		!virtq_chain_read(c, NET_CTRL_HDR_SIZE, &pairs, sizeof(pairs)))
		return -EINVAL;
	unsigned n = le16toh(pairs);
	return n >= 1 && n <= net->pairs ? net_use_pairs(net, n) : -EINVAL;
}

static int set_offloads(struct net *net, const struct virtq_chain *c)
{
	le64 offloads;
	if (!virtio_device_has(&net->virtio, NET_F_CTRL_GUEST_OFFLOADS) ||
		!virtq_chain_read(c, NET_CTRL_HDR_SIZE, &offloads, sizeof(offloads)))
		return -EINVAL;
	uint64_t wanted = le64toh(offloads);
	if (wanted & ~(net->virtio.accepted & NET_GUEST_OFFLOADS)) /* 5.1.6.5.6.2 */
		return -EINVAL;
	return net_set_offloads(net, wanted);
}

static const struct command {
	uint8_t class, command;
	int (*run)(struct net *net, const struct virtq_chain *c);
} commands[] = {
	{ NET_CTRL_MAC, NET_CTRL_MAC_ADDR, set_mac },
	{ NET_CTRL_MQ, NET_CTRL_MQ_PAIRS, set_pairs },
	{ NET_CTRL_OFFLOADS, NET_CTRL_OFFLOADS_APPLY, set_offloads },
};

static int run(struct net *net, const struct virtq_chain *c)
{
	uint8_t header[NET_CTRL_HDR_SIZE];
	if (!virtq_chain_read(c, 0, header, sizeof(header)))
		return -EFAULT;
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].class == header[0] && commands[i].command == header[1])
			return commands[i].run(net, c);
	return -EINVAL;
}

void net_control(struct net *net, unsigned queue)
{
	struct virtio_device *v = &net->virtio;
	struct virtq_chain c;
	if (!virtio_device_has(v, NET_F_CTRL_VQ))
		return;
	do {
		while (virtio_queue_pop(v, queue, &c)) {
			if (c.out_size < NET_CTRL_HDR_SIZE || !c.in_size) {
				virtio_device_fail(v, "a control command without head or answer");
				return;
			}
			uint8_t answer = run(net, &c) < 0 ? NET_CTRL_ERR : NET_CTRL_OK;
			virtq_chain_write(&c, 0, &answer, 1);
			virtio_queue_push(v, queue, &c, 1);
		}
	} while (virtio_queue_kicks_on(v, queue));
}

int net_use_pairs(struct net *net, unsigned pairs)
{
	for (unsigned i = 1; i < net->pairs; i++) {
		struct net_pair *p = &net->pair[i];
		/* After this, its thread places no more frames (5.1.6.5.5.2). */
		LOCK_SCOPE(&p->lock);
		if (p->enabled == (i < pairs))
			continue;
		int rc = tap_enable_queue(net->tap, i, i < pairs);
		if (rc < 0)
			return rc;
		p->enabled = i < pairs;
	}
	return 0;
}
