// SPDX-License-Identifier: Apache-2.0
/* Requests of a block device (virtio 1.2, 5.2.6): from a chain to calls on the disk. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "util/bytes.h"
#include "virtio/blk.h"
#include "virtio/blk_layout.h"

static int status_of(int rc)
{
	return rc < 0 ? BLK_S_IOERR : BLK_S_OK;
}

/* Whether @sectors from @sector on are on the disk; no sum that could wrap. */
static bool on_disk(const struct disk *disk, uint64_t sector, uint64_t sectors)
{
	uint64_t capacity = disk->size / DISK_SECTOR;
	return sector <= capacity && sectors <= capacity - sector;
}

static int read_data(const struct blk_target *t, const struct virtq_chain *c, uint64_t sector,
	uint32_t len, uint32_t *ret_filled)
{
	struct iovec iov[VIRTQ_SIZE_MAX];
	if (c->out_size != sizeof(struct blk_header) || len % DISK_SECTOR ||
		!on_disk(t->disk, sector, len / DISK_SECTOR))
		return BLK_S_IOERR;
	unsigned count = virtq_chain_in(c, 0, len, iov);
	int rc = disk_read(t->disk, iov, count, sector * DISK_SECTOR);
	if (!rc)
		*ret_filled = len;
	return status_of(rc);
}

static int write_data(const struct blk_target *t, const struct virtq_chain *c, uint64_t sector)
{
	struct iovec iov[VIRTQ_SIZE_MAX];
	uint32_t len = c->out_size - (uint32_t)sizeof(struct blk_header);
	if (len % DISK_SECTOR || !on_disk(t->disk, sector, len / DISK_SECTOR))
		return BLK_S_IOERR;
	unsigned count = virtq_chain_out(c, sizeof(struct blk_header), len, iov);
	int rc = disk_write(t->disk, iov, count, sector * DISK_SECTOR);
	if (!rc && t->write_through)
		rc = disk_flush(t->disk);
	return status_of(rc);
}

static int get_id(
	const struct blk_target *t, const struct virtq_chain *c, uint32_t len, uint32_t *ret_filled)
{
	uint32_t n = len < VIRTIO_BLK_ID_BYTES ? len : VIRTIO_BLK_ID_BYTES;
	if (!virtq_chain_write(c, 0, t->serial, n))
		return BLK_S_IOERR;
	*ret_filled = n;
	return BLK_S_OK;
}

/* Discard and write zeroes: a list of ranges, all of which are looked at before the first is done.
 */
static int ranges(const struct blk_target *t, const struct virtq_chain *c, bool discard)
{
	struct blk_range range[BLK_MAX_RANGES];
	uint32_t len = c->out_size - (uint32_t)sizeof(struct blk_header);
	uint32_t max = discard ? BLK_MAX_DISCARD_SECTORS : BLK_MAX_ZERO_SECTORS;

	if (!(discard ? t->discard : t->write_zeroes))
		return BLK_S_UNSUPP;
	if (t->disk->readonly || !len || len % sizeof(range[0]) || len > sizeof(range))
		return BLK_S_IOERR;
	if (!virtq_chain_read(c, sizeof(struct blk_header), range, len))
		return BLK_S_IOERR;
	unsigned count = len / (unsigned)sizeof(range[0]);
	for (unsigned i = 0; i < count; i++) {
		/* 5.2.6.2: of the flags only unmap exists, and not for discard */
		if (le32toh(range[i].flags) & ~(discard ? 0 : BLK_RANGE_UNMAP))
			return BLK_S_UNSUPP;
		if (le32toh(range[i].num_sectors) > max ||
			!on_disk(t->disk, le64toh(range[i].sector), le32toh(range[i].num_sectors)))
			return BLK_S_IOERR;
	}
	int rc = 0;
	for (unsigned i = 0; i < count && !rc; i++) {
		uint64_t offset = le64toh(range[i].sector) * DISK_SECTOR;
		uint64_t size = le32toh(range[i].num_sectors) * (uint64_t)DISK_SECTOR;
		rc = discard ? disk_discard(t->disk, offset, size)
			     : disk_write_zeroes(t->disk, offset, size,
				       le32toh(range[i].flags) & BLK_RANGE_UNMAP);
	}
	if (!rc && !discard && t->write_through)
		rc = disk_flush(t->disk);
	return status_of(rc);
}

int blk_request(const struct blk_target *t, const struct virtq_chain *c, uint32_t *ret_written)
{
	struct blk_header h;
	if (!c->in_size || !virtq_chain_read(c, 0, &h, sizeof(h)))
		return -EPROTO;

	/* The status is the last byte of the writable part, whatever the type (5.2.6). */
	uint32_t room = c->in_size - 1, filled = 0;
	bool data_in = room > 0;
	uint8_t status;
	switch (le32toh(h.type)) {
	case BLK_T_IN:
		status = (uint8_t)read_data(t, c, le64toh(h.sector), room, &filled);
		break;
	case BLK_T_OUT:
		status = data_in ? BLK_S_IOERR : (uint8_t)write_data(t, c, le64toh(h.sector));
		break;
	case BLK_T_FLUSH:
		status = data_in || c->out_size != sizeof(h)
				 ? BLK_S_IOERR
				 : (uint8_t)status_of(disk_flush(t->disk));
		break;
	case BLK_T_GET_ID:
		status = (uint8_t)get_id(t, c, room, &filled);
		break;
	case BLK_T_DISCARD:
		status = data_in ? BLK_S_IOERR : (uint8_t)ranges(t, c, true);
		break;
	case BLK_T_WRITE_ZEROES:
		status = data_in ? BLK_S_IOERR : (uint8_t)ranges(t, c, false);
		break;
	default:
		status = BLK_S_UNSUPP;
		break;
	}
	virtq_chain_write(c, room, &status, 1);
	/* 2.7.8.2: so many bytes from the start are known to be written; the status only counts
	 * when nothing before it is missing. */
	*ret_written = filled == room ? c->in_size : filled;
	return 0;
}
