# SPDX-License-Identifier: Apache-2.0
# How long the kernel spent in looking for PCI devices; needs initcall_debug.
dmesg | sed -n 's/.*initcall \(pci_subsys_init\|acpi_init\|pci_arch_init\)+.*returned \([0-9-]*\) after \([0-9]*\) usecs.*/guest \1 \3/p'
