#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A stock guest with 2 vCPUs reads, writes, flushes and discards a disk and draws from the entropy device; the host then
# finds in the file exactly what the guest wrote.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
guest_files
disk=$tmp/disk.img
head -c 4M /dev/urandom >"$disk"
truncate -s 63M "$disk"
head -c 1M /dev/urandom | dd of="$disk" bs=1M seek=40 conv=notrunc status=none
truncate -s 1M "$tmp/ro.img"
ro_sum=$(sha256sum <"$tmp/ro.img")
pattern=$(head -c 4M "$disk" | sha256sum)

boot devices devices --cpus 2 --disk "path=$disk,serial=LACUNA-DISK-0" --disk "path=$tmp/ro.img,readonly=on" --rng
ends "the guest with two disks ends" 0 poweroff
same "disk: size" $((63 * 1024 * 1024)) "$(said disk-bytes)"
same "disk: serial number" LACUNA-DISK-0 "$(said disk-serial)"
same "disk: a write cache that can be flushed" "write back" "$(said disk-cache)"
check "disk: discard is offered" test "$(said disk-discard)" -gt 0
same "disk: the guest reads what the file holds" "${pattern%% *}" "$(said disk-read)"
same "disk: write and flush" ok "$(said disk-write)"
same "disk: one sector, directly" ok "$(said disk-sector)"
same "disk: the last sector" ok "$(said disk-last)"
same "disk: discard" ok "$(said disk-discarded)"

at() { dd if="$disk" bs="$1" skip="$2" count="$3" status=none; }
same "host: both copies are in the file" "$(at 1M 0 4 | sha256sum) $(at 1M 0 4 | sha256sum)" \
	"$(at 1M 16 4 | sha256sum) $(at 1M 20 4 | sha256sum)"
same "host: the sector is in the file" "$(at 512 0 1 | sha256sum)" "$(at 512 65537 1 | sha256sum)"
same "host: the last sector is in the file" "$(at 512 0 1 | sha256sum)" "$(at 512 129023 1 | sha256sum)"
same "host: what was discarded reads as zeroes" "$(head -c 1M /dev/zero | sha256sum)" "$(at 1M 40 1 | sha256sum)"
same "host: the file kept its size" $((63 * 1024 * 1024)) "$(stat -c %s "$disk")"

same "read-only disk: the guest knows" 1 "$(said readonly)"
same "read-only disk: a write fails" "" "$(said readonly-written)"
same "read-only disk: the file is as before" "$ro_sum" "$(sha256sum <"$tmp/ro.img")"

check "rng: it is the guest's source" grep -q virtio_rng <<<"$(said rng-current)"
same "rng: as many bytes as asked for" 64 "$(said rng-bytes)"
same "rng: never the same twice" 2 "$(said rng-differs)"
check "MSI-X vectors for every device" test "$(said vectors)" -ge 5
finish
