// SPDX-License-Identifier: Apache-2.0
/*
 * Puts a machine together, and takes it apart when its last owner lets go. Order of construction,
 * which is also the order in which errors are found: open KVM and look at the CPU; RAM; PCI host,
 * platform devices, the user's devices (files are opened here); the ECAM window; interrupt
 * controllers; interrupts, zones and ioeventfds; tables, kernel and initrds; vCPUs.
 *
 * KVM retires a replaced table of routes, ports or addresses in the background, and both a memory
 * slot and KVM_CREATE_IRQCHIP wait for that: 5 to 12 ms on an idle host against 0.15 ms. So all
 * slots come first, then the interrupt controllers, and only then what replaces such tables.
 */
#include "machine/machine.h"

#include <abi/layout.h>
#include <abi/pvbit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "arch/x86/cpuid.h"
#include "boot/blobs.h"
#include "dev/ged.h"
#include "dev/serial.h"
#include "kvm/kvm.h"
#include "machine/private.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/thread.h"

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t machine_now_us(const struct machine *m)
{
	return (now_ns() - m->start_ns) / 1000;
}

/* --- construction --- */

static const struct msi_ops msi_ops = {
	.connect = kvm_irq_connect,
	.disconnect = kvm_irq_disconnect,
	.release = kvm_irq_release,
};

static int ioeventfd_assign(
	void *opaque, uint64_t addr, unsigned size, int fd, struct lacuna_error **err)
{
	struct machine *m = opaque;
	return kvm_vm_ioeventfd(&m->vm, addr, size, fd, true, err);
}

static void ioeventfd_deassign(void *opaque, uint64_t addr, unsigned size, int fd)
{
	struct machine *m = opaque;
	kvm_vm_ioeventfd(&m->vm, addr, size, fd, false, NULL);
}

static const struct ioeventfd_ops ioeventfd_ops = {
	.assign = ioeventfd_assign,
	.deassign = ioeventfd_deassign,
};

/* The 64-bit window begins above RAM at a multiple of its size; it shrinks until the CPU's
 * addresses reach its end. */
static int choose_windows(
	uint64_t memory, unsigned phys_bits, struct pci_windows *ret, struct lacuna_error **err)
{
	uint64_t limit = (uint64_t)1 << min_u64(phys_bits, 52);
	struct gmem_region region[2];
	const struct gmem_region *last = &region[gmem_split(memory, region) - 1];
	gpa_t ram_end = max_u64(last->gpa + last->size, LAYOUT_RAM_HIGH_BASE);
	if (last->gpa + last->size > limit)
		return err_set(err, ERANGE,
			"memory: %llu MiB end beyond the %u address bits of this CPU: give less",
			(unsigned long long)(memory / MIB), phys_bits);
	*ret = (struct pci_windows){
		.mem32_base = LAYOUT_PCI32_BASE,
		.mem32_size = LAYOUT_PCI32_SIZE,
	};
	for (uint64_t size = LAYOUT_PCI64_SIZE; size >= GIB; size /= 2) {
		uint64_t base = align_up(ram_end, size);
		if (base >= limit || size > limit - base)
			continue;
		ret->mem64_base = base;
		ret->mem64_size = size;
		break;
	}
	return 0;
}

static int make_pci(struct machine *m, const struct machine_config *config,
	const struct pci_windows *windows, struct lacuna_error **err)
{
	struct pci_topology topology;
	int rc = devices_plan(m, config, &topology, err);
	if (rc < 0)
		return rc;
	struct pci_host_config c = {
		.buses = topology.buses,
		.ports = topology.ports,
		.type1 = config->pci.config != MACHINE_PCI_ECAM,
		.ecam = config->pci.config != MACHINE_PCI_TYPE1,
		.windows = *windows,
		.pio = &m->pio,
		.mmio = &m->mmio,
		.msi = &msi_ops,
		.msi_opaque = &m->irq,
		.log = &m->log,
	};
	m->pci_config = config->pci.config;
	platform_reset_port(m, &c.reset_ops, &c.reset_opaque);
	return pci_host_new(&c, &m->pci, err);
}

static int make_ram(
	struct machine *m, const struct machine_config *config, struct lacuna_error **err)
{
	int rc = gmem_new(config->memory, config->hugepages, &m->mem, err);
	for (unsigned i = 0; rc == 0 && i < m->mem->region_count; i++) {
		const struct gmem_region *r = &m->mem->region[i];
		rc = kvm_vm_set_slot(&m->vm, m->slots++, r->gpa, r->size, r->hva, false, err);
	}
	return rc;
}

/* Where there are no type-1 ports, Linux tries them again and again unless it is told. Where there
 * are, they still aren't worth its early look for chipsets that need help: one exit a slot. */
static const char *const cmdline_added[] = {
	[MACHINE_PCI_ECAM] = "reserve=0xcf8,8 pci=noearly",
	[MACHINE_PCI_BOTH] = "pci=noearly",
	[MACHINE_PCI_TYPE1] = "",
};

static int make_cmdline(struct machine *m, const struct machine_config *config, size_t *ret_added,
	struct lacuna_error **err)
{
	const char *user = config->cmdline;
	if (!user && machine_config_has_kernel(config) && config->serial.kind != CHARDEV_OFF)
		user = "console=ttyS0";
	else if (!user)
		user = machine_config_has_kernel(config) && config->console_hvc ? "console=hvc0"
										: "";
	bool add = machine_config_has_kernel(config) && config->add_cmdline;
	const char *added = add ? cmdline_added[m->pci_config] : "";
	const char *blank = *added && *user ? " " : "";
	if (asprintf(&m->cmdline, "%s%s%s", added, blank, user) < 0) {
		m->cmdline = NULL;
		return err_nomem(err);
	}
	*ret_added = strlen(added) + strlen(blank);
	return 0;
}

static void describe(struct machine *m, const struct machine_config *config)
{
	const struct pci_host_config *pci = &m->pci->config;
	const bool serial = config->serial.kind != CHARDEV_OFF;
	e820_build(m->mem, pci->ecam ? (uint64_t)pci->buses * LAYOUT_ECAM_BUS_SIZE : 0, &m->e820);
	m->acpi_config = (struct acpi_config){
		.cpus = config->cpus,
		.buses = pci->buses,
		.ecam = pci->ecam,
		.serial = serial,
		.pci64_base = pci->windows.mem64_base,
		.pci64_size = pci->windows.mem64_size,
	};
	m->dtb_config = (struct dtb_config){
		.cpus = config->cpus,
		.buses = pci->buses,
		.serial = serial,
		.pci64_base = pci->windows.mem64_base,
		.pci64_size = pci->windows.mem64_size,
		.e820 = &m->e820,
		.cmdline = m->cmdline,
	};
}

static int write_acpi(const struct machine *m, gpa_t *ret_rsdp, struct lacuna_error **err)
{
	struct acpi_tables tables;
	int rc = acpi_build(&m->acpi_config, &tables, err);
	if (rc < 0)
		return rc;
	rc = gmem_write(m->mem, LAYOUT_ACPI_BASE, tables.image, tables.size);
	*ret_rsdp = tables.rsdp;
	acpi_done(&tables);
	return rc < 0 ? err_set(err, -rc, "ACPI tables do not fit in RAM") : 0;
}

static int load_guest(struct machine *m, const struct machine_config *config,
	struct boot_entry *entry, struct lacuna_error **err)
{
	gpa_t rsdp = 0;
	size_t added = 0;
	int rc = make_cmdline(m, config, &added, err);
	if (rc < 0)
		return rc;
	describe(m, config);
	if (config->tables != MACHINE_TABLES_FDT) {
		rc = write_acpi(m, &rsdp, err);
		if (rc < 0)
			return rc;
	}
	struct boot_source source = {
		.kernel = machine_config_has_kernel(config) ? &config->kernel : NULL,
		.kernel_image = boot_probe_start,
		.kernel_image_size = (size_t)(boot_probe_end - boot_probe_start),
		.unpack = config->kernel_unpack,
		.kernel_cache = config->kernel_cache,
		.initrds = config->initrds,
		.initrd_count = config->initrd_count,
		.cmdline = m->cmdline,
		.cmdline_linux = added,
		.e820 = &m->e820,
		.rsdp = rsdp,
		.no_type1 = m->pci_config == MACHINE_PCI_ECAM,
		.fdt = config->tables != MACHINE_TABLES_ACPI ? &m->dtb_config : NULL,
		.log = m->log,
	};
	rc = boot_load(&source, m->mem, entry, err);
	if (rc < 0)
		return rc;
	memmove(m->cmdline, m->cmdline + entry->cmdline_skip,
		strlen(m->cmdline + entry->cmdline_skip) + 1); /* what `dump cmdline` shows */
	m->dtb_config.initrd = entry->initrd;
	m->dtb_config.initrd_size = entry->initrd_size;
	const char *flavour = entry->bzimage ? kvm_flavour() : NULL;
	if (flavour && kvm_flavour_is_software(flavour))
		log_warning(&m->log, "kernel",
			"%s interprets guest code in software, which a stock kernel does not survive; "
			"see 'lacuna doctor'",
			flavour);
	return 0;
}

/* All that makes KVM replace its tables of ports, addresses and routes. */
static int connect(
	struct machine *m, const struct machine_config *config, struct lacuna_error **err)
{
	int rc = platform_connect(m, err);
	if (rc == 0)
		rc = window_coalesce(m, config, err);
	if (rc == 0)
		rc = pci_host_power_on(m->pci, err);
	return rc;
}

static int check_host(struct machine *m, const struct machine_config *config,
	const struct kvm_cpuid2 *supported, struct lacuna_error **err)
{
	int max = kvm_max_vcpus(m->kvm_fd);
	if (config->cpus > (unsigned)max)
		return err_set(err, ERANGE, "cpus: %u is more than the %d that KVM allows here",
			config->cpus, max);
	int bit = config->pci.pv_bit;
	if (bit >= 0 && bit != KVM_FEATURE_PCI_GO_MMCONFIG_LEGACY &&
		cpuid_pv_bit_is_kvms(supported, (unsigned)bit))
		return err_set(err, EINVAL,
			"pci pv-bit=%d: KVM on this host uses that bit itself; take another, such as %d",
			bit, KVM_FEATURE_PCI_GO_MMCONFIG);
	return 0;
}

static int build(struct machine *m, const struct machine_config *config,
	const struct kvm_cpuid2 *supported, struct lacuna_error **err)
{
	int rc = check_host(m, config, supported, err);
	if (rc == 0)
		rc = kvm_vm_init(&m->vm, m->kvm_fd, err);
	struct pci_windows windows;
	if (rc == 0)
		rc = choose_windows(config->memory, cpuid_phys_bits(supported), &windows, err);
	if (rc == 0)
		devmem_space_init(
			&m->devmem_space, config->memory, cpuid_phys_bits(supported), &windows);
	if (rc == 0)
		rc = make_ram(m, config, err);
	if (rc == 0)
		rc = loop_new(&m->loop, err);
	if (rc == 0)
		rc = platform_new(m, config, err);
	if (rc == 0)
		rc = make_pci(m, config, &windows, err);
	if (rc == 0)
		rc = devices_new(m, config, err);
	if (rc == 0)
		rc = window_new(m, config, m->slots, err);
	if (rc == 0)
		rc = kvm_vm_set_tss(&m->vm, LAYOUT_TSS, LAYOUT_IDENTITY_MAP, err);
	if (rc == 0)
		rc = kvm_vm_create_irqchip(&m->vm, err);
	if (rc == 0)
		rc = connect(m, config, err);
	struct boot_entry entry;
	if (rc == 0)
		rc = load_guest(m, config, &entry, err);
	if (rc == 0)
		rc = vcpus_new(m, config, &entry, supported, err);
	if (rc == 0)
		window_pre_fault(m);
	return rc;
}

int machine_new(
	const struct machine_config *config, struct machine **ret, struct lacuna_error **err)
{
	int rc = machine_config_check(config, err);
	if (rc < 0)
		return rc;
	struct machine *m = calloc(1, sizeof(*m));
	if (!m)
		return err_nomem(err);
	m->references = 1;
	m->start_ns = now_ns();
	m->log = config->log;
	m->kvm_fd = m->vm.fd = m->end_fd = m->devmem_watch = -1;
	m->serial_irq.fd = m->ged_irq.fd = -1;
	m->created_us = m->started_us = LACUNA_TIME_NEVER;
	m->first_entry_us = m->marker_us = m->end_us = LACUNA_TIME_NEVER;
	bus_init(&m->pio);
	bus_init(&m->mmio);
	m->mmio.ioeventfd = &ioeventfd_ops;
	m->mmio.ioeventfd_opaque = m;
	kvm_irq_init(&m->irq, &m->vm, LAYOUT_GSI_MSI, LAYOUT_GSI_END);
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->end_lock, NULL);
	pthread_mutex_init(&m->device_lock, NULL);
	pthread_mutex_init(&m->ring_lock, NULL);
	pthread_cond_init(&m->stopped, NULL);
	pthread_cond_init(&m->parking, NULL);

	struct kvm_cpuid2 *supported = NULL;
	m->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->end_fd < 0)
		rc = err_errno(err, "eventfd");
	if (rc == 0)
		rc = config->kvm_fd < 0 ? kvm_open(&m->kvm_fd, err)
					: kvm_adopt(config->kvm_fd, &m->kvm_fd, err);
	if (rc == 0)
		rc = cpuid_supported(m->kvm_fd, &supported, err);
	if (rc == 0)
		rc = build(m, config, supported, err);
	if (rc == 0)
		rc = machine_make_timers(m, config, err);
	if (rc == 0)
		rc = devices_check_descriptors(m, err);
	free(supported);
	if (rc < 0) {
		machine_unref(m);
		return rc;
	}
	m->created_us = machine_now_us(m);
	*ret = m;
	return 0;
}

struct machine *machine_ref(struct machine *m)
{
	atomic_fetch_add_explicit(&m->references, 1, memory_order_relaxed);
	return m;
}

void machine_unref(struct machine *m)
{
	/* whatever another owner did before it let go comes before what is done here */
	if (!m || atomic_fetch_sub_explicit(&m->references, 1, memory_order_acq_rel) > 1)
		return;
	if (m->started) {
		machine_end(m, LACUNA_END_STOPPED, 0, NULL);
		machine_wait(m, NULL, NULL, NULL);
	}
	loop_remove(m->timeout_timer);
	loop_remove(m->drain_timer);
	loop_remove(m->kick_timer);
	devmem_free(m);
	devices_free(m);
	platform_free(m);
	vcpus_free(m);
	loop_free(m->loop);
	kvm_irq_done(&m->irq);
	kvm_vm_done(&m->vm);
	ecam_window_free(m->window, m->pci);
	pci_host_free(m->pci);
	free(m->cmdline);
	gmem_free(m->mem);
	bus_done(&m->pio);
	bus_done(&m->mmio);
	fd_close(&m->kvm_fd);
	fd_close(&m->end_fd);
	pthread_cond_destroy(&m->parking);
	pthread_cond_destroy(&m->stopped);
	pthread_mutex_destroy(&m->ring_lock);
	pthread_mutex_destroy(&m->device_lock);
	pthread_mutex_destroy(&m->end_lock);
	pthread_mutex_destroy(&m->lock);
	free(m);
}
