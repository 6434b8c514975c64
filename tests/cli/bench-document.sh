#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/bench write: the document that it makes of saved results, twice the same, with what is missing told.
. "$(dirname "$0")/../lib.sh"

if ! command -v gnuplot >/dev/null; then
	skip "the document" "gnuplot is not installed"
	finish
fi
export BENCH=quick LACUNA
results=$tmp/build/bed/bench-quick document=$tmp/build/bench/BENCHMARKS.md
write() { BUILD=$tmp/build "$top/tools/bench" "$@"; }
mkdir -p "$results"
"$LACUNA" bench start --kinds none --vms none --save "$results/start.json" >/dev/null
# A result as of an emulated bed, with a goal reached, one missed, and one that could not be had.
jq '.command = "io" | .host |= (.cpu = "a CPU" | .hypervisor = "TCGTCGTCGTCG" | .kvm = {"flavour": "kvm_amd"} | .mitigations = {"b": "Vulnerable", "a": "Not affected"}) |
	.rows = [{"part": "idle", "what": "lacuna", "cpu_percent": 0.25}, {"part": "idle", "what": "qemu", "not_available": "no such thing"},
		{"part": "disk", "workload": "read-128k-qd8", "what": "lacuna", "iops": {"count": 1, "min": 5, "p50": 5, "max": 5}}] |
	.figures = [{"name": "one", "value": 1.23456, "unit": "times", "goal": 1, "goal_is": "at_least", "verdict": "met",
			"interval": {"rounds": 6, "low": 1.1, "high": 1.34567, "confidence": 0.96875}},
		{"name": "two", "value": 7, "unit": "", "goal": 0, "goal_is": "at_most", "verdict": "missed", "interval": null},
		{"name": "three", "value": null, "unit": "%", "goal": 0.1, "goal_is": "at_most", "verdict": "not available", "interval": null},
		{"name": "four", "value": 0.5, "unit": "%", "goal": 0.6, "goal_is": "at_most", "verdict": "not certain",
			"interval": {"rounds": 3, "low": 0.4, "high": 0.7, "confidence": 0.75}}]' "$results/start.json" >"$results/io.json"
echo "status 125: lacuna: it broke" >"$results/boot.why"
check "writes" write write
cp "$document" "$tmp/first" && cp -r "$tmp/build/bench/bench" "$tmp/charts"
check "writes again" write write
check "the same results give the same document" cmp "$tmp/first" "$document"
check "and the same charts" diff -r "$tmp/charts" "$tmp/build/bench/bench"
same "charts: SVG alone" "io-disk.svg" "$(cd "$tmp/charts" && echo *)"
for line in '| io: one | 1.2346 times | 1.1-1.3457 | at least 1 times | met |' '| io: two | 7 | exact | at most 0 | **missed** |' \
	'| io: three | not available | | at most 0.1 % | - |' '| io: four | 0.5 % | 0.4-0.7 (3 rounds only) | at most 0.6 % | *not certain* |' '![io-disk](bench/io-disk.svg)' 'Not measured: status 125: lacuna: it broke' \
	'Not measured: it was left out' 'qemu    not available: no such thing'; do
	check "says: $line" grep -qxF -- "$line" "$document"
done
check "says where times are relative only" grep -q '^- \*io\*: measured in an \*\*emulated\*\* bed' "$document"
check "each section has its command, its rounds, version and host" grep -qE '^`lacuna bench start --count 50 --kinds none --memory 256 --vms none '\
'--repeat 6`: 50 starts of each kind, each number of machines 6 times\. lacuna [0-9.]+ (\(commit [^ ]+\))?, 20[-0-9T:]+Z, on .* CPUs, Linux ' "$document"
check "and says that it was an emulated bed" grep -qE '^`lacuna bench io .*`: each phase timed 6 times, and counted as often\. lacuna .*, on a CPU, .*, kvm_amd in the emulated bed\.$' "$document"
check "names the host and what it mitigates" grep -q '^- \*\*io\*\*, lacuna .*: a CPU, .*KVM: kvm_amd, itself a guest of TCG.* Mitigations: b: Vulnerable\.$' "$document"
same "goals are told once" 1 "$(grep -c '^| io: two' "$document")"
same "no line of the tables speaks of them" "" "$(grep 'goal: at' "$document")"

# --- a section that fails, where others are measured and were before
if [ -w /dev/kvm ]; then
	cat >"$tmp/lacuna" <<-END
		#!/bin/sh
		case "\$*" in
		"bench start "*--save*) echo "it broke, too" >&2; exit 3 ;;
		esac
		exec "$LACUNA" "\$@"
	END
	chmod +x "$tmp/lacuna"
	cp "$results/start.json" "$tmp/start.json"
	status=0
	LACUNA=$tmp/lacuna write start >"$tmp/out" 2>"$tmp/err" || status=$?
	same "a section fails: status" 1 "$status"
	check "a section fails: says how far it is, and why" grep -qE '^bench: [0-9:]+: start: failed after [0-9]+ s: status 3: it broke, too$' "$tmp/err"
	check "a section fails: the document says why" grep -qxF 'Not measured: status 3: it broke, too' "$document"
	check "a section fails: the document has the others" grep -qF '| io: one | 1.2346 times |' "$document"
	check "a section fails: its earlier result is kept" cmp "$tmp/start.json" "$results/start.json.old"
else
	skip "a section fails" "no access to /dev/kvm"
fi

# --- usage
check "an unknown name" grep -q "^bench: unknown name 'nothing'; try: start pci boot io net$" <(write nothing 2>&1)
check "an unknown kind of run" grep -q "^bench: BENCH='slow' is not 'quick'$" <(BENCH=slow write write 2>&1)
finish
