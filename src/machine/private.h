/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of src/machine share. Nobody else includes this, but tests/direct, which looks
 * behind the window. */
#ifndef MACHINE_PRIVATE_H
#define MACHINE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "boot/acpi.h"
#include "boot/boot.h"
#include "bus/bus.h"
#include "bus/irq.h"
#include "dev/device.h"
#include "kvm/irq.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"
#include "loop/loop.h"
#include "machine/devmem.h"
#include "machine/machine.h"
#include "mem/gmem.h"
#include "pci/ecam.h"
#include "pci/host.h"
#include "pci/topology.h"
#include "util/match.h"

struct chardev;
struct chardev_params;
struct serial;
struct reset;
struct ged;
struct exit_port;
struct kvm_cpuid2;
struct devmem;

/* Counters of one vCPU: written by its thread, read by any. */
struct vcpu_counters {
	_Atomic uint64_t total;
	_Atomic uint64_t by_reason[LACUNA_EXIT_REASONS];
	_Atomic uint64_t pio_serial, pio_cmos, pio_reset, pio_other;
	_Atomic uint64_t mmio_bar, mmio_other;
};

struct vcpu {
	struct machine *machine;
	struct kvm_vcpu kvm;
	pthread_t thread;
	bool created;            /* the thread must be joined */
	pthread_t self;          /* the same, for kicks; valid while `signalable` */
	_Atomic bool signalable; /* set by the thread itself before its first run */
	_Atomic bool inside;     /* in KVM_RUN, or about to be */
	struct vcpu_counters counters;
};

/* Coalesced port writes that no exit follows are looked for this often. Linux reads the line status
 * after it has written; this is for guests that don't, and it wakes the host beside an idle one. */
#define DRAIN_IDLE_US 500000

struct machine {
	_Atomic unsigned references; /* owners that have not let go */
	struct log log;
	uint64_t start_ns; /* when machine_new was called; times count from here */

	/* fixed once machine_new has returned */
	int kvm_fd;
	struct kvm_vm vm;
	struct kvm_irq irq;
	unsigned slots; /* memory slots in use, numbered from 0; the window's come after them */
	struct gmem *mem;
	struct devmem_space devmem_space;
	struct devmem *devmem; /* list */
	int devmem_watch;      /* inotify, or -1 */
	struct loop_source *devmem_source, *devmem_timer;
	struct bus pio, mmio;
	struct pci_host *pci;
	struct ecam_window *window; /* NULL: it traps, or there is none */
	enum machine_pci_config pci_config;
	char window_why[160];
	struct loop *loop;
	struct e820 e820;
	struct acpi_config acpi_config; /* of what the guest gets, or would get */
	struct dtb_config dtb_config;
	char *cmdline;
	struct vcpu *vcpu;
	unsigned vcpu_count;
	struct device **device;
	int *device_bus; /* of each device that the user asked for, in that order */
	unsigned device_count;
	uint64_t timeout_us;

	/* the platform's own devices */
	struct irqline serial_irq, ged_irq;
	struct chardev *serial_chardev;
	struct serial *serial;
	struct reset *reset;
	struct ged *ged;
	struct exit_port *exit_port;

	pthread_mutex_t device_lock; /* starting, stopping and changing devices */
	unsigned devices_started;

	/* KVM's coalesced ring */
	pthread_mutex_t ring_lock;
	_Atomic uint64_t coalesced_pio, coalesced_mmio;
	struct loop_source *drain_timer, *timeout_timer, *kick_timer;

	struct match *serial_marker, *console_marker; /* NULL: nobody looks */
	_Atomic uint64_t created_us, started_us, marker_us, first_entry_us, end_us;

	/* the life cycle (life.c) */
	pthread_mutex_t lock;
	pthread_cond_t stopped; /* the last vCPU thread has ended, or all is finished */
	unsigned running;       /* vCPU threads that have not ended */
	bool waited;            /* for, after the last vCPU has ended: somebody finishes it */
	bool finished;          /* nothing of the machine runs any more */
	bool started;           /* changes under both locks, so that either is enough to look */

	pthread_mutex_t end_lock; /* guards the rest; atomic is what vCPUs look at without it */
	pthread_cond_t parking;   /* a vCPU has parked, or may go on */
	unsigned parked;
	_Atomic bool pausing, ending;
	enum lacuna_end_reason end_reason;
	int end_code;
	char end_message[256];
	int end_fd; /* readable once the last vCPU has left for good */
};

/* Output can't be written. That ends the machine, or is how it has ended when there is still some
 * of it left; but for what is worse, which stands. */
void machine_output_lost(struct machine *m, const char *message);

uint64_t machine_now_us(const struct machine *m);

/* life.c */
int machine_make_timers(
	struct machine *m, const struct machine_config *config, struct lacuna_error **err);
/* A vCPU's thread waits here while the machine pauses. */
void machine_park(struct machine *m);

/* vcpus.c */
int vcpus_new(struct machine *m, const struct machine_config *config,
	const struct boot_entry *entry, const struct kvm_cpuid2 *supported,
	struct lacuna_error **err);
int vcpus_start(struct machine *m, struct lacuna_error **err);
void vcpus_kick(struct machine *m);       /* end_lock held, as for the next two */
bool vcpus_kick_again(struct machine *m); /* those that are still inside; true if there are any */
void vcpus_unkick(struct machine *m);
void vcpus_join(struct machine *m);
void vcpus_free(struct machine *m);
void machine_drain_ring(struct machine *m);

/* devices.c: where the devices go, which decides how many buses there are; then the devices */
int devices_plan(struct machine *m, const struct machine_config *config, struct pci_topology *ret,
	struct lacuna_error **err);
int devices_new(struct machine *m, const struct machine_config *config, struct lacuna_error **err);
/* Whether enough descriptors are left for them; asked when everything else has its own. */
int devices_check_descriptors(const struct machine *m, struct lacuna_error **err);
int devices_start(struct machine *m, struct lacuna_error **err);
void devices_stop(struct machine *m);
void devices_free(struct machine *m);

/* devmem.c */
int devmem_map(void *machine, const char *name, int fd, uint64_t size, bool readonly,
	uint64_t *ret_gpa, struct lacuna_error **err);
/* Whether memory of a device has gone, which is why KVM can't go on. */
bool devmem_lost(const struct machine *m, char *message, size_t size);
void devmem_free(struct machine *m);

/* platform.c */
int platform_new(struct machine *m, const struct machine_config *config, struct lacuna_error **err);
int platform_connect(struct machine *m, struct lacuna_error **err);
void platform_stop(struct machine *m); /* writes out the last output */
void platform_free(struct machine *m);
/* A byte stream of the virtio console, but for its name and ends. */
struct chardev_params platform_chardev(struct machine *m);
/* How the PCI host passes on port 0xCF9. */
void platform_reset_port(struct machine *m, const struct region_ops **ret_ops, void **ret_opaque);

/* window.c: the read-only slots, from number @slot on; then the zones whose writes are coalesced */
int window_new(struct machine *m, const struct machine_config *config, unsigned slot,
	struct lacuna_error **err);
int window_coalesce(
	struct machine *m, const struct machine_config *config, struct lacuna_error **err);
void window_pre_fault(struct machine *m);

#endif
