#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lacuna bench io: usage, what is missing, guests that don't keep to the contract, and the end by a signal. The guests here are
# scripts that say what guests say; tests/nested/bench-io.sh has real ones.
. "$(dirname "$0")/../lib.sh"

result=$tmp/result.json
bench() { timeout 120 "$LACUNA" bench io "$@"; }

# --- usage
check "help bench names it" grep -q '^  io ' <("$LACUNA" help bench)
for option in kernel initrd userland cmdline workloads monitors program repeat seconds idle memory direct folder format save against plot; do
	check "help: --$option" grep -q -e "^  --$option" <("$LACUNA" help bench io)
done
same "the manual page has every option" "" "$("$LACUNA" help bench io | grep -oE '^  --[a-z-]+' | tr -d ' ' |
	while read -r o; do grep -qF -e "*$o*" "$top/man/lacuna-bench.1.scd" || echo "$o"; done)"
same "help: no line ends with a blank" "" "$("$LACUNA" help bench io | grep ' $')"
touch "$tmp/kernel" "$tmp/initrd" "$tmp/a,b"
while IFS='|' read -r name pattern options; do
	# shellcheck disable=SC2086 # several words
	refused "$name" "$pattern" "$LACUNA" bench io ${options//TMP/$tmp}
done <<END
no kernel|bench io: no --kernel given; see 'lacuna help bench io'|--initrd TMP/initrd
no initrd|bench io: no --initrd given; see|--kernel TMP/kernel
no such kernel|kernel: '$tmp/none': No such file|--kernel TMP/none
no such initrd|initrd: '$tmp/none': No such file|--initrd TMP/none
no such userland|userland: '$tmp/none': No such file|--userland TMP/none
a comma|userland: '$tmp/a,b': a name with a comma|--userland TMP/a,b
no such program|program: '$tmp/none': No such file|--program TMP/none
not to be run|program: '$tmp/kernel': Permission denied|--program TMP/kernel
no such folder|folder: '$tmp/none': No such file|--folder TMP/none
no folder for a file|'/proc': |--kernel TMP/kernel --initrd TMP/initrd --folder /proc
unknown workload|workloads: 'write' is none of: randread-4k-qd1, randread-4k-qd32, read-128k-qd8, send, receive, all|--workloads send,write
workload twice|workloads: 'send' is given twice|--workloads send,send
unknown monitor|monitors: 'xen' is none of: lacuna, qemu, all|--monitors xen
no monitor|monitors: '' is none of|--monitors=
no phase|repeat: '0' is not a number from 1 to 1000|--repeat 0
no time|seconds: '0' is not a number from 1 to 3600|--seconds 0
not a number|idle: '1s' is not a number from 0 to 3600|--idle 1s
little memory|memory: '63' is not a number from 64 to 3072|--memory 63
no switch|direct: 'yes' is unknown; give on or off|--direct yes
an option of start|unknown option '--vms'; see 'lacuna help bench io'|--vms 1
END

# --- guests of paper: one script that is lacuna and, by another name in PATH, QEMU
mkdir "$tmp/bin"
cat >"$tmp/bin/qemu-system-x86_64" <<'FAKE'
#!/bin/bash
[ "$1" = --version ] && echo "fake" && exit
who=lacuna amount=4000
[[ $0 != *qemu* ]] || who=qemu amount=2000
[[ "$*" =~ io\.workloads=([^ ]+) ]] && IFS=, read -ra workloads <<<"${BASH_REMATCH[1]}"
[[ "$*" =~ io\.runs=([0-9]+) ]] && runs=${BASH_REMATCH[1]}
gate() {
	printf 'gate %s\r\n' "$*"
	read -r _
}
[ "${FAKE_ENDS:-}" != "$who" ] || { echo "$who: broken" >&2 && exit 1; }
[ "${FAKE_HANGS:-}" != "$who" ] || { sleep 1000 & echo "$$ $!" >"$FAKE_PIDS"; wait; }
if [ "${FAKE_SENDS:-}" = "$who" ]; then # to the server that is there for guests
	[[ "$*" =~ io\.net=([0-9.]+) ]] && iperf3 -c "${BASH_REMATCH[1]}.1" -t 1000 >/dev/null &
	until (($(awk '$1 == "lo:" { print $2 }' /proc/net/dev) > 10000000)) || ! kill -0 $!; do sleep 0.05; done
	echo "$$ $!" >"$FAKE_PIDS"
	wait
fi
[ "${FAKE_REPEATS:-}" != "$who" ] || runs=$((runs + 1))
for ((run = 1; run <= runs; run++)); do
	for w in "${workloads[@]}"; do
		gate begin "$w"
		[ "${FAKE_SKIPS:-}" = "$who" ] || gate end
		[ "${FAKE_MUTE:-}" = "$who" ] || results+="guest $w $((amount * run)) 1000"$'\n'
	done
done
printf '%s' "$results"
gate idle
FAKE
chmod +x "$tmp/bin/qemu-system-x86_64"
ln -s qemu-system-x86_64 "$tmp/bin/lacuna"
fake() {
	PATH=$tmp/bin:$PATH bench --kernel "$tmp/kernel" --initrd "$tmp/initrd" --program "$tmp/bin/lacuna" --folder "$tmp" \
		--workloads randread-4k-qd1,read-128k-qd8 --repeat 3 --idle 1 "$@"
}
status=0
fake --format json --save "$tmp/saved.json" >"$result" 2>"$tmp/err" || status=$?
same "status" 0 "$status"
same "nothing on stderr" "" "$(cat "$tmp/err")"
check "the schema holds" valid "$result"
check "what is saved is what is printed" cmp "$result" "$tmp/saved.json"
holds "rows: each workload by each monitor, and rest" '[.rows[] | [.part, .workload, .what]] == [
	["disk", "randread-4k-qd1", "lacuna"], ["disk", "randread-4k-qd1", "qemu"], ["disk", "read-128k-qd8", "lacuna"], ["disk", "read-128k-qd8", "qemu"],
	["exits", "randread-4k-qd1", "lacuna"], ["exits", "randread-4k-qd1", "qemu"], ["exits", "read-128k-qd8", "lacuna"], ["exits", "read-128k-qd8", "qemu"],
	["idle", null, "lacuna"], ["idle", null, "qemu"]]' "$result"
holds "rates: of the requests' size" '.rows[0].iops | .count == 3 and .min == 2000 and .p50 == 4000 and .max == 6000' "$result"
holds "rates: of the other monitor" '.rows[3].iops.p50 == 62.5' "$result"
holds "ratios: lacuna's to QEMU's, in pairs" '.rows[0].to_qemu == {"pairs": 3, "median": 2, "low": 2, "high": 2, "confidence": 0.75} and
	(.rows[1] | has("to_qemu") | not)' "$result"
holds "figures" '[.figures[:2][] | [.name, .value, .interval.rounds, .verdict]] == [["randread-4k-qd1: rate to QEMU'"'"'s", 2, 3, "met"],
	["read-128k-qd8: rate to QEMU'"'"'s", 2, 3, "met"]]' "$result"
holds "figures: rest, in six parts" '.figures[2:] | map([.name, .value, .interval.rounds]) == [["CPU time of lacuna at rest", '"$(
	jq '.rows[8].cpu_percent' "$result")"', 6]]' "$result"
holds "settings" '.settings == {"workloads": ["randread-4k-qd1", "read-128k-qd8"], "monitors": ["lacuna", "qemu"], "repeat": 3, "seconds": 2,
	"idle_seconds": 1, "memory_mib": 512, "vcpus": 1, "direct": false, "kernel": "kernel", "cmdline": "console=ttyS0 quiet lacuna.test=bench-io"}' "$result"
same "no file is left in the folder" "a,b bin err initrd kernel out result.json saved.json" "$(cd "$tmp" && echo *)"

# --- what is missing, and who does not do what is agreed on
FAKE_ENDS=qemu fake --format json >"$result"
check "one ends: the schema holds" valid "$result"
holds "one ends: its rows say so, the other's are there" '[.rows[] | select(.what == "qemu") | .not_available |
	test("ended too early: qemu: broken")] == [true, true, true, true, true] and
	([.rows[] | select(.part == "disk" and .what == "lacuna") | .iops.p50] == [4000, 125]) and .figures[0].verdict == "not available"' "$result"
FAKE_MUTE=lacuna fake --format json >"$result"
check "one is mute: the schema holds" valid "$result"
holds "one is mute: its rows say so" '[.rows[] | select(.what == "lacuna" and .part == "disk") | .not_available |
	test("told of 0 phases of 6")] == [true, true]' "$result"
FAKE_SKIPS=lacuna fake --format json >"$result"
holds "one skips a gate: its rows say so" '[.rows[] | select(.what == "lacuna") | .not_available |
	test("came to gate .begin read-128k-qd8. in place of .end.")] == [true, true, true, true, true]' "$result"
FAKE_REPEATS=lacuna fake --format json >"$result"
check "one goes on for ever: the schema holds" valid "$result"
holds "one goes on for ever: its rows say so, and it is left" '[.rows[] | select(.what == "lacuna") | .not_available | test("stands at gate .begin")] == [true, true, true, true, true] and
	([.rows[] | select(.what == "qemu" and .part == "disk") | has("iops")] == [true, true])' "$result"
mv "$tmp/bin/qemu-system-x86_64" "$tmp/bin/fake" && ln -sf fake "$tmp/bin/lacuna"
mkdir "$tmp/few"
for program in bash sleep timeout; do ln -s "$(command -v $program)" "$tmp/few/$program"; done
PATH=$tmp/few timeout 120 "$LACUNA" bench io --kernel "$tmp/kernel" --initrd "$tmp/initrd" --program "$tmp/bin/lacuna" --folder "$tmp" \
	--repeat 1 --idle 0 --format json 2>"$tmp/err" >"$result"
check "no qemu, no iperf3: the schema holds" valid "$result"
holds "no qemu, no iperf3: the rows say so" '([.rows[] | select(.what == "qemu" and .part == "disk") | .not_available] ==
	["qemu-system-x86_64 is not installed", "qemu-system-x86_64 is not installed", "qemu-system-x86_64 is not installed"]) and
	([.rows[] | select(.part == "net") | .not_available] | unique == ["iperf3 is not installed"]) and
	([.rows[] | select(.what == "lacuna" and .part == "disk") | has("iops")] | all)' "$result"
mv "$tmp/bin/fake" "$tmp/bin/qemu-system-x86_64" && ln -sf qemu-system-x86_64 "$tmp/bin/lacuna"
if [ "$(id -u)" = 0 ] && command -v iperf3 >/dev/null; then
	cp "$LACUNA" "$tmp/program" && mkdir "$tmp/theirs" && chmod 777 "$tmp/theirs" && chmod 755 "$tmp" "$tmp/program"
	(cd / && PATH=$tmp/bin:$PATH setpriv --reuid 65534 --regid 65534 --clear-groups "$tmp/program" bench io --kernel "$tmp/kernel" \
		--initrd "$tmp/initrd" --program "$tmp/bin/lacuna" --folder "$tmp/theirs" --workloads randread-4k-qd32,send --repeat 1 --idle 0 \
		--format json) >"$result"
	check "not root: the schema holds" valid "$result"
	holds "not root: no network, no counts, the rest is there" '([.rows[] | select(.part == "net") | .not_available] | unique ==
		["network: a network namespace: Operation not permitted: run as root"]) and
		([.rows[] | select(.part == "exits" and .workload != "send") | .not_available | test("counting needs")] == [true, true]) and
		([.rows[] | select(.part == "disk") | has("iops")] == [true, true])' "$result"
else
	skip "not root" "not root, or iperf3 is not installed"
fi

# --- the chart
if command -v gnuplot >/dev/null; then
	fake --plot "$tmp/plots" >/dev/null
	same "plot: the chart, and nothing else" "io-disk.png io-disk.svg" "$(cd "$tmp/plots" && echo *)"
	for text in "Reads from a disk by fio" "requests a second" "lacuna" "QEMU" "randread-4k-qd1" "read-128k-qd8"; do
		check "plot: says '$text'" grep -qF "$text" "$tmp/plots/io-disk.svg"
	done
else
	skip "the chart" "gnuplot is not installed"
fi

# --- the end by a signal, while one monitor waits at a gate and the other, with a child of its own, runs: that one sends to the server, in
# the network namespace of the program; or without one, it waits
rm -f "$tmp/saved.json"
export FAKE_PIDS=$tmp/pids PATH=$tmp/bin:$PATH
if [ "$(id -u)" = 0 ] && command -v iperf3 >/dev/null; then
	export FAKE_SENDS=qemu
else
	export FAKE_HANGS=qemu
	skip "the end while it sends" "not root, or iperf3 is not installed"
fi
for signal in "INT 130" "TERM 143"; do
	# shellcheck disable=SC2086 # two words
	interrupted $signal io --kernel "$tmp/kernel" --initrd "$tmp/initrd" --program "$tmp/bin/lacuna" --folder "$tmp"
	[ -z "${FAKE_SENDS:-}" ] || check "SIG${signal% *}: it had a network of its own" test -n "$net_fd"
done
finish
