/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine: everything put together, and its life.
 *
 *	new      every resource is taken: KVM, RAM, devices, window, tables, kernel. Nothing runs.
 *	start    loop thread, device threads, vCPU threads. Once.
 *	running  until somebody calls machine_end(): the guest, a timer, a signal, a broken console;
 *		 the first reason stands.
 *	ended    every vCPU thread has left KVM_RUN for good; end_fd is readable.
 *	wait     joins threads, completes device I/O, flushes the console; after it nothing of the
 *		 machine runs.
 *	free     gives everything back; stops first if need be.
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include <lacuna/vm.h>

#include "machine/config.h"

struct machine;

int machine_new(
	const struct machine_config *config, struct machine **ret, struct lacuna_error **err);
void machine_free(struct machine *m);

int machine_start(struct machine *m, struct lacuna_error **err);
int machine_wait(struct machine *m, enum lacuna_end_reason *ret_reason, int *ret_code,
	struct lacuna_error **err);

/* Ends the machine; any thread, any time, never blocks. Only the first call decides. @message may
 * be NULL. */
void machine_end(struct machine *m, enum lacuna_end_reason reason, int code, const char *message);

/* Changes, or tells, properties of the device called @device ("disk0") while the machine runs.
 * -ENODEV: no such device; -EINVAL: no such key, or a bad value; -ESRCH: the machine does not run.
 */
int machine_device_set(
	struct machine *m, const char *device, const char *text, struct lacuna_error **err);
int machine_device_get(struct machine *m, const char *device,
	void (*fn)(void *opaque, const char *device, const char *key, const char *value),
	void *opaque, struct lacuna_error **err);

void machine_power_button(struct machine *m);
int machine_end_fd(const struct machine *m);
const char *machine_end_message(const struct machine *m);

void machine_stats(struct machine *m, struct lacuna_stats *ret);
int machine_kvm_stats(const struct machine *m,
	void (*fn)(void *opaque, const char *name, uint64_t value), void *opaque);
int machine_dump(struct machine *m, const char *what,
	int (*fn)(void *opaque, const char *name, const void *data, size_t size), void *opaque,
	struct lacuna_error **err);

#endif
