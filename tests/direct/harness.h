/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one freestanding guest (tests/guest, or the built-in probe) through the public interface, on
 * whatever /dev/kvm there is, and keeps all that can be known about the run. What goes wrong on the
 * way fails the test that asked for it.
 */
#ifndef DIRECT_HARNESS_H
#define DIRECT_HARNESS_H

#include <lacuna/vm.h>

/* Seconds after which a test has failed, whatever its guests' own limits; generous, for sanitizers
 * and busy machines. */
#define TEST_TIMEOUT 400

struct outcome;

struct guest {
	const char *image;                /* tests/guest/IMAGE.elf; NULL: the probe guest */
	const char *cmdline;              /* NULL: none */
	unsigned cpus;                    /* 0: 1 */
	const char *memory, *pci, *disk;  /* as the options; NULL: the default; no disk */
	const char *tables;               /* likewise */
	const char *balloon, *pmem, *net; /* likewise; NULL: none */
	unsigned rng;                     /* how many */
	bool vsock;                       /* with CID 33 */
	bool console;                     /* with two ports, whose output is dropped */
	bool stream;                      /* with one called "stream" for lacuna_vm_input() */
	void (*configure)(struct lacuna_config *); /* adds what these can't say; may be NULL */
	const char *input;                         /* what waits at the serial port */
	unsigned timeout_s;                        /* 0: 60 */

	/* What must come of it. */
	enum lacuna_end_reason reason; /* LACUNA_END_NONE here: LACUNA_END_EXIT_CODE */
	int code;
	const char *output;                    /* part of what it prints; NULL: anything will do */
	void (*check)(const struct outcome *); /* looks further; may be NULL */
};

struct outcome {
	struct lacuna_vm *vm; /* has ended */
	enum lacuna_end_reason reason;
	int code;
	struct lacuna_stats stats;
	char *output; /* NUL-terminated */
	size_t output_size;
};

/* Skips the test, visibly, where there is no /dev/kvm. */
void need_kvm(void);

/* Where tests/guest/@image.elf is. */
void guest_path(const char *image, char *ret, size_t size);

/* The configuration of @g with its console on two descriptors of the caller's; the VM made of it.
 */
struct lacuna_config *guest_config(const struct guest *g, int in, int out);
struct lacuna_vm *guest_new(const struct guest *g, int in, int out);

/* Runs @g to its end and checks that it ended as it must. */
void guest_run(const struct guest *g, struct outcome *ret);
void outcome_done(struct outcome *o);

/* guest_run() for tests that keep nothing. */
void guest_check(const struct guest *g);

/* The number after @label in the output (decimal or 0x), which must be there. */
uint64_t outcome_number(const struct outcome *o, const char *label);

/* The folder of the guests, beside this program; in static storage. */
const char *guest_folder(void);

/* A scratch file of @size zero bytes, gone when the test ends; its path in static storage. */
const char *scratch_disk(size_t size);

#endif
