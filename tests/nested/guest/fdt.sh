# SPDX-License-Identifier: Apache-2.0
# What a guest finds of the machine when a device tree tells it. Without ACPI there is no way to power off: it restarts.
. /tests/lib.sh
tree=/sys/firmware/devicetree/base
[ ! -d /sys/firmware/acpi ] || say acpi yes
if [ -f /sys/firmware/fdt ]; then # as it was handed over
	say tree "$(sha256sum </sys/firmware/fdt | cut -c1-16)"
	say model "$(tr -d '\0' <$tree/model)"
fi
say cpus "$(nproc)"
say memory "$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)"
# in sysfs' links: where a device is on PCI, and which node it is of
path() { # LINK
	ls -l "$1" 2>/dev/null | sed 's/.* -> //'
}
say functions "$(ls /sys/bus/pci/devices 2>/dev/null | wc -l)"
say disk-at "$(path /sys/block/vda | sed 's,.*/\([0-9a-f]*:[0-9a-f:.]*\)/virtio.*,\1,')"
[ ! -b /dev/vda ] || say disk "$(cat /sys/block/vda/serial) $(head -c 4096 /dev/vda | sha256sum | cut -c1-16)"
say disk-interrupts "$(grep -c 'PCI-MSI.*virtio0-req' /proc/interrupts)"
[ ! -c /dev/hwrng ] || say entropy "$(head -c 16 /dev/hwrng | wc -c)"
say serial-node "$(path /sys/class/tty/ttyS0/device/of_node | sed 's,.*/base,,')"
say complaints "$(dmesg | grep -cE 'BUG|Oops|pci-host-generic.*(error|fail)')"
echo "guest listens"
read -r line
say heard "$line"
[ -d /sys/firmware/acpi ] || reboot -f
