// SPDX-License-Identifier: Apache-2.0
/*
 * A warm pool of VMs: each is booted up to the point where its agent (guest/agent.c, in the
 * initramfs) waits for work, and then paused. A job takes one of them: it is resumed, is given the
 * job's input over a virtio socket, sends back its output and exit status, and is thrown away;
 * another takes its place. A job that is not done by its deadline is cut off.
 *
 *	cc -o pool pool.c -pthread $(pkg-config --cflags --libs lacuna)
 *	./pool KERNEL INITRD PAYLOAD COMMAND-LINE VMS DEADLINE-MS < JOBS
 *
 * INITRD is the base archive, PAYLOAD a directory that is put over it. Each line of JOBS is the
 * input of one job. Results go to standard output, a line a job.
 */
#include <errno.h>
#include <lacuna/vm.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define STDIO_PORT  1024
#define STATUS_PORT 1025
#define OUTPUT_MAX  65536
#define BOOT_US     120000000

static struct {
	char *kernel, *initrd, *payload, *cmdline;
	unsigned vms;
	uint64_t deadline_us;
	char folder[64];
} options;

/* The jobs: lines of standard input, each taken once. */
static pthread_mutex_t input_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t output_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned jobs_taken, jobs_failed;

struct job {
	unsigned number;
	char *input; /* with its line break */
	size_t size;
};

static bool take_job(struct job *job)
{
	size_t capacity = 0;
	job->input = NULL;
	pthread_mutex_lock(&input_lock);
	ssize_t n = getline(&job->input, &capacity, stdin);
	if (n > 0)
		job->number = jobs_taken++;
	pthread_mutex_unlock(&input_lock);
	job->size = n > 0 ? (size_t)n : 0;
	if (n <= 0)
		free(job->input);
	return n > 0;
}

/* --- one VM of the pool --- */

struct slot {
	unsigned number;
	int listener[2]; /* for the agent's two connections */
	char path[2][sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct lacuna_config *config;
	struct lacuna_vm *vm;
	int work;         /* the connection that is the payload's standard input and output */
	uint64_t boot_us; /* from the start until the agent was ready */
};

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int fail(const struct slot *s, const char *what, struct lacuna_error *err)
{
	fprintf(stderr, "pool: VM %u: %s: %s\n", s->number, what,
		err ? lacuna_error_message(err) : strerror(errno));
	lacuna_error_free(err);
	return -1;
}

static int listen_at(struct slot *s, unsigned i, unsigned port)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(s->path[i], sizeof(s->path[i]), "%s/%u_%u", options.folder, s->number, port);
	memcpy(address.sun_path, s->path[i], sizeof(s->path[i]));
	s->listener[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->listener[i] < 0 ||
		bind(s->listener[i], (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(s->listener[i], 1) < 0)
		return fail(s, "listen", NULL);
	return 0;
}

/* One configuration makes every VM of this slot, one after the other. */
static int configure(struct slot *s, struct lacuna_error **err)
{
	char cid[16], path[sizeof(s->path[0])];
	snprintf(cid, sizeof(cid), "%u", s->number + 3);
	snprintf(path, sizeof(path), "%s/%u", options.folder, s->number);
	const char *const vsock[] = { "cid", cid, "path", path, NULL };
	int rc = lacuna_config_new(&s->config, err);
	if (rc == 0)
		rc = lacuna_config_set(s->config, "kernel", options.kernel, err);
	if (rc == 0)
		rc = lacuna_config_set(s->config, "initrd", options.initrd, err);
	if (rc == 0)
		rc = lacuna_config_set(s->config, "initrd", options.payload, err);
	if (rc == 0)
		rc = lacuna_config_set(s->config, "cmdline", options.cmdline, err);
	if (rc == 0)
		rc = lacuna_config_set_words(s->config, "vsock", vsock, err);
	return rc;
}

/* The agent's connection, or -1 if the VM ends first. */
static int await_agent(const struct slot *s, unsigned i)
{
	struct pollfd fds[] = {
		{ .fd = s->listener[i], .events = POLLIN },
		{ .fd = lacuna_vm_end_fd(s->vm), .events = POLLIN },
	};
	while (poll(fds, 2, -1) < 0)
		if (errno != EINTR)
			return -1;
	if (!fds[0].revents) {
		errno = ESRCH;
		return -1;
	}
	return accept(s->listener[i], NULL, NULL);
}

/* Boots a VM until its agent is ready for work, and pauses it. */
static int warm_up(struct slot *s)
{
	struct lacuna_error *err = NULL;
	uint64_t begin = now_us();
	char ready;
	if (lacuna_vm_new(s->config, &s->vm, &err) < 0 ||
		lacuna_vm_set_deadline(s->vm, BOOT_US, &err) < 0 ||
		lacuna_vm_start(s->vm, &err) < 0)
		return fail(s, "start", err);
	s->work = await_agent(s, 0);
	if (s->work < 0 || read(s->work, &ready, 1) != 1)
		return fail(s, "the guest ended before its agent was ready", NULL);
	if (lacuna_vm_pause(s->vm, &err) < 0 || lacuna_vm_set_deadline(s->vm, 0, &err) < 0)
		return fail(s, "pause", err);
	s->boot_us = now_us() - begin;
	return 0;
}

static void cool_down(struct slot *s)
{
	lacuna_vm_free(s->vm); /* ends it, if it still runs */
	s->vm = NULL;
	if (s->work >= 0)
		close(s->work);
	s->work = -1;
}

/* --- one job --- */

struct result {
	char output[OUTPUT_MAX];
	size_t size;
	int status; /* -1: none came */
};

/*
 * Sends the input and takes the output at the same time, for either side may wait for the other.
 * The connection of a VM that has ended stays open until somebody waits for the VM: its end is
 * looked for, too.
 */
static void converse(const struct slot *s, const struct job *job, struct result *r)
{
	size_t sent = 0;
	bool sending = true;
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = s->work, .events = sending ? POLLIN | POLLOUT : POLLIN },
			{ .fd = lacuna_vm_end_fd(s->vm), .events = POLLIN },
		};
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents & (POLLIN | POLLHUP | POLLERR)) {
			ssize_t n = recv(s->work, r->output + r->size, OUTPUT_MAX - r->size, 0);
			if (n <= 0)
				return; /* its end, or that of our room */
			r->size += (size_t)n;
		} else if (fds[1].revents) {
			return;
		}
		if (!(fds[0].revents & POLLOUT))
			continue;
		ssize_t n = send(
			s->work, job->input + sent, job->size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		sent += n > 0 ? (size_t)n : 0;
		if (sent == job->size) {
			shutdown(s->work, SHUT_WR);
			sending = false;
		}
	}
}

static int take_status(const struct slot *s)
{
	unsigned char status;
	int fd = await_agent(s, 1);
	ssize_t n = fd < 0 ? -1 : read(fd, &status, 1);
	if (fd >= 0)
		close(fd);
	return n == 1 ? status : -1;
}

static const char *how(const struct slot *s, int status, const struct lacuna_stats *stats)
{
	static __thread char text[64];
	if (status >= 0)
		snprintf(text, sizeof(text), "exit %d", status);
	else if (stats->end_reason == LACUNA_END_TIMEOUT)
		snprintf(text, sizeof(text), "cut off after %llu ms",
			(unsigned long long)options.deadline_us / 1000);
	else
		snprintf(text, sizeof(text), "VM ended: %s",
			lacuna_end_reason_name(stats->end_reason));
	return text;
}

static void run_job(struct slot *s, const struct job *job, struct result *r)
{
	struct lacuna_error *err = NULL;
	struct lacuna_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	uint64_t begin = now_us();
	r->size = 0;
	lacuna_vm_stats(s->vm, &before);
	if (lacuna_vm_set_deadline(s->vm, options.deadline_us, &err) < 0 ||
		lacuna_vm_resume(s->vm, &err) < 0) {
		fail(s, "resume", err);
		r->status = -1;
	} else {
		converse(s, job, r);
		r->status = take_status(s);
	}
	lacuna_vm_stats(s->vm, &after);
	while (r->size && r->output[r->size - 1] == '\n')
		r->size--;
	pthread_mutex_lock(&output_lock);
	printf("job %u, VM %u: %s in %llu ms and %llu exits, after %llu ms of boot: %.*s\n",
		job->number, s->number, how(s, r->status, &after),
		(unsigned long long)(now_us() - begin) / 1000,
		(unsigned long long)(after.exits_total - before.exits_total),
		(unsigned long long)s->boot_us / 1000, (int)r->size, r->output);
	jobs_failed += r->status != 0;
	pthread_mutex_unlock(&output_lock);
}

static void *run_slot(void *opaque)
{
	struct slot *s = opaque;
	struct result *r = malloc(sizeof(*r));
	struct lacuna_error *err = NULL;
	struct job job;
	bool ok = r && listen_at(s, 0, STDIO_PORT) == 0 && listen_at(s, 1, STATUS_PORT) == 0;
	if (ok && configure(s, &err) < 0)
		ok = fail(s, "configure", err) == 0;
	while (ok && (ok = warm_up(s) == 0) && take_job(&job)) {
		run_job(s, &job, r);
		free(job.input);
		cool_down(s);
	}
	cool_down(s);
	lacuna_config_free(s->config);
	for (unsigned i = 0; i < 2; i++) {
		if (s->listener[i] >= 0)
			close(s->listener[i]);
		unlink(s->path[i]);
	}
	free(r);
	return ok ? s : NULL;
}

static bool run_pool(void)
{
	struct slot *slots = calloc(options.vms, sizeof(*slots));
	pthread_t *threads = calloc(options.vms, sizeof(*threads));
	bool ok = slots && threads;
	unsigned started = 0;
	for (; ok && started < options.vms; started++) {
		slots[started] =
			(struct slot){ .number = started, .listener = { -1, -1 }, .work = -1 };
		if (pthread_create(&threads[started], NULL, run_slot, &slots[started]))
			break;
	}
	ok = ok && started == options.vms;
	for (unsigned i = 0; i < started; i++) {
		void *done = NULL;
		pthread_join(threads[i], &done);
		ok = ok && done;
	}
	free(threads);
	free(slots);
	return ok;
}

int main(int argc, char **argv)
{
	if (argc != 7 || atoi(argv[5]) < 1 || atoi(argv[6]) < 1) {
		fprintf(stderr,
			"usage: pool KERNEL INITRD PAYLOAD COMMAND-LINE VMS DEADLINE-MS < JOBS\n");
		return 125;
	}
	options.kernel = argv[1];
	options.initrd = argv[2];
	options.payload = argv[3];
	options.cmdline = argv[4];
	options.vms = (unsigned)atoi(argv[5]);
	options.deadline_us = (uint64_t)atoi(argv[6]) * 1000;
	strcpy(options.folder, "/tmp/lacuna-pool-XXXXXX");
	if (!mkdtemp(options.folder)) {
		perror("pool: make a folder");
		return 125;
	}
	bool ok = run_pool();
	rmdir(options.folder);
	if (!ok)
		return 125;
	printf("%u jobs, %u failed\n", jobs_taken, jobs_failed);
	return jobs_failed != 0;
}
