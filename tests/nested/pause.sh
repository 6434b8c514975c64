#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A stock guest that reads and writes a disk all the time is paused and resumed again and again: no exit while it pauses,
# nothing lost, and its kernel has nothing to complain of.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
guest_files
truncate -s 16M "$tmp/disk"
socket=$tmp/control

ask() { "$LACUNA" control "$socket" "$@"; }
exits() { ask stats | jq .exits.total; }
written() { ask get disk0 | sed -n 's/^disk0 writes=//p'; }

start pause pause --cpus 2 --disk "path=$tmp/disk" --control "$socket"
await "guest writing"
stood=0 went_on=0 rounds=12
for ((i = 0; i < rounds; i++)); do
	ask pause
	at_rest=$(exits)
	[ "$(ask state)" = paused ] && [ "$(exits)" = "$at_rest" ] && stood=$((stood + 1))
	before=$(written)
	ask resume
	until [ "$(written)" != "$before" ] || ! kill -0 "$pid" 2>/dev/null; do :; done
	went_on=$((went_on + 1))
done
same "no exit while it pauses" $rounds $stood
same "it goes on each time" $rounds $went_on
ask pause
tell end # waits in the serial port meanwhile
ask resume
conclude
ends "the guest ends" 0 poweroff
same "it found all that it wrote" 0 "$(said differences)"
check "in many rounds" test "$(said rounds)" -ge 2
same "no complaint of its kernel's" 0 "$(said complaints)"
finish
