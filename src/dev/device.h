/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every device that a user can ask for has in common: a constant class and an instance that
 * embeds struct device first. The classes are listed in src/machine/devices.c. Life of an instance:
 * create, start, stop, destroy, each called once, by one thread, while no vCPU runs; create may be
 * followed by destroy at once.
 */
#ifndef DEV_DEVICE_H
#define DEV_DEVICE_H

#include <lacuna/error.h>
#include <stdint.h>

#include "util/keyval.h"
#include "util/log.h"

struct bus;
struct chardev_params;
struct console_output;
struct gmem;
struct lacuna_pci_device;
struct lacuna_virtio_device;
struct loop;
struct pci_host;

/* What a device may use of its machine. Outlives every device. */
struct device_env {
	struct gmem *mem;
	struct loop *loop;
	struct bus *pio, *mmio;
	struct pci_host *pci;
	const struct log *log;
	const struct chardev_params
		*chardev; /* of a console, but for name and ends; until create returns */
	const struct console_output *outputs; /* of a console; until create returns */
	size_t output_count;
	/* Further options of the same device, NULL-terminated; until create returns. */
	const struct keyval *const *more;
	/* Descriptions (include/lacuna/device.h) of a device of the embedder's own, found sound;
	 * the one that its class goes by is set. Until create returns. */
	const struct lacuna_pci_device *custom_pci;
	const struct lacuna_virtio_device *custom_virtio;
	unsigned bus; /* PCI bus that the device being created is to be on */
	/* Presents the first @size bytes of @fd to the guest as memory, until the machine is gone;
	 * @name is for messages. Only from create(); @name and @fd are kept until destroy(). */
	int (*map_file)(void *opaque, const char *name, int fd, uint64_t size, bool readonly,
		uint64_t *ret_gpa, struct lacuna_error **err);
	void *map_opaque;
};

struct device;

struct device_class {
	const char *name; /* "virtio-blk": prefixed to errors, shown in logs */
	/* The configuration key that makes one: "disk". NULL: it is made by a description. */
	const char *option;
	const char *implied_key; /* of the option text, see keyval_parse(); NULL: none */
	const char *const *keys; /* accepted keys, NULL-terminated */
	bool single;             /* a machine has one at most */
	/* Opens host resources and puts the device on its bus. @args is freed by the caller
	 * afterwards. */
	int (*create)(const struct device_env *env, const struct keyval *args, struct device **ret,
		struct lacuna_error **err);
	int (*start)(struct device *dev, struct lacuna_error **err); /* may be NULL */
	void (*stop)(struct device *dev); /* completes I/O, joins threads; may be NULL; also after a
					     failed start */
	void (*destroy)(struct device *dev);

	/* Between start and stop, from any thread, one call at a time; the guest runs meanwhile. */
	const char *const *settable; /* keys that set() takes, NULL-terminated; NULL: none */
	int (*set)(struct device *dev, const struct keyval *args, struct lacuna_error **err);
	/* Tells the present values of what can be set and measured. May be NULL. */
	void (*get)(struct device *dev,
		void (*emit)(void *opaque, const char *key, const char *value), void *opaque);
};

/* For get(): a number, in decimal. */
void device_emit_u64(void (*emit)(void *opaque, const char *key, const char *value), void *opaque,
	const char *key, uint64_t value);

#define DEVICE_NAME_SIZE 32

struct device {
	const struct device_class *class;
	/* "disk0": the option and a running number; set by the machine before start */
	char name[DEVICE_NAME_SIZE];
};

/* What a callback of the embedder's has returned and left as an error, which is taken, as an error
 * of ours: 0, or a negative errno value and a sentence in any case. @what names the callback. */
int device_callback_result(
	const char *what, int rc, struct lacuna_error *own, struct lacuna_error **err);

#endif
