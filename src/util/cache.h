/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_CACHE_H
#define UTIL_CACHE_H

#define CACHE_LINE 64

/*
 * Writes the cache line that holds @p back to memory and drops it. A guest maps ECAM uncached, and
 * on AMD its reads then go past the caches, so what the host has just written must be in memory
 * before the guest's next read. Works on any alias of the page: caches are tagged by physical
 * address.
 */
static inline void cache_flush_line(const void *p)
{
	__builtin_ia32_mfence();
	__builtin_ia32_clflush(p);
	__builtin_ia32_mfence();
}

#endif
