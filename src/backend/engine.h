/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out many requests to a disk at once: by io_uring, or by a few threads where the kernel
 * has none or forbids it. An engine belongs to one thread, which begins requests and is told of
 * their ends; several engines may share a disk.
 */
#ifndef BACKEND_ENGINE_H
#define BACKEND_ENGINE_H

#include "backend/disk_io.h"

#define ENGINE_DEPTH 256u /* the most requests under way */

enum engine_kind { ENGINE_AUTO, ENGINE_URING, ENGINE_THREADS };

struct engine;

struct engine_ops {
	const char *name;
	void (*start)(struct engine *e);
	void (*add)(struct engine *e, struct disk_io *io);
	/* @wait: until at least one is done. */
	void (*run)(struct engine *e, bool wait);
	void (*free)(struct engine *e);
};

/* What the two kinds have in common. */
struct engine {
	const struct engine_ops *ops;
	struct disk *disk;
	int fd; /* readable when engine_run() has something to do */
	unsigned under_way;
};

/* Any thread. ENGINE_AUTO takes io_uring if the kernel allows it; ENGINE_URING says why it does
 * not. @disk must outlive the engine. */
int engine_new(
	struct disk *disk, enum engine_kind kind, struct engine **ret, struct lacuna_error **err);
/* Nothing is under way, and the engine's thread has ended. */
void engine_free(struct engine *e);

/* The calling thread is the engine's from now on. Further calls do nothing. */
void engine_start(struct engine *e);
/* Begins @io, which is the engine's until its done() is called, by one of the two below. */
void engine_add(struct engine *e, struct disk_io *io);
/* Hands what was added to the host and finishes what is done. Never blocks. */
void engine_run(struct engine *e);
/* Until nothing is under way. */
void engine_drain(struct engine *e);

/* --- for the two kinds --- */

int engine_uring_new(struct disk *disk, struct engine **ret);   /* 0 or -errno */
int engine_threads_new(struct disk *disk, struct engine **ret); /* likewise */
void engine_done(struct engine *e, struct disk_io *io, int rc);

#endif
