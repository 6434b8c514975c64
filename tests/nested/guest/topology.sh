# SPDX-License-Identifier: Apache-2.0
# What the guest makes of many functions on many buses. Needs the lspci archive.
. /tests/lib.sh
count() { # GLOB...
	n=0
	for f in "$@"; do
		[ ! -e "$f" ] || n=$((n + 1))
	done
	echo $n
}
say functions "$(count /sys/bus/pci/devices/*)"
say buses "$(count /sys/class/pci_bus/*)"
say pcieports "$(count /sys/bus/pci/drivers/pcieport/0000:*)"
say rngs "$(count /sys/bus/virtio/drivers/virtio_rng/virtio*)"
say disks "$(count /sys/bus/virtio/drivers/virtio_blk/virtio*)"
say vectors "$(grep -c 'virtio[0-9]*-' /proc/interrupts)"
say port-vectors "$(grep -ciE 'pcie|pme|aerdrv' /proc/interrupts)"
say random "$(dd if=/dev/hwrng bs=64 count=1 2>/dev/null | wc -c)"
say first-disk "$(dd if=/dev/vda bs=4096 count=16 iflag=direct 2>/dev/null | sha256sum | cut -d' ' -f1)"
say last-disk "$(dd if=/dev/vdb bs=4096 count=16 iflag=direct 2>/dev/null | sha256sum | cut -d' ' -f1)"

lspci -vvv >/tmp/lspci 2>/dev/null
lspci_count() {
	grep -cE "$1" /tmp/lspci
}
say lspci-functions "$(lspci_count '^[0-9a-f]')"
say lspci-complaints "$(lspci_count 'nknown header|denied|Region.*\[disabled\]|<unassigned>|!!!|hain (looped|broken)|\[virtual\]|rev ff|<unreadable>')"
say lspci-links "$(lspci_count 'LnkSta:.*Speed 2.5GT/s.*Width x1')"
say lspci-serials "$(lspci_count 'Device Serial Number 02-4c-41-43')"
say lspci-integrated "$(lspci_count 'Express \(v2\) Root Complex Integrated Endpoint')"
say lspci-ports "$(lspci_count 'Express \(v2\) Root Port')"
say lspci-fixed-buses "$(lspci_count 'Enhanced Allocation')"
sed -n '/PCI bridge/,/^$/{p;/^$/q}' /tmp/lspci

# Resources that Linux moved or refused, and whatever it warns of.
say log "$(dmesg | grep -c 'Linux version')"
say moved "$(dmesg | grep -ciE "can.t claim|reassign|no space for|failed to assign|BAR [0-9]+: assigned|can.t (assign|allocate)")"
dmesg -r | grep -E '^<[0-4]>' | sed -E 's/^<[0-9]*>//; s/^\[[^]]*\] /WARNING /'

# Resets of what is behind a port, by function and by bus; the driver takes the device again each time.
d=0000:03:00.0
methods=$(cat /sys/bus/pci/devices/$d/reset_method 2>/dev/null)
if [ "$methods" = "flr bus" ]; then # alone on its bus
	say reset-methods "$methods"
	for method in flr bus; do
		echo $d >/sys/bus/pci/drivers/virtio-pci/unbind
		echo $method >/sys/bus/pci/devices/$d/reset_method
		echo 1 >/sys/bus/pci/devices/$d/reset && say "reset-$method" "done"
		echo $d >/sys/bus/pci/drivers/virtio-pci/bind
		say "after-$method" "$(count /sys/bus/virtio/drivers/virtio_rng/virtio*)"
	done
	say reset-warnings "$(dmesg -r | grep -E '^<[0-4]>' | grep -ciE 'reset|virtio|pci 0000|timed out')"
fi
