/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection between a program of the guest and a program of the host (virtio 1.2, 5.10.6): a
 * host descriptor on the one side, packets on the other. It knows neither queues nor event loops:
 * its owner brings it the guest's packets and the descriptor's events, asks it for packets when the
 * guest has a buffer, and looks afterwards what it wants next.
 *
 * States, and what may happen in them:
 *
 *   GREETING   A program of the host has connected and not yet said which port it wants. The guest
 *              knows nothing. Ends with a line (REQUESTED), nonsense or the program's end (DEAD).
 *   CONNECTING The guest has asked for a port of the host whose listener has no place at present.
 * RST ends it; a guest that sends anything else before it has an answer is reset. REQUESTED  The
 * guest is asked. RESPONSE opens, RST refuses, everything else resets. What the host's program
 * sends stays in its socket. OPEN       Bytes flow in each direction until that is shut: by the
 * guest's SHUTDOWN (SEND: what has come before is still written, then the socket is shut; RCV:
 * nothing more is read), or by the host's program (end of input: SHUTDOWN with SEND follows the
 * last byte; no more output: SHUTDOWN with RCV). A guest's connection comes here with a RESPONSE
 * owed. REQUEST, RESPONSE, unknown operations, more data than we gave credit for and data after
 * SHUTDOWN are errors: RESETTING. CLOSING    The host's program has gone, all it sent has been
 * delivered, and the guest is told (SHUTDOWN of both directions). It answers with a RST, or a
 * SHUTDOWN of both, when its program has closed too. Data that crosses is dropped. DRAINING   The
 * guest has shut both directions and is owed a RST, so that it may use the ports again at once;
 * what it had sent before is still being written to the host. RESETTING  Only a RST is left to
 * send. DEAD       Nothing is left. The owner frees it.
 *
 * The descriptor is used in GREETING, REQUESTED, OPEN and DRAINING; otherwise the owner closes it.
 *
 * Credit (5.10.6.3): the guest may have VSOCK_CREDIT bytes under way that the host's program has
 * not taken; they wait in a ring, which exists only while it holds any. We send no more than the
 * guest has room for, and when that is nothing ask once.
 */
#ifndef VIRTIO_VSOCK_CONN_H
#define VIRTIO_VSOCK_CONN_H

#include <sys/queue.h>

#include "backend/vsock_host.h"
#include "util/ring.h"
#include "virtio/vsock_packet.h"

#define VSOCK_CREDIT     131072u
#define VSOCK_PACKET_MAX 65536u /* bytes of payload that we put into one packet */

enum vsock_state {
	VSOCK_GREETING,
	VSOCK_CONNECTING,
	VSOCK_REQUESTED,
	VSOCK_OPEN,
	VSOCK_CLOSING,
	VSOCK_DRAINING,
	VSOCK_RESETTING,
	VSOCK_DEAD,
};

/* Packets that the guest shall get, in the order of sending; data goes before the last two. */
enum {
	VSOCK_OWE_RESET = 1u << 0,
	VSOCK_OWE_REQUEST = 1u << 1,
	VSOCK_OWE_RESPONSE = 1u << 2,
	VSOCK_OWE_SHUTDOWN = 1u << 3,
	VSOCK_OWE_CREDIT_UPDATE = 1u << 4,
	VSOCK_OWE_CREDIT_REQUEST = 1u << 5,
};

struct loop_source;
TAILQ_HEAD(vsock_conn_list, vsock_conn);

struct vsock_conn {
	enum vsock_state state;
	uint32_t guest_port, host_port;
	int fd; /* the owner's; -1 when closed */
	unsigned owed;

	/* From guest to host. Counters are those of the protocol and wrap. */
	uint32_t forwarded;      /* bytes the host has taken, or that were dropped */
	uint32_t forwarded_told; /* as the guest knows it */
	unsigned guest_shut;     /* flags of its SHUTDOWNs */
	bool write_shut;         /* shutdown(SHUT_WR) done */
	bool deaf;               /* the host takes no more */
	struct ring ring;

	/* From host to guest. */
	uint32_t sent;
	uint32_t guest_alloc, guest_forwarded;
	bool asked;    /* CREDIT_REQUEST sent, no room since */
	bool readable; /* the descriptor may have something */
	bool ended;    /* end of input */
	bool gone;     /* the host's end is closed */

	struct vsock_greeting greeting;

	/* the owner's */
	void *owner;
	struct loop_source *source;
	unsigned tries; /* to connect */
	bool in_table;
	struct vsock_conn *next;       /* in the table */
	struct vsock_conn_list *queue; /* that it waits in, or NULL */
	TAILQ_ENTRY(vsock_conn) all, waiting;
};

/* @c is all zeroes but for what is the owner's. A program of the host, on c->fd, whose greeting is
 * awaited; or a REQUEST of the guest's. */
void vsock_conn_init_host(struct vsock_conn *c);
void vsock_conn_init_guest(struct vsock_conn *c, const struct vsock_packet *request);
/* Frees the ring. The descriptor is the owner's. */
void vsock_conn_done(struct vsock_conn *c);

/* In GREETING: reads. 1 when @ret_port is known, 0 when not yet; less than 0: DEAD. */
int vsock_conn_greet(struct vsock_conn *c, uint32_t *ret_port);
/* Then: the ports are settled, the guest shall be asked. */
void vsock_conn_request(struct vsock_conn *c, uint32_t guest_port, uint32_t host_port);

/* In CONNECTING: the host's listener is on c->fd, or there is none. */
void vsock_conn_connected(struct vsock_conn *c);
void vsock_conn_refused(struct vsock_conn *c);

/* What epoll says of the descriptor, after GREETING. */
void vsock_conn_event(struct vsock_conn *c, uint32_t events);
/* What shall be waited for; 0: nothing. */
uint32_t vsock_conn_interest(const struct vsock_conn *c);
/* Whether the state allows of a descriptor. */
bool vsock_conn_needs_fd(const struct vsock_conn *c);

/* A packet from the guest, judged to be for this connection; the payload is in @chain. Returns the
 * payload's bytes that were accepted. */
uint32_t vsock_conn_receive(
	struct vsock_conn *c, const struct vsock_packet *p, const struct virtq_chain *chain);

/* True when vsock_conn_produce() may have a packet. */
bool vsock_conn_pending(const struct vsock_conn *c);
/* The next packet for the guest: its payload is put into @chain, its header, but for CIDs, into
 * @ret. False: there is none after all. */
bool vsock_conn_produce(
	struct vsock_conn *c, const struct virtq_chain *chain, struct vsock_packet *ret);
/* The guest takes the ports for free: another connection may have them. */
bool vsock_conn_detached(const struct vsock_conn *c);

#endif
