// SPDX-License-Identifier: Apache-2.0
/* Files handed in as descriptors: what is refused, who is kept out, and that nothing of the
 * caller's changes. */
#include "backend/hostfile.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/bytes.h"
#include "util/fd.h"

static char path[] = "/tmp/lacuna-hostfile-XXXXXX";

static void set_up(void)
{
	int fd = mkstemp(path);
	cr_assert(fd >= 0 && ftruncate(fd, 4096) == 0);
	close(fd);
}

static void tear_down(void)
{
	unlink(path);
}

TestSuite(hostfile, .init = set_up, .fini = tear_down, .timeout = 60);

static void expect_refused(int fd, bool readonly, int code, const char *words)
{
	struct hostfile f;
	struct lacuna_error *err = NULL;
	char name[32];
	snprintf(name, sizeof(name), "disk fd %d ", fd);
	cr_expect_eq(hostfile_open(&f, "disk ", NULL, fd, readonly, &err), -code);
	cr_expect(strstr(lacuna_error_message(err), words), "%s", lacuna_error_message(err));
	cr_expect_not_null(strstr(lacuna_error_message(err), name));
	lacuna_error_free(err);
	hostfile_close(&f);
}

Test(hostfile, descriptors_that_will_not_do)
{
	expect_refused(999, true, EBADF, "is not an open descriptor");
	AUTO_CLOSE int reads = open(path, O_RDONLY);
	expect_refused(reads, false, EACCES, "open for reading only: open it for writing too, or");
	AUTO_CLOSE int writes = open(path, O_WRONLY);
	expect_refused(writes, false, EBADF, "can't be read");
	expect_refused(writes, true, EBADF, "can't be read");
	AUTO_CLOSE int place = open(path, O_PATH);
	expect_refused(place, true, EBADF, "can't be read");
}

Test(hostfile, the_original_is_left_alone)
{
	struct hostfile f;
	AUTO_CLOSE int fd = open(path, O_RDWR | O_NONBLOCK | O_APPEND);
	int flags = fcntl(fd, F_GETFL);
	cr_assert_eq(lseek(fd, 123, SEEK_SET), 123);
	cr_assert_eq(hostfile_open(&f, "", NULL, fd, false, NULL), 0);
	cr_assert_eq(hostfile_lock(&f, false, NULL), 0);
	cr_expect_neq(f.fd, fd);
	cr_expect(fcntl(f.fd, F_GETFD) & FD_CLOEXEC);
	cr_expect_not(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	cr_expect_eq(fcntl(fd, F_GETFL), flags);
	cr_expect_eq(f.flags, flags);
	hostfile_close(&f);
	cr_expect_eq(fcntl(fd, F_GETFL), flags);
	cr_expect_eq(lseek(fd, 0, SEEK_CUR), 123);
}

/* --- who is kept out --- */

enum { BY_PATH, BY_FD, BY_DUPLICATE, WAYS };

struct ways {
	int fd[WAYS]; /* of one open file description */
};

static void open_ways(struct ways *w)
{
	w->fd[BY_PATH] = -1;
	w->fd[BY_FD] = open(path, O_RDWR | O_CLOEXEC);
	w->fd[BY_DUPLICATE] = fcntl(w->fd[BY_FD], F_DUPFD_CLOEXEC, 0);
	cr_assert_geq(w->fd[BY_DUPLICATE], 0);
}

static void close_ways(struct ways *w)
{
	for (unsigned i = 0; i < WAYS; i++)
		fd_close(&w->fd[i]);
}

static int take(const struct ways *w, unsigned way, bool readonly, struct hostfile *f, char *ret,
	size_t size)
{
	struct lacuna_error *err = NULL;
	int rc = hostfile_open(f, "", way == BY_PATH ? path : NULL, w->fd[way], readonly, &err);
	cr_assert_eq(rc, 0);
	rc = hostfile_lock(f, readonly, &err);
	if (rc < 0) {
		snprintf(ret, size, "%s", lacuna_error_message(err));
		hostfile_close(f);
	}
	lacuna_error_free(err);
	return rc;
}

struct lock_case {
	uint8_t first, second;
	bool first_ro, second_ro;
};

ParameterizedTestParameters(hostfile, locks)
{
	static struct lock_case c[WAYS * WAYS * 4];
	for (unsigned i = 0; i < ARRAY_SIZE(c); i++)
		c[i] = (struct lock_case){ (uint8_t)(i / 4 / WAYS), (uint8_t)(i / 4 % WAYS), i & 1,
			i & 2 };
	return cr_make_param_array(struct lock_case, c, ARRAY_SIZE(c));
}

ParameterizedTest(struct lock_case *c, hostfile, locks)
{
	struct ways w;
	struct hostfile first, second;
	char words[256] = "";
	open_ways(&w);
	cr_assert_eq(take(&w, c->first, c->first_ro, &first, words, sizeof(words)), 0);
	int rc = take(&w, c->second, c->second_ro, &second, words, sizeof(words));
	if (c->first_ro && c->second_ro) {
		cr_expect_eq(rc, 0, "many may read: %s", words);
		hostfile_close(&second);
	} else {
		cr_expect_eq(rc, -EBUSY);
		cr_expect_not_null(strstr(words, "is in use"));
		cr_expect_eq(strstr(words, "every duplicate") != NULL, c->second != BY_PATH);
	}
	hostfile_close(&first);
	cr_expect_eq(take(&w, c->second, c->second_ro, &second, words, sizeof(words)), 0,
		"free again: %s", words);
	hostfile_close(&second);
	close_ways(&w);
}

/* Locks of one description have one owner for the kernel, which counts none of them. */
Test(hostfile, what_one_reader_gives_back_the_other_keeps)
{
	struct ways w;
	struct hostfile a, b, writer;
	char words[256];
	open_ways(&w);
	cr_assert_eq(take(&w, BY_FD, true, &a, words, sizeof(words)), 0);
	cr_assert_eq(take(&w, BY_FD, true, &b, words, sizeof(words)), 0);
	hostfile_close(&a);
	cr_expect_eq(take(&w, BY_PATH, false, &writer, words, sizeof(words)), -EBUSY);
	cr_expect_eq(take(&w, BY_DUPLICATE, false, &writer, words, sizeof(words)), -EBUSY);
	hostfile_close(&b);
	cr_expect_eq(take(&w, BY_PATH, false, &writer, words, sizeof(words)), 0);
	hostfile_close(&writer);
	close_ways(&w);
}

Test(hostfile, a_lock_of_the_callers_own_stays_whole)
{
	struct hostfile f;
	struct ways w;
	char words[256];
	open_ways(&w);
	struct flock mine = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	cr_assert_eq(fcntl(w.fd[BY_FD], F_OFD_SETLK, &mine), 0);
	cr_expect_eq(take(&w, BY_FD, false, &f, words, sizeof(words)), -EBUSY);
	AUTO_CLOSE int other = open(path, O_RDWR | O_CLOEXEC);
	struct flock seen = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	cr_assert_eq(fcntl(other, F_OFD_GETLK, &seen), 0);
	cr_expect(seen.l_type == F_WRLCK && seen.l_start == 0 && seen.l_len == 0);
	close_ways(&w);
}

#define ROUNDS 200

struct racer {
	struct ways *ways;
	atomic_uint *writers;
	unsigned served, together;
};

static void *race(void *opaque)
{
	struct racer *r = opaque;
	struct hostfile f;
	char words[256];
	for (unsigned i = 0; i < ROUNDS; i++) {
		if (take(r->ways, BY_FD, false, &f, words, sizeof(words)) < 0)
			continue;
		r->served++;
		r->together += atomic_fetch_add(r->writers, 1) > 0;
		sched_yield();
		atomic_fetch_sub(r->writers, 1);
		hostfile_close(&f);
	}
	return NULL;
}

Test(hostfile, two_writers_at_once_are_never_both_served)
{
	struct ways w;
	pthread_t thread[2];
	struct racer racer[2];
	atomic_uint writers = 0;
	open_ways(&w);
	for (unsigned i = 0; i < 2; i++) {
		racer[i] = (struct racer){ .ways = &w, .writers = &writers };
		pthread_create(&thread[i], NULL, race, &racer[i]);
	}
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(thread[i], NULL);
		cr_expect_gt(racer[i].served, 0u);
		cr_expect_eq(racer[i].together, 0u);
	}
	close_ways(&w);
}
