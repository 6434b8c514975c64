/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A split virtqueue, device side (virtio 1.2, 2.7). The rings are in guest RAM and the guest may
 * change them at any moment: every word is read once, and only the copy is looked at.
 *
 * The transport sets the fields of the first group while the queue is not in use; from activation
 * to reset the queue belongs to one thread, the device's, which makes all the calls below.
 */
#ifndef VIRTIO_VIRTQ_H
#define VIRTIO_VIRTQ_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "mem/gmem.h"

/* The most entries a queue here can have, and so the most buffers of a chain. */
#define VIRTQ_SIZE_MAX 256

struct virtq {
	const struct gmem *mem;
	uint16_t size_max;          /* a power of two, at most VIRTQ_SIZE_MAX */
	uint16_t size;              /* what the driver chose */
	gpa_t desc, driver, device; /* descriptor table, available ring, used ring */
	bool enabled;               /* and found valid */
	bool indirect, event_idx;   /* negotiated: VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX */

	uint16_t next_avail; /* entry of the available ring that is taken next; runs freely */
	uint16_t next_used;  /* what the used index is */
	uint16_t signalled;  /* used index when the driver's wish was last looked at */
	const char *broken;  /* why nothing more can be taken, or NULL */
};

/* A chain as host memory: the buffers to read, then those to write. */
struct virtq_chain {
	const struct gmem_file *files; /* that buffers may be in, besides RAM */
	uint16_t head;
	unsigned out_count, in_count;
	uint32_t out_size, in_size; /* bytes; the sum is below 4 GiB (2.7.5.2) */
	struct iovec iov[VIRTQ_SIZE_MAX];
};

void virtq_init(struct virtq *q, const struct gmem *mem, uint16_t size_max);
/* Back to what it was after virtq_init(). */
void virtq_reset(struct virtq *q);

/* Checks size, alignment and place of the rings; -EINVAL, with q->broken set, if they are no good.
 */
int virtq_enable(struct virtq *q);

/* Takes the next chain: 1, or 0 when there is none, or -EIO when the guest broke the queue. */
int virtq_pop(struct virtq *q, struct virtq_chain *ret);

/* Undoes the last virtq_pop(), nothing else having happened: the chain will be popped again. */
void virtq_unpop(struct virtq *q);

/* Gives a chain back, @written bytes from the start of its writable part having been filled. */
void virtq_push(struct virtq *q, const struct virtq_chain *chain, uint32_t written);
/* The same for a device that has kept no more of the chain than its head. */
void virtq_push_head(struct virtq *q, uint16_t head, uint32_t written);
/* That in two steps, for chains that the driver must see together. */
void virtq_fill(struct virtq *q, uint16_t head, uint32_t written);
void virtq_flush(struct virtq *q);

/* True when the driver wants to be interrupted for what was pushed since the last call. */
bool virtq_wants_interrupt(struct virtq *q);

/* Asks the driver not to kick (a hint), or to kick again: then true means that chains have arrived
 * meanwhile for which no kick will come. */
void virtq_kicks_off(struct virtq *q);
bool virtq_kicks_on(struct virtq *q);

/* The bytes of a chain by offset, however the driver has cut them up (2.7.4). False when the range
 * is not inside the readable (writable) part, and then nothing is done, or when it is in a file
 * that has become shorter, or may not be written. */
bool virtq_chain_read(const struct virtq_chain *c, uint32_t offset, void *buf, uint32_t len);
bool virtq_chain_write(const struct virtq_chain *c, uint32_t offset, const void *buf, uint32_t len);

/* The same range as host memory; returns how many elements of @ret are used (0: not inside, or
 * empty). */
unsigned virtq_chain_out(const struct virtq_chain *c, uint32_t offset, uint32_t len,
	struct iovec ret[VIRTQ_SIZE_MAX]);
unsigned virtq_chain_in(const struct virtq_chain *c, uint32_t offset, uint32_t len,
	struct iovec ret[VIRTQ_SIZE_MAX]);
/* A range of @count buffers of one chain or several, which hold @size bytes. */
unsigned virtq_slice(const struct iovec *iov, unsigned count, uint32_t size, uint32_t offset,
	uint32_t len, struct iovec *ret);

/* Copies from and to what virtq_chain_out() and _in() have returned, which holds @offset + @len
 * bytes at least. False: a file that has become shorter, or may not be written. */
bool virtq_iov_read(const struct gmem_file *files, const struct iovec *iov, uint32_t offset,
	void *buf, uint32_t len);
bool virtq_iov_write(const struct gmem_file *files, const struct iovec *iov, uint32_t offset,
	const void *buf, uint32_t len);

#endif
