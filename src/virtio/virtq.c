// SPDX-License-Identifier: Apache-2.0
/* Split virtqueues (virtio 1.2, 2.7): taking chains apart and handing them back. */
#include "virtio/virtq.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>

#include "util/bytes.h"

/* 2.7.5: the descriptor */
struct vring_desc {
	le64 addr;
	le32 len;
	le16 flags;
	le16 next;
};
static_assert(sizeof(struct vring_desc) == 16, "virtio 1.2, 2.7.5");

#define DESC_SIZE     16u
#define DESC_NEXT     1u
#define DESC_WRITE    2u
#define DESC_INDIRECT 4u

/* 2.7.6 and 2.7.8: flags, idx, the entries, and one word more for the other side's event index */
#define RING_FLAGS   0u
#define RING_IDX     2u
#define RING_ENTRIES 4u
#define AVAIL_ENTRY  2u
#define USED_ENTRY   8u

#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY     1u

static uint64_t avail_size(const struct virtq *q)
{
	return RING_ENTRIES + AVAIL_ENTRY * (uint64_t)q->size + 2;
}

static uint64_t used_size(const struct virtq *q)
{
	return RING_ENTRIES + USED_ENTRY * (uint64_t)q->size + 2;
}

static int broken(struct virtq *q, const char *why)
{
	if (!q->broken)
		q->broken = why;
	return -EIO;
}

void virtq_init(struct virtq *q, const struct gmem *mem, uint16_t size_max)
{
	*q = (struct virtq){ .mem = mem, .size_max = size_max, .size = size_max };
}

void virtq_reset(struct virtq *q)
{
	virtq_init(q, q->mem, q->size_max);
}

int virtq_enable(struct virtq *q)
{
	const char *why = NULL;
	if (q->size > q->size_max || !is_power_of_2(q->size))
		why = "the queue size is not a power of two within the limit";
	else if (q->desc % 16 || q->driver % 2 || q->device % 4) /* 2.7, table of alignments */
		why = "a ring is not aligned";
	else if (!gmem_ptr(q->mem, q->desc, DESC_SIZE * (size_t)q->size) ||
		 !gmem_ptr(q->mem, q->driver, avail_size(q)) ||
		 !gmem_ptr(q->mem, q->device, used_size(q)))
		why = "a ring is not in RAM";
	if (why) {
		broken(q, why);
		return -EINVAL;
	}
	q->enabled = true;
	return 0;
}

/* --- the words both sides share: each is 16 bits and aligned --- */

/* Sequentially consistent, which is stronger than most callers need and costs a load nothing. */
static uint16_t load_word(struct virtq *q, gpa_t ring, uint32_t offset)
{
	const uint16_t *p = gmem_ptr(q->mem, ring + offset, sizeof(*p));
	if (p)
		return le16toh(__atomic_load_n(p, __ATOMIC_SEQ_CST));
	broken(q, "a ring is not in RAM");
	return 0;
}

static void store_word(struct virtq *q, gpa_t ring, uint32_t offset, uint16_t v)
{
	uint16_t *p = gmem_ptr(q->mem, ring + offset, sizeof(*p));
	if (p)
		__atomic_store_n(p, htole16(v), __ATOMIC_SEQ_CST);
	else
		broken(q, "a ring is not in RAM");
}

/* --- taking a chain --- */

struct desc {
	gpa_t addr;
	uint32_t len;
	uint16_t flags, next;
};

/* One look at each half of the descriptor; a table of the driver's (2.7.5.3) has any alignment. */
static int read_desc(const struct virtq *q, gpa_t table, uint16_t index, struct desc *ret)
{
	typedef uint64_t __attribute__((aligned(1))) unaligned64;
	const unaligned64 *p = gmem_ptr(q->mem, table + DESC_SIZE * (uint64_t)index, DESC_SIZE);
	if (!p)
		return -EFAULT;
	uint64_t addr = le64toh(READ_ONCE(p[0])), rest = le64toh(READ_ONCE(p[1]));
	*ret = (struct desc){
		.addr = addr,
		.len = (uint32_t)rest,
		.flags = (uint16_t)(rest >> 32),
		.next = (uint16_t)(rest >> 48),
	};
	return 0;
}

static int add_buffer(struct virtq *q, struct virtq_chain *c, const struct desc *d)
{
	bool in = d->flags & DESC_WRITE;
	if (!in && c->in_count) /* 2.7.4.2 */
		return broken(q, "a readable buffer follows a writable one");
	if (d->len > UINT32_MAX - c->out_size - c->in_size) /* 2.7.5.2 */
		return broken(q, "a chain has 4 GiB or more");
	if (!d->len)
		return 0;
	void *p = gmem_buffer(q->mem, d->addr, d->len);
	if (!p)
		return broken(q, "a buffer is not in memory");
	c->iov[c->out_count + c->in_count] = (struct iovec){ .iov_base = p, .iov_len = d->len };
	if (in) {
		c->in_count++;
		c->in_size += d->len;
	} else {
		c->out_count++;
		c->out_size += d->len;
	}
	return 0;
}

static int walk(struct virtq *q, uint16_t head, struct virtq_chain *c)
{
	gpa_t table = q->desc;
	uint32_t entries = q->size;
	uint16_t index = head;
	bool inside = false; /* in an indirect table */
	unsigned seen = 0;

	c->files = q->mem->file;
	c->head = head;
	c->out_count = c->in_count = 0;
	c->out_size = c->in_size = 0;
	for (;;) {
		struct desc d;
		if (index >= entries)
			return broken(q, "a descriptor index is out of range");
		if (read_desc(q, table, index, &d) < 0)
			return broken(q, "a descriptor is not in RAM");
		if (d.flags & DESC_INDIRECT) { /* 2.7.5.3.1; its WRITE flag is ignored, 2.7.5.3.2 */
			if (inside || !q->indirect)
				return broken(q, "an indirect descriptor where none may be");
			if (d.flags & DESC_NEXT)
				return broken(q, "an indirect descriptor that goes on");
			if (!d.len || d.len % DESC_SIZE)
				return broken(q, "an indirect table of odd length");
			if (!gmem_ptr(q->mem, d.addr, d.len))
				return broken(q, "an indirect table is not in RAM");
			table = d.addr;
			entries = d.len / DESC_SIZE;
			index = 0;
			inside = true;
			continue;
		}
		/*
		 * No chain is longer than the queue (2.7.5.3.1), which also ends every loop. For
		 * indirect ones that is the size we offered: Linux halves a queue for which it
		 * finds no memory, and goes by a device's own limit (as seg_max) for the table.
		 */
		if (seen++ == (inside ? q->size_max : q->size))
			return broken(q, "a chain is longer than the queue, or runs in a circle");
		int rc = add_buffer(q, c, &d);
		if (rc < 0)
			return rc;
		if (!(d.flags & DESC_NEXT))
			return 0;
		index = d.next;
	}
}

int virtq_pop(struct virtq *q, struct virtq_chain *ret)
{
	if (q->broken)
		return -EIO;
	if (!q->enabled)
		return 0;
	/* An acquire: pairs with the driver's barrier between filling descriptors and ring entry,
	 * and moving the available index (2.7.13.3). */
	uint16_t avail = load_word(q, q->driver, RING_IDX);
	uint16_t waiting = (uint16_t)(avail - q->next_avail);
	if (!waiting)
		return q->broken ? -EIO : 0;
	if (waiting > q->size)
		return broken(q, "the available index jumped");
	uint16_t head = load_word(
		q, q->driver, RING_ENTRIES + AVAIL_ENTRY * (q->next_avail & (q->size - 1u)));
	int rc = walk(q, head, ret);
	if (rc < 0)
		return rc;
	q->next_avail++;
	return 1;
}

void virtq_unpop(struct virtq *q)
{
	q->next_avail--;
}

/* --- giving it back --- */

void virtq_push(struct virtq *q, const struct virtq_chain *chain, uint32_t written)
{
	virtq_push_head(q, chain->head, written);
}

void virtq_push_head(struct virtq *q, uint16_t head, uint32_t written)
{
	virtq_fill(q, head, written);
	virtq_flush(q);
}

void virtq_fill(struct virtq *q, uint16_t head, uint32_t written)
{
	le32 *entry = gmem_ptr(q->mem,
		q->device + RING_ENTRIES + USED_ENTRY * (uint64_t)(q->next_used & (q->size - 1u)),
		USED_ENTRY);
	if (!entry) {
		broken(q, "a ring is not in RAM");
		return;
	}
	WRITE_ONCE(entry[0], htole32(head));
	WRITE_ONCE(entry[1], htole32(written));
	q->next_used++;
}

void virtq_flush(struct virtq *q)
{
	/* Releases entries and data: pairs with the driver's barrier between seeing the used index
	 * and reading an entry (2.7.14). */
	store_word(q, q->device, RING_IDX, q->next_used);
}

/* 2.7.10: whether the index moved past @event on its way from @old to @now. */
static bool passed(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

bool virtq_wants_interrupt(struct virtq *q)
{
	uint16_t old = q->signalled, now = q->next_used;
	q->signalled = now;
	if (q->broken || now == old)
		return false;
	/* The store of the used index and these loads are both sequentially consistent: pairs with
	 * the driver's barrier between asking for interrupts and looking at the used index again,
	 * so one of the two sides sees the other (2.7.7.2). */
	if (q->event_idx)
		return passed(
			load_word(q, q->driver, RING_ENTRIES + AVAIL_ENTRY * q->size), now, old);
	return !(load_word(q, q->driver, RING_FLAGS) & AVAIL_NO_INTERRUPT);
}

void virtq_kicks_off(struct virtq *q)
{
	/* With event indices the old one stays where it is, which has the same effect. */
	if (q->enabled && !q->broken && !q->event_idx)
		store_word(q, q->device, RING_FLAGS, USED_NO_NOTIFY);
}

bool virtq_kicks_on(struct virtq *q)
{
	if (!q->enabled || q->broken)
		return false;
	/* Sequentially consistent store, then load: pairs with the driver's barrier between moving
	 * the available index and looking whether a kick is wanted (2.7.13.4.1). */
	if (q->event_idx)
		store_word(q, q->device, RING_ENTRIES + USED_ENTRY * q->size, q->next_avail);
	else
		store_word(q, q->device, RING_FLAGS, 0);
	return load_word(q, q->driver, RING_IDX) != q->next_avail && !q->broken;
}

/* --- the bytes of a chain --- */

unsigned virtq_slice(const struct iovec *iov, unsigned count, uint32_t size, uint32_t offset,
	uint32_t len, struct iovec *ret)
{
	unsigned used = 0;
	if (offset > size || len > size - offset)
		return 0;
	for (unsigned i = 0; i < count && len; i++) {
		if (offset >= iov[i].iov_len) {
			offset -= (uint32_t)iov[i].iov_len;
			continue;
		}
		uint32_t n = (uint32_t)min_u64(iov[i].iov_len - offset, len);
		ret[used++] = (struct iovec){ (uint8_t *)iov[i].iov_base + offset, n };
		offset = 0;
		len -= n;
	}
	return used;
}

unsigned virtq_chain_out(const struct virtq_chain *c, uint32_t offset, uint32_t len,
	struct iovec ret[VIRTQ_SIZE_MAX])
{
	return virtq_slice(c->iov, c->out_count, c->out_size, offset, len, ret);
}

unsigned virtq_chain_in(const struct virtq_chain *c, uint32_t offset, uint32_t len,
	struct iovec ret[VIRTQ_SIZE_MAX])
{
	return virtq_slice(c->iov + c->out_count, c->in_count, c->in_size, offset, len, ret);
}

bool virtq_chain_read(const struct virtq_chain *c, uint32_t offset, void *buf, uint32_t len)
{
	if (offset > c->out_size || len > c->out_size - offset)
		return false;
	return virtq_iov_read(c->files, c->iov, offset, buf, len);
}

bool virtq_iov_read(const struct gmem_file *files, const struct iovec *iov, uint32_t offset,
	void *buf, uint32_t len)
{
	uint8_t *to = buf;
	for (const struct iovec *v = iov; len; v++) {
		if (offset >= v->iov_len) {
			offset -= (uint32_t)v->iov_len;
			continue;
		}
		uint32_t n = (uint32_t)min_u64(v->iov_len - offset, len);
		if (gmem_copy_from(files, to, (const uint8_t *)v->iov_base + offset, n) < 0)
			return false;
		to += n;
		len -= n;
		offset = 0;
	}
	/* The compiler may not fetch from the guest again what the caller takes from the copy. */
	atomic_signal_fence(memory_order_seq_cst);
	return true;
}

bool virtq_chain_write(const struct virtq_chain *c, uint32_t offset, const void *buf, uint32_t len)
{
	if (offset > c->in_size || len > c->in_size - offset)
		return false;
	return virtq_iov_write(c->files, c->iov + c->out_count, offset, buf, len);
}

bool virtq_iov_write(const struct gmem_file *files, const struct iovec *iov, uint32_t offset,
	const void *buf, uint32_t len)
{
	const uint8_t *from = buf;
	for (const struct iovec *v = iov; len; v++) {
		if (offset >= v->iov_len) {
			offset -= (uint32_t)v->iov_len;
			continue;
		}
		uint32_t n = (uint32_t)min_u64(v->iov_len - offset, len);
		if (gmem_copy_to(files, (uint8_t *)v->iov_base + offset, from, n) < 0)
			return false;
		from += n;
		len -= n;
		offset = 0;
	}
	return true;
}
