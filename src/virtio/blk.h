/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block device (virtio 1.2, 5.2): up to 16 queues, each served by a thread of its own that keeps
 * many requests under way.
 *
 * Option "disk":
 * path=FILE|fd=N[,readonly=on|off][,serial=TEXT][,queues=N][,cache=writeback|writethrough]
 * [,direct=on|off][,aio=auto|io_uring|threads][,iops=N][,bw=SIZE]. The serial number has at most 20
 * bytes, none by default. While the VM runs, size=SIZE makes the disk larger.
 */
#ifndef VIRTIO_BLK_H
#define VIRTIO_BLK_H

#include "backend/disk_io.h"
#include "dev/device.h"
#include "virtio/blk_layout.h"
#include "virtio/device.h"

extern const struct device_class virtio_blk_class;

#define VIRTIO_BLK_ID_BYTES 20u

/* What a request needs to know of its device. */
struct blk_target {
	struct disk *disk;
	char serial[VIRTIO_BLK_ID_BYTES]; /* zero-padded, not terminated when full */
	bool discard, write_zeroes;       /* negotiated */
	_Atomic bool write_through;       /* every write is durable when it is complete */
};

#define BLK_IOV_SMALL 16u /* as many buffers need no memory of their own */

/* A request that was taken from the queue, without the chain. */
struct blk_request {
	const struct gmem_file *files;
	struct disk_io io;
	uint32_t type;  /* BLK_T_* as the driver wrote it */
	uint32_t bytes; /* read or written by it */
	uint16_t head;
	uint8_t status;
	uint32_t room,
		filled; /* of the writable part, without the status; what was written to it */
	struct iovec status_at;
	struct iovec *iov; /* small below, or allocated */
	union {
		struct iovec small[BLK_IOV_SMALL];
		struct disk_range range[BLK_MAX_RANGES];
	};
};

/*
 * Looks at a request (5.2.6). 1: request->io is to be carried out, whose done() the caller sets. 0:
 * done, with nothing to carry out. Both are followed by blk_request_finish(). -EPROTO: the chain
 * has no room for a header or a status byte, and there is no request.
 */
int blk_request_parse(
	const struct blk_target *t, const struct virtq_chain *chain, struct blk_request *ret);

/* Stores the status byte; @rc is what done() was told, or 0. Returns what virtq_push() is told. */
uint32_t blk_request_finish(struct blk_request *r, int rc);

/* Instead of blk_request_finish(), for a request that the driver has given up. */
void blk_request_drop(struct blk_request *r);

#endif
