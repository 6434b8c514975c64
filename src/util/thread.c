// SPDX-License-Identifier: Apache-2.0
/* Starting threads. */
#include "util/thread.h"

#include <signal.h>

/* Well below 2 MiB: where transparent huge pages are on for all mappings, the first touch of a
 * default stack (8 MiB) can cost a whole huge page, for every thread of every VM. */
#define STACK_SIZE ((size_t)256 * 1024)

int thread_start(pthread_t *ret, int unblocked, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	int rc = pthread_attr_init(&attr);
	if (rc)
		return rc;
	sigset_t mask, old;
	sigfillset(&mask);
	if (unblocked)
		sigdelset(&mask, unblocked);
	rc = pthread_attr_setstacksize(&attr, STACK_SIZE);
	if (rc == 0) {
		pthread_sigmask(SIG_SETMASK, &mask, &old); /* threads inherit it */
		rc = pthread_create(ret, &attr, run, arg);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	pthread_attr_destroy(&attr);
	return rc;
}
