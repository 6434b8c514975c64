/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that the program writes as a whole: a regular file is written under another name in the
 * same folder and renamed when it is complete; anything else (a pipe, a device) is written to
 * directly.
 */
#ifndef CLI_OUTFILE_H
#define CLI_OUTFILE_H

#include <pthread.h>
#include <stddef.h>

struct outfile {
	const char *what;      /* names it in messages: "stats-file" */
	pthread_mutex_t lock;  /* the signal thread may discard */
	int fd;                /* -1: not open */
	char *final, *partial; /* NULL: written directly */
};

#define OUTFILE_INIT(name)                                                  \
	{                                                                   \
		.what = (name), .lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1 \
	}

/* Makes what can be made before there is anything to write; "-" is stdout. A pipe waits for its
 * reader. STATUS_OK, or what fail() returned. */
int outfile_open(struct outfile *f, const char *path);

/* Writes all of it and puts the file in its place; nothing if it is not open. As above. */
int outfile_write(struct outfile *f, const char *data, size_t size);

/* Removes what has not come to its place, and closes. Any thread. */
void outfile_discard(struct outfile *f);

#endif
