// SPDX-License-Identifier: Apache-2.0
/* Decides how the ECAM window is served and hands its memory to KVM. */
#include <abi/layout.h>
#include <stdio.h>
#include <string.h>

#include "kvm/kvm.h"
#include "machine/private.h"
#include "pci/ones.h"
#include "util/err.h"

/*
 * KVM allows 1,000 devices on the MMIO bus (NR_IOBUS_DEVS; ioeventfds are not counted). The IOAPIC
 * is one; the rest is left for what else may come.
 */
#define MAX_ZONES 960

#define PAGE ((uint64_t)4096)

static int map_window(
	struct machine *m, enum ecam_pages pages, unsigned first_slot, struct lacuna_error **err)
{
	if (!m->vm.readonly_mem)
		return err_set(err, ENOTSUP,
			"this VM has no read-only memory slots (KVM_CAP_READONLY_MEM)");
	int rc = ecam_window_new(m->pci, MAX_ZONES, pages, &m->window, err);
	if (rc < 0)
		return rc;
	struct ecam_window *w = m->window;
	if (first_slot + w->slot_count > (unsigned)kvm_max_slots(m->kvm_fd))
		return err_set(err, ENOSPC, "it needs %u memory slots, KVM has %d", w->slot_count,
			kvm_max_slots(m->kvm_fd));
	for (unsigned i = 0; i < w->slot_count && rc == 0; i++)
		rc = kvm_vm_set_slot(&m->vm, first_slot + i, w->slot[i].gpa, w->slot[i].size,
			w->slot[i].hva, true, err);
	return rc;
}

/* Takes back what a failed map_window() has left: KVM goes on without a slot that was never set. */
static void unmap_window(struct machine *m, unsigned first_slot)
{
	if (!m->window)
		return;
	for (unsigned i = 0; i < m->window->slot_count; i++)
		kvm_vm_set_slot(
			&m->vm, first_slot + i, m->window->slot[i].gpa, 0, NULL, true, NULL);
	ecam_window_free(m->window, m->pci);
	m->window = NULL;
}

/* What the host can't do, window=auto does without. A host that has just run out of something will
 * have it later; a machine that is slow for good, by chance, is not what was asked for. */
static bool ran_out(int rc)
{
	return rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE;
}

int window_new(struct machine *m, const struct machine_config *config, unsigned slot,
	struct lacuna_error **err)
{
	if (config->pci.config == MACHINE_PCI_TYPE1 || config->pci.window == MACHINE_WINDOW_TRAP)
		return 0;
	struct lacuna_error *why = NULL;
	int rc = map_window(m, config->pci.pages, slot, &why);
	if (rc == 0 && config->pci.pages != m->window->pages)
		log_info(&m->log, "pci", "large-pages=all: there are none to be had");
	if (rc == 0)
		return 0;
	unmap_window(m, slot);
	if (ran_out(rc)) {
		rc = err_set(err, -rc, "%s", lacuna_error_message(why));
	} else if (config->pci.window == MACHINE_WINDOW_MEMORY) {
		rc = err_set(err, -rc, "pci window=memory: %s; use window=auto",
			lacuna_error_message(why));
	} else {
		snprintf(m->window_why, sizeof(m->window_why), "it traps: %s",
			lacuna_error_message(why));
		log_warning(&m->log, "pci", "the ECAM window traps: %s", lacuna_error_message(why));
		rc = 0;
	}
	lacuna_error_free(why);
	return rc;
}

int window_coalesce(
	struct machine *m, const struct machine_config *config, struct lacuna_error **err)
{
	if (config->pci.no_coalesce)
		return 0;
	/* The address port is written before every data access; its value is needed only then. */
	int rc = 0;
	if (m->pci_config != MACHINE_PCI_ECAM && m->vm.coalesced_pio)
		rc = kvm_vm_coalesce(&m->vm, LAYOUT_PORT_PCI_ADDRESS, 4, true, err);
	for (unsigned i = 0; m->window && i < m->window->zone_count && rc == 0; i++) {
		const struct ecam_zone *z = &m->window->zone[i];
		rc = kvm_vm_coalesce(&m->vm, z->gpa, (uint32_t)z->size, false, err);
	}
	return rc;
}

/*
 * Saves the guest its first-read faults: one for every large page, and one for every live page. The
 * all-ones pages between functions are left alone: most are never read, and each would count as
 * resident.
 */
void window_pre_fault(struct machine *m)
{
	if (!m->window || !m->vm.pre_fault)
		return;
	struct kvm_vcpu *vcpu = &m->vcpu[0].kvm;
	int rc = 0;
	for (unsigned i = 0; m->window->large_pages && i < m->window->slot_count && rc == 0; i++) {
		const struct ecam_slot *s = &m->window->slot[i];
		if (s->hva == m->window->ones->large || m->window->pages == ECAM_PAGES_ALL_LARGE)
			rc = kvm_vcpu_pre_fault(vcpu, s->gpa, s->size);
	}
	for (unsigned bdf = 0; bdf < m->pci->config.buses * 256 && rc == 0; bdf++)
		if (pci_host_find(m->pci, bdf))
			rc = kvm_vcpu_pre_fault(vcpu, LAYOUT_ECAM_BASE + bdf * PAGE, PAGE);
	if (rc < 0)
		log_debug(
			&m->log, "pci", "the window is not pre-faulted: %s", strerrordesc_np(-rc));
}
