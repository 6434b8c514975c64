// SPDX-License-Identifier: Apache-2.0
/*
 * Disk requests by io_uring: everything that was added goes to the kernel in one system call, and a
 * read that the page cache can answer is done when that call returns.
 *
 * The ring is made by the thread that opens the disk, so that a refusal shows in time, and stays
 * disabled until the thread that uses it enables it: from then on only that one may enter the
 * kernel for it, which spares both sides locks (IORING_SETUP_SINGLE_ISSUER, Linux 6.0). Completions
 * wait for that thread's next system call instead of interrupting it (COOP_TASKRUN, 5.19). Not
 * DEFER_TASKRUN: then epoll does not wake for a completion on every kernel that knows the flag.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "backend/engine.h"
#include "util/bytes.h"

/* Entries that are handed over at a time; more follow in a second call. */
#define SUBMIT_MAX 64u
#define REAP_MAX   32u

struct uring {
	struct engine engine;
	struct io_uring ring;
	bool started;
};

static struct uring *uring_of(struct engine *e)
{
	return container_of(e, struct uring, engine);
}

static void uring_start(struct engine *e)
{
	struct uring *u = uring_of(e);
	/* io_uring_enable_rings() of liburing 2.3 is missing in its shared form. */
	if (!u->started)
		u->started = io_uring_register(
				     u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) == 0;
}

/* --- to the kernel --- */

/* Errors are for the next call to meet again: what is not taken stays in the ring. */
static void enter(struct uring *u, unsigned wait)
{
	if (wait)
		io_uring_submit_and_wait(&u->ring, wait);
	else
		io_uring_submit(&u->ring);
}

static struct io_uring_sqe *get_sqe(struct uring *u)
{
	struct io_uring_sqe *sqe;
	while (!(sqe = io_uring_get_sqe(&u->ring)))
		enter(u, 0);
	return sqe;
}

static void prepare(struct uring *u, struct disk_io *io)
{
	struct io_uring_sqe *sqe = get_sqe(u);
	const struct disk_call *c = &io->call;
	/* Not registered with the ring, which would keep them open, and the image locked, for a
	 * while after a monitor that was killed. */
	int fd = c->direct ? u->engine.disk->direct_fd : u->engine.disk->fd;
	switch (c->type) {
	case CALL_READ:
		if (c->count == 1) /* saves the kernel the import of a vector */
			io_uring_prep_read(
				sqe, fd, c->iov->iov_base, (unsigned)c->iov->iov_len, c->offset);
		else
			io_uring_prep_readv(sqe, fd, c->iov, c->count, c->offset);
		break;
	case CALL_WRITE:
		io_uring_prep_writev2(sqe, fd, c->iov, c->count, c->offset, c->flags);
		break;
	case CALL_FLUSH:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	default:
		io_uring_prep_fallocate(sqe, fd, c->flags, (off_t)c->offset, (off_t)c->len);
		break;
	}
	/* What could not be done without waiting is done by a thread of the kernel's. */
	if (io->again)
		io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
	io_uring_sqe_set_data(sqe, io);
}

/* Also discards of block devices come here, for which io_uring of Linux 6.1 has no operation: they
 * are made at once, and the thread waits. */
static void uring_add(struct engine *e, struct disk_io *io)
{
	while (io->call.type == CALL_DISCARD) {
		disk_io_result(io, disk_call_make(e->disk, &io->call));
		if (!disk_io_next(e->disk, io)) {
			engine_done(e, io, io->rc);
			return;
		}
	}
	prepare(uring_of(e), io);
}

/* --- and back --- */

static void completed(struct engine *e, struct disk_io *io, int result)
{
	disk_io_result(io, result);
	if (disk_io_next(e->disk, io))
		uring_add(e, io);
	else
		engine_done(e, io, io->rc);
}

static void uring_run(struct engine *e, bool wait)
{
	struct uring *u = uring_of(e);
	struct io_uring_cqe *cqe[REAP_MAX];
	do {
		if (wait || io_uring_sq_ready(&u->ring))
			enter(u, wait);
		wait = false;
		unsigned n;
		while ((n = io_uring_peek_batch_cqe(&u->ring, cqe, REAP_MAX)) > 0) {
			struct {
				struct disk_io *io;
				int result;
			} done[REAP_MAX];
			for (unsigned i = 0; i < n; i++) {
				done[i].io = io_uring_cqe_get_data(cqe[i]);
				done[i].result = cqe[i]->res;
			}
			io_uring_cq_advance(&u->ring, n);
			for (unsigned i = 0; i < n; i++)
				completed(e, done[i].io, done[i].result);
		}
	} while (io_uring_sq_ready(&u->ring));
}

/* --- life --- */

static void uring_free(struct engine *e)
{
	struct uring *u = uring_of(e);
	io_uring_queue_exit(&u->ring);
	free(u);
}

static int init_ring(struct uring *u)
{
	static const unsigned flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN,
		0,
	};
	int rc = -EINVAL;
	for (unsigned i = 0; i < ARRAY_SIZE(flags) && rc == -EINVAL; i++) {
		struct io_uring_params p = {
			.flags = flags[i] | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE,
			.cq_entries = 2 * ENGINE_DEPTH,
		};
		rc = io_uring_queue_init_params(SUBMIT_MAX, &u->ring, &p);
		/* Linux 5.6 brought this and the operations that we need. */
		if (rc == 0 && !(p.features & IORING_FEAT_RW_CUR_POS)) {
			io_uring_queue_exit(&u->ring);
			rc = -ENOSYS;
		}
	}
	return rc;
}

static const struct engine_ops uring_ops = {
	.name = "io_uring",
	.start = uring_start,
	.add = uring_add,
	.run = uring_run,
	.free = uring_free,
};

int engine_uring_new(struct disk *disk, struct engine **ret)
{
	struct uring *u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	int rc = init_ring(u);
	if (rc < 0) {
		free(u);
		return rc;
	}
	u->engine = (struct engine){ .ops = &uring_ops, .disk = disk, .fd = u->ring.ring_fd };
	*ret = &u->engine;
	return 0;
}
