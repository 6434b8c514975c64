/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine is to be made of: the typed form of the options that the command line and
 * lacuna_config_set() share. Holds no resource but memory and duplicates of descriptors; whether a
 * file exists or the host has enough RAM is found out by whoever opens or maps it. One thread at a
 * time.
 */
#ifndef MACHINE_CONFIG_H
#define MACHINE_CONFIG_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/chardev_end.h"
#include "boot/boot.h"
#include "pci/ecam.h"
#include "util/log.h"

#define MACHINE_CPUS_MAX   254 /* every APIC id fits the 8 bits of an IOAPIC or MSI destination */
#define MACHINE_MEMORY_MIN ((uint64_t)32 << 20)
#define MACHINE_MARKER_MAX 255

enum machine_pci_config {
	MACHINE_PCI_ECAM,  /* the window only */
	MACHINE_PCI_BOTH,  /* the window and ports 0xCF8-0xCFF */
	MACHINE_PCI_TYPE1, /* the ports only */
};

enum machine_tables {
	MACHINE_TABLES_ACPI,
	MACHINE_TABLES_FDT,
	MACHINE_TABLES_BOTH,
};

enum machine_pci_window {
	MACHINE_WINDOW_AUTO,   /* memory where the host can, else trap */
	MACHINE_WINDOW_MEMORY, /* an error where the host can't */
	MACHINE_WINDOW_TRAP,
};

struct console_output;
struct lacuna_pci_device;
struct lacuna_virtio_device;

struct machine_device_option {
	char *option; /* "disk"; the name of one that is described below */
	char *text;   /* for keyval_parse() */
	char **more;  /* further options of the same device */
	size_t more_count;
	/* Of a device of the embedder's own, one of the two: see machine/custom.h. */
	struct lacuna_pci_device *pci;
	struct lacuna_virtio_device *virtio;
};

struct machine_config {
	unsigned cpus;
	uint64_t memory; /* bytes, a multiple of 4 KiB */
	bool hugepages;

	struct boot_file kernel; /* neither path nor fd: the built-in probe guest */
	enum boot_unpack kernel_unpack;
	char *kernel_cache;        /* folder, or NULL */
	struct boot_file *initrds; /* in the order given */
	size_t initrd_count;
	char *cmdline;    /* the user's part; NULL: none given */
	bool add_cmdline; /* lacuna adds what suits its machine */
	enum machine_tables tables;

	int kvm_fd; /* an open /dev/kvm; -1: it is to be opened */

	struct chardev_end serial;
	bool console_stdio;    /* a port of the virtio console has standard input and output */
	bool console_hvc;      /* there is a port for Linux's hvc0 */
	bool console_function; /* a function has the output of a port without a name */

	struct {
		enum machine_pci_config config;
		enum machine_pci_window window;
		enum ecam_pages pages;
		bool no_coalesce; /* every write of the guest's returns to the monitor */
		unsigned buses;   /* 1 to 256; 0: as many as are needed */
		int ports;        /* 0 to 255; -1: as many as are needed */
		int pv_bit;       /* see include/abi/pvbit.h; -1: off */
	} pci;

	struct machine_device_option *devices; /* in the order given */
	size_t device_count;
	struct console_output *outputs; /* of the console's ports */
	size_t output_count;

	char *marker;        /* NULL: none */
	uint64_t timeout_us; /* 0: none */
	struct log log;

	uint32_t given; /* a bit for each row of the option table that was set */
};

void machine_config_init(struct machine_config *config);
void machine_config_done(struct machine_config *config);

/*
 * Sets one option. -EINVAL: no such key, or a value that is not of its form; -ERANGE; -EEXIST: the
 * second time for a key that may be given once only. After an error @config is as it was.
 */
int machine_config_set(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err);

/* The same of a value that is no text: a list for keyval_join(), a number (bytes, microseconds), a
 * switch, a descriptor, of which a duplicate is kept (-EBADF). -EINVAL: @key takes none such. */
int machine_config_set_words(struct machine_config *config, const char *key,
	const char *const *words, struct lacuna_error **err);
int machine_config_set_u64(
	struct machine_config *config, const char *key, uint64_t value, struct lacuna_error **err);
int machine_config_set_bool(
	struct machine_config *config, const char *key, bool value, struct lacuna_error **err);
int machine_config_set_fd(
	struct machine_config *config, const char *key, int fd, struct lacuna_error **err);

/* Ends that are functions: of the serial port, or of one more port of the console. @name NULL: it
 * has none. -EEXIST. */
int machine_config_set_serial(
	struct machine_config *config, const struct chardev_sink *sink, struct lacuna_error **err);
int machine_config_add_output(struct machine_config *config, const char *name,
	const struct chardev_sink *sink, struct lacuna_error **err);

/* Whether there is an option called @key. */
bool machine_config_has_option(const char *key);

/* The index of @value in @names, which is NULL-terminated; -EINVAL names @accepted. */
int machine_config_choose(const char *key, const char *value, const char *const names[],
	const char *accepted, unsigned *ret, struct lacuna_error **err);

/* Adds a device whose text the caller answers for. -ENOMEM, and then @config is as it was. */
int machine_config_add_device(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err);

/* Options with files of their own: "pci", "console". */
int machine_config_set_pci(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err);
int machine_config_add_console(struct machine_config *config, const char *key, const char *value,
	struct lacuna_error **err);

static inline bool machine_config_has_kernel(const struct machine_config *config)
{
	return config->kernel.path || config->kernel.fd >= 0;
}

/* What no single option can tell: -EINVAL for options that contradict each other. */
int machine_config_check(const struct machine_config *config, struct lacuna_error **err);

#endif
