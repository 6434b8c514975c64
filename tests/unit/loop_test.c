// SPDX-License-Identifier: Apache-2.0
/* The event loop: what is reported, what is not, and what loop_remove promises. No test waits for
 * time to pass: threads meet at semaphores, and a test that hangs is ended by its time limit. */
#include "loop/loop.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/err.h"
#include "util/fd.h"

TestSuite(loop, .timeout = 30);

struct probe {
	struct loop_source *source;
	struct probe *other;
	int fd;
	atomic_int calls;
	uint32_t events;
	sem_t called;
	atomic_bool flag, finished;
};

static struct loop *loop_make(void)
{
	struct loop *loop = NULL;
	cr_assert_eq(loop_new(&loop, NULL), 0);
	return loop;
}

static void probe_init(struct probe *p)
{
	*p = (struct probe){ .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	sem_init(&p->called, 0, 0);
}

static void probe_watch(struct loop *loop, struct probe *p, loop_fd_fn fn)
{
	cr_assert_eq(loop_add_fd(loop, p->fd, EPOLLIN, fn, p, &p->source, NULL), 0);
}

static void drain_and_count(void *opaque, uint32_t events)
{
	struct probe *p = opaque;
	eventfd_drain(p->fd);
	p->events = events;
	p->calls++;
	sem_post(&p->called);
}

Test(loop, reports_readable_descriptor)
{
	struct loop *loop = loop_make();
	struct probe p;
	probe_init(&p);
	probe_watch(loop, &p, drain_and_count);
	cr_assert_eq(loop_start(loop, NULL), 0);
	for (int i = 1; i <= 3; i++) {
		eventfd_signal(p.fd);
		sem_wait(&p.called);
		cr_expect_eq(p.calls, i);
		cr_expect_eq(p.events, (uint32_t)EPOLLIN);
	}
	loop_remove(p.source);
	loop_free(loop);
}

/* What is ready is handed out in the order in which it became so: once the call for a later event
 * is seen, an earlier one that has not come will not come. */
Test(loop, paused_source_is_silent_even_on_hangup)
{
	struct loop *loop = loop_make();
	struct probe p, later;
	int pipe_fd[2];
	probe_init(&p);
	probe_init(&later);
	cr_assert_eq(pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK), 0);
	close(p.fd);
	p.fd = pipe_fd[0];
	probe_watch(loop, &p, drain_and_count);
	probe_watch(loop, &later, drain_and_count);
	cr_assert_eq(loop_start(loop, NULL), 0);

	loop_set_events(p.source, 0);
	cr_assert_eq(write(pipe_fd[1], "x", 1), 1);
	close(pipe_fd[1]);
	for (int i = 0; i < 3; i++) {
		eventfd_signal(later.fd);
		sem_wait(&later.called);
	}
	cr_expect_eq(p.calls, 0);

	loop_set_events(p.source, EPOLLIN);
	sem_wait(&p.called);
	loop_remove(p.source); /* it hangs up again and again */
	cr_expect(p.events & (EPOLLIN | EPOLLHUP));
	loop_remove(later.source);
	loop_free(loop);
}

static void look_for_source(void *opaque, uint32_t events)
{
	struct probe *p = opaque;
	p->calls += p->source != NULL;
	eventfd_drain(p->fd);
	sem_post(&p->called);
}

/* Also where the descriptor is ready at once, so that the callback may come before loop_add_fd()
 * returns. */
Test(loop, callback_finds_its_source)
{
	enum { TIMES = 2000 };
	struct loop *loop = loop_make();
	struct probe p;
	probe_init(&p);
	cr_assert_eq(loop_start(loop, NULL), 0);
	for (int i = 0; i < TIMES; i++) {
		p.source = NULL;
		eventfd_signal(p.fd);
		probe_watch(loop, &p, look_for_source);
		sem_wait(&p.called);
		loop_remove(p.source);
	}
	cr_expect_eq(p.calls, TIMES);
	loop_free(loop);
}

Test(loop, regular_file_cannot_be_watched)
{
	struct loop *loop = loop_make();
	struct loop_source *source = NULL;
	struct lacuna_error *err = NULL;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_expect_eq(loop_add_fd(loop, fd, EPOLLIN, drain_and_count, NULL, &source, &err), -EPERM);
	cr_expect_not_null(err);
	cr_expect_null(source);
	lacuna_error_free(err);
	loop_free(loop);
}

static void count(void *opaque)
{
	struct probe *p = opaque;
	p->calls++;
	sem_post(&p->called);
}

Test(loop, timer_once_and_periodic)
{
	struct loop *loop = loop_make();
	struct probe once, periodic;
	probe_init(&once);
	probe_init(&periodic);
	cr_assert_eq(loop_add_timer(loop, count, &once, &once.source, NULL), 0);
	cr_assert_eq(loop_add_timer(loop, count, &periodic, &periodic.source, NULL), 0);
	cr_assert_eq(loop_start(loop, NULL), 0);
	loop_arm(once.source, 1, 0);
	sem_wait(&once.called);
	loop_arm(periodic.source, 1, 100);
	for (int i = 0; i < 5; i++)
		sem_wait(&periodic.called);
	cr_expect_eq(once.calls, 1);
	loop_remove(periodic.source);
	int seen = periodic.calls;
	loop_arm(once.source, 1, 0); /* may be used again; the removed one is silent meanwhile */
	sem_wait(&once.called);
	cr_expect_eq(once.calls, 2);
	cr_expect_eq(periodic.calls, seen);
	loop_remove(once.source);
	loop_free(loop);
}

static void disarm_after_three(void *opaque)
{
	struct probe *p = opaque;
	if (++p->calls == 3)
		loop_arm(p->source, 0, 0);
	sem_post(&p->called);
}

Test(loop, timer_disarmed_by_its_callback)
{
	struct loop *loop = loop_make();
	struct probe p, later;
	probe_init(&p);
	probe_init(&later);
	cr_assert_eq(loop_add_timer(loop, disarm_after_three, &p, &p.source, NULL), 0);
	cr_assert_eq(loop_add_timer(loop, count, &later, &later.source, NULL), 0);
	loop_arm(p.source, 1, 50);
	cr_assert_eq(loop_start(loop, NULL), 0);
	for (int i = 0; i < 3; i++)
		sem_wait(&p.called);
	loop_arm(later.source, 1000, 0);
	sem_wait(&later.called);
	cr_expect_eq(p.calls, 3);
	loop_remove(p.source);
	loop_remove(later.source);
	loop_free(loop);
}

static void linger(void *opaque, uint32_t events)
{
	struct probe *p = opaque;
	eventfd_drain(p->fd);
	sem_post(&p->called);
	while (!p->flag)
		sched_yield();
	for (int i = 0; i < 10000; i++)
		sched_yield();
	p->finished = true;
}

Test(loop, remove_waits_for_the_callback)
{
	struct loop *loop = loop_make();
	struct probe p;
	probe_init(&p);
	probe_watch(loop, &p, linger);
	cr_assert_eq(loop_start(loop, NULL), 0);
	eventfd_signal(p.fd);
	sem_wait(&p.called);
	p.flag = true;
	loop_remove(p.source);
	cr_expect(p.finished);
	loop_free(loop);
}

static void remove_both(void *opaque, uint32_t events)
{
	struct probe *p = opaque;
	p->calls++;
	loop_remove(p->other->source);
	loop_remove(p->source);
	sem_post(&p->called);
	sem_post(&p->other->called);
}

/* Both are ready before the thread runs, so both come in one fetch. */
Test(loop, callback_removes_itself_and_one_already_fetched)
{
	struct loop *loop = loop_make();
	struct probe a, b, later;
	probe_init(&a);
	probe_init(&b);
	probe_init(&later);
	a.other = &b;
	b.other = &a;
	probe_watch(loop, &a, remove_both);
	probe_watch(loop, &b, remove_both);
	probe_watch(loop, &later, drain_and_count);
	eventfd_signal(a.fd);
	eventfd_signal(b.fd);
	cr_assert_eq(loop_start(loop, NULL), 0);
	sem_wait(&a.called);
	sem_wait(&b.called);
	eventfd_signal(later.fd);
	sem_wait(&later.called);
	cr_expect_eq(a.calls + b.calls, 1);
	loop_remove(later.source);
	loop_free(loop);
}

static void *signal_until_told(void *opaque)
{
	struct probe *p = opaque;
	while (!p->flag)
		eventfd_signal(p->fd);
	return NULL;
}

static void must_be_alive(void *opaque, uint32_t events)
{
	struct probe *p = opaque;
	eventfd_drain(p->other->fd);
	cr_assert_not(p->finished, "called after loop_remove returned");
	p->calls++;
}

static void *add_and_remove(void *opaque)
{
	struct loop *loop = opaque;
	struct probe feed;
	pthread_t thread;
	probe_init(&feed);
	pthread_create(&thread, NULL, signal_until_told, &feed);
	for (int i = 0; i < 500; i++) {
		struct probe *p = calloc(1, sizeof(*p));
		p->other = &feed;
		cr_assert_eq(
			loop_add_fd(loop, feed.fd, EPOLLIN, must_be_alive, p, &p->source, NULL), 0);
		if (i % 3 == 0)
			loop_set_events(p->source, 0);
		else
			while (i % 3 == 1 && !p->calls)
				sched_yield();
		loop_remove(p->source);
		p->finished = true;
		free(p); /* a late call would be a use after free */
	}
	feed.flag = true;
	pthread_join(thread, NULL);
	close(feed.fd);
	return NULL;
}

Test(loop, removal_races_with_events)
{
	struct loop *loop = loop_make();
	pthread_t thread[2];
	cr_assert_eq(loop_start(loop, NULL), 0);
	for (int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, add_and_remove, loop);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	loop_free(loop);
}

static void note_signals(void *opaque, uint32_t events)
{
	struct probe *p = opaque;
	sigset_t set;
	eventfd_drain(p->fd);
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	p->flag = sigismember(&set, SIGPIPE) && sigismember(&set, SIGTERM) &&
		  sigismember(&set, SIGUSR1) && sigismember(&set, SIGRTMAX);
	sem_post(&p->called);
}

Test(loop, thread_blocks_signals_and_the_caller_keeps_its_own)
{
	struct loop *loop = loop_make();
	struct probe p;
	sigset_t set;
	probe_init(&p);
	probe_watch(loop, &p, note_signals);
	cr_assert_eq(loop_start(loop, NULL), 0);
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	cr_expect_not(sigismember(&set, SIGTERM));
	eventfd_signal(p.fd);
	sem_wait(&p.called);
	cr_expect(p.flag);
	loop_remove(p.source);
	loop_free(loop);
}

Test(loop, life)
{
	struct loop *loop = loop_make();
	struct probe p;
	loop_free(NULL);
	loop_remove(NULL);
	probe_init(&p);
	probe_watch(loop, &p, drain_and_count);
	loop_remove(p.source); /* before the thread exists */
	cr_expect_eq(loop_start(loop, NULL), 0);
	cr_expect_eq(loop_start(loop, NULL), -EALREADY);
	probe_watch(loop, &p, drain_and_count);
	loop_stop(loop);
	loop_stop(loop);
	cr_expect_eq(loop_start(loop, NULL), -EALREADY);
	eventfd_signal(p.fd);
	loop_remove(p.source); /* after it has gone */
	cr_expect_eq(p.calls, 0);
	loop_free(loop);
}
