/* SPDX-License-Identifier: Apache-2.0 */
/* What the hypervisor tells about itself through CPUID 0x40000000 and up, and the clock. */
#ifndef FIRMWARE_HYPERVISOR_H
#define FIRMWARE_HYPERVISOR_H

#include <stdint.h>

/* The first leaf of KVM's range, or 0. */
uint32_t kvm_leaf(void);

/* EAX of KVM's feature leaf, or 0. */
uint32_t kvm_features(void);

/* TSC ticks a millisecond, or 0 if nothing tells. */
uint64_t tsc_khz(void);

#endif
