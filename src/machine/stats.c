// SPDX-License-Identifier: Apache-2.0
/* Adds up what the vCPUs and the PCI host have counted. */
#include <stdlib.h>
#include <string.h>

#include "machine/private.h"
#include "util/bytes.h"
#include "util/err.h"
#include "util/fd.h"
#include "util/thread.h"

static uint64_t get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static const char *const config_names[] = {
	[MACHINE_PCI_ECAM] = "ecam",
	[MACHINE_PCI_BOTH] = "both",
	[MACHINE_PCI_TYPE1] = "type1",
};

void machine_stats(struct machine *m, struct lacuna_stats *ret)
{
	struct lacuna_stats s = {
		.size = sizeof(s),
		.vcpus = m->vcpu_count,
		.memory_bytes = m->mem->size,
		.pci_config = config_names[m->pci_config],
		.pci_window = m->window                            ? "memory"
			      : m->pci_config == MACHINE_PCI_TYPE1 ? "none"
								   : "trap",
		.pci_window_why = m->window_why,
		.pci_large_pages = m->window && m->window->large_pages,
		.pci_buses = m->pci->config.buses,
		.pci_functions = m->pci->function_count,
		.created_us = get(&m->created_us),
		.started_us = get(&m->started_us),
		.origin_us = m->start_ns / 1000,
		.first_entry_us = get(&m->first_entry_us),
		.marker_us = get(&m->marker_us),
		.end_us = get(&m->end_us),
		.type1_read = get(&m->pci->stats.type1_read),
		.type1_write = get(&m->pci->stats.type1_write),
		.ecam_read = get(&m->pci->stats.ecam_read),
		.ecam_write = get(&m->pci->stats.ecam_write),
		.absent = get(&m->pci->stats.absent),
		.coalesced_pio = get(&m->coalesced_pio),
		.coalesced_mmio = get(&m->coalesced_mmio),
	};
	for (unsigned i = 0; i < m->vcpu_count; i++) {
		const struct vcpu_counters *c = &m->vcpu[i].counters;
		s.exits_total += get(&c->total);
		for (unsigned r = 0; r < LACUNA_EXIT_REASONS; r++)
			s.exits_by_reason[r] += get(&c->by_reason[r]);
		s.pio_serial += get(&c->pio_serial);
		s.pio_cmos += get(&c->pio_cmos);
		s.pio_reset += get(&c->pio_reset);
		s.pio_other += get(&c->pio_other);
		s.mmio_bar += get(&c->mmio_bar);
		s.mmio_other += get(&c->mmio_other);
	}
	LOCK_SCOPE(&m->end_lock);
	s.end_reason = m->end_reason;
	s.end_code = m->end_code;
	*ret = s;
}

/* --- KVM's own counters, summed over the VM and its vCPUs --- */

struct counter {
	char name[64];
	uint64_t value;
};

struct sums {
	struct counter *counter;
	size_t count, capacity;
	bool failed;
};

static void add(void *opaque, const char *name, uint64_t value)
{
	struct sums *s = opaque;
	for (size_t i = 0; i < s->count; i++) {
		if (!strcmp(s->counter[i].name, name)) {
			s->counter[i].value += value;
			return;
		}
	}
	if (s->count == s->capacity) {
		size_t capacity = s->capacity ? 2 * s->capacity : 64;
		struct counter *grown = realloc(s->counter, capacity * sizeof(*grown));
		if (!grown) {
			s->failed = true;
			return;
		}
		s->counter = grown;
		s->capacity = capacity;
	}
	struct counter *c = &s->counter[s->count++];
	strncpy(c->name, name, sizeof(c->name) - 1);
	c->name[sizeof(c->name) - 1] = '\0';
	c->value = value;
}

int machine_kvm_stats(const struct machine *m,
	void (*fn)(void *opaque, const char *name, uint64_t value), void *opaque,
	struct lacuna_error **err)
{
	if (!m->vm.stats)
		return err_set(err, ENOTSUP, "this host's KVM keeps no counters of its own");
	AUTO_CLOSE int vm_stats = kvm_stats_open(m->vm.fd);
	if (vm_stats < 0)
		return err_errno(err, "KVM_GET_STATS_FD");
	struct sums sums = { .count = 0 };
	int rc = kvm_stats_read(vm_stats, add, &sums);
	for (unsigned i = 0; i < m->vcpu_count && rc == 0; i++)
		rc = kvm_stats_read(m->vcpu[i].kvm.stats_fd, add, &sums);
	if (sums.failed || rc == -ENOMEM)
		rc = err_nomem(err);
	else if (rc < 0)
		err_set(err, -rc, "KVM's counters can't be read: %s", strerrordesc_np(-rc));
	for (size_t i = 0; i < sums.count && rc == 0; i++)
		fn(opaque, sums.counter[i].name, sums.counter[i].value);
	free(sums.counter);
	return rc;
}
