#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The examples of devices of one's own, each under guests that drive its device well and badly.
. "$(dirname "$0")/../lib.sh"

works() { # EXAMPLE GUEST TEST OUTPUT
	local status=0
	timeout 120 "$BUILD/examples/$1" "$BUILD/tests/guest/$2.elf" "test=$3" >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
	if [ "$status" = 0 ] && grep -q "^$3: $4" "$tmp/out" && [ ! -s "$tmp/err" ]; then
		ok "$1: $3"
	else
		not_ok "$1: $3" "status $status; it printed:" "$(head -c 2000 "$tmp/out" "$tmp/err")"
	fi
}

for example in custom-pci custom-virtio; do
	refused "$example: usage" "^usage: $example KERNEL" "$BUILD/examples/$example"
done

if [ ! -w /dev/kvm ]; then
	skip "devices under guests" "no access to /dev/kvm"
	finish
fi

for example in custom-pci custom-virtio; do
	refused "$example: no such kernel" "^$example: kernel '/nowhere/vmlinux': open: No such file" "$BUILD/examples/$example" /nowhere/vmlinux
done
works custom-pci dma copy "100001 bytes, 8 interrupts"
works custom-pci dma limit kept
works custom-pci dma bad refused
works custom-pci dma reset works
works custom-virtio speller spell works
works custom-virtio speller many answered
works custom-virtio speller bad refused
works custom-virtio speller reset works

status=0
timeout 30 "$BUILD/examples/custom-pci" "$BUILD/tests/guest/endings.elf" "test=exit code=42" >/dev/null 2>&1 </dev/null || status=$?
same "custom-pci: the guest's exit code" 42 "$status"
finish
