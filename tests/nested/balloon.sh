#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How much of the guest's memory the host still has to back, when the balloon takes memory and gives it back, when khugepaged
# comes by, when the guest runs short, and when it frees memory with and without reporting.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
guest_files devices
socket=$tmp/control

ask() { "$LACUNA" control "$socket" "$@"; }
value() { ask get balloon0 | sed -n "s/^balloon0 $1=//p"; }
# KiB of guest RAM, which alone is nothing for children of fork(): in all, in huge pages.
of_ram() {
	awk -v key="$1:" '$1 == key { kib = $2 } /^VmFlags:/ && / dc/ { sum += kib } END { print sum + 0 }' "/proc/$pid/smaps"
}
resident() { of_ram Rss; }
step() {
	tell "$*"
	steps=$((steps + 1))
	await "guest ready $steps"
}
up() { # NAME OPTION
	steps=0
	start "$1" balloon --memory 160M --balloon "$2" --control "$socket"
	await "guest ready 0"
}
eventually() { # NAME COMMAND...
	local name=$1 end=$((SECONDS + 40))
	shift
	until "$@"; do
		if [ $SECONDS -ge $end ] || ! kill -0 "$pid" 2>/dev/null; then
			not_ok "$name" "not true: $*" "resident: $(resident) KiB" "$(ask get balloon0)"
			return
		fi
		sleep 0.2
	done
	ok "$name"
}
# Has khugepaged look at all memory of all processes three times.
hurry_khugepaged() {
	local k=/sys/kernel/mm/transparent_hugepage/khugepaged scans sleep pages
	scans=$(cat $k/full_scans) sleep=$(cat $k/scan_sleep_millisecs) pages=$(cat $k/pages_to_scan)
	echo 65536 >$k/pages_to_scan
	echo 0 >$k/scan_sleep_millisecs
	eventually "khugepaged has been here" scanned $((scans + 3))
	echo "$pages" >$k/pages_to_scan
	echo "$sleep" >$k/scan_sleep_millisecs
}
scanned() { [ "$(cat /sys/kernel/mm/transparent_hugepage/khugepaged/full_scans)" -ge "$1" ]; }
holds_mib() { [ "$(value actual)" = $(($1 << 20)) ]; }
resident_below() { [ "$(resident)" -lt "$1" ]; }
resident_above() { [ "$(resident)" -gt "$1" ]; }
is_total() { [ "$(value total-memory)" = $(($(said total-kib) * 1024)) ]; }

# --- a target
up target reporting=off,deflate-on-oom=on
step fill 56
full=$(resident)
step drop
check "what the guest uses is resident" test "$full" -gt $((112 * 1024))
[ -z "${LACUNA_IN_BED:-}" ] || # whose kernel always has a huge page to give
	check "nearly all of it in huge pages" test "$(of_ram AnonHugePages)" -gt $((full - 8 * 1024))
check "and stays so without reporting" test "$(resident)" -gt $((full - 4096))
check "a target while it runs" ask set balloon0 size=64M
eventually "the guest fills the balloon" holds_mib 64
same "the target can be asked for" $((64 << 20)) "$(value size)"
check "the host has that memory back" test "$(resident)" -le $(((160 - 64) * 1024))
if [ -n "${LACUNA_IN_BED:-}" ]; then # elsewhere these settings are not ours
	given=$(resident)
	hurry_khugepaged
	check "and keeps it, whatever khugepaged makes of what is left" resident_below $((given + 1024))
fi
step total
eventually "statistics are the guest's" is_total
check "and recent" test "$(value stats-age-ms)" -lt 40000

# --- short of memory: more is used than the balloon has left
step fill 44
same "the guest takes what it needs out of the balloon" yes "$(said filled-$((steps - 1)))"
check "which shrinks" test "$(value actual)" -lt $((64 << 20))
step drop
ask set balloon0 size=0
eventually "the guest empties it" holds_mib 0
low=$(resident)
step fill 40 # more than is free in what stayed resident
check "memory that came back is resident again" resident_above $((low + 8192))
step drop

# --- the driver comes and goes while the target moves
touch "$tmp/moving"
(while [ -e "$tmp/moving" ] && ask set balloon0 size=50M && ask set balloon0 size=10M; do :; done >/dev/null 2>&1) &
mover=$!
step rebind 3
rm "$tmp/moving"
wait "$mover" || true # not killed: its last request would still be under way
ask set balloon0 size=32M
eventually "unbound and bound three times, it still works" holds_mib 32
tell end
conclude
ends "the first guest ends" 0 poweroff
same "nothing of the guest's was lost" yes "$(said kept)"
same "no complaint of its kernel's" 0 "$(said complaints)"

# --- free page reporting, as it is by default
up reporting size=0
step fill 56
full=$(resident)
step drop
eventually "memory that the guest frees goes back by itself" resident_below $((full - 40 * 1024))
check "and is counted" test "$(value reported)" -gt $((40 << 20))
low=$(resident)
step fill 48 # likewise
check "it can be used again" resident_above $((low + 8192))
tell end
conclude
ends "the second guest ends" 0 poweroff
same "nothing was lost there either" yes "$(said kept)"
same "no complaint there either" 0 "$(said complaints)"
finish
