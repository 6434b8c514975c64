/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other side of a virtqueue, for tests: a little RAM of exactly known size (so that the address
 * sanitizer sees an access beyond it) and a driver that can be made to write any nonsense.
 */
#ifndef TESTS_UNIT_VIRTIO_GUEST_H
#define TESTS_UNIT_VIRTIO_GUEST_H

#include <criterion/criterion.h>
#include <stdlib.h>

#include "mem/gmem.h"
#include "util/bytes.h"
#include "virtio/virtq.h"

/* Two regions that touch in guest addresses and not on the host, then nothing. */
#define RAM_LOW  0x20000u
#define RAM_HIGH 0x10000u
#define RAM_END  (RAM_LOW + RAM_HIGH)

#define RING_SIZE 16u
#define DESC_AT   0x1000u
#define AVAIL_AT  0x2000u
#define USED_AT   0x3000u
#define TABLE_AT  0x4000u /* for indirect tables */
#define DATA_AT   0x8000u

enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

static inline void ram_init(struct gmem *m)
{
	*m = (struct gmem){ .region_count = 2, .size = RAM_END };
	m->region[0] = (struct gmem_region){ 0, RAM_LOW, aligned_alloc(4096, RAM_LOW) };
	m->region[1] = (struct gmem_region){ RAM_LOW, RAM_HIGH, aligned_alloc(4096, RAM_HIGH) };
	memset(m->region[0].hva, 0, RAM_LOW);
	memset(m->region[1].hva, 0, RAM_HIGH);
}

static inline void ram_done(struct gmem *m)
{
	free(m->region[0].hva);
	free(m->region[1].hva);
}

static inline void put_desc(
	struct gmem *m, gpa_t at, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	uint8_t *p = gmem_ptr(m, at, 16);
	store_le64(p, addr);
	store_le32(p + 8, len);
	store_le16(p + 12, flags);
	store_le16(p + 14, next);
}

/* Descriptor @i of the ring's own table. */
static inline void put(
	struct gmem *m, unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	put_desc(m, DESC_AT + 16 * i, addr, len, flags, next);
}

static inline uint16_t *word(struct gmem *m, gpa_t at)
{
	return gmem_ptr(m, at, 2);
}

static inline uint16_t load_shared(struct gmem *m, gpa_t at)
{
	return __atomic_load_n(word(m, at), __ATOMIC_SEQ_CST);
}

static inline void store_shared(struct gmem *m, gpa_t at, uint16_t v)
{
	__atomic_store_n(word(m, at), v, __ATOMIC_SEQ_CST);
}

#define AVAIL_IDX   (AVAIL_AT + 2)
#define USED_IDX    (USED_AT + 2)
#define USED_EVENT  (AVAIL_AT + 4 + 2 * RING_SIZE) /* written by the driver */
#define AVAIL_EVENT (USED_AT + 4 + 8 * RING_SIZE)  /* written by the device */

/* Makes the chain at @head available. */
static inline void offer(struct gmem *m, uint16_t head)
{
	uint16_t idx = load_shared(m, AVAIL_IDX);
	*word(m, AVAIL_AT + 4 + 2 * (idx % RING_SIZE)) = head;
	store_shared(m, AVAIL_IDX, (uint16_t)(idx + 1));
}

static inline uint32_t used_id(struct gmem *m, unsigned i)
{
	return load_le32(gmem_ptr(m, USED_AT + 4 + 8 * (i % RING_SIZE), 8));
}

static inline uint32_t used_len(struct gmem *m, unsigned i)
{
	return load_le32((uint8_t *)gmem_ptr(m, USED_AT + 4 + 8 * (i % RING_SIZE), 8) + 4);
}

static inline void queue_init(struct virtq *q, struct gmem *m)
{
	virtq_init(q, m, RING_SIZE);
	q->desc = DESC_AT;
	q->driver = AVAIL_AT;
	q->device = USED_AT;
	q->indirect = true;
	cr_assert_eq(virtq_enable(q), 0);
}

#endif
