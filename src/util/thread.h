/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads, and mutexes whose scope is a block, and the lock order of a VM, outermost first:
 *
 *	machine (life cycle)  >  properties of devices  >  coalesced ring  >  pci host  >
 *		virtio device  >  queues of a custom virtio device, DMA of a custom function,
 *		other devices  >  MSI-X  >  interrupt routes  >  bus  >  loop  >
 *		end of the machine, bytes of configuration space
 *
 * A thread that holds one of these may take those to its right, never one to its left. The bus
 * lock is held for a look-up only, never while a handler runs. No lock is held across blocking I/O.
 */
#ifndef UTIL_THREAD_H
#define UTIL_THREAD_H

#include <pthread.h>

static inline void mutex_unlock_scope(pthread_mutex_t **m)
{
	pthread_mutex_unlock(*m);
}

#define LOCK_CAT2(a, b) a##b
#define LOCK_CAT(a, b)  LOCK_CAT2(a, b)

/* Locks @m until the end of the enclosing block. */
#define LOCK_SCOPE(m)                                                                   \
	__attribute__((cleanup(mutex_unlock_scope), unused)) pthread_mutex_t *LOCK_CAT( \
		lock_, __LINE__) = (pthread_mutex_lock(m), (m))

/*
 * pthread_create() with a small stack and every signal blocked but @unblocked (0: none), for
 * signals belong to the program's threads. Returns 0 or a positive errno, as pthread_create() does.
 */
int thread_start(pthread_t *ret, int unblocked, void *(*run)(void *), void *arg);

#endif
