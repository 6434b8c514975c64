#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lacuna bench pci: usage, the schema of its results, and what of them is exact.
. "$(dirname "$0")/../lib.sh"

result=$tmp/result.json
bench() { timeout 120 "$LACUNA" bench pci "$@"; }

# --- usage
check "help bench names it" grep -q '^  pci ' <("$LACUNA" help bench)
for option in mechanism buses functions pass scan repeat format save against plot; do
	check "help: --$option" grep -q -e "^  --$option" <("$LACUNA" help bench pci)
done
same "the manual page has every option" "" "$("$LACUNA" help bench pci | grep -oE '^  --[a-z-]+' | tr -d ' ' |
	while read -r o; do grep -qF -e "*$o*" "$top/man/lacuna-bench.1.scd" || echo "$o"; done)"
same "help: no line ends with a blank" "" "$("$LACUNA" help bench pci | grep ' $')"
refused "unknown mechanism" "mechanism: 'type2' is none of: type1, type1-coalesced, ecam-trap, ecam-4k, ecam-mixed, ecam-large, all" \
	"$LACUNA" bench pci --mechanism type1,type2
refused "no bus" "buses: '0' is not a number from 1 to 256" "$LACUNA" bench pci --buses 0
refused "too many buses" "buses: '257' is not a number from 1 to 256" "$LACUNA" bench pci --buses 1,257
refused "no function" "functions: '0' is not a number from 1 to 2000" "$LACUNA" bench pci --functions 0
refused "unknown pass" "pass: 'hot' is none of: cold, warm, all" "$LACUNA" bench pci --pass hot
refused "unknown scan" "scan: 'bsd' is none of: all, linux$" "$LACUNA" bench pci --scan bsd
refused "no round" "repeat: '0' is not a number from 1 to 1000" "$LACUNA" bench pci --repeat 0
refused "an option of start" "unknown option '--vms'; see 'lacuna help bench pci'" "$LACUNA" bench pci --vms 1

if [ ! -w /dev/kvm ]; then
	skip "measurements" "no access to /dev/kvm"
	finish
fi

# --- every mechanism: one round of two machines of one bus, both orders
status=0
bench --buses 1 --functions 1,3 --scan all,linux --repeat 1 --format json --save "$tmp/saved.json" >"$result" 2>"$tmp/err" || status=$?
same "status" 0 "$status"
same "nothing on stderr" "" "$(cat "$tmp/err")"
check "the schema holds" valid "$result"
check "what is saved is what is printed" cmp "$result" "$tmp/saved.json"
holds "a row for each combination" '.rows | length == 48 and (map([.mechanism, .functions, .pass, .scan]) | unique | length == 48)' "$result"
holds "all of them are measured" '[.rows[] | has("not_available")] | any | not' "$result"
holds "settings" '.settings == {"mechanism": ["type1", "type1-coalesced", "ecam-trap", "ecam-4k", "ecam-mixed", "ecam-large"], "buses": [1],
	"functions": [1, 3], "pass": ["cold", "warm"], "scan": ["all", "linux"], "repeat": 1, "memory": "64M"}' "$result"
# each slot once, or each function; two more reads of a function that is there, or one
holds "accesses" '[.rows[] | .accesses == if .scan == "linux" then 32 + 2 * .functions else 256 + .functions end] | all' "$result"
holds "returns to userspace are exact" '[.rows[] | .user_exits ==
	.accesses * ({"type1": 2, "type1-coalesced": 1, "ecam-trap": 1}[.mechanism] // 0)] | all' "$result"
holds "one checksum for each machine" '.rows | group_by(.functions) | map(map(.checksum) | unique | length) == [1, 1]' "$result"
holds "machines that differ have others" '[.rows[].checksum] | unique | length == 2' "$result"
holds "times" '[.rows[] | .total_ns.count == 1 and .total_ns.p50 > 0 and (.mean_ns.p50 * .accesses / .total_ns.p50 - 1 | fabs) < 1e-6 and
	.ns_per_access.p50 > 0 and .ns_per_access.p50 <= .ns_per_access.p99 and .ns_per_access.p99 <= .ns_per_access.max] | all' "$result"
holds "cycles: as many to each ns in every row" '[.rows[] | .cycles_per_access.p50 / .ns_per_access.p50, .cycles_per_access.max / .ns_per_access.max] |
	(min > 0.1) and (max / min - 1 < 1e-6)' "$result"
holds "ratios, but for what they are to" '[.rows[] | has("faster_than_trap") == (.mechanism != "ecam-trap")] | all' "$result"
holds "figures, of both scans" '[.figures[].name] == [("all", "linux") | "1 buses, scan \(.), " as $of | "cold: ecam-large faster than ecam-trap",
	"cold: ecam-large faster than type1", "warm: ecam-4k faster than ecam-trap", "cold: ecam-large, returns to userspace" | $of + .] and
	(.figures[3] | .verdict == "met" and .interval == null) and .figures[0].interval.rounds == 1' "$result"

# --- what is asked for, and no more
bench --buses 1 --functions 1 --mechanism ecam-large --pass cold --scan all --repeat 1 --format json >"$result"
holds "scan all is one of them, not both" '.settings.scan == ["all"] and (.rows | length == 1 and .[0].accesses == 257)' "$result"
bench --buses 256 --mechanism ecam-large --pass cold --scan linux --repeat 1 --format json >"$result"
check "256 buses: the schema holds" valid "$result"
holds "256 buses: one row" '.rows | length == 1 and .[0].accesses == 8192 + 16 and .[0].user_exits == 0 and .[0].pass == "cold"' "$result"
holds "256 buses: faults are judged" '.figures | map(.goal) == [0, 140]' "$result"

# --- what can't be had
bench --buses 1 --functions 64,33 --mechanism ecam-large --pass cold --scan linux --repeat 1 --format json >"$result"
check "no such machine: the schema holds" valid "$result"
holds "no such machine: the rows say so" '(.rows[0].not_available | test("buses")) and (.rows[1].not_available | test("buses"))' "$result"
bench --buses 32 --functions 256,33 --mechanism ecam-large --pass cold --scan linux --repeat 1 --format json >"$result"
holds "functions behind ports: found, but where their number can't be" '(.rows[0] | has("not_available") | not) and
	.rows[1].not_available == "no machine has 33 functions: the next one has 34"' "$result"

if [ "$(id -u)" = 0 ] && [ "$(stat -c %a /dev/kvm)" = 600 ]; then
	cp "$LACUNA" "$tmp/lacuna" && chmod 755 "$tmp"
	(cd / && setpriv --reuid 65534 --regid 65534 --clear-groups "$tmp/lacuna" bench pci --buses 1 --pass cold --scan linux --format json) >"$result"
	check "no right to use KVM: the schema holds" valid "$result"
	holds "no right to use KVM: every row says so" '[.rows[].not_available | test("/dev/kvm")] | length == 6 and all' "$result"
else
	skip "no right to use KVM" "not root, or everybody may use /dev/kvm"
fi

# --- counts are compared exactly
few=(--buses 1 --functions 1 --mechanism type1-coalesced --pass cold --scan linux --repeat 1)
bench "${few[@]}" --save "$tmp/saved.json" >"$tmp/table"
check "table" grep -qE '^type1-coalesced +1 +1 +linux +cold +34 +34 ' "$tmp/table"
jq '.rows[0].user_exits = 35 | .rows[0].total_ns |= (.iqr = 1e15)' "$tmp/saved.json" >"$tmp/earlier.json"
status=0
bench "${few[@]}" --against "$tmp/earlier.json" >"$tmp/out" || status=$?
same "another count: status" 1 "$status"
check "another count: says so" grep -q '^differs: type1-coalesced, 1 buses, 1 functions, linux, cold: user exits: 35 -> 34' "$tmp/out"
bench "${few[@]}" --format csv >"$tmp/result.csv"
check "csv" /usr/bin/python3 - "$tmp/result.csv" <<-'PYTHON'
	import csv, sys
	row, = csv.DictReader(open(sys.argv[1], newline=""), strict=True)
	assert row["mechanism"] == "type1-coalesced" and row["user_exits"] == "34" and float(row["ns_per_access.p99"]) > 0, row
PYTHON

# --- the end by a signal, while a machine scans
for signal in "INT 130" "TERM 143"; do
	read -r signal wanted <<<"$signal"
	status=0
	env --default-signal="$signal" "$LACUNA" bench pci --buses 256 --mechanism ecam-trap --repeat 1000 --save "$tmp/none.json" \
		>"$tmp/out" 2>"$tmp/err" &
	pid=$!
	until grep -qs vcpu0 "/proc/$pid"/task/*/comm || ! kill -0 "$pid"; do sleep 0.05; done
	kill "-$signal" "$pid"
	wait "$pid" || status=$?
	same "SIG$signal: status" "$wanted" "$status"
	same "SIG$signal: no file is left" "" "$(cd "$tmp" && ls -d none* 2>/dev/null)"
	same "SIG$signal: nothing is said" "" "$(cat "$tmp/out" "$tmp/err")"
done

# --- the chart
if command -v gnuplot >/dev/null; then
	bench --buses 1 --functions 1 --mechanism ecam-trap,ecam-large --scan linux --repeat 1 --plot "$tmp/plots" >/dev/null
	same "plot: the chart, and nothing else" "pci.png pci.svg" "$(cd "$tmp/plots" && echo *)"
	for text in "One access of a PCI scan: 1 buses, 1 functions, scan linux" "ecam-trap" "ecam-large" "cold" "warm"; do
		check "plot: says '$text'" grep -qF "$text" "$tmp/plots/pci.svg"
	done
	# a document may come from anywhere, and gnuplot runs commands
	bench --buses 1 --functions 1 --mechanism ecam-trap --scan linux --repeat 1 --save "$tmp/saved.json" >/dev/null
	for text in "\`touch $tmp/ran\`" "\"; system('touch $tmp/ran'); \"" "'; system('touch $tmp/ran'); '" "x"$'\n'"!touch $tmp/ran"$'\n#' '\'; do
		jq --arg t "$text" '.lacuna = $t | .host.cpu = $t | .rows[].mechanism |= (. + $t)' "$tmp/saved.json" >"$tmp/hostile.json"
		"$LACUNA" bench pci --from "$tmp/hostile.json" --plot "$tmp/hostile" >"$tmp/out" 2>&1
		check "plot: a document that says ${text//$tmp/DIR}: no command is run" [ ! -e "$tmp/ran" ]
		check "plot: and it is drawn" [ -s "$tmp/hostile/pci.svg" ]
		rm -rf "$tmp/hostile" "$tmp/ran"
	done
else
	skip "the chart" "gnuplot is not installed"
fi
finish
