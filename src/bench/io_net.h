/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of `lacuna bench io`: a network namespace of this thread's own, in it a tap for each
 * monitor and an iperf3 server. All of it is gone with the processes that hold it, whatever ends
 * them.
 */
#ifndef BENCH_IO_NET_H
#define BENCH_IO_NET_H

#include "bench/child.h"
#include "bench/io_guest.h"

struct io_net {
	int tap[IO_MONITORS];
	char net[IO_MONITORS][16]; /* "10.99.0": the host is .1 there */
	struct child server;
	bool serving, ready;
	char said[64]; /* the end of what the server has said, not yet ready */
};

/* For monitors @from to @to - 1. -1 after why_set(). The main thread only, and those that it starts
 * later are in that namespace, too. */
int io_net_open(struct io_net *n, struct why *why);

/* Takes what the server has written, so that it does not wait. */
void io_net_serve(struct io_net *n);

void io_net_close(struct io_net *n); /* half open, too */

#endif
