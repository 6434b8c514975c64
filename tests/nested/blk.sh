#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Disks under load and in trouble, in a stock guest with 2 vCPUs: fio verifies what it wrote through both engines, two
# queues and direct I/O; discard, a full file system, a truncated file, a disk that grows, and the driver unbound under load.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
guest_files userland
head -c 16M /dev/urandom >"$tmp/uring"
truncate -s 8M "$tmp/threads" "$tmp/cut"
disks=(--disk "path=$tmp/uring,aio=auto,queues=2,serial=uring" --disk "path=$tmp/threads,aio=threads,queues=2,serial=threads"
	--disk "path=$tmp/cut,serial=cut")

# A file system that is smaller than the disk on it. Only root can make one.
small=$tmp/small
mkdir "$small"
if mount -t tmpfs -o size=1M small "$small" 2>/dev/null; then
	trap 'umount "$small"; rm -rf "$tmp"' EXIT
	truncate -s 4M "$small/full"
	disks+=(--disk "path=$small/full,serial=full")
fi
# The bed has a RAM disk; on any other host a block device is not ours to write to.
if grep -q bed.share= /proc/cmdline && [ -b /dev/ram0 ]; then
	disks+=(--disk "path=/dev/ram0,direct=on,serial=direct")
fi

allocated() { stat -c %b "$tmp/uring"; }
before=$(allocated)
start blk blk --cpus 2 --control "$tmp/control" "${disks[@]}"
if await "waiting for the host"; then
	truncate -s 1M "$tmp/cut"
	same "shrinking is refused" 125 "$("$LACUNA" control "$tmp/control" set disk0 size=1M >/dev/null 2>"$tmp/why" || echo $?)"
	check "and why is told" grep -q "can only grow" "$tmp/why"
	check "the disk grows" "$LACUNA" control "$tmp/control" set disk0 size=20M
fi
conclude
ends "the guest ends" 0 poweroff
same "two queues each" "2 2" "$(said queues)"
same "fio finds what it wrote, everywhere" 0 "$(said fio)"
same "discard" ok "$(said discarded)"
check "discard gives the file's blocks back" test $((before - $(allocated))) -ge 8000
same "the guest sees the new size" $((20 << 20)) "$(said size)"
same "the file has it too" $((20 << 20)) "$(stat -c %s "$tmp/uring")"
same "the new last block can be written" ok "$(said last-block)"
if mountpoint -q "$small"; then
	same "disk full: the guest's write fails" 1 "$(said full)"
	same "disk full: it can still read" 0 "$(said full-reads)"
	check "disk full: the host is told why" grep -qE "disk[0-9]: write '$small/full': No space left on device" "$console"
else
	skip "disk full" "no right to mount"
fi
same "a driver that was unbound under load works again" ok "$(said bound-again)"
same "truncated file: what is left can be read" ok "$(said cut-front)"
same "truncated file: the rest is an I/O error" 1 "$(said cut-back)"
check "truncated file: the host is told" grep -qE "disk[0-9]: read '$tmp/cut': .*become shorter" "$console"
same "no warnings of the guest's kernel" 0 "$(said warnings)"
finish
