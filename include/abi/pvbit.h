/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The paravirtual feature bit that tells a guest that MMCONFIG is sound for every register of every
 * function, so that it need not fall back on ports 0xCF8-0xCFF. It lives in EAX of CPUID leaf
 * 0x40000001 (KVM's feature leaf).
 *
 * The series of 2020 used bit 15. Upstream has since given 15 to KVM_FEATURE_MSI_EXT_DEST_ID, so it
 * can't be the default: a stock guest that sees bit 15 believes that MSI addresses carry 15-bit
 * destination ids.
 */
#ifndef LACUNA_ABI_PVBIT_H
#define LACUNA_ABI_PVBIT_H

#define KVM_FEATURE_PCI_GO_MMCONFIG 31
#define KVM_FEATURE_PCI_GO_MMCONFIG_LEGACY \
	15 /* the number used in 2020; collides with MSI_EXT_DEST_ID */

#endif
