// SPDX-License-Identifier: Apache-2.0
/*
 * Disk requests by a few threads that wait in system calls. They come one by one, as there is work
 * for them. A read that the page cache can answer needs none of them.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "backend/engine.h"
#include "util/bytes.h"
#include "util/fd.h"
#include "util/thread.h"

#define THREADS_MAX 8u

struct list {
	struct disk_io *first, **last;
};

struct threads {
	struct engine engine;
	struct list added; /* the owner's: not handed over yet */
	bool no_nowait;    /* the owner's: the file system can't tell whether it would wait */
	unsigned count;    /* the owner's: of threads */
	pthread_t thread[THREADS_MAX];

	pthread_mutex_t lock;
	pthread_cond_t work;
	/* below: under lock */
	struct list todo;
	struct list finished; /* the descriptor is readable while there are some */
	unsigned waiting;     /* requests to do */
	unsigned idle;
	bool quit;
};

static void list_init(struct list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

static void list_add(struct list *l, struct disk_io *io)
{
	io->next = NULL;
	*l->last = io;
	l->last = &io->next;
}

static struct disk_io *list_take(struct list *l)
{
	struct disk_io *io = l->first;
	if (io) {
		l->first = io->next;
		if (!l->first)
			l->last = &l->first;
	}
	return io;
}

static struct threads *threads_of(struct engine *e)
{
	return container_of(e, struct threads, engine);
}

/* --- a thread of the pool --- */

static void carry_out(const struct disk *d, struct disk_io *io)
{
	do
		disk_io_result(io, disk_call_make(d, &io->call));
	while (disk_io_next(d, io));
}

static void *work(void *opaque)
{
	struct threads *t = opaque;
	pthread_mutex_lock(&t->lock);
	for (;;) {
		struct disk_io *io = list_take(&t->todo);
		if (!io && t->quit)
			break;
		if (!io) {
			t->idle++;
			pthread_cond_wait(&t->work, &t->lock);
			t->idle--;
			continue;
		}
		t->waiting--;
		pthread_mutex_unlock(&t->lock);
		carry_out(t->engine.disk, io);
		pthread_mutex_lock(&t->lock);
		if (!t->finished.first)
			eventfd_signal(t->engine.fd);
		list_add(&t->finished, io);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* --- the owner --- */

static void threads_start(struct engine *e)
{
}

/* True when the page cache had all of it. */
static bool read_now(struct threads *t, struct disk_io *io)
{
	const struct disk *d = t->engine.disk;
	if (io->op != DISK_READ || t->no_nowait)
		return false;
	while (!io->call.direct) {
		struct disk_call call = io->call;
		call.flags |= RWF_NOWAIT;
		ssize_t n = disk_call_make(d, &call);
		t->no_nowait = n == -EOPNOTSUPP;
		if (n == -EAGAIN || n == -EOPNOTSUPP)
			return false;
		disk_io_result(io, n);
		if (!disk_io_next(d, io))
			return true;
	}
	return false;
}

static void threads_add(struct engine *e, struct disk_io *io)
{
	struct threads *t = threads_of(e);
	if (read_now(t, io))
		engine_done(e, io, io->rc);
	else
		list_add(&t->added, io);
}

static void hand_over(struct threads *t)
{
	unsigned missing;
	{
		LOCK_SCOPE(&t->lock);
		for (struct disk_io *io; (io = list_take(&t->added));) {
			list_add(&t->todo, io);
			t->waiting++;
			pthread_cond_signal(&t->work);
		}
		missing = t->waiting > t->idle ? t->waiting - t->idle : 0;
	}
	for (; missing && t->count < THREADS_MAX; missing--) {
		if (thread_start(&t->thread[t->count], 0, work, t))
			break;
		t->count++;
	}
}

/* Without a single thread the owner has to do it. */
static void do_own_work(struct threads *t)
{
	struct disk_io *io;
	while ((io = list_take(&t->todo))) {
		t->waiting--;
		carry_out(t->engine.disk, io);
		engine_done(&t->engine, io, io->rc);
	}
}

static void threads_run(struct engine *e, bool wait)
{
	struct threads *t = threads_of(e);
	if (t->added.first)
		hand_over(t);
	if (!t->count)
		do_own_work(t);
	if (wait && e->under_way) {
		struct pollfd p = { .fd = e->fd, .events = POLLIN };
		poll(&p, 1, -1);
	}
	struct list done;
	list_init(&done);
	{
		LOCK_SCOPE(&t->lock);
		if (t->finished.first)
			eventfd_drain(e->fd);
		for (struct disk_io *io; (io = list_take(&t->finished));)
			list_add(&done, io);
	}
	for (struct disk_io *io; (io = list_take(&done));)
		engine_done(e, io, io->rc);
}

/* --- life --- */

static void threads_free(struct engine *e)
{
	struct threads *t = threads_of(e);
	{
		LOCK_SCOPE(&t->lock);
		t->quit = true;
		pthread_cond_broadcast(&t->work);
	}
	for (unsigned i = 0; i < t->count; i++)
		pthread_join(t->thread[i], NULL);
	pthread_cond_destroy(&t->work);
	pthread_mutex_destroy(&t->lock);
	fd_close(&e->fd);
	free(t);
}

static const struct engine_ops threads_ops = {
	.name = "threads",
	.start = threads_start,
	.add = threads_add,
	.run = threads_run,
	.free = threads_free,
};

int engine_threads_new(struct disk *disk, struct engine **ret)
{
	struct threads *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->engine = (struct engine){ .ops = &threads_ops, .disk = disk };
	t->engine.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->engine.fd < 0) {
		int rc = -errno;
		free(t);
		return rc;
	}
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->work, NULL);
	list_init(&t->added);
	list_init(&t->todo);
	list_init(&t->finished);
	*ret = &t->engine;
	return 0;
}
