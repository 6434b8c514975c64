/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: one thread per VM that waits in epoll for descriptors and timers. Callbacks run
 * on that thread, one at a time, and must not block. Sources may be added and removed by any
 * thread; after loop_remove has returned, the callback runs no more (called on the loop thread
 * itself, it returns at once; from elsewhere it waits for a callback under way). A thread that
 * calls loop_remove from elsewhere must not hold a lock that the callback takes.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <lacuna/error.h>
#include <stdint.h>

struct loop;
struct loop_source;

/* @events is what epoll reported (EPOLLIN, EPOLLOUT, EPOLLHUP ...). */
typedef void (*loop_fd_fn)(void *opaque, uint32_t events);
typedef void (*loop_fn)(void *opaque);

int loop_new(struct loop **ret, struct lacuna_error **err);
/* All sources must have been removed. The thread is stopped first if it runs. */
void loop_free(struct loop *loop);

/* The thread blocks all signals. Stopping waits for the callback under way; a stopped loop can't be
 * started again. loop_stop(NULL) is fine. */
int loop_start(struct loop *loop, struct lacuna_error **err);
void loop_stop(struct loop *loop);

/* Watches @fd (not owned; level-triggered unless @events has EPOLLET) for @events. -EPERM for a
 * descriptor that epoll can't watch, as a regular file. */
int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *opaque,
	struct loop_source **ret, struct lacuna_error **err);
/* Changes what is waited for; 0 pauses the source (nothing is reported, not even errors). */
void loop_set_events(struct loop_source *source, uint32_t events);

/* A timer, disarmed at first. loop_arm: first after @first_us, then every @period_us (0: once);
 * first_us 0 disarms. Any thread, any lock. */
int loop_add_timer(struct loop *loop, loop_fn fn, void *opaque, struct loop_source **ret,
	struct lacuna_error **err);
void loop_arm(struct loop_source *timer, uint64_t first_us, uint64_t period_us);

/* Deferred work: @fn runs on the loop's thread some time after each loop_signal(); signals that
 * come before it runs are one. loop_signal: any thread, any lock. */
int loop_add_event(struct loop *loop, loop_fn fn, void *opaque, struct loop_source **ret,
	struct lacuna_error **err);
void loop_signal(struct loop_source *event);

void loop_remove(struct loop_source *source); /* NULL is fine */

#endif
