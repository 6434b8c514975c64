# SPDX-License-Identifier: Apache-2.0
# What a program sees of the feature bit, how the kernel says it reaches PCI configuration space, and that it does so.
. /tests/lib.sh
cpuid
dmesg | sed -nE 's/^\[[^]]*\] //; /^(kvm-guest: )?PCI: /s/^/guest log /p'
say functions "$(ls /sys/bus/pci/devices | wc -l)"
# Every register, long after the boot.
cat /sys/bus/pci/devices/*/config >/dev/null
say disk "$(head -c 4096 /dev/vda | sha256sum | cut -c1-16)"
[ -d /sys/firmware/acpi ] || reboot -f # no power-off without ACPI
