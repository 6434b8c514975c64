/* SPDX-License-Identifier: Apache-2.0 */
/* /dev/kvm itself: opening it, its API version and what it can do. Descriptors are the caller's.
 * Any thread. */
#ifndef KVM_KVM_H
#define KVM_KVM_H

#include <lacuna/error.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Opens /dev/kvm and checks API version 12 and every capability that lacuna can't do without. The
 * message says what is missing and what to try: -ENOENT, -EACCES, -EPROTO (API version), -ENOTSUP
 * (a capability, named).
 */
int kvm_open(int *ret_fd, struct lacuna_error **err);
/* The same with a duplicate of @fd, an open /dev/kvm. */
int kvm_adopt(int fd, int *ret_fd, struct lacuna_error **err);

/* Calls @fn for each capability lacuna uses: its name, whether it is there, whether it is required,
 * and what it is for. */
void kvm_list_capabilities(int kvm_fd,
	void (*fn)(void *opaque, const char *name, bool have, bool required, const char *use),
	void *opaque);

int kvm_max_vcpus(int kvm_fd);
int kvm_max_slots(int kvm_fd);
int kvm_vcpu_mmap_size(int kvm_fd, struct lacuna_error **err);

/* What lies under this KVM, from /sys/module: "kvm_intel", "kvm_amd", another module's name, or
 * "unknown". */
const char *kvm_flavour(void);

/* A hardware flavour runs guest code on the CPU, so that a stock kernel boots; a software flavour
 * interprets it. "unknown" is neither. */
bool kvm_flavour_is_hardware(const char *flavour);
bool kvm_flavour_is_software(const char *flavour);

#endif
