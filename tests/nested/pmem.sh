#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A stock guest with files of the host as persistent memory: a DAX file system that the host made and reads again, DMA
# between a disk and it, a read-only one; then the host truncates the file in use.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
PATH=$PATH:/usr/sbin:/sbin
guest_files userland
mkdir "$tmp/files"
head -c 3M /dev/urandom >"$tmp/files/from-host"
head -c 64k /dev/urandom >"$tmp/disk.img"
for f in rw ro; do
	truncate -s 32M "$tmp/$f.img"
	mkfs.ext4 -q -b 4096 -d "$tmp/files" "$tmp/$f.img" || not_ok "mkfs.ext4"
done
sum() { sha256sum | cut -d' ' -f1; }
ro_before=$(sum <"$tmp/ro.img")

start pmem pmem --disk "path=$tmp/disk.img" --pmem "$tmp/rw.img" --pmem "path=$tmp/ro.img,readonly=on"
await "guest waits"
same "the guest sees all of it" $((32 << 20)) "$(said bytes)"
same "and may map it into programs" 1 "$(said dax)"
same "the host's file system mounts" "yes yes" "$(said mounted) $(said ro-mounted)"
same "the guest reads what the host wrote" "$(sum <"$tmp/files/from-host")" "$(said read)"
same "and from the read-only one" "$(sum <"$tmp/files/from-host")" "$(said ro-read)"
same "a disk reads straight into it" "$(sum <"$tmp/disk.img")" "$(said dma)"
same "unmounted" yes "$(said unmounted)"
same "no complaint of the kernel's" 0 "$(said warnings)"
same "a write to the read-only one is dropped" "$ro_before" "$(sum <"$tmp/ro.img")"
check "the file system is sound" e2fsck -fn "$tmp/rw.img"
check "what the guest wrote is in it" test -n "$(said written)"
from_image() { debugfs -R "cat /$1" "$tmp/rw.img" 2>/dev/null | sum; }
same "namely that" "$(said written)" "$(from_image from-guest)"
same "and what the disk read into it" "$(sum <"$tmp/disk.img")" "$(from_image target)"

truncate -s 1M "$tmp/rw.img"
tell "go on"
conclude
same "truncated: the machine ends as failed" 125 "$status"
same "truncated: one line says why" \
	"lacuna: memory of the guest is gone: '$tmp/rw.img' was truncated from 33554432 to 1048576 bytes" \
	"$(grep -a lacuna: "$console")"
finish
