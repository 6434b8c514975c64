// SPDX-License-Identifier: Apache-2.0
/* Which engine a disk gets, and what all engines do alike. */
#include "backend/engine.h"

#include "util/err.h"

int engine_new(
	struct disk *disk, enum engine_kind kind, struct engine **ret, struct lacuna_error **err)
{
	if (kind == ENGINE_URING && disk->nonblocking)
		return err_set(err, EINVAL,
			"%s was opened with O_NONBLOCK, which io_uring takes to mean that nothing may wait: leave aio= out",
			disk->file.name);
	bool threads = kind == ENGINE_THREADS || disk->nonblocking;
	int rc = threads ? -ENOSYS : engine_uring_new(disk, ret);
	if (rc < 0 && kind == ENGINE_URING) {
		errno = -rc;
		return err_errno(err, "this kernel lets us have no io_uring: try aio=threads");
	}
	if (rc < 0)
		rc = engine_threads_new(disk, ret);
	if (rc < 0) {
		errno = -rc;
		return err_errno(err, "make threads for disk I/O");
	}
	return 0;
}

void engine_free(struct engine *e)
{
	if (e)
		e->ops->free(e);
}

void engine_start(struct engine *e)
{
	e->ops->start(e);
}

void engine_done(struct engine *e, struct disk_io *io, int rc)
{
	e->under_way--;
	io->done(io, rc);
}

void engine_add(struct engine *e, struct disk_io *io)
{
	e->under_way++;
	int rc = disk_io_begin(e->disk, io);
	if (rc == 0 && disk_io_next(e->disk, io))
		e->ops->add(e, io);
	else
		engine_done(e, io, rc < 0 ? rc : io->rc);
}

void engine_run(struct engine *e)
{
	e->ops->run(e, false);
}

void engine_drain(struct engine *e)
{
	while (e->under_way)
		e->ops->run(e, true);
}
