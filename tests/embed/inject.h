/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that fail when they are told to: memory, and whatever else the library takes from the host.
 * The functions of the C library are replaced when the program is linked (faults.link). Memory is
 * different: a plain build defines malloc() and its kin over the C library's own, so that what
 * asprintf() or fopen() allocate can fail, too. Under a sanitizer, whose allocator must stay, it is
 * the library's own calls that are replaced.
 */
#ifndef EMBED_INJECT_H
#define EMBED_INJECT_H

#include <stdbool.h>

enum inject_kind {
	INJECT_MEMORY,
	INJECT_MMAP,
	INJECT_MEMFD,
	INJECT_EVENTFD,
	INJECT_EPOLL,
	INJECT_EPOLL_ADD,
	INJECT_TIMERFD,
	INJECT_INOTIFY,
	INJECT_OPEN,
	INJECT_SOCKET,
	INJECT_DUP,
	INJECT_URING,
	INJECT_KVM,
	INJECT_CAPABILITY, /* KVM has none of it */
	INJECT_THREAD,
	INJECT_KINDS
};

/* From now on call number @nth (from 1) of @kind on this thread fails with errno @code; with @all,
 * so do those after it. */
void inject_start(enum inject_kind kind, unsigned nth, bool all, int code);

struct inject_report {
	unsigned calls; /* of that kind since inject_start() */
	bool hit;       /* one was made to fail ... */
	bool required;  /* ... which is not, by design, done without */
};
struct inject_report inject_stop(void);

/* What is allocated: pieces, or bytes under a sanitizer. */
long inject_live(void);

#endif
