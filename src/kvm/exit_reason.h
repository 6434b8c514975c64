/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KVM_EXIT_REASON_H
#define KVM_EXIT_REASON_H

/* The name of a KVM_EXIT_* number in lower case without the prefix, as the statistics show it;
 * "other" for numbers that an x86-64 host does not return or that are newer than this table. */
const char *kvm_exit_reason_name(unsigned reason);

#endif
