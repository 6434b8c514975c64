/* SPDX-License-Identifier: Apache-2.0 */
/* The monitors that boots are compared of, and their command lines for the same guest. */
#ifndef BENCH_BOOT_MONITOR_H
#define BENCH_BOOT_MONITOR_H

#include "bench/bench.h"

/* The machine that each of them is asked for: with a virtio disk and an entropy device. */
struct boot_guest {
	const char *program;         /* lacuna */
	const char *kernel, *initrd; /* initrd: NULL: none */
	const char *cmdline;
	const char *disk;
	bool disk_readonly;
	const char *tap; /* NULL: no network */
	uint64_t memory_mib, cpus;
};

struct boot_monitor {
	const char *name;
	const char *pci;     /* lacuna's --pci; NULL: as it is without */
	const char *unpack;  /* likewise its --kernel-unpack */
	const char *machine; /* QEMU's -M; NULL: none of QEMU's */
	const char *words;   /* for the guest's command line, too; or NULL */
	const char *command; /* for /bin/sh -c, of --compare-cmd */
	bool own;            /* lacuna */
	uint64_t window;     /* where the guest finds configuration space; 0: not known */
};

extern const struct boot_monitor boot_variants[], boot_rivals[];
/* Their names, NULL-terminated, for option_words(). */
extern const char *const boot_variant_names[], *const boot_rival_names[];
#define BOOT_VARIANTS 7
#define BOOT_RIVALS   5

/* "NAME=COMMAND" or "NAME@ADDRESS=COMMAND"; @name takes the name. STATUS_OK, or what fail()
 * returned. */
int boot_command_parse(const char *value, char name[32], struct boot_monitor *ret);

/* The guest for commands of --compare-cmd: LACUNA_BOOT_KERNEL and so on in the environment.
 * @words: as in boot_argv(). */
void boot_export(const struct boot_guest *guest, const char *words);

/* How @monitor runs @guest, with its serial port at standard output: a NULL-terminated list, to
 * be freed by boot_argv_free(). @stats: where lacuna's statistics go. @words: more for the command
 * line of the guest, or "". */
char **boot_argv(const struct boot_monitor *monitor, const struct boot_guest *guest,
	const char *stats, const char *words);
void boot_argv_free(char **argv);

#endif
