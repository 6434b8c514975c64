// SPDX-License-Identifier: Apache-2.0
/* Names of the reasons for which KVM_RUN returns on x86-64 (KVM api.rst, section 5, kvm_run). */
#include "kvm/exit_reason.h"

#include <assert.h>
#include <lacuna/vm.h>
#include <linux/kvm.h>

#include "util/bytes.h"

#define EXIT_MEMORY_FAULT 39 /* since Linux 6.8; the headers built against may be older */

static const char *const names[] = {
	[KVM_EXIT_UNKNOWN] = "unknown",
	[KVM_EXIT_EXCEPTION] = "exception",
	[KVM_EXIT_IO] = "io",
	[KVM_EXIT_HYPERCALL] = "hypercall",
	[KVM_EXIT_DEBUG] = "debug",
	[KVM_EXIT_HLT] = "hlt",
	[KVM_EXIT_MMIO] = "mmio",
	[KVM_EXIT_IRQ_WINDOW_OPEN] = "irq_window_open",
	[KVM_EXIT_SHUTDOWN] = "shutdown",
	[KVM_EXIT_FAIL_ENTRY] = "fail_entry",
	[KVM_EXIT_INTR] = "intr",
	[KVM_EXIT_SET_TPR] = "set_tpr",
	[KVM_EXIT_TPR_ACCESS] = "tpr_access",
	[KVM_EXIT_NMI] = "nmi",
	[KVM_EXIT_INTERNAL_ERROR] = "internal_error",
	[KVM_EXIT_WATCHDOG] = "watchdog",
	[KVM_EXIT_SYSTEM_EVENT] = "system_event",
	[KVM_EXIT_IOAPIC_EOI] = "ioapic_eoi",
	[KVM_EXIT_HYPERV] = "hyperv",
	[KVM_EXIT_X86_RDMSR] = "x86_rdmsr",
	[KVM_EXIT_X86_WRMSR] = "x86_wrmsr",
	[KVM_EXIT_DIRTY_RING_FULL] = "dirty_ring_full",
	[KVM_EXIT_AP_RESET_HOLD] = "ap_reset_hold",
	[KVM_EXIT_X86_BUS_LOCK] = "x86_bus_lock",
	[KVM_EXIT_XEN] = "xen",
	[KVM_EXIT_NOTIFY] = "notify",
	[EXIT_MEMORY_FAULT] = "memory_fault",
};
static_assert(KVM_EXIT_NOTIFY == 37 && KVM_EXIT_IO == 2, "the numbers are kernel ABI");
static_assert(ARRAY_SIZE(names) < LACUNA_EXIT_REASONS, "struct lacuna_stats counts each by itself");

const char *kvm_exit_reason_name(unsigned reason)
{
	return reason < ARRAY_SIZE(names) && names[reason] ? names[reason] : "other";
}
