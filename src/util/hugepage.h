/* SPDX-License-Identifier: Apache-2.0 */
/* Transparent huge pages of 2 MiB (Documentation/admin-guide/mm/transhuge.rst). */
#ifndef UTIL_HUGEPAGE_H
#define UTIL_HUGEPAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

#define HUGEPAGE_SIZE 0x200000ul

/* Maps @size bytes of anonymous memory, a multiple of 4 KiB, that begin at a multiple of
 * HUGEPAGE_SIZE, as a huge page must, and are backed when touched. MAP_FAILED with errno. */
static inline void *map_huge_aligned(size_t size)
{
	uint8_t *map = (uint8_t *)mmap(NULL, size + HUGEPAGE_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return MAP_FAILED;
	size_t head = -(uintptr_t)map & (HUGEPAGE_SIZE - 1);
	if (head)
		munmap(map, head);
	munmap(map + head + size, HUGEPAGE_SIZE - head);
	return map + head;
}

#endif
