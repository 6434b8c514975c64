/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes on in the socket device while it is active (virtio 1.2, 5.10.6): all connections, and
 * who gets the next receive buffer. One worker makes all the calls but for the first and the last.
 *
 * What a guest can make us hold is bounded: connections by their number (a REQUEST too many is
 * refused), each with one ring (vsock_conn.h); packets owed to the guest are flags of a connection,
 * and the RSTs that belong to none are a queue of fixed length: when it is full, packets of the
 * guest wait until it takes some (5.10.6.2.2). Programs of the host that have not greeted are few,
 * and the oldest is turned away for a new one.
 *
 * Receive buffers go to the connections in turn, one packet each. A connection without something to
 * deliver is not in the turn; one with something to deliver and without a buffer is, and is not
 * waited for by epoll: the driver's next kick goes on with it.
 */
#ifndef VIRTIO_VSOCK_MUX_H
#define VIRTIO_VSOCK_MUX_H

#include "backend/vsock_host.h"
#include "loop/loop.h"
#include "virtio/device.h"
#include "virtio/vsock_table.h"

#define VSOCK_RESETS_MAX 128u

struct vsock_mux {
	struct virtio_device *dev;
	const struct vsock_host *host;
	uint64_t cid;
	unsigned connections_max;

	/* any thread reads */
	_Atomic unsigned connections;
	_Atomic uint64_t to_guest, from_guest; /* bytes of payload */

	struct loop *loop;
	struct loop_source *listener, *accept_timer, *connect_timer;
	struct vsock_table table;
	struct vsock_conn_list all, greetings, connecting, ready, dead;
	unsigned greeting_count;
	struct vsock_packet reset[VSOCK_RESETS_MAX]; /* a ring: owed to the guest */
	unsigned reset_first, reset_count;
	bool tx_waits; /* for room there */
	bool have_rx;
	struct virtq_chain rx, tx;
};

/* @m is all zeroes. @loop is the worker's; nothing runs on it before vsock_mux_begin(). */
int vsock_mux_init(struct vsock_mux *m, struct virtio_device *dev, struct loop *loop,
	const struct vsock_host *host, uint64_t cid, struct lacuna_error **err);
/* Also on one that is all zeroes. The loop has stopped. */
void vsock_mux_done(struct vsock_mux *m);

/* The driver is ready: programs of the host are let in. */
void vsock_mux_begin(struct vsock_mux *m);
void vsock_mux_kicked(struct vsock_mux *m, unsigned queue);
/* Closes every connection; programs that connect wait in the socket's backlog. */
void vsock_mux_end(struct vsock_mux *m);

#endif
