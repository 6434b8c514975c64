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

# --- the end by a signal, while a phase runs
status=0
env --default-signal=INT "$LACUNA" bench io --kernel "$kernel" --initrd "$initrd" --userland "${image%%,*}" --folder "$tmp/disk" \
	--workloads randread-4k-qd1 --seconds 600 --save "$tmp/none.json" >"$tmp/out" 2>"$tmp/err" &
pid=$!
both_run() { # and the first phase has begun: the instance of the program counts one of them alone
	[ "$(pgrep -cP "$pid")" -ge 2 ] && grep -q '[0-9]' "/sys/kernel/tracing/instances/lacuna-$pid/set_event_pid"
}
until both_run || ! kill -0 "$pid"; do sleep 0.2; done
mapfile -t pids < <(pgrep -P "$pid")
kill -INT "$pid"
wait "$pid" || status=$?
same "interrupted: status" 130 "$status"
check "interrupted: both monitors ran" test "${#pids[@]}" -ge 2
check "interrupted: no process is left" gone "${pids[@]}"
same "interrupted: no tracing instance is left" "" "$(ls /sys/kernel/tracing/instances)"
same "interrupted: no file is left" "" "$(cd "$tmp" && shopt -s nullglob && echo none* disk/[!l]*)"
same "no tap is left" "" "$(ls -d /sys/class/net/io[01] 2>/dev/null)"
same "nothing is said" "" "$(cat "$tmp/out" "$tmp/err")"
finish
