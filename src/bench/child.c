// SPDX-License-Identifier: Apache-2.0
/* Children and undos; see child.h. */
#include "bench/child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/signals.h"

#define KEEP_MAX ((size_t)1024 * 1024) /* of output; the rest is dropped */

struct undo {
	void (*fn)(void *opaque);
	void *opaque;
	struct undo *next;
};

/* Recursive: memory may run out while it is held, and that ends the program. */
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static struct child *children; /* those with a process that has not been reaped */
static struct undo *undos;
static uint64_t *exec_stamp; /* shared with the child that is being made */

/* --- the end --- */

static bool is_tracked(pid_t pid)
{
	for (const struct child *c = children; c; c = c->next)
		if (c->pid == pid)
			return true;
	return false;
}

/* Kills and reaps children of this process that nobody knows of: those of a child that has ended,
 * which had left its process group, as timeout(1) does. True if there were any. */
static bool end_orphans_of(const char *task)
{
	char path[64], list[1024];
	bool any = false;
	snprintf(path, sizeof(path), "/proc/self/task/%.20s/children", task);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, list, sizeof(list) - 1);
	if (fd >= 0)
		close(fd);
	list[size > 0 ? size : 0] = '\0';
	/* A number that is cut off at the end has no blank behind it; there is another round. */
	char *at = list, *end;
	for (pid_t pid; (pid = (pid_t)strtol(at, &end, 10)) > 0 && *end == ' '; at = end) {
		pid_t reaped;
		if (is_tracked(pid))
			continue;
		kill(pid, SIGKILL);
		do
			reaped = waitpid(pid, NULL, 0);
		while (reaped < 0 && errno == EINTR);
		any |= reaped == pid;
	}
	return any;
}

/* What an orphan leaves behind is ours in its turn. */
static void end_orphans(void)
{
	bool any;
	do {
		DIR *dir = opendir("/proc/self/task");
		any = false;
		for (const struct dirent *e; dir && (e = readdir(dir));)
			if (e->d_name[0] != '.')
				any |= end_orphans_of(e->d_name);
		if (dir)
			closedir(dir);
	} while (any);
}

/* The child, and what it has left, in its process group and outside: that is ours to reap, since we
 * are the subreaper (prctl(2)). When it returns, all of them are gone. */
static void kill_and_reap(struct child *c)
{
	kill(-c->pid, SIGKILL);
	while (waitpid(c->pid, &c->status, 0) < 0 && errno == EINTR)
		;
	while (waitpid(-c->pid, NULL, 0) > 0 || errno == EINTR)
		;
	end_orphans();
}

static void end_all(void)
{
	for (; children; children = children->next)
		kill_and_reap(children);
	while (undos) {
		struct undo *u = undos;
		undos = u->next;
		u->fn(u->opaque);
		free(u);
	}
}

/* On the signal thread. The lock is kept: nothing new can be made any more. */
static void on_signal(void)
{
	pthread_mutex_lock(&lock);
	progress_clear();
	end_all();
}

int child_open(void)
{
	int rc = signals_open(on_signal);
	if (rc < 0)
		return fail("start the signal thread: %s", strerror(-rc));
	exec_stamp = mmap(NULL, sizeof(*exec_stamp), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (exec_stamp == MAP_FAILED)
		return fail("bench: map a page: %s", strerror(errno));
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	messages_before(progress_clear);
	return STATUS_OK;
}

void child_close(void)
{
	pthread_mutex_lock(&lock);
	progress_clear();
	end_all();
	pthread_mutex_unlock(&lock);
}

void undo_push(void (*fn)(void *opaque), void *opaque)
{
	struct undo *u = must_realloc(NULL, sizeof(*u));
	pthread_mutex_lock(&lock);
	*u = (struct undo){ fn, opaque, undos };
	undos = u;
	pthread_mutex_unlock(&lock);
}

void undo_pop(void)
{
	pthread_mutex_lock(&lock);
	struct undo *u = undos;
	undos = u->next;
	u->fn(u->opaque);
	pthread_mutex_unlock(&lock);
	free(u);
}

/* --- start --- */

bool child_find(const char *name, char path[PATH_MAX])
{
	if (strchr(name, '/')) {
		int n = snprintf(path, PATH_MAX, "%s", name);
		return n < PATH_MAX && access(path, X_OK) == 0;
	}
	const char *dirs = getenv("PATH");
	for (size_t len; dirs && *dirs; dirs += len + (dirs[len] == ':')) {
		len = strcspn(dirs, ":");
		int n = snprintf(path, PATH_MAX, "%.*s/%s", (int)len, dirs, name);
		if (len && n < PATH_MAX && access(path, X_OK) == 0)
			return true;
	}
	return false;
}

int child_lacuna(const char *program, char path[PATH_MAX], struct why *why)
{
	if (program) { /* without a slash it is in this folder, not in PATH */
		snprintf(path, PATH_MAX, "%s%s", strchr(program, '/') ? "" : "./", program);
		return 0;
	}
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
	if (n < 0)
		return why_set(why, "/proc/self/exe: %s", strerror(errno));
	path[n] = '\0';
	return 0;
}

static void close_all(int *fd, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

/* In the child: only what is safe after a fork of a program with threads. @report gets errno. */
static _Noreturn void become(
	const char *path, const struct child_spec *spec, int in, int out, int err, int report)
{
	static const int ignored[] = { SIGPIPE, SIGXFSZ };
	sigset_t none;
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_DFL);
	sigemptyset(&none);
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (spec->handed)
		fcntl(*spec->handed, F_SETFD, 0);
	if (dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(err, 2) == 2 &&
		sigprocmask(SIG_SETMASK, &none, NULL) == 0) {
		*exec_stamp = now_ns();
		execv(path, (char *const *)spec->argv);
	}
	int code = errno;
	ssize_t n = write(report, &code, sizeof(code));
	_exit(n == sizeof(code) ? 127 : 126);
}

/* The lock is held, so that a signal finds either no child or a known one. */
static int fork_child(struct child *c, const char *path, int in, int out, int err, struct why *why)
{
	int report[2], code = 0;
	if (pipe2(report, O_CLOEXEC) < 0)
		return why_set(why, "pipe: %s", strerror(errno));
	c->pid = fork();
	if (c->pid == 0)
		become(path, &c->spec, in, out, err, report[1]);
	code = c->pid < 0 ? errno : 0;
	close(report[1]);
	if (c->pid > 0) {
		setpgid(c->pid, c->pid); /* whoever comes first */
		ssize_t n;
		do
			n = read(report[0], &code, sizeof(code)); /* ends with execve() */
		while (n < 0 && errno == EINTR);
		c->exec_ns = *exec_stamp;
		c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
		if (code == 0 && c->pidfd < 0)
			code = errno;
		if (code)
			kill_and_reap(c);
	}
	close(report[0]);
	if (code)
		return why_set(why, "run '%s': %s", path, strerror(code));
	c->next = children;
	children = c;
	return 0;
}

int child_start(struct child *c, const struct child_spec *spec, struct why *why)
{
	char path[PATH_MAX];
	int fd[6] = { -1, -1, -1, -1, -1, -1 }; /* our end and the child's of in, out, err */
	*c = (struct child){
		.pid = -1, .pidfd = -1, .in = -1, .out = -1, .err = -1, .spec = *spec
	};
	if (!child_find(spec->argv[0], path))
		return why_set(why, "%s is not installed", spec->argv[0]);
	if (pipe2(fd, O_CLOEXEC) < 0 || pipe2(fd + 2, O_CLOEXEC) < 0 ||
		pipe2(fd + 4, O_CLOEXEC) < 0) {
		why_set(why, "pipe: %s", strerror(errno));
		close_all(fd, 6);
		return -1;
	}
	pthread_mutex_lock(&lock);
	int rc = fork_child(c, path, fd[0], fd[3], fd[5], why);
	pthread_mutex_unlock(&lock);
	close(fd[0]);
	close(fd[3]);
	close(fd[5]);
	c->in = fd[1];
	c->out = fd[2];
	c->err = fd[4];
	fcntl(c->in, F_SETFL, O_NONBLOCK);
	fcntl(c->out, F_SETFL, O_NONBLOCK);
	fcntl(c->err, F_SETFL, O_NONBLOCK);
	if (rc < 0)
		child_end(c);
	return rc;
}

/* --- life --- */

static void close_one(int *fd)
{
	close_all(fd, 1);
	*fd = -1;
}

static void feed(struct child *c)
{
	ssize_t n = 0;
	if (c->written < c->spec.input_size)
		n = write(c->in, c->spec.input + c->written, c->spec.input_size - c->written);
	if (n > 0)
		c->written += (size_t)n;
	bool failed = n < 0 && errno != EAGAIN && errno != EINTR;
	if (failed || c->written >= c->spec.input_size)
		close_one(&c->in);
}

static void keep(char **text, size_t *size, const char *data, size_t len)
{
	if (len > KEEP_MAX - *size)
		len = KEEP_MAX - *size;
	*text = must_realloc(*text, *size + len + 1);
	memcpy(*text + *size, data, len);
	*size += len;
	(*text)[*size] = '\0';
}

static void take(struct child *c, int *fd)
{
	char data[16384];
	ssize_t n = read(*fd, data, sizeof(data));
	uint64_t when = now_ns();
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_one(fd);
	if (n <= 0)
		return;
	if (fd == &c->err)
		keep(&c->errors, &c->errors_size, data, (size_t)n);
	else if (c->spec.on_output)
		c->spec.on_output(c->spec.opaque, data, (size_t)n, when);
	else
		keep(&c->output, &c->output_size, data, (size_t)n);
}

/* Kills what the child has left running, then reaps it: its number can't be another's before. */
static void reap(struct child *c)
{
	pthread_mutex_lock(&lock);
	for (struct child **p = &children; *p; p = &(*p)->next) {
		if (*p != c)
			continue;
		*p = c->next;
		kill_and_reap(c);
		break;
	}
	pthread_mutex_unlock(&lock);
	c->ended = true;
}

int child_serve_some(struct child *c, uint64_t until)
{
	if (c->ended && c->out < 0 && c->err < 0)
		return -1;
	/* once it is reaped nobody writes any more: only what is in the pipes is left */
	struct pollfd p[] = {
		{ c->out, POLLIN, 0 },
		{ c->err, POLLIN, 0 },
		{ c->spec.talk ? -1 : c->in, POLLOUT, 0 },
		{ c->ended ? -1 : c->pidfd, POLLIN, 0 },
	};
	uint64_t now = now_ns(), left = until > now ? until - now : 0;
	struct timespec t = { (time_t)(left / SECOND_NS), (long)(left % SECOND_NS) };
	int n = ppoll(p, 4, until ? &t : NULL, NULL);
	if (n == 0)
		return 1;
	if (n > 0 && p[0].revents)
		take(c, &c->out);
	if (n > 0 && p[1].revents)
		take(c, &c->err);
	if (n > 0 && p[2].revents)
		feed(c);
	if (n > 0 && p[3].revents) {
		c->end_ns = now_ns();
		reap(c);
	}
	return 0;
}

int child_serve(struct child *c, uint64_t until)
{
	int rc;
	do
		rc = child_serve_some(c, until);
	while (rc == 0);
	return rc < 0 ? 0 : 1;
}

void child_end(struct child *c)
{
	if (c->pid > 0 && !c->ended)
		reap(c);
	int fd[] = { c->pidfd, c->in, c->out, c->err };
	close_all(fd, 4);
	c->pidfd = c->in = c->out = c->err = -1;
	free(c->output);
	free(c->errors);
	c->output = c->errors = NULL;
	c->pid = -1;
}

void child_tell(struct child *c, const char *text)
{
	while (c->in >= 0 && write(c->in, text, strlen(text)) < 0 && errno == EINTR)
		;
}

const char *child_said(struct child *c)
{
	size_t len = c->errors ? strlen(c->errors) : 0;
	if (!len)
		return "";
	while (len && c->errors[len - 1] == '\n')
		c->errors[--len] = '\0';
	const char *at = strrchr(c->errors, '\n');
	return at ? at + 1 : c->errors;
}

int child_run(struct child *c, const struct child_spec *spec, uint64_t timeout_ns, struct why *why)
{
	const char *name = spec->argv[0];
	if (child_start(c, spec, why) < 0)
		return -1;
	if (child_serve(c, now_ns() + timeout_ns))
		return why_set(why, "%s did not end within %llu s", name,
			(unsigned long long)(timeout_ns / SECOND_NS));
	if (WIFEXITED(c->status) && WEXITSTATUS(c->status) == 0)
		return 0;
	const char *said = child_said(c);
	if (WIFSIGNALED(c->status))
		return why_set(why, "%s was ended by signal %d%s%s", name, WTERMSIG(c->status),
			*said ? ": " : "", said);
	return why_set(why, "%s ended with status %d%s%s", name, WEXITSTATUS(c->status),
		*said ? ": " : "", said);
}
