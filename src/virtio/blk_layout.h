/* SPDX-License-Identifier: Apache-2.0 */
/* What a block device and its driver exchange (virtio 1.2, 5.2.3 to 5.2.6). */
#ifndef VIRTIO_BLK_LAYOUT_H
#define VIRTIO_BLK_LAYOUT_H

#include <assert.h>
#include <stddef.h>

#include "util/bytes.h"

#define BLK_F_SIZE_MAX     (1ull << 1)
#define BLK_F_SEG_MAX      (1ull << 2)
#define BLK_F_RO           (1ull << 5)
#define BLK_F_BLK_SIZE     (1ull << 6)
#define BLK_F_FLUSH        (1ull << 9)
#define BLK_F_TOPOLOGY     (1ull << 10)
#define BLK_F_CONFIG_WCE   (1ull << 11)
#define BLK_F_MQ           (1ull << 12)
#define BLK_F_DISCARD      (1ull << 13)
#define BLK_F_WRITE_ZEROES (1ull << 14)

struct blk_config {
	le64 capacity; /* in sectors of 512 bytes, like every sector here */
	le32 size_max;
	le32 seg_max;
	uint8_t geometry[4];
	le32 blk_size;
	uint8_t physical_block_exp;
	uint8_t alignment_offset;
	le16 min_io_size;
	le32 opt_io_size;
	uint8_t writeback;
	uint8_t unused0;
	le16 num_queues;
	le32 max_discard_sectors;
	le32 max_discard_seg;
	le32 discard_sector_alignment;
	le32 max_write_zeroes_sectors;
	le32 max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap;
	uint8_t unused1[3];
};
#define BLK_CONFIG_SIZE 60u /* the fields above; sizeof has padding */
static_assert(sizeof(struct blk_config) == 64, "virtio 1.2, 5.2.4");
static_assert(offsetof(struct blk_config, blk_size) == 20, "virtio 1.2, 5.2.4");
static_assert(offsetof(struct blk_config, max_discard_sectors) == 36, "virtio 1.2, 5.2.4");
static_assert(offsetof(struct blk_config, write_zeroes_may_unmap) == 56, "virtio 1.2, 5.2.4");

struct blk_header {
	le32 type;
	le32 reserved;
	le64 sector;
};
static_assert(sizeof(struct blk_header) == 16, "virtio 1.2, 5.2.6");

enum {
	BLK_T_IN = 0,
	BLK_T_OUT = 1,
	BLK_T_FLUSH = 4,
	BLK_T_GET_ID = 8,
	BLK_T_DISCARD = 11,
	BLK_T_WRITE_ZEROES = 13,
};

enum { BLK_S_OK = 0, BLK_S_IOERR = 1, BLK_S_UNSUPP = 2 };

struct blk_range {
	le64 sector;
	le32 num_sectors;
	le32 flags;
};
static_assert(sizeof(struct blk_range) == 16, "virtio 1.2, 5.2.6");

#define BLK_RANGE_UNMAP 1u

/* Bounds of one request, told to the driver: they keep a request, and so a reset, short. */
#define BLK_SIZE_MAX            (1u << 20) /* of a buffer */
#define BLK_MAX_RANGES          16u
#define BLK_MAX_DISCARD_SECTORS (1u << 22) /* 2 GiB */
#define BLK_MAX_ZERO_SECTORS    (1u << 16) /* 32 MiB: may have to be written */

#endif
