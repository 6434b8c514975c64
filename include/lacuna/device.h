/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices of the embedder's own: PCI functions and virtio devices, put on the bus beside lacuna's.
 * A description is added to a configuration; each VM made of it gets an instance of its own, from
 * create() to destroy(). The configuration space of either kind is served from memory, as that of
 * every other function: the guest's reads of it never come here.
 *
 * Life of an instance:
 *
 *	create   in lacuna_vm_new(), on its thread. The guest does not run.
 *	...      callbacks as described below, on threads of the VM
 *	destroy  in lacuna_vm_free(), or when lacuna_vm_new() fails later on; no other callback
 *	         is under way or will come.
 *
 * The calls on an instance are allowed from create() until destroy() returns, from any thread and
 * from every callback; so destroy() ends, and joins, threads of the program's own that make some.
 * They never wait for the guest or for a callback, and call nothing back but the log function: a
 * lock of the program's may be held around them and be taken in callbacks, but not in that of the
 * log.
 *
 * Callbacks must not call lacuna_vm_...() on their own VM, but lacuna_vm_stop() and
 * lacuna_vm_stats().
 *
 * The guest is hostile: offsets and sizes are checked before a callback sees them, values are not.
 *
 * On a vCPU's thread the kick signal (vm.h) may come at any time, as for a pause: system calls that
 * SA_RESTART does not restart, such as poll() and nanosleep(), end with EINTR there; see signal(7).
 *
 * Structures that begin with their size may be shorter or longer than the library's: fields that
 * the caller does not have are taken as 0, and what the library does not know must be 0 (-EINVAL).
 * Those in arrays don't; they have room, which must be 0.
 */
#ifndef LACUNA_DEVICE_H
#define LACUNA_DEVICE_H

#include <lacuna/config.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Place of a device: any free one. Else the number of a PCI bus: 0, or that of a root port. */
#define LACUNA_BUS_ANY (-1)

/* --- PCI functions --- */

/* An instance's own handle. Valid from create() to destroy(). */
struct lacuna_pci_function;

struct lacuna_pci_ops {
	size_t size; /* sizeof(struct lacuna_pci_ops) */

	/** Makes an instance for one VM: stores what the other callbacks get as @state. 0, or
	 * -errno after lacuna_error_set(). @opaque is the description's. What
	 * lacuna_pci_config_set() sets here is what a reset gives the bits that the guest may
	 * change. Required. */
	int (*create)(void *opaque, struct lacuna_pci_function *f, void **ret_state,
		struct lacuna_error **err);
	/** Not called when create() failed. May be NULL. */
	void (*destroy)(void *state);

	/**
	 * The guest reads or writes @size (1, 2, 4 or 8) bytes, naturally aligned or not, at
	 * @offset of BAR @bar, all of them inside it. On the vCPU's thread, several vCPUs at once,
	 * without a lock; the guest's CPU waits meanwhile. NULL: reads as zeros, writes are
	 * dropped.
	 */
	uint64_t (*bar_read)(void *state, unsigned bar, uint64_t offset, unsigned size);
	void (*bar_write)(
		void *state, unsigned bar, uint64_t offset, uint64_t value, unsigned size);

	/**
	 * The guest wrote to bytes of a capability of the description's own, where its masks allow
	 * that; read them with lacuna_pci_config_read(). On the vCPU's thread, one call at a time
	 * in the VM, since the PCI host's lock is held: don't wait in it. @offset is that of the
	 * capability in configuration space. May be NULL.
	 */
	void (*capability_written)(void *state, unsigned offset);

	/**
	 * The function was reset, alone or with its bus (PCIe 5.0, 6.6): back to what it was after
	 * create(). All that the guest may change of its registers, BARs and MSI-X is so already
	 * (what only lacuna_pci_config_set() changes is the device's to set), and it is no bus
	 * master: no DMA is under way, and none will be before this returns. What a thread of the
	 * program's is at must be over then, or it would go on once the guest allows DMA again:
	 * have it work in pieces under a lock that is taken here. A bar_read() or bar_write() may
	 * still be under way, on another vCPU. On a vCPU's thread, under the same lock. May be
	 * NULL.
	 */
	void (*reset)(void *state);
};

struct lacuna_pci_bar {
	uint64_t size;       /* bytes, a power of two from 4096 to 1 GiB; 0: no such BAR */
	bool is_64;          /* takes this and the next */
	bool prefetchable;   /* behind a root port only such a one lies above 4 GiB */
	uint8_t reserved[6]; /* 0 */
};

struct lacuna_pci_capability {
	uint16_t id;          /* PCI Code and ID Assignment specification; 0x09: vendor-specific */
	bool extended;        /* in extended configuration space; PCIe 5.0, 7.6.3 */
	uint8_t version;      /* of an extended one, to 15 */
	const void *body;     /* what follows the header of 2 (extended: 4) bytes; NULL: zeros */
	const void *writable; /* mask of the same size: bits the guest may change; NULL: none */
	/* likewise bits that the guest clears by writing 1 to them, and no other way (RW1C: PCIe
	 * 5.0, 7.4); none of those in @writable */
	const void *write_1_clear;
	size_t size;          /* of the body, bytes */
	uint64_t reserved[2]; /* 0 */
};

struct lacuna_pci_device {
	size_t size; /* sizeof(struct lacuna_pci_device) */
	/* For messages and, with a number from 0 behind it ("acme-dma0"), the device's name in the
	 * VM: 1 to 23 of a-z, 0-9 and '-', a letter first and no digit last. No key of
	 * lacuna_config_set(), which may come to have more: begin it with a name of your own. */
	const char *name;
	uint16_t vendor_id, device_id, subsystem_vendor_id, subsystem_id;
	uint32_t class_code; /* base class << 16 | subclass << 8 | programming interface */
	uint8_t revision;
	struct lacuna_pci_bar bar[6];
	/* 0 to 2048: interrupts; there are no others. Each is a descriptor once the guest uses it,
	 * for which lacuna_vm_new() sees to it that there is room. */
	unsigned msix_vectors;
	/* Which BAR holds their table, if there are any: it is made, and served, by the library;
	 * bar[msix_bar].size must be 0, its two flags apply. */
	unsigned msix_bar;
	/* The library adds PCI Express, a serial number, and MSI-X; 0x05 (MSI), 0x10, 0x11, and
	 * 0x0003 among the extended ones, are refused. */
	const struct lacuna_pci_capability *capability;
	size_t capability_count;
	int bus; /* or LACUNA_BUS_ANY */
	const struct lacuna_pci_ops *ops;
	void *opaque; /* for create() */
};

/** Adds a PCI function. @device is copied with all it points to but what @opaque does. -EINVAL
 * names the field at fault; -ENOMEM. After an error @config is as it was. */
LACUNA_API int lacuna_config_add_pci_device(struct lacuna_config *config,
	const struct lacuna_pci_device *device, struct lacuna_error **err);

/** Sends MSI-X message @vector, or marks it pending while the guest masks it or does not let the
 * function master the bus (PCIe 5.0, 7.5.1.1.3). Out of range, or with MSI-X off: ignored. */
LACUNA_API void lacuna_pci_interrupt(struct lacuna_pci_function *f, unsigned vector);

/**
 * Direct memory access: guest RAM, where the guest has made the function, and the port above it, a
 * bus master. -EPERM: it has not, or the VM has ended; -EFAULT: not all of the range is RAM, and
 * then nothing is copied. The guest may change what it has at any time: read once, then check the
 * copy. One call of a function is carried out at a time, and when the guest has taken mastering
 * away none is any more.
 */
LACUNA_API int lacuna_pci_dma_read(
	struct lacuna_pci_function *f, uint64_t gpa, void *buf, size_t size);
LACUNA_API int lacuna_pci_dma_write(
	struct lacuna_pci_function *f, uint64_t gpa, const void *buf, size_t size);

/**
 * The function's own view of its configuration space. @width is 1, 2 or 4 and @offset, below 4096,
 * a multiple of it (else: all ones, ignored). set: no masks apply, and the guest sees it at once.
 * It reaches the bodies of the description's capabilities; what lies outside, or only partly
 * inside, is not the device's to set: ignored.
 */
LACUNA_API uint32_t lacuna_pci_config_read(
	struct lacuna_pci_function *f, unsigned offset, unsigned width);
LACUNA_API void lacuna_pci_config_set(
	struct lacuna_pci_function *f, unsigned offset, uint32_t value, unsigned width);
/** Offset of capability number @index of the description, 0 if there is none. */
LACUNA_API unsigned lacuna_pci_capability_offset(const struct lacuna_pci_function *f, size_t index);

/* --- virtio devices --- */

/* An instance's own handle. Valid from create() to destroy(). */
struct lacuna_virtio;
/* A chain of buffers that the driver has made available: the device's, until it is put back. */
struct lacuna_virtio_chain;

struct lacuna_virtio_ops {
	size_t size; /* sizeof(struct lacuna_virtio_ops) */

	/** As in struct lacuna_pci_ops. Required. */
	int (*create)(
		void *opaque, struct lacuna_virtio *v, void **ret_state, struct lacuna_error **err);
	/** Chains that have not been put back are freed after it. May be NULL. */
	void (*destroy)(void *state);

	/* The rest is called on one thread of the device's own, which may block; one call at a
	 * time. What blocks it holds up a reset of the device and the end of the VM. */

	/** The driver is ready, with these of the @features offered (virtio 1.2, 3.1.1). May be
	 * NULL. */
	void (*activate)(void *state, uint64_t features);

	/**
	 * @queue has chains, perhaps: take them with lacuna_virtio_pop(). Called after activate()
	 * for every queue, and whenever the driver kicks, which it is asked to do from the moment
	 * a pop has found nothing. So who leaves chains for later comes back for them by himself.
	 * Required.
	 */
	void (*kicked)(void *state, unsigned queue);

	/**
	 * The driver resets the device, or the VM ends: no more chains can be taken, and those
	 * under way are to be put back soon, for the driver waits until the last one is. (With one
	 * that never is, the device stays in reset: the guest waits, and its VM can be stopped and
	 * freed as ever.) Comes once for each activate(). May be NULL.
	 */
	void (*deactivate)(void *state);

	/**
	 * The driver wrote to @size bytes of the configuration where the mask allows it; they are
	 * there already: lacuna_virtio_config_read(). Several writes may be told as one. Comes at
	 * any time, also before activate(). May be NULL.
	 */
	void (*config_written)(void *state, unsigned offset, unsigned size);
};

struct lacuna_virtio_device {
	size_t size;        /* sizeof(struct lacuna_virtio_device) */
	const char *name;   /* as in struct lacuna_pci_device */
	uint16_t device_id; /* virtio 1.2, 5: 1 to 63 */
	/* Of the device type: bits 0 to 23 and 50 to 63. Those of the transport are added, and
	 * handled, by the library. */
	uint64_t features;
	unsigned queues;     /* 1 to 64 */
	uint16_t queue_size; /* the most entries: a power of two up to 256 */
	const void *config;  /* the configuration at first; NULL: all zeros */
	/* Mask of the same size: bits the driver may change, until a reset brings back what the
	 * device gave. NULL: none. */
	const void *config_writable;
	size_t config_size; /* 0 to 4096 */
	int bus;            /* or LACUNA_BUS_ANY */
	const struct lacuna_virtio_ops *ops;
	void *opaque; /* for create() */
};

/** Adds a virtio device on the PCI bus; see lacuna_config_add_pci_device(). */
LACUNA_API int lacuna_config_add_virtio_device(struct lacuna_config *config,
	const struct lacuna_virtio_device *device, struct lacuna_error **err);

/** The next chain of @queue, or NULL: there is none, the device is not active, it may not master
 * the bus, or the driver has broken the queue. */
LACUNA_API struct lacuna_virtio_chain *lacuna_virtio_pop(struct lacuna_virtio *v, unsigned queue);

/** Bytes that the driver has put into the chain for the device, and room it has left for an answer.
 * The sum is below 4 GiB. */
LACUNA_API uint32_t lacuna_virtio_chain_readable(const struct lacuna_virtio_chain *chain);
LACUNA_API uint32_t lacuna_virtio_chain_writable(const struct lacuna_virtio_chain *chain);

/**
 * Copy by offset, however the driver has cut up its buffers (virtio 1.2, 2.7.4). The guest may
 * change readable bytes at any time: read once, then check the copy. -EFAULT: the range is not
 * inside, and nothing is copied; or it is in a file (--pmem) that has become shorter. -EPERM: the
 * driver has reset the device, the VM ends, or the function may not master the bus, now; nothing is
 * copied. When the guest's write that forbids it is done, nothing is being copied any more: one
 * call of a device is carried out at a time.
 */
LACUNA_API int lacuna_virtio_chain_read(
	const struct lacuna_virtio_chain *chain, uint32_t offset, void *buf, uint32_t size);
LACUNA_API int lacuna_virtio_chain_write(
	struct lacuna_virtio_chain *chain, uint32_t offset, const void *buf, uint32_t size);

/** Gives @chain back to @v, whose it is, the first @written bytes of its writable part (no more
 * than there are) having been filled, and interrupts the driver if it wants that. Where the
 * function may not master the bus, that is done when it may again. After deactivate() the driver is
 * told nothing but that its reset is complete. @chain is gone. */
LACUNA_API void lacuna_virtio_push(
	struct lacuna_virtio *v, struct lacuna_virtio_chain *chain, uint32_t written);

/** The configuration. set: changes it and tells the driver (virtio 1.2, 2.5). -EINVAL: not inside.
 */
LACUNA_API int lacuna_virtio_config_read(
	struct lacuna_virtio *v, unsigned offset, void *buf, unsigned size);
LACUNA_API int lacuna_virtio_config_set(
	struct lacuna_virtio *v, unsigned offset, const void *buf, unsigned size);

/** The driver did what no driver may do: the device stops until it is reset (DEVICE_NEEDS_RESET,
 * virtio 1.2, 2.1.2). @why is logged. Ignored while the device is not active. */
LACUNA_API void lacuna_virtio_fail(struct lacuna_virtio *v, const char *why);

#ifdef __cplusplus
}
#endif
#endif
