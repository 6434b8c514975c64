// SPDX-License-Identifier: Apache-2.0
/* Requests of a block device (virtio 1.2, 5.2.6): from a chain to what the disk is asked to do. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/bytes.h"
#include "virtio/blk.h"

/* Whether @sectors from @sector on are on the disk; no sum that could wrap. */
static bool on_disk(const struct disk *disk, uint64_t sector, uint64_t sectors)
{
	uint64_t capacity = disk->size / DISK_SECTOR;
	return sector <= capacity && sectors <= capacity - sector;
}

/* The request ends here, with this status. */
static int answer(struct blk_request *r, uint8_t status)
{
	r->status = status;
	return 0;
}

static int transfer(const struct blk_target *t, const struct virtq_chain *c, struct blk_request *r,
	uint64_t sector)
{
	bool in = r->type == BLK_T_IN;
	uint32_t header = sizeof(struct blk_header);
	uint32_t len = in ? r->room : c->out_size - header;
	unsigned count = in ? c->in_count : c->out_count;
	if ((in ? c->out_size != header : r->room > 0 || t->disk->readonly) || len % DISK_SECTOR ||
		!on_disk(t->disk, sector, len / DISK_SECTOR))
		return answer(r, BLK_S_IOERR);
	if (!len)
		return answer(r, BLK_S_OK);
	if (count > BLK_IOV_SMALL)
		r->iov = malloc(count * sizeof(*r->iov));
	if (!r->iov)
		return answer(r, BLK_S_IOERR);
	r->bytes = len;
	r->io.op = in ? DISK_READ : DISK_WRITE;
	r->io.durable = t->write_through;
	r->io.offset = sector * DISK_SECTOR;
	r->io.iov = r->iov;
	r->io.count =
		in ? virtq_chain_in(c, 0, len, r->iov) : virtq_chain_out(c, header, len, r->iov);
	return 1;
}

static int flush(const struct virtq_chain *c, struct blk_request *r)
{
	if (r->room || c->out_size != sizeof(struct blk_header))
		return answer(r, BLK_S_IOERR);
	r->io.op = DISK_FLUSH;
	return 1;
}

static int get_id(const struct blk_target *t, const struct virtq_chain *c, struct blk_request *r)
{
	uint32_t n = (uint32_t)min_u64(r->room, VIRTIO_BLK_ID_BYTES);
	virtq_chain_write(c, 0, t->serial, n);
	r->filled = n;
	return answer(r, BLK_S_OK);
}

/* Discard and write zeroes: a list of ranges, all of which are looked at before the first is done.
 */
static int ranges(const struct blk_target *t, const struct virtq_chain *c, struct blk_request *r)
{
	struct blk_range range[BLK_MAX_RANGES];
	bool discard = r->type == BLK_T_DISCARD;
	uint32_t len = c->out_size - (uint32_t)sizeof(struct blk_header);
	uint32_t max = discard ? BLK_MAX_DISCARD_SECTORS : BLK_MAX_ZERO_SECTORS;

	if (r->room)
		return answer(r, BLK_S_IOERR);
	if (!(discard ? t->discard : t->write_zeroes))
		return answer(r, BLK_S_UNSUPP);
	if (t->disk->readonly || !len || len % sizeof(range[0]) || len > sizeof(range))
		return answer(r, BLK_S_IOERR);
	if (!virtq_chain_read(c, sizeof(struct blk_header), range, len))
		return answer(r, BLK_S_IOERR);
	unsigned count = len / (unsigned)sizeof(range[0]);
	for (unsigned i = 0; i < count; i++) {
		uint64_t sector = le64toh(range[i].sector);
		uint32_t sectors = le32toh(range[i].num_sectors), flags = le32toh(range[i].flags);
		/* 5.2.6.2: of the flags only unmap exists, and not for discard */
		if (flags & ~(discard ? 0 : BLK_RANGE_UNMAP))
			return answer(r, BLK_S_UNSUPP);
		if (sectors > max || !on_disk(t->disk, sector, sectors))
			return answer(r, BLK_S_IOERR);
		r->range[i] = (struct disk_range){
			.offset = sector * DISK_SECTOR,
			.len = sectors * DISK_SECTOR,
			.unmap = flags & BLK_RANGE_UNMAP,
		};
	}
	r->io.op = discard ? DISK_DISCARD : DISK_ZERO;
	r->io.durable = t->write_through;
	r->io.range = r->range;
	r->io.ranges = count;
	return 1;
}
static_assert((uint64_t)BLK_MAX_DISCARD_SECTORS * DISK_SECTOR <= UINT32_MAX, "disk_range.len");

int blk_request_parse(
	const struct blk_target *t, const struct virtq_chain *c, struct blk_request *r)
{
	struct blk_header h;
	if (!c->in_size || !virtq_chain_read(c, 0, &h, sizeof(h)))
		return -EPROTO;

	/* Not all of it: the arrays are large. */
	r->io = (struct disk_io){ 0 };
	r->type = le32toh(h.type);
	r->files = c->files;
	r->head = c->head;
	r->bytes = r->filled = 0;
	r->status = BLK_S_OK;
	r->iov = r->small;
	/* The status is the last byte of the writable part, whatever the type (5.2.6). */
	const struct iovec *last = &c->iov[c->out_count + c->in_count - 1];
	r->room = c->in_size - 1;
	r->status_at = (struct iovec){ (uint8_t *)last->iov_base + last->iov_len - 1, 1 };
	switch (r->type) {
	case BLK_T_IN:
	case BLK_T_OUT:
		return transfer(t, c, r, le64toh(h.sector));
	case BLK_T_FLUSH:
		return flush(c, r);
	case BLK_T_GET_ID:
		return get_id(t, c, r);
	case BLK_T_DISCARD:
	case BLK_T_WRITE_ZEROES:
		return ranges(t, c, r);
	default:
		return answer(r, BLK_S_UNSUPP);
	}
}

uint32_t blk_request_finish(struct blk_request *r, int rc)
{
	if (rc < 0)
		r->status = BLK_S_IOERR;
	else if (r->type == BLK_T_IN)
		r->filled = r->bytes;
	virtq_iov_write(r->files, &r->status_at, 0, &r->status, 1);
	blk_request_drop(r);
	/* 2.7.8.2: so many bytes from the start are known to be written; the status only counts
	 * when nothing before it is missing. */
	return r->filled == r->room ? r->room + 1 : r->filled;
}

void blk_request_drop(struct blk_request *r)
{
	if (r->iov != r->small)
		free(r->iov);
	r->iov = r->small;
}
