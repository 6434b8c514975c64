# SPDX-License-Identifier: Apache-2.0
# What the small kernel must have: drivers for what lacuna has, and what programs need.
. /tests/lib.sh
for d in /sys/bus/virtio/devices/*; do
	[ -e "$d/driver" ] || say unbound "${d##*/} type $(cat "$d/device")"
done
for f in /dev/vda /dev/pmem0 /dev/hvc0 /dev/hwrng /dev/vsock /dev/ptmx /dev/cpu/0/cpuid \
	/sys/firmware/acpi/tables/MCFG /sys/firmware/acpi/tables/APIC /proc/net/tcp /proc/net/unix /proc/net/packet; do
	[ -e "$f" ] || say missing "$f"
done
for fs in ext4 squashfs tmpfs devtmpfs; do
	grep -qw "$fs" /proc/filesystems || say missing "$fs"
done
say cpus "$(nproc)"
say clocksource "$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
grep -qs 'Power Button' /sys/class/input/input*/name && say button yes
mount -t ext4 /dev/vda /mnt && say ext4 "$(cat /mnt/name)" && umount /mnt
