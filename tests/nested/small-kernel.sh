#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The small kernel of tools/guest-kernel: how soon it is at /init and how little it leaves the guest, beside Debian's; and that every
# device has its driver.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
truncate -s 64M "$tmp/disk.img"
devices=(--disk "path=$tmp/disk.img" --rng)

# Both with Debian's initramfs, the larger one, and no more of it than its first process.
flavour=cloud
guest_files
words=rdinit=/tests/first.sh
debian=$kernel
median() { # NAME: of five boots' time to the first process, in microseconds
	local i
	for i in 1 2 3 4 5; do
		boot "$1" first "${devices[@]}"
		jq .time_us.marker "$stats"
	done | sort -n | sed -n 3p
}
stock=$(median stock)
use_kernel plain
small=$(median small)
stats=$tmp/small.json console=$tmp/small.console status=0
ends "the small kernel boots and powers off" 0 poweroff
echo "# launch to /init: Debian's kernel $stock us, the small kernel $small us: $((small * 100 / stock)) % of it (goal: at most 50)"
check "both tell when they are at /init" test "$small" -gt 0 -a "$stock" -gt 0
words=

# As figures.sh does, power-on to power-off.
flavour=small
guest_files
boot figures boot "${devices[@]}"
ends "a boot with drivers for disk and entropy" 0 poweroff
echo "# all returns to userspace: $(jq -c '[.exits.total, .exits.by_reason]' "$stats")"
holds "all returns to userspace: at most 600" '.exits.total > 0 and .exits.total <= 600' "$stats"
holds "ECAM reads: no exit" '.exits.pci_config.ecam_read == 0' "$stats"

# --- everything at once, and what a program finds of it
mkdir "$tmp/files"
echo lacuna >"$tmp/files/name"
mkfs.ext4 -q -d "$tmp/files" "$tmp/disk.img"
truncate -s 16M "$tmp/pmem.img"
boot devices small-kernel "${devices[@]}" --cpus 4 --memory 4G --balloon size=16M --vsock "cid=3,path=$tmp/vsock" \
	--pmem "path=$tmp/pmem.img" --console "file=$tmp/hvc0" --rng bus=1 --pci ports=2
ends "a device of each kind" 0 poweroff
same "every virtio device has its driver" "" "$(said unbound)"
same "all four CPUs" 4 "$(said cpus)"
same "ext4 on the disk" "lacuna" "$(said ext4)"
same "the power button is an input device" "yes" "$(said button)"
same "nothing is missing" "" "$(said missing)"
same "the clock is KVM's" kvm-clock "$(said clocksource)"
finish
