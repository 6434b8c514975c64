/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a virtual machine is to be made of. A configuration is plain memory, and duplicates of
 * descriptors handed to it; nothing is opened and nothing of the host is looked at before
 * lacuna_vm_new(). One configuration can make any number of VMs.
 *
 * Threads: one at a time per configuration; different ones are independent.
 *
 * Descriptors, whether handed over by lacuna_config_set_fd() or named in a text ("fd=7"), stay the
 * caller's: duplicates are used, and no flag or offset of theirs is changed. Given /dev/kvm, kernel
 * and initrd, disks and so on as descriptors, the library opens no file at all, and a program may
 * have dropped every right to do so.
 */
#ifndef LACUNA_CONFIG_H
#define LACUNA_CONFIG_H

#include <lacuna/error.h>
#include <lacuna/log.h>
#include <lacuna/version.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lacuna_config;

/** An empty configuration: 1 vCPU, 256 MiB, no devices, serial off, the built-in probe guest.
 * The caller's, until lacuna_config_free(). -ENOMEM. */
LACUNA_API int lacuna_config_new(struct lacuna_config **ret, struct lacuna_error **err);

/** Frees @config and closes its duplicates of descriptors; VMs made of it live on. NULL is fine. */
LACUNA_API void lacuna_config_free(struct lacuna_config *config);

/**
 * Sets @key as the command line's --@key does (lacuna(1)): "kernel", "initrd", "cmdline", "cpus",
 * "memory", "hugepages", "disk", "console", "net", "rng", "balloon", "pmem", "vsock", "serial",
 * "pci", "tables", "marker", "timeout", "add-cmdline", "kernel-unpack", "kernel-cache". Keys that
 * make devices, and "initrd", may be given again and again; any other is refused the second time
 * (-EEXIST), and a second balloon or vsock by lacuna_vm_new(). Descriptors named in the text
 * ("fd=7") are looked at and duplicated by lacuna_vm_new(). Strings are copied. -EINVAL: unknown
 * key or bad value; -ERANGE: a number out of range; -ENOMEM. After an error @config is as it was.
 */
LACUNA_API int lacuna_config_set(struct lacuna_config *config, const char *key, const char *value,
	struct lacuna_error **err);

/**
 * The same for keys whose value is a list of words: @words are a NULL-terminated list of key,
 * value, key, value ..., and no value needs a comma doubled: { "path", "/images/a,b", "readonly",
 * "on", NULL } for "disk". What has no key in a text has one here: { "kind", "pty", NULL } for
 * "console" and "serial", { "kind", "passt", NULL } for "net". Errors as lacuna_config_set().
 */
LACUNA_API int lacuna_config_set_words(struct lacuna_config *config, const char *key,
	const char *const *words, struct lacuna_error **err);

/** Numbers: "cpus"; "memory" in bytes; "timeout" in microseconds. Errors as lacuna_config_set(). */
LACUNA_API int lacuna_config_set_u64(
	struct lacuna_config *config, const char *key, uint64_t value, struct lacuna_error **err);

/** "hugepages", "add-cmdline". Errors as lacuna_config_set(). */
LACUNA_API int lacuna_config_set_bool(
	struct lacuna_config *config, const char *key, bool value, struct lacuna_error **err);

/**
 * An open descriptor in place of a file: "kernel" and "initrd" (regular files or memfds, read from
 * their beginning, whatever their offset is; an initrd can also be a directory, whose files are
 * opened by lacuna_vm_new()), or "kvm": an open /dev/kvm. Duplicated at once: the caller may close
 * @fd. What it leads to is looked at by lacuna_vm_new(). -EBADF: not an open descriptor; -EMFILE;
 * else as lacuna_config_set().
 */
LACUNA_API int lacuna_config_set_fd(
	struct lacuna_config *config, const char *key, int fd, struct lacuna_error **err);

/**
 * Receives what the guest prints. Called on threads of the VM, one call at a time for each stream
 * and with no lock held, until lacuna_vm_wait() or lacuna_vm_free() has returned; the last calls
 * may come on the thread that waits. While it runs, other events of the VM wait, and a guest that
 * prints much is held up: hand the bytes on, don't work on them. Threads of the VM have 256 KiB of
 * stack and all signals blocked, vCPUs' all but the kick signal (vm.h). May call lacuna_vm_stop(),
 * lacuna_vm_input(), lacuna_vm_stats(), no other function on the same VM. @data lives until it
 * returns.
 */
typedef void (*lacuna_output_fn)(void *opaque, const void *data, size_t size);

/**
 * The serial port's output goes to @fn, its input comes from lacuna_vm_input(vm, "serial", ...).
 * In place of lacuna_config_set(config, "serial", ...); -EEXIST if that was given. A configuration
 * that makes several VMs has all of them call @fn, each on threads of its own.
 */
LACUNA_API int lacuna_config_set_serial_output(
	struct lacuna_config *config, lacuna_output_fn fn, void *opaque, struct lacuna_error **err);

/**
 * One more port of the virtio console, whose output goes to @fn; its input comes from
 * lacuna_vm_input(vm, @name, ...). @name NULL: it is a console (Linux's hvc0, if it is the first
 * one without a name), called "console" by lacuna_vm_input(). Mixes with lacuna_config_set(config,
 * "console", ...). -EEXIST: another function has the port without a name, or another port has that
 * name; -EINVAL: a name that is "serial" or "console".
 */
LACUNA_API int lacuna_config_add_console_output(struct lacuna_config *config, const char *name,
	lacuna_output_fn fn, void *opaque, struct lacuna_error **err);

/** Where messages of VMs go that are made from now on: those of @level and below. @fn NULL:
 * nowhere, as at first. */
LACUNA_API void lacuna_config_set_log(
	struct lacuna_config *config, lacuna_log_fn fn, void *opaque, enum lacuna_log_level level);

#ifdef __cplusplus
}
#endif
#endif
