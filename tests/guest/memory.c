// SPDX-License-Identifier: Apache-2.0
/*
 * Devices that are about memory, driven by hand, well and badly.
 *   test=balloon    pages given away and reported; lists of what is no page of ours; statistics
 *   test=pmem       what the host put there is read, a pattern is written and flushed
 *   test=read-only  the same memory, when writes to it must be dropped
 *   test=gone       reads the memory until it is gone, which ends the machine
 */
#include <stddef.h>

#include "guest.h"
#include "io.h"
#include "paging.h"
#include "pci.h"
#include "print.h"
#include "string.h"
#include "virtio.h"

#define PAGE UINT64_C(4096)

#define INFLATE       0
#define DEFLATE       1
#define STATS         2
#define REPORTING     4
#define F_STATS       (UINT64_C(1) << 1)
#define F_REPORTING   (UINT64_C(1) << 5)
#define CONFIG_PAGES  0
#define CONFIG_ACTUAL 4

#define FLUSH    0
#define ANSWERED 0xeeeeeeee /* never written by a device */

static volatile struct virtq queue __attribute__((aligned(4096)));
static struct virtio dev;
static volatile uint8_t pages[16 * PAGE] __attribute__((aligned(4096)));
static uint32_t list[1024];

static int fail(const char *what)
{
	print("FAILED: %s\n", what);
	return 1;
}

/* --- balloon --- */

static bool start(unsigned index)
{
	dev.index = index;
	return virtio_start(&dev, F_STATS | F_REPORTING, &queue);
}

static void fill_pages(void)
{
	memset((void *)pages, 0xff, sizeof(pages));
}

/* Which of our pages have lost their content, a bit for each. */
static unsigned lost_pages(void)
{
	unsigned lost = 0;
	for (unsigned i = 0; i < sizeof(pages) / PAGE; i++)
		lost |= (unsigned)(pages[i * PAGE] == 0 && pages[(i + 1) * PAGE - 1] == 0) << i;
	return lost;
}

static uint32_t pfn(unsigned page)
{
	return (uint32_t)((uint64_t)&pages[page * PAGE] / PAGE);
}

/* One chain of one buffer; false when the device needs a reset. */
static bool offer(const volatile void *data, uint32_t len, uint16_t flags)
{
	uint32_t written;
	virtq_set(&queue, 0, (uint64_t)data, len, flags, 0);
	virtio_submit(&dev, 0);
	return virtio_wait(&dev, &written) && written == 0;
}

static bool inflate_wrongly(void)
{
	static const uint32_t wrong[] = { 0xffffffff, 0x80000000, 0xe0000, 0xfee00, 0xfec00,
		0xc0000, 0x100000, 0xfffff };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		list[2 * i] = wrong[i];
		list[2 * i + 1] = pfn(3);
	}
	if (!offer(list, sizeof(wrong) * 2, 0) || lost_pages() != 1u << 3)
		return false;
	/* the ECAM window and BARs are as they were */
	if (mem_read(dev.device + CONFIG_PAGES, 4) != 1024 || !virtio_status(&dev))
		return false;
	if (!offer(list, 0, 0) || !offer(list, 3, 0) || !offer(list, 4, VIRTQ_WRITE))
		return false;
	return lost_pages() == 1u << 3;
}

/* The list takes away the ring through which it came; whatever happens, a reset mends it. */
static bool inflate_the_ring(void)
{
	list[0] = (uint32_t)((uint64_t)&queue / PAGE);
	virtq_set(&queue, 0, (uint64_t)list, 4, 0, 0);
	virtio_submit(&dev, 0);
	for (unsigned i = 0; i < 2; i++) { /* the ring is mended, or another request breaks it */
		start(INFLATE);
		list[0] = pfn(7);
		if (offer(list, 4, 0))
			return lost_pages() & 1u << 7;
	}
	return false;
}

static int test_balloon(void)
{
	pci_init();
	if (!virtio_find(&dev, VIRTIO_ID_BALLOON) || !start(INFLATE))
		return fail("no balloon");
	if (mem_read(dev.device + CONFIG_PAGES, 4) != 1024)
		return fail("the target is not 4 MiB");
	fill_pages();
	list[0] = pfn(5);
	list[1] = pfn(6);
	list[2] = pfn(1);
	if (!offer(list, 12, 0) || lost_pages() != (3u << 5 | 1u << 1))
		return fail("inflate");
	mem_write(dev.device + CONFIG_ACTUAL, 3, 4);
	if (mem_read(dev.device + CONFIG_ACTUAL, 4) != 3)
		return fail("actual");
	mem_write(dev.device + CONFIG_PAGES, 9, 4);
	fill_pages();
	if (!inflate_wrongly())
		return fail("pages that are none");
	if (!inflate_the_ring())
		return fail("no service after a lost ring");
	if (!start(DEFLATE) || !offer(list, 4, 0))
		return fail("deflate");
	fill_pages();
	if (!start(REPORTING) || !offer(&pages[8 * PAGE], 4 * PAGE, VIRTQ_WRITE) ||
		lost_pages() != 15u << 8)
		return fail("report");
	if (offer(&pages[0], 0xffffffff, VIRTQ_WRITE))
		return fail("a report beyond RAM");
	if (!start(STATS))
		return fail("no service after a reset");
	virtq_set(&queue, 0, (uint64_t)list, 30, 0, 0);
	virtq_set(&queue, 1, (uint64_t)pages, sizeof(pages), 0, 0);
	virtio_submit(&dev, 0);
	uint32_t written;
	virtio_submit(&dev, 1); /* there may be one only: the first comes back */
	if (!virtio_wait(&dev, &written))
		return fail("statistics");
	virtio_reset(&dev);
	print("balloon: done\n");
	return 0;
}

/* --- persistent memory --- */

static volatile uint8_t *memory;
static uint64_t memory_size;
static uint32_t request, answer;

static bool pmem_find(void)
{
	pci_init();
	if (!virtio_find(&dev, VIRTIO_ID_PMEM) || !virtio_start(&dev, 0, &queue))
		return false;
	uint64_t base = mem_read(dev.device, 4) | mem_read(dev.device + 4, 4) << 32;
	memory_size = mem_read(dev.device + 8, 4) | mem_read(dev.device + 12, 4) << 32;
	memory = (volatile uint8_t *)base;
	print("pmem: %lu bytes at 0x%lx\n", memory_size, base);
	paging_map(base, memory_size);
	return memory[0] == 'h' && memory[1] == 'i';
}

static uint32_t ask(uint32_t type)
{
	uint32_t written;
	request = type;
	answer = ANSWERED;
	virtq_set(&queue, 0, (uint64_t)&request, 4, VIRTQ_NEXT, 1);
	virtq_set(&queue, 1, (uint64_t)&answer, 4, VIRTQ_WRITE, 0);
	virtio_submit(&dev, 0);
	return virtio_wait(&dev, &written) && written == 4 ? answer : ANSWERED;
}

static bool breaks(uint64_t addr, uint32_t len, uint16_t flags)
{
	uint32_t written;
	virtq_set(&queue, 0, addr, len, flags, 0);
	virtio_submit(&dev, 0);
	bool broke = !virtio_wait(&dev, &written);
	return broke && virtio_start(&dev, 0, &queue);
}

static int test_pmem(void)
{
	if (!pmem_find())
		return fail("no memory");
	for (unsigned i = 0; i < PAGE; i++)
		memory[PAGE + i] = memory[memory_size - PAGE + i] = 'a' + i % 26;
	if (ask(FLUSH) != 0)
		return fail("flush");
	if (ask(1) != UINT32_MAX || ask(UINT32_MAX) != UINT32_MAX)
		return fail("unknown requests");
	if (!breaks((uint64_t)&request, 4, 0) || !breaks((uint64_t)&answer, 4, VIRTQ_WRITE) ||
		!breaks((uint64_t)memory + memory_size, 4, 0) ||
		!breaks((uint64_t)memory + memory_size - 2, 4, 0) ||
		!breaks((uint64_t)memory, 16, VIRTQ_INDIRECT))
		return fail("requests that are none");
	/* A request may be in that memory, a ring may not. */
	uint32_t written;
	volatile uint32_t *words = (volatile uint32_t *)(memory + 2 * PAGE);
	words[0] = FLUSH;
	words[1] = ANSWERED;
	virtq_set(&queue, 0, (uint64_t)&words[0], 4, VIRTQ_NEXT, 1);
	virtq_set(&queue, 1, (uint64_t)&words[1], 4, VIRTQ_WRITE, 0);
	virtio_submit(&dev, 0);
	if (!virtio_wait(&dev, &written) || words[1] != 0)
		return fail("a request in the memory itself");
	if (!virtio_negotiate(&dev, VIRTIO_F_VERSION_1))
		return fail("no service any more");
	virtio_set_queue(&dev, (volatile struct virtq *)(memory + 4 * PAGE));
	if (!(virtio_status(&dev) & VIRTIO_STATUS_NEEDS_RESET))
		return fail("a ring in the memory");
	print("pmem: done\n");
	return 0;
}

static int test_read_only(void)
{
	if (!pmem_find())
		return fail("no memory");
	for (unsigned i = 0; i < 64; i++)
		memory[i] = 'x';
	if (memory[0] != 'h' || memory[63] != 0)
		return fail("written");
	if (ask(FLUSH) != 0)
		return fail("flush");
	print("read-only: done\n");
	return 0;
}

static int test_gone(void)
{
	if (!pmem_find())
		return fail("no memory");
	print("ready\n");
	for (;;)
		(void)memory[memory_size - 1];
}

int guest_main(void)
{
	static const struct guest_case cases[] = {
		{ "balloon", test_balloon },
		{ "pmem", test_pmem },
		{ "read-only", test_read_only },
		{ "gone", test_gone },
	};
	return GUEST_CASES(cases);
}
