/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a byte stream share: its two rings, and who is allowed to do what with them. */
#ifndef BACKEND_CHARDEV_PRIVATE_H
#define BACKEND_CHARDEV_PRIVATE_H

#include <pthread.h>

#include "backend/chardev.h"
#include "backend/escape.h"
#include "backend/stream.h"
#include "util/ring.h"

#define CHARDEV_OUT_SIZE 65536
#define CHARDEV_IN_SIZE                                                             \
	4096 /* typed ahead; the escape is still seen while the guest takes nothing \
	      */

struct peer;

struct chardev {
	char *name, *out_name;
	struct stream in, out;
	struct chardev_sink sink; /* the ends are the embedder's; then the streams are events */
	void (*on_output)(void *opaque, const void *data, size_t len);
	void (*on_escape)(void *opaque);
	void (*on_failure)(void *opaque, const char *message);
	void *opaque;
	bool escape;
	struct escape filter; /* loop thread only */
	struct loop *loop;
	struct peer *peer; /* NULL: the ends are there all the time */
	bool retain;
	bool in_hung_up; /* loop thread only */

	pthread_mutex_t lock;
	pthread_cond_t released;
	/* below: under lock */
	bool claimed; /* somebody empties the output ring, or takes the ends away */
	struct ring out_ring, in_ring;
	bool out_wanted, in_wanted; /* the source is waiting */
	bool out_short;             /* the client was refused some bytes */
	bool out_failed, in_ended;
	bool present; /* the ends are there */
	const struct chardev_client *client;
	void *client_opaque;
	uint8_t out_data[CHARDEV_OUT_SIZE], in_data[CHARDEV_IN_SIZE];
};

/*
 * Output leaves the ring at one place at a time: the loop's thread, or that of chardev_flush(). Who
 * has claimed it holds no lock meanwhile, calls the sink and the client, and is waited for. Not
 * with the lock held.
 */
void chardev_claim(struct chardev *c);
void chardev_release(struct chardev *c);

/* The output source's callback, for descriptors and for all else. Loop thread. */
void chardev_output_event(void *opaque, uint32_t events);
void chardev_output_ready(void *opaque);

#endif
