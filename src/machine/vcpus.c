// SPDX-License-Identifier: Apache-2.0
/* vCPU threads: run, find out why the guest came back, serve it, run again. */
#include <abi/layout.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/cpuid.h"
#include "arch/x86/regs.h"
#include "dev/serial.h"
#include "machine/private.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/thread.h"

static void bump(_Atomic uint64_t *counter)
{
	/* one writer: a plain add, made of two relaxed halves so that readers never see a torn
	 * value */
	uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);
	atomic_store_explicit(counter, n + 1, memory_order_relaxed);
}

/* --- the coalesced ring --- */

static void replay_port_write(struct machine *m, const struct kvm_coalesced_write *w)
{
	bump(&m->coalesced_pio);
	if (w->addr == LAYOUT_PORT_PCI_ADDRESS && w->size == 4)
		pci_host_set_address(m->pci, (uint32_t)w->value);
	else if (w->addr - LAYOUT_PORT_PCI_ADDRESS >= 4 ||
		 (w->addr == LAYOUT_PORT_RESET && w->size == 1))
		bus_write(&m->pio, w->addr, w->value, w->size);
	/* else a part of CONFIG_ADDRESS, which has no effect, and made no exit to be counted */
}

/*
 * Writes that KVM kept for us, oldest first; at most as many as were there when we came, or a vCPU
 * that writes without end would keep us here. MMIO ones went to absent functions and are dropped;
 * port ones (the serial port's THR, CONFIG_ADDRESS) take effect now, before the access that caused
 * this exit.
 */
void machine_drain_ring(struct machine *m)
{
	struct kvm_vcpu *any = &m->vcpu[0].kvm;
	if (kvm_vcpu_ring_empty(any))
		return;
	LOCK_SCOPE(&m->ring_lock);
	struct kvm_coalesced_write w;
	/* An entry leaves the ring only when it has taken effect: a vCPU that finds the ring empty
	 * goes on without the lock, and its own writes may be the ones that we replay here. */
	for (unsigned i = 0; i < KVM_VCPU_RING_MAX && kvm_vcpu_ring_peek(any, &w); i++) {
		if (!w.pio)
			bump(&m->coalesced_mmio);
		else
			replay_port_write(m, &w);
		kvm_vcpu_ring_done(any);
	}
}

/* --- exits --- */

static enum region_class access_bus(struct bus *bus, const struct kvm_exit *e, uint8_t *data)
{
	if (e->write)
		return bus_write(bus, e->addr, load_le(data, e->size), e->size);
	uint64_t value;
	enum region_class class = bus_read(bus, e->addr, e->size, &value);
	store_le(data, value, e->size);
	return class;
}

static void handle_io(struct vcpu *v, const struct kvm_exit *e)
{
	enum region_class class = REGION_OTHER;
	for (unsigned i = 0; i < e->count; i++)
		class = access_bus(&v->machine->pio, e, e->data + (size_t)i * e->size);
	struct vcpu_counters *c = &v->counters;
	switch (class) {
	case REGION_PCI_TYPE1: /* the host has counted it, unless it was 0xCF9 */
		if (e->addr == LAYOUT_PORT_RESET && e->size == 1)
			bump(&c->pio_reset);
		break;
	case REGION_SERIAL:
		bump(&c->pio_serial);
		break;
	case REGION_CMOS:
		bump(&c->pio_cmos);
		break;
	case REGION_RESET:
		bump(&c->pio_reset);
		break;
	default:
		bump(&c->pio_other);
	}
}

static void handle_mmio(struct vcpu *v, const struct kvm_exit *e)
{
	enum region_class class = access_bus(&v->machine->mmio, e, e->data);
	if (class == REGION_BAR)
		bump(&v->counters.mmio_bar);
	else if (class != REGION_ECAM)
		bump(&v->counters.mmio_other);
}

static void crash(struct vcpu *v)
{
	char message[sizeof(v->machine->end_message)];
	kvm_vcpu_describe_failure(&v->kvm, message, sizeof(message));
	machine_end(v->machine, LACUNA_END_CRASH, 0, message);
}

static void run_failed(struct vcpu *v, int code)
{
	struct machine *m = v->machine;
	char message[sizeof(m->end_message)];
	if (code == EFAULT && devmem_lost(m, message, sizeof(message))) {
		machine_end(m, LACUNA_END_FAILED, 0, message);
		return;
	}
	snprintf(message, sizeof(message), "vCPU %u: KVM_RUN: %s", v->kvm.index,
		strerrordesc_np(code));
	machine_end(m, LACUNA_END_CRASH, 0, message);
}

/* False when this vCPU runs no more. */
static bool run_once(struct vcpu *v)
{
	struct machine *m = v->machine;
	struct kvm_exit e;
	atomic_store(&v->inside, true);
	int rc = kvm_vcpu_run(&v->kvm, &e);
	atomic_store(&v->inside, false);
	bump(&v->counters.total);
	if (rc < 0) {
		run_failed(v, -rc);
		return false;
	}
	bump(&v->counters.by_reason[min_u64(e.reason, LACUNA_EXIT_REASONS - 1)]);
	machine_drain_ring(m);
	switch (e.kind) {
	case KVM_VCPU_IO:
		handle_io(v, &e);
		break;
	case KVM_VCPU_MMIO:
		handle_mmio(v, &e);
		break;
	case KVM_VCPU_INTERRUPTED:
	case KVM_VCPU_IGNORED:
		break;
	case KVM_VCPU_SHUTDOWN:
	case KVM_VCPU_FAILED:
		crash(v);
		return false;
	}
	if (m->serial)
		serial_settle(m->serial);
	return true;
}

/* --- threads --- */

static int kick_signal(void)
{
	return SIGRTMIN + LACUNA_KICK_SIGNAL_OFFSET;
}

/* Only its delivery matters: it makes KVM_RUN return. */
static void on_kick(int signal)
{
	(void)signal;
}

static void install_kick_handler(void)
{
	/* A callback of the program's that a kick finds at work goes on with its system call;
	 * KVM_RUN returns all the same (KVM api.rst). */
	struct sigaction action = { .sa_handler = on_kick, .sa_flags = SA_RESTART };
	sigaction(kick_signal(), &action, NULL);
}

/* What the guest has written until now has taken effect when the machine is seen to pause. */
static void park(struct vcpu *v)
{
	machine_drain_ring(v->machine);
	machine_park(v->machine);
	kvm_vcpu_was_paused(&v->kvm);
}

static void *vcpu_thread(void *opaque)
{
	struct vcpu *v = opaque;
	struct machine *m = v->machine;
	char name[16];
	snprintf(name, sizeof(name), "vcpu%u", v->kvm.index);
	pthread_setname_np(pthread_self(), name);
	v->self = pthread_self();
	/*
	 * Pairs with vcpus_kick(): `ending` or `pausing` is set and then `signalable` looked at;
	 * we do the reverse. So either the signal is sent, or we see why here. A signal between
	 * the check and KVM_RUN is caught by immediate_exit.
	 */
	atomic_store(&v->signalable, true);
	if (v->kvm.index == 0)
		atomic_store(&m->first_entry_us, machine_now_us(m));
	while (!atomic_load(&m->ending)) {
		if (atomic_load(&m->pausing))
			park(v);
		else if (!run_once(v))
			break;
	}
	/* Under the lock, so that whoever waits sees the last one go only when it holds nothing any
	 * more. */
	LOCK_SCOPE(&m->lock);
	if (--m->running == 0) {
		pthread_cond_broadcast(&m->stopped);
		eventfd_signal(m->end_fd);
	}
	return NULL;
}

bool vcpus_kick_again(struct machine *m)
{
	bool any = false;
	for (unsigned i = 0; i < m->vcpu_count; i++) {
		struct vcpu *v = &m->vcpu[i];
		/* Not one in a callback: that may wait for something, and would begin anew. */
		if (!atomic_load(&v->signalable) || !atomic_load(&v->inside))
			continue;
		any = true;
		pthread_kill(v->self, kick_signal());
	}
	return any;
}

void vcpus_kick(struct machine *m)
{
	for (unsigned i = 0; i < m->vcpu_count; i++) {
		struct vcpu *v = &m->vcpu[i];
		kvm_vcpu_kick(&v->kvm);
		if (atomic_load(&v->signalable))
			pthread_kill(v->self, kick_signal());
	}
}

void vcpus_unkick(struct machine *m)
{
	for (unsigned i = 0; i < m->vcpu_count; i++)
		kvm_vcpu_unkick(&m->vcpu[i].kvm);
}

int vcpus_start(struct machine *m, struct lacuna_error **err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, install_kick_handler);

	int rc = 0;
	m->running = m->vcpu_count; /* m->lock is held */
	for (unsigned i = 0; i < m->vcpu_count; i++) {
		rc = thread_start(&m->vcpu[i].thread, kick_signal(), vcpu_thread, &m->vcpu[i]);
		if (rc) {
			m->running -= m->vcpu_count - i;
			break;
		}
		m->vcpu[i].created = true;
	}
	return rc ? err_set(err, rc, "create a vCPU thread: %s", strerrordesc_np(rc)) : 0;
}

void vcpus_join(struct machine *m)
{
	/* Once joined, a thread must not be signalled any more; kicks come under this lock. */
	pthread_mutex_lock(&m->end_lock);
	for (unsigned i = 0; i < m->vcpu_count; i++)
		atomic_store(&m->vcpu[i].signalable, false);
	pthread_mutex_unlock(&m->end_lock);
	for (unsigned i = 0; i < m->vcpu_count; i++) {
		if (m->vcpu[i].created)
			pthread_join(m->vcpu[i].thread, NULL);
		m->vcpu[i].created = false;
	}
}

static int vcpu_new(struct machine *m, unsigned index, const struct machine_config *config,
	const struct boot_entry *entry, const struct kvm_cpuid2 *supported,
	struct lacuna_error **err)
{
	struct vcpu *v = &m->vcpu[index];
	v->machine = m;
	int rc = kvm_vcpu_init(&v->kvm, &m->vm, index, err);
	if (rc < 0)
		return rc;
	struct cpuid_config c = {
		.cpus = config->cpus,
		.tsc_deadline = m->vm.tsc_deadline,
		.tsc_khz = regs_tsc_khz(&m->vm, &v->kvm),
		.pv_bit = config->pci.pv_bit,
	};
	struct kvm_cpuid2 *cpuid;
	rc = cpuid_complete(supported, &c, index, &cpuid, err);
	if (rc < 0)
		return rc;
	rc = cpuid_set(&v->kvm, cpuid, err);
	free(cpuid);
	return rc < 0 ? rc : regs_init(&v->kvm, entry, err);
}

int vcpus_new(struct machine *m, const struct machine_config *config,
	const struct boot_entry *entry, const struct kvm_cpuid2 *supported,
	struct lacuna_error **err)
{
	m->vcpu = calloc(config->cpus, sizeof(*m->vcpu));
	if (!m->vcpu)
		return err_nomem(err);
	for (unsigned i = 0; i < config->cpus; i++)
		m->vcpu[i].kvm.fd = m->vcpu[i].kvm.stats_fd = -1;
	m->vcpu_count = config->cpus;
	for (unsigned i = 0; i < config->cpus; i++) {
		int rc = vcpu_new(m, i, config, entry, supported, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void vcpus_free(struct machine *m)
{
	for (unsigned i = 0; i < m->vcpu_count; i++)
		kvm_vcpu_done(&m->vcpu[i].kvm);
	free(m->vcpu);
	m->vcpu = NULL;
	m->vcpu_count = 0;
}
