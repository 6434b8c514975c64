/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A monitor with the guest that `lacuna bench io` measures by: the contract with that guest is in
 * lacuna-bench(1), THE GUEST OF IO. It stands still at a gate before and after each phase, so what
 * is counted in between is the phase's.
 */
#ifndef BENCH_IO_GUEST_H
#define BENCH_IO_GUEST_H

#include "bench/child.h"
#include "bench/series.h"
#include "bench/tracepoints.h"

enum io_monitor { IO_LACUNA, IO_QEMU, IO_MONITORS };
extern const char *const io_monitor_names[];

/* Disk first. */
enum io_workload { IO_RAND1, IO_RAND32, IO_SEQ, IO_SEND, IO_RECEIVE, IO_WORKLOADS };
#define IO_DISK_WORKLOADS IO_SEND

/* What the guest and the JSON call them; NULL ends each. */
extern const char *const io_workload_names[];

/* What is counted of a phase. */
enum io_count {
	IO_EXITS,      /* of the guest, those included that KVM serves itself */
	IO_RETURNS,    /* of KVM_RUN */
	IO_KICKS,      /* writes to MMIO, ioeventfds included */
	IO_INTERRUPTS, /* of devices */
	IO_COUNTS
};

struct io_setup {
	const char *program; /* lacuna */
	const char *kernel, *initrd, *userland, *cmdline;
	const char *disk;       /* a file of IO_DISK_SIZE */
	uint64_t seconds, runs; /* of each phase; how often it is timed, and how often counted */
	uint64_t memory_mib;
	bool direct;
};

#define IO_DISK_SIZE (UINT64_C(128) * 1024 * 1024)

/* Each phase runs in turns to be counted and to be timed, since counting takes time. One value for
 * each time, in order. */
struct io_series {
	struct series rate;         /* requests a second, or Mbit/s, where it was timed */
	struct series units;        /* requests, or packets, likewise */
	struct series cpu_us;       /* of the monitor's process, likewise */
	struct series counted;      /* requests, or packets, where it was counted */
	struct series n[IO_COUNTS]; /* NAN: not known */
};

struct io_guest {
	enum io_monitor monitor;
	struct child child;
	bool running, at_gate;
	char gate[64];             /* "begin NAME", "end", "idle" */
	char line[512], last[160]; /* of the console: the one that is coming; the last one */
	size_t line_size;
	struct io_series result[IO_WORKLOADS];
	/* In each part of the time at rest: of a CPU; of its VM, a second. */
	struct series idle_percent, idle_exits;
	bool failed;
	struct why why;
};

/* Starts it and waits for the first gate; @net: its network device is this tap, and which network
 * its guest is in ("10.99.0"), or NULL. -1 after filling in failed and why, here and below; then it
 * has been ended. */
int io_guest_start(struct io_guest *g, enum io_monitor monitor, const struct io_setup *setup,
	const int *tap, const char *net);

/* The workload that it stands before; IO_WORKLOADS if none. */
enum io_workload io_guest_next(const struct io_guest *g);

/* Lets it run that phase, up to the next gate: counted the first time, timed the second, and so on.
 * @trace: what counts, or NULL. @limit: seconds. */
int io_guest_phase(struct io_guest *g, struct tracepoints *trace, uint64_t limit);

/* What IO_RETURNS to IO_INTERRUPTS are counted by. */
extern const struct tracepoint io_tracepoints[];
#define IO_TRACEPOINTS 3

/* CPU time of its process so far, what has ended in it included. */
double io_guest_cpu_us(const struct io_guest *g);

/* All exits of its VM so far, by KVM's folder PID-FD in debugfs; NAN: not known. */
double io_guest_exits(const struct io_guest *g);

/* Lets it go from its last gate, which must be "idle", and waits for its end. */
int io_guest_finish(struct io_guest *g);

/* Ends it if it runs, and frees what it holds. */
void io_guest_end(struct io_guest *g);

/* One line of the console; for the tests. */
void io_guest_line(struct io_guest *g, const char *line);

#endif
