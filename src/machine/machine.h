/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine: everything put together, and its life.
 *
 *	new      every resource is taken: KVM, RAM, devices, window, tables, kernel. Nothing runs.
 *	start    loop thread, device threads, vCPU threads. Once.
 *	running  until somebody calls machine_end(): the guest, a timer, a signal, a broken console;
 *		 the first reason stands.
 *	paused   every vCPU thread is parked outside KVM; everything else goes on.
 *	ended    every vCPU thread has left KVM_RUN for good; end_fd is readable. A machine that is
 *		 ended before it was started is never started.
 *	wait     joins threads, completes device I/O, flushes the console; after it nothing of the
 *		 machine runs.
 *	free     when the last owner lets go: stops first if need be, gives everything back.
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include <lacuna/vm.h>

#include "machine/config.h"

struct machine;

int machine_new(
	const struct machine_config *config, struct machine **ret, struct lacuna_error **err);
struct machine *machine_ref(struct machine *m);
void machine_unref(struct machine *m); /* NULL is fine */

int machine_start(struct machine *m, struct lacuna_error **err);
int machine_wait(struct machine *m, enum lacuna_end_reason *ret_reason, int *ret_code,
	struct lacuna_error **err);

int machine_pause(struct machine *m, struct lacuna_error **err);
int machine_resume(struct machine *m, struct lacuna_error **err);
enum lacuna_vm_state machine_state(struct machine *m);
int machine_set_deadline(struct machine *m, uint64_t us, struct lacuna_error **err);

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

/* Input for the stream whose output goes to a function: *@ret_taken bytes found room. Never blocks;
 * any thread, whatever it holds. -ENODEV: no such stream; -ESRCH: the machine has ended. */
int machine_input(struct machine *m, const char *stream, const void *data, size_t size,
	size_t *ret_taken, struct lacuna_error **err);

int machine_power_button(struct machine *m, struct lacuna_error **err);
int machine_read_memory(
	struct machine *m, uint64_t gpa, void *buf, size_t size, struct lacuna_error **err);
int machine_write_memory(
	struct machine *m, uint64_t gpa, const void *buf, size_t size, struct lacuna_error **err);
int machine_end_fd(const struct machine *m);
const char *machine_end_message(const struct machine *m);

void machine_stats(struct machine *m, struct lacuna_stats *ret);
int machine_kvm_stats(const struct machine *m,
	void (*fn)(void *opaque, const char *name, uint64_t value), void *opaque,
	struct lacuna_error **err);
int machine_dump(struct machine *m, const char *what,
	int (*fn)(void *opaque, const char *name, const void *data, size_t size), void *opaque,
	struct lacuna_error **err);

#endif
