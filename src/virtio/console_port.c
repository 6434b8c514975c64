// SPDX-License-Identifier: Apache-2.0
/* The data queues of a port (virtio 1.2, 5.3.6): bytes between chains and a chardev. */
#include "virtio/console_port.h"

/* Others wait for the loop: so much is done at a time. */
#define TURN_BYTES  65536u
#define TURN_CHAINS 64u

/* Writes on from where it stopped; true when the whole chain has been written. */
static bool write_chain(struct console_port *p, uint32_t *budget)
{
	uint8_t data[4096];
	while (p->tx_done < p->tx.out_size && *budget) {
		uint32_t len = (uint32_t)min_u64(p->tx.out_size - p->tx_done, sizeof(data));
		if (!virtq_chain_read(&p->tx, p->tx_done, data, len))
			return true;
		uint32_t n = (uint32_t)chardev_write(p->chardev, data, len);
		p->tx_done += n;
		p->in_bytes += n;
		*budget -= (uint32_t)min_u64(n, *budget);
		if (n < len)
			return false;
	}
	return p->tx_done == p->tx.out_size;
}

void console_port_output(struct console_port *p)
{
	struct virtio_device *v = &p->console->virtio;
	unsigned queue = CONSOLE_TX(p->id), turn = 0;
	uint32_t budget = TURN_BYTES;
	if (!virtio_device_may_run(v)) /* also not what is held; a kick follows when it may */
		return;
	do {
		virtio_queue_kicks_off(v, queue);
		while (p->tx_held || virtio_queue_pop(v, queue, &p->tx)) {
			if (!p->tx_held)
				p->tx_done = 0;
			p->tx_held = !write_chain(p, &budget);
			if (!p->tx_held)
				virtio_queue_put(v, queue, &p->tx, 0);
			turn++;
			if (p->tx_held || !budget || turn == TURN_CHAINS)
				goto out; /* the chardev will say when there is room */
		}
	} while (virtio_queue_kicks_on(v, queue));
out:
	virtio_queue_signal(v, queue);
	if (!budget || turn == TURN_CHAINS)
		virtio_device_kick(v, queue);
}

void console_port_input(struct console_port *p)
{
	struct virtio_device *v = &p->console->virtio;
	struct virtq_chain *chain = &p->console->chain;
	unsigned queue = CONSOLE_RX(p->id);
	uint8_t data[4096];
	/* 5.3.6.1: no data for a port that is not open; a driver without F_MULTIPORT can't say. */
	if (console_multiport(p->console) && !p->guest_open)
		return;
	do {
		virtio_queue_kicks_off(v, queue);
		while (chardev_pending(p->chardev) && virtio_queue_pop(v, queue, chain)) {
			if (!chain->in_size) {
				virtio_device_fail(v, "a receive buffer that can't be written to");
				return;
			}
			size_t n = chardev_read(
				p->chardev, data, min_u64(chain->in_size, sizeof(data)));
			p->out_bytes += n;
			virtq_chain_write(chain, 0, data, (uint32_t)n);
			virtio_queue_put(v, queue, chain, (uint32_t)n);
		}
	} while (chardev_pending(p->chardev) && virtio_queue_kicks_on(v, queue));
	virtio_queue_signal(v, queue);
	console_control_host(p);
}
