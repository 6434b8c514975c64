// SPDX-License-Identifier: Apache-2.0
/* Monitors with the guest of `lacuna bench io`. */
#include "bench/io_guest.h"

#include <assert.h>
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BOOT_NS (300 * SECOND_NS) /* to the first gate; an emulated host takes its time */
#define ARGS    48

#define RESULTS_MAX 2000 /* of a workload: no more runs can be asked for, twice each */

const char *const io_monitor_names[] = { "lacuna", "qemu", NULL };

const char *const io_workload_names[] = { "randread-4k-qd1", "randread-4k-qd32", "read-128k-qd8",
	"send", "receive", NULL };
static_assert(sizeof(io_workload_names) / sizeof(io_workload_names[0]) == IO_WORKLOADS + 1,
	"a name for each");

static const double request_kib[IO_DISK_WORKLOADS] = { 4, 4, 128 };

/* --- what the guest says --- */

static enum io_workload find_workload(const char *name, size_t len)
{
	unsigned i = 0;
	while (io_workload_names[i] &&
		(strlen(io_workload_names[i]) != len || strncmp(io_workload_names[i], name, len)))
		i++;
	return (enum io_workload)i;
}

/* Whether the phase that comes behind so many of its kind is counted, not timed. */
static bool is_counted(size_t before)
{
	return before % 2 == 0;
}

/* "NAME A B": KiB and the milliseconds that took; or kbit/s and packets. */
static void take_result(struct io_guest *g, const char *text)
{
	size_t len = strcspn(text, " ");
	enum io_workload w = find_workload(text, len);
	char *rest, *end;
	if (w == IO_WORKLOADS)
		return;
	struct io_series *s = &g->result[w];
	size_t before = s->counted.count + s->units.count;
	if (before == RESULTS_MAX)
		return;
	double a = strtod(text + len, &rest), b = strtod(rest, &end);
	if (end == rest || !(a > 0) || !(b > 0))
		a = b = NAN;
	double requests = a / (w < IO_DISK_WORKLOADS ? request_kib[w] : 1);
	double units = w < IO_DISK_WORKLOADS ? requests : b;
	if (is_counted(before)) {
		series_add(&s->counted, units);
		return;
	}
	series_add(&s->units, units);
	series_add(&s->rate, w < IO_DISK_WORKLOADS ? requests * 1000 / b : a / 1000);
}

/* Behind the word "gate", or NULL. The kernel may have begun the line, so it is looked for as a
 * word of its own: an "aggregate " of the kernel's is none. */
static const char *find_gate(const char *line)
{
	static const char word[] = "gate ";
	const char *at = strstr(line, word);
	while (at && at > line && at[-1] != ' ')
		at = strstr(at + 1, word);
	return at ? at + strlen(word) : NULL;
}

void io_guest_line(struct io_guest *g, const char *line)
{
	const char *gate = find_gate(line);
	if (gate) {
		snprintf(g->gate, sizeof(g->gate), "%s", gate);
		g->at_gate = true;
	} else if (!strncmp(line, "guest ", strlen("guest "))) {
		take_result(g, line + strlen("guest "));
	}
	if (*line)
		snprintf(g->last, sizeof(g->last), "%s", line);
}

static void on_output(void *opaque, const char *data, size_t size, uint64_t when)
{
	struct io_guest *g = opaque;
	for (size_t i = 0; i < size; i++) {
		if (data[i] == '\n') {
			g->line[g->line_size] = '\0';
			g->line_size = 0;
			io_guest_line(g, g->line);
		} else if (data[i] != '\r' && g->line_size < sizeof(g->line) - 1) {
			g->line[g->line_size++] = data[i];
		}
	}
}

static const char *name_of(const struct io_guest *g)
{
	return g->monitor == IO_LACUNA ? "lacuna" : "qemu-system-x86_64";
}

static int give_up(struct io_guest *g)
{
	g->failed = true;
	io_guest_end(g);
	return -1;
}

static int await_gate(struct io_guest *g, uint64_t limit_ns)
{
	uint64_t until = now_ns() + limit_ns;
	int rc = 0;
	while (!g->at_gate && rc == 0)
		rc = child_serve_some(&g->child, until);
	if (g->at_gate)
		return 0;
	const char *said = child_said(&g->child);
	if (rc > 0)
		why_set(&g->why, "%s: the guest came to no gate within %llu s, last saying '%s'",
			name_of(g), (unsigned long long)(limit_ns / SECOND_NS), g->last);
	else
		why_set(&g->why, "%s ended too early: %s", name_of(g), *said ? said : g->last);
	return give_up(g);
}

static int pass_gate(struct io_guest *g, uint64_t limit_ns)
{
	g->at_gate = false;
	child_tell(&g->child, "\n");
	return await_gate(g, limit_ns);
}

/* --- start --- */

struct command {
	const char *argv[ARGS];
	size_t argc;
	char memory[16], text[5][PATH_MAX + 128];
};

static void add(struct command *c, const char *option, const char *value)
{
	assert(c->argc + 3 < ARGS);
	c->argv[c->argc++] = option;
	if (value)
		c->argv[c->argc++] = value;
}

#define TEXT(c, i, ...) (snprintf((c)->text[i], sizeof((c)->text[i]), __VA_ARGS__), (c)->text[i])

static void command_lacuna(struct command *c, const struct io_setup *s, const int *tap)
{
	snprintf(c->memory, sizeof(c->memory), "%lluM", (unsigned long long)s->memory_mib);
	add(c, s->program, "run");
	add(c, "--kernel", s->kernel);
	add(c, "--initrd", s->initrd);
	add(c, "--cmdline", c->text[0]);
	add(c, "--memory", c->memory);
	add(c, "--disk",
		TEXT(c, 1, "path=%s,readonly=on%s", s->disk, s->direct ? ",direct=on" : ""));
	if (s->userland)
		add(c, "--disk",
			TEXT(c, 2, "path=%s,readonly=on,serial=LACUNA-USERLAND", s->userland));
	if (tap)
		add(c, "--net", TEXT(c, 3, "fd=%d", *tap));
}

/* Its best shape on stock kernels: a thread of its own for the disks, io_uring, no vhost, which
 * would be the kernel's device. Its locks are of another kind than ours, and nobody writes. */
static void command_qemu(struct command *c, const struct io_setup *s, const int *tap)
{
	snprintf(c->memory, sizeof(c->memory), "%llu", (unsigned long long)s->memory_mib);
	add(c, "qemu-system-x86_64", NULL);
	add(c, "-M", "q35,accel=kvm");
	add(c, "-cpu", "host");
	add(c, "-m", c->memory);
	add(c, "-smp", "1");
	add(c, "-nodefaults", "-no-user-config");
	add(c, "-display", "none");
	add(c, "-no-reboot", NULL);
	add(c, "-kernel", s->kernel);
	add(c, "-initrd", s->initrd);
	add(c, "-append", c->text[0]);
	add(c, "-chardev", "stdio,id=s,signal=off");
	add(c, "-serial", "chardev:s");
	add(c, "-object", "iothread,id=t");
	add(c, "-drive",
		TEXT(c, 1,
			"if=none,file=%s,format=raw,file.locking=off,readonly=on,cache=%s,aio=io_uring,id=d",
			s->disk, s->direct ? "none" : "writeback"));
	add(c, "-device", "virtio-blk-pci,drive=d,iothread=t");
	if (s->userland) {
		add(c, "-drive",
			TEXT(c, 2, "if=none,file=%s,format=raw,file.locking=off,readonly=on,id=u",
				s->userland));
		add(c, "-device", "virtio-blk-pci,drive=u,serial=LACUNA-USERLAND");
	}
	if (tap) {
		add(c, "-netdev", TEXT(c, 3, "tap,id=n,fd=%d,vhost=off", *tap));
		add(c, "-device", "virtio-net-pci,netdev=n");
	}
}

int io_guest_start(struct io_guest *g, enum io_monitor monitor, const struct io_setup *setup,
	const int *tap, const char *net)
{
	struct command c = { .argc = 0 };
	*g = (struct io_guest){ .monitor = monitor };
	TEXT(&c, 0, "%s io.seconds=%llu io.runs=%llu%s%s", setup->cmdline,
		(unsigned long long)setup->seconds, 2 * (unsigned long long)setup->runs,
		net ? " io.net=" : "", net ? net : "");
	if (monitor == IO_LACUNA)
		command_lacuna(&c, setup, tap);
	else
		command_qemu(&c, setup, tap);
	const struct child_spec spec = {
		.argv = c.argv, .talk = true, .handed = tap, .on_output = on_output, .opaque = g
	};
	if (child_start(&g->child, &spec, &g->why) < 0) {
		g->failed = true;
		return -1;
	}
	g->running = true;
	g->child.spec.argv = NULL; /* it goes with this function */
	return await_gate(g, BOOT_NS);
}

/* --- phases --- */

enum io_workload io_guest_next(const struct io_guest *g)
{
	static const char begin[] = "begin ";
	if (!g->at_gate || strncmp(g->gate, begin, strlen(begin)) != 0)
		return IO_WORKLOADS;
	const char *name = g->gate + strlen(begin);
	return find_workload(name, strlen(name));
}

/* Not /proc/PID/stat, whose ticks of 10 ms are more than a guest at rest takes in seconds. */
double io_guest_cpu_us(const struct io_guest *g)
{
	clockid_t clock;
	struct timespec t;
	if (clock_getcpuclockid(g->child.pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
		return NAN;
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

double io_guest_exits(const struct io_guest *g)
{
	static const char root[] = "/sys/kernel/debug/kvm";
	char prefix[16], path[320], text[32];
	double exits = NAN;
	snprintf(prefix, sizeof(prefix), "%d-", (int)g->child.pid);
	DIR *d = opendir(root);
	for (const struct dirent *e; d && (e = readdir(d));) {
		if (strncmp(e->d_name, prefix, strlen(prefix)) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s/exits", root, e->d_name);
		FILE *f = fopen(path, "re");
		if (f && fgets(text, sizeof(text), f))
			exits = strtod(text, NULL);
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	return exits;
}

const struct tracepoint io_tracepoints[] = {
	{ "kvm_userspace_exit", "reason", 0 },
	{ "kvm_mmio", "type", 0 },
	{ "kvm_apic_accept_irq", "vec", 0 },
};
static_assert(sizeof(io_tracepoints) / sizeof(io_tracepoints[0]) == IO_TRACEPOINTS, "all");

#define MMIO_WRITE 2 /* KVM_TRACE_MMIO_WRITE */
/* From here on they are the guest's timer and what Linux sends itself (asm/irq_vectors.h). */
#define VECTOR_SYSTEM 0xec

static void add_return(void *opaque, const struct tracepoint_hits *h)
{
	*(double *)opaque += (double)h->hits;
}

static void add_kick(void *opaque, const struct tracepoint_hits *h)
{
	if (h->key[0] == MMIO_WRITE)
		*(double *)opaque += (double)h->hits;
}

static void add_interrupt(void *opaque, const struct tracepoint_hits *h)
{
	if (h->key[0] < VECTOR_SYSTEM)
		*(double *)opaque += (double)h->hits;
}

/* Adds what has been counted of this phase. */
static int take_counts(struct io_guest *g, struct tracepoints *trace, struct io_series *s)
{
	static tracepoint_fn *const fn[IO_TRACEPOINTS] = { add_return, add_kick, add_interrupt };
	for (size_t i = 0; i < IO_TRACEPOINTS; i++) {
		double n = trace ? 0 : NAN;
		if (trace && tracepoints_read(trace, i, fn[i], &n, &g->why) < 0)
			return give_up(g);
		series_add(&s->n[IO_RETURNS + i], n);
	}
	return trace && tracepoints_stop(trace, &g->why) < 0 ? give_up(g) : 0;
}

/* Up to the gate at its end. */
static int run_phase(struct io_guest *g, uint64_t limit_ns)
{
	if (pass_gate(g, limit_ns) < 0)
		return -1;
	if (!strcmp(g->gate, "end"))
		return 0;
	why_set(&g->why, "%s: the guest came to gate '%s' in place of 'end'", name_of(g), g->gate);
	return give_up(g);
}

static int count_phase(
	struct io_guest *g, struct io_series *s, struct tracepoints *trace, uint64_t limit_ns)
{
	if (trace && (tracepoints_follow(trace, g->child.pid, &g->why) < 0 ||
			     tracepoints_clear(trace, &g->why) < 0))
		return give_up(g);
	double exits = -io_guest_exits(g);
	if (run_phase(g, limit_ns) < 0)
		return -1;
	series_add(&s->n[IO_EXITS], exits + io_guest_exits(g));
	return take_counts(g, trace, s);
}

static int time_phase(struct io_guest *g, struct io_series *s, uint64_t limit_ns)
{
	double cpu = -io_guest_cpu_us(g);
	if (run_phase(g, limit_ns) < 0)
		return -1;
	series_add(&s->cpu_us, cpu + io_guest_cpu_us(g));
	return 0;
}

int io_guest_phase(struct io_guest *g, struct tracepoints *trace, uint64_t limit)
{
	struct io_series *s = &g->result[io_guest_next(g)];
	uint64_t limit_ns = limit * SECOND_NS;
	int rc = is_counted(s->n[IO_EXITS].count + s->cpu_us.count)
			 ? count_phase(g, s, trace, limit_ns)
			 : time_phase(g, s, limit_ns);
	return rc < 0 ? rc : pass_gate(g, limit_ns);
}

int io_guest_finish(struct io_guest *g)
{
	if (strcmp(g->gate, "idle") != 0) {
		why_set(&g->why, "%s: after all phases the guest stands at gate '%s'", name_of(g),
			g->gate);
		return give_up(g);
	}
	child_tell(&g->child, "\n");
	if (child_serve(&g->child, now_ns() + BOOT_NS)) {
		why_set(&g->why, "%s: the guest did not end", name_of(g));
		return give_up(g);
	}
	child_end(&g->child);
	g->running = false;
	return 0;
}

void io_guest_end(struct io_guest *g)
{
	if (g->running)
		child_end(&g->child);
	g->running = false;
}
