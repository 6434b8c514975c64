// SPDX-License-Identifier: Apache-2.0
/* Workers of a device: who serves which queue, and that a reset waits for all of them. */
#include "virtio/worker.h"

#include <criterion/criterion.h>
#include <sched.h>

#include "util/fd.h"
#include "util/thread.h"
#include "virtio_guest.h"

#define WORKERS 2u
#define QUEUES  4u

static struct gmem ram;
static const struct log quiet;
static struct virtio_device dev;
static struct virtio_workers workers;

/* What the threads have done; under the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned begun, ended, kicks[QUEUES], wrong_worker;
static bool hold; /* end() leaves something under way */

static void note(unsigned *counter)
{
	LOCK_SCOPE(&lock);
	++*counter;
	pthread_cond_broadcast(&changed);
}

/* A test that waits in vain is ended by Criterion's time limit. */
static void wait_for(const unsigned *counter, unsigned value)
{
	LOCK_SCOPE(&lock);
	while (*counter < value)
		pthread_cond_wait(&changed, &lock);
}

static void begin(struct virtio_worker *w)
{
	note(&begun);
}

static void kicked(struct virtio_worker *w, unsigned queue)
{
	if (queue % WORKERS != w->index)
		note(&wrong_worker);
	note(&kicks[queue]);
}

static bool end(struct virtio_worker *w)
{
	bool finished;
	{
		LOCK_SCOPE(&lock);
		finished = !hold;
	}
	note(&ended);
	return finished;
}

static const struct virtio_worker_ops ops = { begin, kicked, end };

static void activate(struct virtio_device *d)
{
	virtio_workers_activate(&workers);
}

static bool deactivate(struct virtio_device *d)
{
	virtio_workers_deactivate(&workers);
	return false;
}

static const struct virtio_model model = { "test", 42, activate, deactivate, NULL, NULL, NULL };

static unsigned worker_of(const struct virtio_device *d, unsigned queue)
{
	return queue % WORKERS;
}

static void set_up(void)
{
	ram_init(&ram);
	cr_assert_eq(virtio_device_init(&dev, &model, &ram, &quiet, 0, QUEUES, RING_SIZE, NULL), 0);
	cr_assert_eq(virtio_workers_init(&workers, &dev, WORKERS, worker_of, &ops, NULL), 0);
	cr_assert_eq(virtio_workers_start(&workers, NULL), 0);
	virtio_device_accept(&dev, 1, 1);
}

static void tear_down(void)
{
	virtio_workers_done(&workers);
	virtio_device_done(&dev);
	ram_done(&ram);
}

TestSuite(virtio_worker, .init = set_up, .fini = tear_down, .timeout = 60);

static void write_status(uint8_t v)
{
	LOCK_SCOPE(&dev.lock);
	virtio_device_set_status(&dev, v);
}

/* The status is 0 once every worker has let go; the last of them makes it so on its own thread. */
static void wait_for_reset(void)
{
	while (dev.status)
		sched_yield();
}

Test(virtio_worker, every_queue_is_looked_at_and_then_kicked)
{
	virtio_device_kick(&dev, 1); /* before activation: nobody's business */
	write_status(15);
	wait_for(&begun, WORKERS);
	for (unsigned q = 0; q < QUEUES; q++)
		wait_for(&kicks[q], 1);
	for (unsigned q = 0; q < QUEUES; q++) {
		unsigned before;
		{
			LOCK_SCOPE(&lock);
			before = kicks[q];
		}
		virtio_device_kick(&dev, q);
		wait_for(&kicks[q], before + 1);
	}
	cr_expect_eq(wrong_worker, 0);
	cr_expect_eq(ended, 0);
}

Test(virtio_worker, reset_waits_for_what_is_under_way)
{
	hold = true;
	write_status(15);
	wait_for(&begun, WORKERS);
	write_status(0);
	wait_for(&ended, WORKERS);
	cr_expect_eq(dev.status, 15, "both have work under way");
	virtio_worker_done(&workers.worker[0]);
	cr_expect_eq(dev.status, 15, "one still has");
	virtio_worker_done(&workers.worker[0]);
	cr_expect_eq(dev.status, 15, "told twice is told once");
	virtio_worker_done(&workers.worker[1]);
	cr_expect_eq(dev.status, 0);
}

Test(virtio_worker, can_be_activated_and_reset_again_and_again)
{
	for (unsigned i = 1; i <= 200; i++) {
		virtio_device_accept(&dev, 1, 1);
		write_status(15);
		if (i % 3) /* else the reset may overtake the beginning */
			wait_for(&kicks[0], 1);
		write_status(0);
		wait_for_reset();
	}
	cr_expect_leq(ended, begun);
}

Test(virtio_worker, stops_wherever_the_device_is)
{
	hold = true;
	write_status(15);
	wait_for(&begun, WORKERS);
	write_status(0);
	virtio_workers_stop(&workers);
	unsigned before = kicks[2];
	virtio_device_kick(&dev, 2);
	cr_expect_eq(kicks[2], before);
}
