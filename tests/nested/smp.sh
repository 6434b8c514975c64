#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# 2 and 8 vCPUs come up and run; a disk in use is refused to a second guest; what a VM costs in memory.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
. "$top/tests/bed/count.sh"
guest_files
truncate -s 4M "$tmp/disk.img"

for n in 2 8; do
	boot "smp$n" smp --cpus "$n" --rng
	ends "$n vCPUs: boots" 0 poweroff
	same "$n vCPUs: the guest sees them" "$n" "$(said cpus)"
	same "$n vCPUs: each runs" "$n" "$(said worked)"
	same "$n vCPUs: kvm-clock or TSC keeps the time" 1 "$(said clock | grep -cE '^(tsc|kvm-clock)$')"
	check "$n vCPUs: x2APIC" test "$(said apic)" -gt 0
	holds "$n vCPUs: the statistics agree" ".machine.vcpus == $n" "$stats"
done

mkfifo "$tmp/fifo"
guest_command first hold --disk "path=$tmp/disk.img" --rng --memory 256M
"${command[@]}" >"$tmp/fifo" 2>&1 </dev/null &
first=$!
exec 3<"$tmp/fifo"
while read -r line <&3; do
	case $line in "$marker"*) break ;; esac
done
cat <&3 >/dev/null &
refused "a disk in use is refused" 'disk\.img.*(in use|lock)' "$LACUNA" run --kernel "$kernel" --disk "path=$tmp/disk.img"
refused "a disk in use is refused to a reader too" 'disk\.img.*(in use|lock)' \
	"$LACUNA" run --kernel "$kernel" --disk "path=$tmp/disk.img,readonly=on"
check "the first guest still runs" kill -0 "$first"
own=$(own_memory "$first" 256)
echo "# the monitor's own memory: $own KiB"
check "the monitor's own memory is at most 3 MiB" test "$own" -le 3072 -a "$own" -gt 0
kill -TERM "$first"
status=0
wait "$first" || status=$?
exec 3<&-
holds "SIGTERM ends it, the statistics say so" '.end.reason == "stopped"' "$tmp/first.json"
check "SIGTERM's exit status is not success" test "$status" -ne 0
finish
