#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lacuna bench io with the guest of this repository: what it measures of both monitors, and what it leaves behind.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"

guest_files userland
image=${userland[1]#path=}
mkdir "$tmp/disk"
if [ -n "${LACUNA_IN_BED:-}" ]; then # a tmpfs reads neither directly nor without waiting
	mkfs.ext4 -q -O ^has_journal /dev/ram0
	mount /dev/ram0 "$tmp/disk"
	trap 'umount "$tmp/disk"; rm -rf "$tmp"' EXIT
fi
bench() {
	"$LACUNA" bench io --kernel "$kernel" --initrd "$initrd" --userland "${image%%,*}" --folder "$tmp/disk" --seconds 1 "$@"
}

status=0
result=$tmp/result.json
bench --repeat 1 --idle 1 --format json >"$result" 2>"$tmp/err" || status=$?
same "status" 0 "$status"
same "nothing on stderr" "" "$(cat "$tmp/err")"
check "the schema holds" valid "$result"
holds "every workload under both monitors, exits too, and rest" '.rows | length == 22' "$result"
holds "all of them are measured" '[.rows[] | has("not_available")] | any | not' "$result"
holds "rates" '[.rows[] | (.iops // .mbit_s // empty) | .count == 1 and .p50 > 1] | length == 10 and all' "$result"
holds "a request at a time: one kick and one interrupt for each" '[.rows[] | select(.part == "exits" and .workload == "randread-4k-qd1") |
	.kicks.p50 > 0.9 and .kicks.p50 < 1.1 and .interrupts.p50 > 0.9 and .interrupts.p50 < 1.1] == [true, true]' "$result"
holds "exits are more than the returns among them" '[.rows[] | select(.part == "exits") | .exits.p50 > .returns.p50 and .exits.p50 > 0.2] | all' "$result"
holds "a disk at rest in userspace: hardly a request returns there" '[.rows[] | select(.part == "exits" and .workload == "randread-4k-qd32" and
	.what == "lacuna") | .returns.p50 < 0.1] == [true]' "$result"

# --- the end by a signal, while a guest sends
status=0
env --default-signal=INT "$LACUNA" bench io --kernel "$kernel" --initrd "$initrd" --userland "${image%%,*}" --folder "$tmp/disk" \
	--workloads send --seconds 600 --save "$tmp/none.json" >"$tmp/out" 2>"$tmp/err" &
pid=$!
sends() { # a stream has come out of a tap: that which wakes the network is 64 KiB
	awk '$1 ~ /^io[01]:$/ && $2 > 1048576 { found = 1 } END { exit !found }' "/proc/$pid/net/dev" 2>/dev/null
}
until sends || ! kill -0 "$pid"; do sleep 0.2; done
mapfile -t pids < <(pgrep -P "$pid")
programs=$(pgrep -lP "$pid" | cut -d ' ' -f 2 | sort | paste -sd ' ')
hold_net "$pid"
kill -INT "$pid"
wait "$pid" || status=$?
same "interrupted: status" 130 "$status"
same "interrupted: both monitors and the server ran" "iperf3 lacuna qemu-system-x86" "$programs"
check "interrupted: in a network of their own" test -n "$net_fd"
same "interrupted: nothing is left in it" "" "$(left_in_net)"
check "interrupted: no process is left" gone "${pids[@]}"
same "interrupted: no tracing instance is left" "" "$(ls /sys/kernel/tracing/instances)"
same "interrupted: no file is left" "" "$(cd "$tmp" && shopt -s nullglob && echo none* disk/[!l]*)"
same "nothing is said" "" "$(cat "$tmp/out" "$tmp/err")"
finish
