/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block device (virtio 1.2, 5.2): one queue, served by a thread of its own that does one request
 * after the other.
 *
 * Option "disk": path=FILE[,readonly=on|off][,serial=TEXT] (at most 20 bytes, none by default).
 */
#ifndef VIRTIO_BLK_H
#define VIRTIO_BLK_H

#include "backend/disk.h"
#include "dev/device.h"
#include "virtio/device.h"

extern const struct device_class virtio_blk_class;

#define VIRTIO_BLK_ID_BYTES 20u

/* What a request needs to know of its device. */
struct blk_target {
	const struct disk *disk;
	char serial[VIRTIO_BLK_ID_BYTES]; /* zero-padded, not terminated when full */
	bool discard, write_zeroes;       /* negotiated */
	bool write_through; /* the driver can't flush: every write is followed by one */
};

/*
 * Carries out one request (5.2.6) and stores its status byte. 0, or -EPROTO if the chain has no
 * room for a header or a status byte, when nothing was done. @ret_written is what virtq_push() is
 * told.
 */
int blk_request(const struct blk_target *t, const struct virtq_chain *chain, uint32_t *ret_written);

#endif
