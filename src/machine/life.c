// SPDX-License-Identifier: Apache-2.0
/*
 * The life of a machine that has been built: start, pause, end, wait. What may come when is told in
 * machine.h. Two locks: `lock` is held by whoever starts or joins threads, `end_lock` guards how
 * the machine ended and whether it pauses; since it comes last in the order of locks, any thread of
 * the machine can end it, whatever it holds.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "dev/ged.h"
#include "dev/serial.h"
#include "machine/private.h"
#include "util/err.h"
#include "util/fd.h"
#include "util/thread.h"

/* --- timers --- */

static void on_drain(void *opaque)
{
	struct machine *m = opaque;
	machine_drain_ring(m);
	if (m->serial)
		serial_settle(m->serial);
}

static void on_timeout(void *opaque)
{
	machine_end(opaque, LACUNA_END_TIMEOUT, 0, NULL);
}

/*
 * By what KVM promises no kick is lost, but a host has been seen to let a vCPU sleep through one
 * (KVM in a guest of KVM). So vCPUs that are to leave the guest and are still there after a while
 * are kicked again: no guest, on whatever host, can't be ended.
 */
#define KICK_AGAIN_US UINT64_C(100000)

static void on_kick_again(void *opaque)
{
	struct machine *m = opaque;
	LOCK_SCOPE(&m->end_lock);
	if (!vcpus_kick_again(m)) /* those that are gone don't come back */
		loop_arm(m->kick_timer, 0, 0);
}

int machine_make_timers(
	struct machine *m, const struct machine_config *config, struct lacuna_error **err)
{
	m->timeout_us = config->timeout_us;
	int rc = loop_add_timer(m->loop, on_timeout, m, &m->timeout_timer, err);
	if (rc == 0)
		rc = loop_add_timer(m->loop, on_drain, m, &m->drain_timer, err);
	if (rc == 0)
		rc = loop_add_timer(m->loop, on_kick_again, m, &m->kick_timer, err);
	return rc;
}

int machine_set_deadline(struct machine *m, uint64_t us, struct lacuna_error **err)
{
	LOCK_SCOPE(&m->lock);
	if (machine_state(m) == LACUNA_VM_ENDED)
		return err_set(err, ESRCH, "the VM has ended");
	m->timeout_us = us;
	if (m->started)
		loop_arm(m->timeout_timer, us, 0);
	return 0;
}

/* --- start --- */

/* Refused once the machine has ended; from here on, vCPU threads tell of the end. */
static int begin(struct machine *m, struct lacuna_error **err)
{
	LOCK_SCOPE(&m->end_lock);
	if (m->started)
		return err_set(err, EALREADY, "the VM has been started before");
	if (m->end_reason != LACUNA_END_NONE)
		return err_set(err, ECANCELED, "the VM was stopped before it was started");
	m->started = true;
	m->started_us = machine_now_us(m);
	return 0;
}

static int start_threads(struct machine *m, struct lacuna_error **err)
{
	int rc = loop_start(m->loop, err);
	if (rc == 0)
		rc = devices_start(m, err);
	if (rc < 0)
		return rc;
	if (m->timeout_us)
		loop_arm(m->timeout_timer, m->timeout_us, 0);
	if (m->vm.coalesced_pio && (m->serial || m->pci_config != MACHINE_PCI_ECAM))
		loop_arm(m->drain_timer, DRAIN_IDLE_US, DRAIN_IDLE_US);
	return vcpus_start(m, err);
}

int machine_start(struct machine *m, struct lacuna_error **err)
{
	LOCK_SCOPE(&m->lock);
	int rc = begin(m, err);
	if (rc < 0)
		return rc;
	rc = start_threads(m, err);
	if (rc < 0) {
		machine_end(m, LACUNA_END_FAILED, 0, "the VM could not be started");
		if (!m->running) /* else the last vCPU thread does it */
			eventfd_signal(m->end_fd);
	}
	return rc;
}

/* --- pause --- */

/* Until one more has parked, or it is time to kick again. */
static void wait_for_parking(struct machine *m)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)KICK_AGAIN_US * 1000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	int rc = pthread_cond_clockwait(&m->parking, &m->end_lock, CLOCK_MONOTONIC, &until);
	if (rc == ETIMEDOUT && m->pausing)
		vcpus_kick_again(m);
}

int machine_pause(struct machine *m, struct lacuna_error **err)
{
	LOCK_SCOPE(&m->end_lock);
	if (!m->started || m->ending)
		return err_set(err, ESRCH, "the VM does not run");
	atomic_store(&m->pausing, true);
	vcpus_kick(m);
	/* vCPU threads leave only once the machine is ending */
	while (m->pausing && !m->ending && m->parked < m->vcpu_count)
		wait_for_parking(m);
	if (m->ending)
		return err_set(err, ESRCH, "the VM has ended");
	return m->pausing ? 0 : err_set(err, ECANCELED, "the VM was resumed meanwhile");
}

int machine_resume(struct machine *m, struct lacuna_error **err)
{
	LOCK_SCOPE(&m->end_lock);
	if (!m->started || m->ending)
		return err_set(err, ESRCH, "the VM does not run");
	if (!m->pausing)
		return 0;
	atomic_store(&m->pausing, false);
	vcpus_unkick(m);
	pthread_cond_broadcast(&m->parking);
	return 0;
}

void machine_park(struct machine *m)
{
	LOCK_SCOPE(&m->end_lock);
	m->parked++;
	pthread_cond_broadcast(&m->parking);
	while (m->pausing && !m->ending)
		pthread_cond_wait(&m->parking, &m->end_lock);
	m->parked--;
}

enum lacuna_vm_state machine_state(struct machine *m)
{
	LOCK_SCOPE(&m->end_lock);
	if (m->end_reason != LACUNA_END_NONE)
		return LACUNA_VM_ENDED;
	if (!m->started)
		return LACUNA_VM_CREATED;
	return m->pausing && m->parked == m->vcpu_count ? LACUNA_VM_PAUSED : LACUNA_VM_RUNNING;
}

/* --- end --- */

static void set_end(struct machine *m, enum lacuna_end_reason reason, int code, const char *message)
{
	m->end_reason = reason;
	m->end_code = code;
	if (message)
		snprintf(m->end_message, sizeof(m->end_message), "%s", message);
}

/* Called with the end's lock. */
static void end(struct machine *m, enum lacuna_end_reason reason, int code, const char *message)
{
	if (m->end_reason != LACUNA_END_NONE)
		return;
	set_end(m, reason, code, message);
	atomic_store(&m->end_us, machine_now_us(m));
	atomic_store(&m->ending, true);
	if (!m->started) { /* there is no thread that could tell of it */
		eventfd_signal(m->end_fd);
		return;
	}
	vcpus_kick(m);
	loop_arm(m->kick_timer, KICK_AGAIN_US, KICK_AGAIN_US);
	pthread_cond_broadcast(&m->parking);
}

void machine_end(struct machine *m, enum lacuna_end_reason reason, int code, const char *message)
{
	LOCK_SCOPE(&m->end_lock);
	end(m, reason, code, message);
}

void machine_output_lost(struct machine *m, const char *message)
{
	bool worse;
	{
		LOCK_SCOPE(&m->end_lock);
		worse = m->end_reason == LACUNA_END_CRASH || m->end_reason == LACUNA_END_FAILED;
		if (m->end_reason == LACUNA_END_NONE)
			end(m, LACUNA_END_FAILED, 0, message);
		else if (!worse)
			set_end(m, LACUNA_END_FAILED, 0, message);
	}
	if (worse)
		log_warning(&m->log, "machine", "%s", message);
}

/* Joins every thread, completes I/O, writes out what the guest wrote last. */
static void finish(struct machine *m)
{
	vcpus_join(m);
	machine_drain_ring(m);
	devices_stop(m);
	platform_stop(m);
	loop_stop(m->loop);
}

/* Called with the lock. Finishes the machine, once, or waits until another thread has. */
static void join(struct machine *m)
{
	while (m->running)
		pthread_cond_wait(&m->stopped, &m->lock);
	if (!m->waited) {
		m->waited = true;
		pthread_mutex_unlock(&m->lock); /* the program's functions take the last output */
		finish(m);
		pthread_mutex_lock(&m->lock);
		m->finished = true;
		pthread_cond_broadcast(&m->stopped);
	}
	while (!m->finished)
		pthread_cond_wait(&m->stopped, &m->lock);
}

int machine_wait(struct machine *m, enum lacuna_end_reason *ret_reason, int *ret_code,
	struct lacuna_error **err)
{
	LOCK_SCOPE(&m->lock);
	if (m->started)
		join(m);
	LOCK_SCOPE(&m->end_lock);
	if (m->end_reason == LACUNA_END_NONE)
		return err_set(err, EINVAL, "the VM has not been started");
	if (ret_reason)
		*ret_reason = m->end_reason;
	if (ret_code)
		*ret_code = m->end_code;
	return 0;
}

int machine_power_button(struct machine *m, struct lacuna_error **err)
{
	enum lacuna_vm_state state = machine_state(m);
	if (state == LACUNA_VM_CREATED || state == LACUNA_VM_ENDED)
		return err_set(err, ESRCH, "the VM does not run");
	ged_power_button(m->ged);
	return 0;
}

int machine_end_fd(const struct machine *m)
{
	return m->end_fd;
}

const char *machine_end_message(const struct machine *m)
{
	return m->end_message;
}

/* --- guest memory --- */

static int outside(uint64_t gpa, size_t size, struct lacuna_error **err)
{
	return err_set(err, EFAULT,
		"%zu bytes at guest address 0x%llx are not all RAM of one piece", size,
		(unsigned long long)gpa);
}

int machine_read_memory(
	struct machine *m, uint64_t gpa, void *buf, size_t size, struct lacuna_error **err)
{
	return gmem_read(m->mem, gpa, buf, size) < 0 ? outside(gpa, size, err) : 0;
}

int machine_write_memory(
	struct machine *m, uint64_t gpa, const void *buf, size_t size, struct lacuna_error **err)
{
	return gmem_write(m->mem, gpa, buf, size) < 0 ? outside(gpa, size, err) : 0;
}
