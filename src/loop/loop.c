// SPDX-License-Identifier: Apache-2.0
/*
 * The event loop over epoll(7). Timers are timerfds, so that everything the loop waits for is a
 * descriptor in one epoll set and arming needs neither a lock nor a wake-up of the thread.
 *
 * A removed source may still be named by events that the thread has fetched and not yet looked at.
 * So loop_remove only takes it out of the epoll set and marks it dead; the thread frees dead
 * sources right before it fetches events again, when no old event is left.
 */
#include "loop/loop.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "util/err.h"
#include "util/fd.h"
#include "util/thread.h"

#define BATCH 16

struct loop_source {
	struct loop *loop;
	int fd; /* of a timer or an event: owned */
	loop_fd_fn fd_fn;
	loop_fn fn; /* of a timer or an event; exactly one of the two is set */
	void *opaque;

	/* below: under the loop's lock */
	uint32_t events; /* 0: paused */
	bool dead;
	struct loop_source *next_dead;
};

struct loop {
	int epoll_fd, wake_fd;

	pthread_mutex_t lock;
	pthread_cond_t idle; /* running became NULL */
	/* below: under lock */
	pthread_t thread;
	bool started, stop, joined;
	struct loop_source *running; /* whose callback is under way */
	struct loop_source *dead;    /* out of the epoll set, not yet freed */
};

static void source_free(struct loop_source *s)
{
	if (s->fn)
		fd_close(&s->fd);
	free(s);
}

static void free_dead(struct loop_source *s)
{
	while (s) {
		struct loop_source *next = s->next_dead;
		source_free(s);
		s = next;
	}
}

int loop_new(struct loop **ret, struct lacuna_error **err)
{
	AUTO_CLOSE int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		return err_errno(err, "event loop: epoll_create1");
	AUTO_CLOSE int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0)
		return err_errno(err, "event loop: eventfd");
	struct epoll_event event = { .events = EPOLLIN };
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &event) < 0)
		return err_errno(err, "event loop: epoll_ctl");
	struct loop *loop = calloc(1, sizeof(*loop));
	if (!loop)
		return err_nomem(err);
	loop->epoll_fd = TAKE_FD(epoll_fd);
	loop->wake_fd = TAKE_FD(wake_fd);
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->idle, NULL);
	*ret = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	loop_stop(loop);
	free_dead(loop->dead);
	pthread_cond_destroy(&loop->idle);
	pthread_mutex_destroy(&loop->lock);
	fd_close(&loop->wake_fd);
	fd_close(&loop->epoll_fd);
	free(loop);
}

/* False: the loop is to stop. */
static bool next_round(struct loop *loop)
{
	struct loop_source *dead;
	bool stop;
	{
		LOCK_SCOPE(&loop->lock);
		dead = loop->dead;
		loop->dead = NULL;
		stop = loop->stop;
	}
	free_dead(dead);
	return !stop;
}

static void dispatch(struct loop *loop, struct loop_source *s, uint32_t events)
{
	{
		LOCK_SCOPE(&loop->lock);
		/* what was fetched may be out of date: filter by what is wanted now */
		events &= s->events | EPOLLERR | EPOLLHUP;
		if (loop->stop || s->dead || !s->events || !events)
			return;
		loop->running = s;
	}
	if (s->fd_fn)
		s->fd_fn(s->opaque, events);
	else if (eventfd_drain(s->fd)) /* a timerfd reads like one; empty: re-armed meanwhile */
		s->fn(s->opaque);

	LOCK_SCOPE(&loop->lock);
	loop->running = NULL;
	pthread_cond_broadcast(&loop->idle);
}

static void *run(void *opaque)
{
	struct loop *loop = opaque;
	struct epoll_event event[BATCH];

	pthread_setname_np(pthread_self(), "lacuna-loop"); /* that of another would be a file */
	while (next_round(loop)) {
		int n = epoll_wait(loop->epoll_fd, event, BATCH, -1);
		for (int i = 0; i < n; i++) {
			if (event[i].data.ptr)
				dispatch(loop, event[i].data.ptr, event[i].events);
			else
				eventfd_drain(loop->wake_fd);
		}
	}
	return NULL;
}

int loop_start(struct loop *loop, struct lacuna_error **err)
{
	LOCK_SCOPE(&loop->lock); /* the thread waits for it before it reads loop->thread */
	if (loop->started || loop->stop)
		return err_set(err, EALREADY, "event loop: started before");
	int rc = thread_start(&loop->thread, 0, run, loop);
	if (rc) {
		errno = rc;
		return err_errno(err, "event loop: start the thread");
	}
	loop->started = true;
	return 0;
}

void loop_stop(struct loop *loop)
{
	pthread_t thread;
	if (!loop)
		return;
	{
		LOCK_SCOPE(&loop->lock);
		loop->stop = true;
		if (!loop->started || loop->joined)
			return;
		loop->joined = true;
		thread = loop->thread;
	}
	eventfd_signal(loop->wake_fd);
	pthread_join(thread, NULL);
}

/* Level-triggered; for a paused source edge-triggered, since epoll reports errors and hang-ups even
 * if nobody waits for them: that way each comes once and dispatch() drops it. */
static struct epoll_event epoll_event_of(struct loop_source *s)
{
	return (struct epoll_event){
		.events = s->events ? s->events : (uint32_t)EPOLLET,
		.data.ptr = s,
	};
}

/* The callback may run before this returns, but not before it finds the source in *@ret. */
static int add(struct loop *loop, struct loop_source *s, struct loop_source **ret)
{
	LOCK_SCOPE(&loop->lock);
	struct epoll_event event = epoll_event_of(s);
	int rc = epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, s->fd, &event);
	if (rc == 0)
		*ret = s;
	return rc;
}

int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *opaque,
	struct loop_source **ret, struct lacuna_error **err)
{
	struct loop_source *s = malloc(sizeof(*s));
	if (!s)
		return err_nomem(err);
	*s = (struct loop_source){
		.loop = loop, .fd = fd, .events = events, .fd_fn = fn, .opaque = opaque
	};
	if (add(loop, s, ret) == 0)
		return 0;
	int rc = err_errno(err, "event loop: watch descriptor %d", fd);
	source_free(s);
	return rc;
}

void loop_set_events(struct loop_source *s, uint32_t events)
{
	LOCK_SCOPE(&s->loop->lock);
	if (s->dead || s->events == events)
		return;
	s->events = events;
	struct epoll_event event = epoll_event_of(s);
	epoll_ctl(s->loop->epoll_fd, EPOLL_CTL_MOD, s->fd, &event);
}

/* Takes @fd, which reads like an eventfd. */
static int add_own(struct loop *loop, int fd, loop_fn fn, void *opaque, struct loop_source **ret,
	struct lacuna_error **err)
{
	AUTO_CLOSE int own = fd;
	struct loop_source *s = malloc(sizeof(*s));
	if (!s)
		return err_nomem(err);
	*s = (struct loop_source){
		.loop = loop, .fd = TAKE_FD(own), .events = EPOLLIN, .fn = fn, .opaque = opaque
	};
	if (add(loop, s, ret) == 0)
		return 0;
	int rc = err_errno(err, "event loop: epoll_ctl");
	source_free(s);
	return rc;
}

int loop_add_timer(struct loop *loop, loop_fn fn, void *opaque, struct loop_source **ret,
	struct lacuna_error **err)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0)
		return err_errno(err, "event loop: timerfd_create");
	return add_own(loop, fd, fn, opaque, ret, err);
}

int loop_add_event(struct loop *loop, loop_fn fn, void *opaque, struct loop_source **ret,
	struct lacuna_error **err)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return err_errno(err, "event loop: eventfd");
	return add_own(loop, fd, fn, opaque, ret, err);
}

void loop_signal(struct loop_source *event)
{
	eventfd_signal(event->fd);
}

static struct timespec timespec_of(uint64_t us)
{
	return (struct timespec){
		.tv_sec = (time_t)(us / 1000000),
		.tv_nsec = (long)(us % 1000000) * 1000,
	};
}

void loop_arm(struct loop_source *timer, uint64_t first_us, uint64_t period_us)
{
	struct itimerspec spec = {
		.it_value = timespec_of(first_us),
		.it_interval = timespec_of(period_us),
	};
	timerfd_settime(timer->fd, 0, &spec, NULL);
}

void loop_remove(struct loop_source *s)
{
	if (!s)
		return;
	struct loop *loop = s->loop;
	bool was_empty;
	{
		LOCK_SCOPE(&loop->lock);
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
		s->dead = true;
		/* running is only ever set by the thread, so loop->thread is valid where it is read
		 */
		while (loop->running == s && !pthread_equal(pthread_self(), loop->thread))
			pthread_cond_wait(&loop->idle, &loop->lock);
		was_empty = !loop->dead;
		s->next_dead = loop->dead;
		loop->dead = s;
	}
	if (was_empty)
		eventfd_signal(loop->wake_fd); /* to be freed soon, even if nothing else happens */
}
