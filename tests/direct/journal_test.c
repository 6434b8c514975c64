// SPDX-License-Identifier: Apache-2.0
/*
 * What a guest was told is flushed is in the file, even when the monitor is killed a moment later
 * with writes under way. (That a flush also reaches the host's storage before it is told of is in
 * tests/unit: engine, a_flush_leaves_nothing_dirty, and blk_order.)
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define BLOCK  ((off_t)4096)
#define BLOCKS 256

TestSuite(journal, .timeout = TEST_TIMEOUT);

/* A file of the build folder, above this program's. */
static void built(const char *name, char *ret, size_t size)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	cr_assert(n > 0);
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	cr_assert_lt(snprintf(ret, size, "%s/../%s", self, name), (int)size);
}

/* Runs the guest in a process of its own, for ever. */
static pid_t start_guest(const char *disk, int out)
{
	char program[PATH_MAX], guest[PATH_MAX];
	built("lacuna", program, sizeof(program));
	built("tests/guest/journal.elf", guest, sizeof(guest));
	pid_t pid = fork();
	if (pid == 0) {
		dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
		dup2(out, STDOUT_FILENO);
		execl(program, "lacuna", "run", "--kernel", guest, "--disk", disk, "--timeout",
			"300s", (char *)NULL);
		_exit(127);
	}
	cr_assert_gt(pid, 0);
	return pid;
}

/* The last number that was printed before the output ended; kills @pid once it is @enough. */
static uint64_t last_flushed(FILE *output, pid_t pid, uint64_t enough)
{
	char line[64];
	unsigned long long n, last = 0;
	while (fgets(line, sizeof(line), output)) {
		/* the last line may have been cut */
		if (sscanf(line, "flushed %llu", &n) == 1 && strchr(line, '\n'))
			last = n;
		if (last >= enough)
			kill(pid, SIGKILL);
	}
	return last;
}

static void check_file(const char *path, uint64_t flushed)
{
	static uint64_t block[BLOCK / 8];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	for (uint64_t place = 0; place < BLOCKS; place++) {
		if (flushed < (place ? place : BLOCKS))
			continue; /* nothing that belongs here was flushed */
		uint64_t least = flushed - (flushed - place) % BLOCKS;
		cr_assert_eq(pread(fd, block, BLOCK, (off_t)place * BLOCK), BLOCK);
		/* One that was under way may have reached the file in part; an older one may not be
		 * there. */
		for (unsigned i = 0; i < BLOCK / 8; i++)
			cr_assert(block[i] >= least && block[i] % BLOCKS == place,
				"place %llu, word %u: block %llu, but %llu was flushed (all up to %llu)",
				(unsigned long long)place, i, (unsigned long long)block[i],
				(unsigned long long)least, (unsigned long long)flushed);
	}
	close(fd);
}

struct journal_case {
	char options[48]; /* rows are copied into another process: no pointers */
};

ParameterizedTestParameters(journal, survives_a_kill)
{
	static struct journal_case c[] = { { "aio=auto" }, { "aio=threads" },
		{ "aio=auto,cache=writethrough" }, { "aio=auto,queues=2" } };
	return cr_make_param_array(struct journal_case, c, sizeof(c) / sizeof(c[0]));
}

ParameterizedTest(struct journal_case *c, journal, survives_a_kill)
{
	need_kvm();
	const char *path = scratch_disk((size_t)BLOCK * BLOCKS);
	char disk[256];
	snprintf(disk, sizeof(disk), "%s,%s", path, c->options);
	for (unsigned round = 0; round < 4; round++) {
		int fd[2];
		cr_assert_eq(pipe2(fd, O_CLOEXEC), 0);
		/* numbers begin again: what the last round wrote would hide what is missing */
		cr_assert_eq(truncate(path, 0), 0);
		cr_assert_eq(truncate(path, BLOCK * BLOCKS), 0);
		pid_t pid = start_guest(disk, fd[1]);
		close(fd[1]);
		FILE *output = fdopen(fd[0], "r");
		uint64_t enough = 50 + round * 180;
		uint64_t flushed = last_flushed(output, pid, enough);
		fclose(output);
		int status;
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %#x", status);
		cr_assert_geq(flushed, enough);
		check_file(path, flushed);
	}
}
