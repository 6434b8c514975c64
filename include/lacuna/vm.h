/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual machine: create, start, wait, free. Every call may come from any thread
 * unless it says otherwise. A VM must not be NULL where a call does not say that it may; those that
 * return errors return -EINVAL for it. The library never prints, never exits and keeps no state
 * between VMs; it uses signal SIGRTMIN + LACUNA_KICK_SIGNAL_OFFSET, whose handler it installs at
 * the first lacuna_vm_start() and which the program must not block in threads of the library's
 * making.
 *
 * A program with a limit on the size of files (RLIMIT_FSIZE) should ignore SIGXFSZ: the kernel
 * sends it to a thread of the program whose call makes a file larger than that. The library's own
 * threads have it blocked, and no call leaves a SIGPIPE behind.
 */
#ifndef LACUNA_VM_H
#define LACUNA_VM_H

#include <lacuna/config.h>
#include <lacuna/error.h>
#include <lacuna/log.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* SIGRTMIN + this number interrupts a vCPU thread. */
#define LACUNA_KICK_SIGNAL_OFFSET 5

/* --- life --- */

struct lacuna_vm;

enum lacuna_vm_state {
	LACUNA_VM_CREATED, /* lacuna_vm_start() has not been called */
	LACUNA_VM_RUNNING, /* also while it is being paused */
	LACUNA_VM_PAUSED,  /* no vCPU runs until lacuna_vm_resume() */
	LACUNA_VM_ENDED,   /* for good; lacuna_vm_wait() tells how */
			   /* a later version may have more */
};

enum lacuna_end_reason {
	LACUNA_END_NONE,      /* still alive */
	LACUNA_END_POWEROFF,  /* ACPI S5 */
	LACUNA_END_RESET,     /* the guest asked for a reset */
	LACUNA_END_EXIT_CODE, /* the guest wrote its exit code to port 0xF4 */
	LACUNA_END_CRASH,   /* triple fault, or KVM could not go on; see lacuna_vm_end_message() */
	LACUNA_END_STOPPED, /* lacuna_vm_stop(), or Ctrl-a x typed at stdio */
	LACUNA_END_TIMEOUT, /* its deadline has passed */
	LACUNA_END_FAILED,  /* the monitor itself could not go on (console gone, file of --pmem
			       truncated); see lacuna_vm_end_message() */
			    /* a later version may have more */
};

/** The name used in the statistics: "poweroff", "reset", "exit-code", "crash", "stopped",
 * "timeout", "failed", "none". Static storage; any thread. */
LACUNA_API const char *lacuna_end_reason_name(enum lacuna_end_reason reason);

/**
 * Makes a VM of @config, which may be freed or used again at once. Resources are taken here: files
 * opened, memory mapped, kernel loaded; threads come with lacuna_vm_start(), and the descriptor of
 * an interrupt vector when the guest first uses it. @ret is written on success only; the VM is the
 * caller's, until lacuna_vm_free(). Errors name the option at fault:
 *
 *	-EINVAL   options that don't go together; a device's option, or a file, that is not as it
 *		  must be
 *	-ERANGE   a number out of range, or more than this CPU or its KVM can do
 *	-EEXIST   a device or name given twice; a path that is to be made and is there
 *	-ENOENT, -EACCES, -EISDIR   of /dev/kvm, or of a file of the configuration's
 *	-EPROTO, -ENOTSUP   /dev/kvm is something else; it lacks what is needed
 *	-ENOTSUP  also a kernel that the host can't unpack ("kernel-unpack=host"), or memory that
 *		  this KVM can't make read-only (a device's option)
 *	-EBUSY, -EADDRINUSE   a disk, another file or a socket is in use
 *	-ENOEXEC, -EFBIG   no kernel; kernel or initrd don't fit in the guest's memory
 *	-ENODEV, -ENOSPC   no such interface or PCI bus; no place left on the bus or in addresses
 *	-EBADF, -EACCES   a descriptor that is not open; or not for reading, or writing
 *	-ENOTCONN a socket for "net passt,fd=N" that is not connected
 *	-EMFILE   too few descriptors, with how many are needed; also where the guest's interrupts
 *		  would find too few later
 *	-ENOMEM, and whatever else the calls to the host return
 */
LACUNA_API int lacuna_vm_new(
	const struct lacuna_config *config, struct lacuna_vm **ret, struct lacuna_error **err);

/** One more owner: @vm lives until each has called lacuna_vm_free(). Returns @vm. For a program in
 * which several threads use one VM and none knows whether it is the last. */
LACUNA_API struct lacuna_vm *lacuna_vm_ref(struct lacuna_vm *vm);

/** Gives up a VM, which the caller must not use any more. The last owner's call stops the VM if it
 * runs, waits for its threads and frees it: not from a callback of that VM then. NULL is fine. */
LACUNA_API void lacuna_vm_free(struct lacuna_vm *vm);

/** Starts the vCPUs and returns. Once per VM: -EALREADY after that, -ECANCELED after
 * lacuna_vm_stop(); -EAGAIN, -ENOMEM: no thread could be had, and the VM has ended. */
LACUNA_API int lacuna_vm_start(struct lacuna_vm *vm, struct lacuna_error **err);

/**
 * Halts the guest and returns when no vCPU runs any more. Devices finish what they have been asked
 * for, and go on to take what comes in; a deadline goes on, and so does the guest's clock, but its
 * kvmclock learns of the pause. Pausing a paused VM does nothing. -ESRCH: it does not run, or ended
 * meanwhile; -ECANCELED: another thread has resumed it meanwhile. Not from a callback of this VM.
 */
LACUNA_API int lacuna_vm_pause(struct lacuna_vm *vm, struct lacuna_error **err);

/** Lets a paused guest go on; does nothing to one that is not paused. -ESRCH: it does not run. */
LACUNA_API int lacuna_vm_resume(struct lacuna_vm *vm, struct lacuna_error **err);

/** What it is doing now; it may be doing something else when this returns. */
LACUNA_API enum lacuna_vm_state lacuna_vm_state(const struct lacuna_vm *vm);

/**
 * Waits until the VM has ended and its threads are gone, then tells why. @ret_code is the guest's
 * exit code for LACUNA_END_EXIT_CODE and 0 otherwise. Both may be NULL. Any number of times, from
 * any number of threads, but not from a callback of this VM. -EINVAL: it was neither started nor
 * stopped.
 */
LACUNA_API int lacuna_vm_wait(struct lacuna_vm *vm, enum lacuna_end_reason *ret_reason,
	int *ret_code, struct lacuna_error **err);

/** A descriptor that becomes readable when the VM has ended. Owned by @vm; poll it, do not read it.
 */
LACUNA_API int lacuna_vm_end_fd(const struct lacuna_vm *vm);

/** One line on how a VM ended in LACUNA_END_CRASH or LACUNA_END_FAILED, else "". Valid after
 * lacuna_vm_wait(), as long as the VM lives. */
LACUNA_API const char *lacuna_vm_end_message(const struct lacuna_vm *vm);

/** Ends the VM now, as if the power were cut. Safe at any time, also twice, before the start and in
 * callbacks; does not wait. NULL is fine. */
LACUNA_API void lacuna_vm_stop(struct lacuna_vm *vm);

/** Presses the ACPI power button: the guest is asked to power itself off, and may not. A paused one
 * learns of it when it goes on. -ESRCH: the VM does not run. */
LACUNA_API int lacuna_vm_power_button(struct lacuna_vm *vm, struct lacuna_error **err);

/** Ends the VM @us microseconds from now, or from its start if that is yet to come; takes the place
 * of "timeout" and of earlier calls. 0: no deadline. -ESRCH: it has ended. */
LACUNA_API int lacuna_vm_set_deadline(struct lacuna_vm *vm, uint64_t us, struct lacuna_error **err);

/**
 * Copy between guest RAM, by guest-physical address, and @buf. The guest may run, and change what
 * is being read. -EFAULT: not all of the range is RAM of one piece (below 3 GiB or from 4 GiB up),
 * and nothing is copied.
 */
LACUNA_API int lacuna_vm_read_memory(const struct lacuna_vm *vm, uint64_t gpa, void *buf,
	size_t size, struct lacuna_error **err);
LACUNA_API int lacuna_vm_write_memory(struct lacuna_vm *vm, uint64_t gpa, const void *buf,
	size_t size, struct lacuna_error **err);

/* --- input --- */

/**
 * Input for a stream whose output goes to a function of the program's: "serial",
 * (lacuna_config_set_serial_output()), "console" or the name of a port
 * (lacuna_config_add_console_output()). Takes what finds room, which may be nothing, and says how
 * much that was in *@ret_taken, where the rest is to be offered again; up to 4 KiB wait for the
 * guest to read them, also before the start. Never blocks; may be called by output functions.
 * -ENODEV: there is no such stream; -ESRCH: the VM has ended. Nothing is taken then.
 */
LACUNA_API int lacuna_vm_input(struct lacuna_vm *vm, const char *stream, const void *data,
	size_t size, size_t *ret_taken, struct lacuna_error **err);

/* --- devices at run time --- */

/**
 * Changes properties of a device while the VM runs, as "size=2G" of "disk0". Devices are called by
 * the key that made them and a number, from 0, in the order given; lacuna(1) lists what can be
 * changed. Returns when the device has taken it; the guest may act on it later, or never. -ENODEV:
 * no such device; -EINVAL: no such key, or a bad value; -ERANGE: one out of range; and then nothing
 * has changed; -ESRCH: the VM does not run.
 */
LACUNA_API int lacuna_vm_device_set(struct lacuna_vm *vm, const char *device,
	const char *properties, struct lacuna_error **err);

/** Calls @fn with each property of @device, or of every device when @device is NULL. Strings are
 * valid during the call only. Errors as above. @fn must not call the library. */
LACUNA_API int lacuna_vm_device_get(struct lacuna_vm *vm, const char *device,
	void (*fn)(void *opaque, const char *device, const char *key, const char *value),
	void *opaque, struct lacuna_error **err);

/* --- statistics --- */

#define LACUNA_EXIT_REASONS 64
#define LACUNA_TIME_NEVER   UINT64_MAX

struct lacuna_stats {
	size_t size; /* set by the caller to sizeof(struct lacuna_stats) */
	uint32_t vcpus;
	uint64_t memory_bytes;
	/* the strings live as long as the VM */
	const char *pci_config; /* "ecam", "both", "type1" */
	const char *pci_window; /* "memory", "trap", "none" */
	const char
		*pci_window_why; /* one line: why that window; "" when it is what was asked for */
	bool pci_large_pages;    /* buses without functions are backed by one 2 MiB page */
	uint32_t pci_buses, pci_functions;

	/* microseconds since lacuna_vm_new() was called; LACUNA_TIME_NEVER: has not happened */
	uint64_t first_entry_us, marker_us, end_us;

	uint64_t exits_total;                          /* every return of KVM_RUN */
	uint64_t exits_by_reason[LACUNA_EXIT_REASONS]; /* by KVM_EXIT_*; the last one holds all
							  beyond */
	uint64_t type1_read, type1_write, ecam_read,
		ecam_write; /* config accesses that reached userspace */
	uint64_t absent;    /* of those, the ones that addressed no function */
	uint64_t pio_serial, pio_cmos, pio_reset, pio_other;
	uint64_t mmio_bar, mmio_other;
	uint64_t coalesced_pio, coalesced_mmio;

	enum lacuna_end_reason end_reason;
	int end_code;

	/* likewise in microseconds: lacuna_vm_new() has returned, lacuna_vm_start() was called */
	uint64_t created_us, started_us;
	/* when lacuna_vm_new() was called: CLOCK_MONOTONIC in microseconds, which other clocks of
	 * the host can be compared with */
	uint64_t origin_us;
};

/** Fills @stats, as far as its size goes; fields newer than the library become 0. Cheap, at any
 * time. */
LACUNA_API void lacuna_vm_stats(const struct lacuna_vm *vm, struct lacuna_stats *stats);

/** "io", "mmio", "hlt" ... for a KVM_EXIT_* number; "other" for those without a name. Static
 * storage. */
LACUNA_API const char *lacuna_exit_reason_name(unsigned reason);

/** The kernel's own counters of the VM and its vCPUs (summed). Calls @fn once per counter; the name
 * is valid during the call only. -ENOTSUP: it has none; -EMFILE, -ENFILE, -ENOMEM; -EIO: they can't
 * be read. */
LACUNA_API int lacuna_vm_kvm_stats(const struct lacuna_vm *vm,
	void (*fn)(void *opaque, const char *name, uint64_t value), void *opaque,
	struct lacuna_error **err);

/* --- inspection --- */

/**
 * Hands out what a guest of @vm is given at reset: "acpi" (one call per table: "dsdt.aml" ...),
 * "fdt" (the device tree: "machine.dtb" and its source "machine.dts"), "e820", "cmdline", "pci"
 * (the configuration space of each function, in the form of lspci -xxxx). Tables that the
 * configuration keeps from the guest ("tables") are handed out as it would be given them.
 * @fn returns 0, or a negative value, with which this then returns at once, without an error
 * object. -EINVAL: no such thing, or no device tree, which config=type1 has none of; -ENOMEM.
 */
LACUNA_API int lacuna_vm_dump(struct lacuna_vm *vm, const char *what,
	int (*fn)(void *opaque, const char *name, const void *data, size_t size), void *opaque,
	struct lacuna_error **err);

/** What this host offers, one (topic, verdict) line per call; @ok is false for what keeps VMs from
 * running well. Errors as those of lacuna_vm_new() for /dev/kvm. */
LACUNA_API int lacuna_host_check(
	void (*fn)(void *opaque, bool ok, const char *topic, const char *text), void *opaque,
	struct lacuna_error **err);

#ifdef __cplusplus
}
#endif
#endif
