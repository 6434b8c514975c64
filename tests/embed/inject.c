// SPDX-License-Identifier: Apache-2.0
/* The functions that can fail, in place of the C library's. */
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/kvm.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "held.h"

static _Thread_local struct {
	bool on, all;
	enum inject_kind kind;
	unsigned nth;
	int code;
	bool in_smaps;      /* being read for a figure in the statistics */
	unsigned in_printf; /* allocations of the asprintf() under way, and one; 0: none is */
	struct inject_report report;
} state;

void inject_start(enum inject_kind kind, unsigned nth, bool all, int code)
{
	state.kind = kind;
	state.nth = nth;
	state.all = all;
	state.code = code;
	state.report = (struct inject_report){ .calls = 0 };
	state.on = true;
}

struct inject_report inject_stop(void)
{
	state.on = false;
	return state.report;
}

/* True, with errno set, when this call of @kind is to fail. */
static bool fails(enum inject_kind kind, bool optional)
{
	if (!state.on || state.kind != kind)
		return false;
	unsigned n = ++state.report.calls;
	if (n != state.nth && !(state.all && n > state.nth))
		return false;
	state.report.hit = true;
	state.report.required |= !optional;
	errno = state.code;
	return true;
}

/* Where memory is out, asprintf() returns more of it than it needs. */
static bool no_memory(void)
{
	bool printf_again = state.in_printf && state.in_printf++ > 1;
	return fails(INJECT_MEMORY, state.in_smaps || printf_again);
}

/* What gets smaller stays where it is. */
static bool no_more_memory(void *p, size_t size)
{
	return (!p || size > malloc_usable_size(p)) && no_memory();
}

#if SANITIZED
size_t __sanitizer_get_current_allocated_bytes(void);

long inject_live(void)
{
	return (long)__sanitizer_get_current_allocated_bytes();
}

#define WRAP(type, name, params, args)     \
	type __real_##name params;         \
	type __wrap_##name params;         \
	type __wrap_##name params          \
	{                                  \
		if (no_memory())           \
			return NULL;       \
		return __real_##name args; \
	}

WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t n, size_t size), (n, size))
void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size)
{
	return no_more_memory(p, size) ? NULL : __real_realloc(p, size);
}
WRAP(void *, reallocarray, (void *p, size_t n, size_t size), (p, n, size))
WRAP(void *, aligned_alloc, (size_t align, size_t size), (align, size))
WRAP(char *, strdup, (const char *s), (s))
#else
static _Atomic long live;

long inject_live(void)
{
	return live;
}

#define PUBLIC __attribute__((visibility("default")))

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *p);

static void *counted(void *p)
{
	if (p)
		live++;
	return p;
}

PUBLIC void *malloc(size_t size)
{
	return no_memory() ? NULL : counted(__libc_malloc(size));
}

PUBLIC void *calloc(size_t nmemb, size_t size)
{
	return no_memory() ? NULL : counted(__libc_calloc(nmemb, size));
}

PUBLIC void *realloc(void *ptr, size_t size)
{
	if (no_more_memory(ptr, size))
		return NULL;
	if (!ptr)
		return counted(__libc_realloc(NULL, size));
	void *moved = __libc_realloc(ptr, size);
	if (!size && !moved)
		live--;
	return moved;
}

PUBLIC void *aligned_alloc(size_t alignment, size_t size)
{
	return no_memory() ? NULL : counted(__libc_memalign(alignment, size));
}

PUBLIC void free(void *ptr)
{
	if (ptr)
		live--;
	__libc_free(ptr);
}
#endif

int __real_vasprintf(char **ret, const char *format, va_list ap);
int __wrap_vasprintf(char **ret, const char *format, va_list ap);
int __wrap_vasprintf(char **ret, const char *format, va_list ap)
{
#if SANITIZED
	if (no_memory())
		return -1;
#endif
	state.in_printf = 1;
	int rc = __real_vasprintf(ret, format, ap);
	state.in_printf = 0;
	return rc;
}

int __wrap_asprintf(char **ret, const char *format, ...);
int __wrap_asprintf(char **ret, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int rc = __wrap_vasprintf(ret, format, ap);
	va_end(ap);
	return rc;
}

/* What they are called when _FORTIFY_SOURCE is on. */
int __wrap___vasprintf_chk(char **ret, int flag, const char *format, va_list ap);
int __wrap___vasprintf_chk(char **ret, int flag, const char *format, va_list ap)
{
	return __wrap_vasprintf(ret, format, ap);
}

int __wrap___asprintf_chk(char **ret, int flag, const char *format, ...);
int __wrap___asprintf_chk(char **ret, int flag, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int rc = __wrap_vasprintf(ret, format, ap);
	va_end(ap);
	return rc;
}

/* --- all else --- */

void *__real_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
	if (fails(INJECT_MMAP, false))
		return MAP_FAILED;
	return __real_mmap(at, size, prot, flags, fd, offset);
}

#define WRAP_INT(kind, optional, name, params, args)                    \
	int __real_##name params;                                       \
	int __wrap_##name params;                                       \
	int __wrap_##name params                                        \
	{                                                               \
		return fails(kind, optional) ? -1 : __real_##name args; \
	}

WRAP_INT(INJECT_MEMFD, false, memfd_create, (const char *name, unsigned flags), (name, flags))
WRAP_INT(INJECT_EVENTFD, false, eventfd, (unsigned count, int flags), (count, flags))
WRAP_INT(INJECT_EPOLL, false, epoll_create1, (int flags), (flags))
WRAP_INT(INJECT_TIMERFD, false, timerfd_create, (int clock, int flags), (clock, flags))
WRAP_INT(INJECT_SOCKET, false, pipe2, (int *ret, int flags), (ret, flags))
WRAP_INT(INJECT_SOCKET, false, socketpair, (int domain, int type, int protocol, int *ret),
	(domain, type, protocol, ret))
WRAP_INT(INJECT_SOCKET, false, socket, (int domain, int type, int protocol),
	(domain, type, protocol))

/* A host without watches to spare is no reason to refuse a file. */
WRAP_INT(INJECT_INOTIFY, true, inotify_init1, (int flags), (flags))

int __real_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
	if (op == EPOLL_CTL_ADD && fails(INJECT_EPOLL_ADD, false))
		return -1;
	return __real_epoll_ctl(epoll, op, fd, event);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return fails(INJECT_OPEN, false) ? -1 : __real_open(path, flags, mode);
}

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return fails(INJECT_OPEN, false) ? -1 : __real_openat(dir, path, flags, mode);
}

int __wrap___openat_2(int dir, const char *path, int flags);
int __wrap___openat_2(int dir, const char *path, int flags)
{
	return __wrap_openat(dir, path, flags);
}

int __wrap___open_2(const char *path, int flags); /* what it may be called with _FORTIFY_SOURCE */
int __wrap___open_2(const char *path, int flags)
{
	return __wrap_open(path, flags);
}

/* What is not a number is a pointer, and both come in a register. */
int __real_fcntl(int fd, int op, ...);
int __wrap_fcntl(int fd, int op, ...);
int __wrap_fcntl(int fd, int op, ...)
{
	va_list ap;
	va_start(ap, op);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	if ((op == F_DUPFD_CLOEXEC || op == F_DUPFD) && fails(INJECT_DUP, false))
		return -1;
	return __real_fcntl(fd, op, arg);
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	va_start(ap, request);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	/* what KVM is and has is asked, not taken; the guest can do without its TSC's frequency */
	bool counts = _IOC_TYPE(request) == KVMIO && request != KVM_CHECK_EXTENSION &&
		      request != KVM_GET_API_VERSION;
	if (counts && fails(INJECT_KVM, request == KVM_GET_TSC_KHZ))
		return -1;
	if (request == KVM_CHECK_EXTENSION && fails(INJECT_CAPABILITY, false))
		return 0;
	return __real_ioctl(fd, request, arg);
}

int __real_io_uring_queue_init_params(
	unsigned entries, struct io_uring *ring, struct io_uring_params *p);
int __wrap_io_uring_queue_init_params(
	unsigned entries, struct io_uring *ring, struct io_uring_params *p);
int __wrap_io_uring_queue_init_params(
	unsigned entries, struct io_uring *ring, struct io_uring_params *p)
{
	return fails(INJECT_URING, false) ? -state.code
					  : __real_io_uring_queue_init_params(entries, ring, p);
}

int __real_pthread_create(
	pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int __wrap_pthread_create(
	pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int __wrap_pthread_create(
	pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	return fails(INJECT_THREAD, false) ? state.code
					   : __real_pthread_create(ret, attr, run, arg);
}

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode)
{
	state.in_smaps = !strcmp(path, "/proc/self/smaps");
	FILE *f = __real_fopen(path, mode);
	state.in_smaps &= f != NULL;
	return f;
}

int __real_fclose(FILE *f);
int __wrap_fclose(FILE *f);
int __wrap_fclose(FILE *f)
{
	state.in_smaps = false;
	return __real_fclose(f);
}
