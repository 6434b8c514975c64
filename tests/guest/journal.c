// SPDX-License-Identifier: Apache-2.0
/*
 * Writes numbered blocks, many at a time, and flushes between them without ever waiting for the
 * queue to be empty. "flushed N" means: every block up to number N was complete before a flush was
 * sent, and the flush is complete. Whatever happens to the machine then, those blocks are there.
 * Block n lies at place n modulo the blocks of the disk, and holds its number in every word. Never
 * ends.
 */
#include "guest.h"
#include "io.h"
#include "pci.h"
#include "print.h"
#include "virtio.h"

#define BLOCK   4096
#define SECTORS (BLOCK / 512)
#define WRITES  16 /* under way */
#define WINDOW  48 /* how far the newest is ahead of the oldest that is not complete */
#define FLUSH   WRITES

#define BLK_OUT     1
#define BLK_FLUSH   4
#define BLK_F_FLUSH (UINT64_C(1) << 9)

static volatile struct virtq queue;
static struct virtio dev;
static uint64_t data[WRITES][BLOCK / 8] __attribute__((aligned(BLOCK)));
static struct {
	uint32_t type, reserved;
	uint64_t sector;
} header[WRITES + 1];
static volatile uint8_t status[WRITES + 1];
static uint64_t number[WRITES + 1]; /* 0: free */
static bool complete[64];           /* of block n at n modulo 64 */
_Static_assert(WINDOW < 64, "no two of the window share a place");

static void submit(unsigned slot, uint32_t type, uint64_t n, uint64_t sector)
{
	uint16_t first = slot * 3;
	number[slot] = n;
	header[slot].type = type;
	header[slot].sector = sector;
	status[slot] = 0xee;
	virtq_set(&queue, first, (uint64_t)&header[slot], sizeof(header[slot]), VIRTQ_NEXT,
		type == BLK_OUT ? first + 1 : first + 2);
	if (type == BLK_OUT)
		virtq_set(&queue, first + 1, (uint64_t)data[slot], BLOCK, VIRTQ_NEXT, first + 2);
	virtq_set(&queue, first + 2, (uint64_t)&status[slot], 1, VIRTQ_WRITE, 0);
	virtio_submit(&dev, first);
}

/* The slot of the next request that is complete, or a negative number. */
static int wait_one(void)
{
	uint32_t len;
	if (!virtio_wait(&dev, &len))
		return -1;
	unsigned slot = queue.used.ring[(uint16_t)(queue.seen - 1) % VIRTQ_SIZE].id / 3;
	return slot <= FLUSH && number[slot] && status[slot] == 0 ? (int)slot : -1;
}

int guest_main(void)
{
	pci_init();
	if (!virtio_find(&dev, VIRTIO_ID_BLK) || !virtio_start(&dev, BLK_F_FLUSH, &queue))
		return 1;
	uint64_t blocks = mem_read(dev.device, 4) / SECTORS;
	/* Every block below next was written, every one up to done is complete. */
	uint64_t next = 1, done = 0, flushed = 0;
	for (;;) {
		for (unsigned s = 0; s < WRITES && next - done < WINDOW; s++) {
			if (number[s])
				continue;
			for (unsigned i = 0; i < BLOCK / 8; i++)
				data[s][i] = next;
			submit(s, BLK_OUT, next, next % blocks * SECTORS);
			next++;
		}
		if (!number[FLUSH] && done > flushed)
			submit(FLUSH, BLK_FLUSH, done, 0);
		int slot = wait_one();
		if (slot < 0)
			return 2;
		if (slot == FLUSH) {
			flushed = number[slot];
			print("flushed %lu\n", flushed);
		} else {
			complete[number[slot] % 64] = true;
		}
		number[slot] = 0;
		while (complete[(done + 1) % 64]) {
			done++;
			complete[done % 64] = false;
		}
	}
}
