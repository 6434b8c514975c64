#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lacuna bench: usage, formats, the schema of its results, comparison, charts, what is missing, and the end by a signal.
. "$(dirname "$0")/../lib.sh"

result=$tmp/result.json
few=(--count 2 --kinds "library,exec,floor" --vms "1,3" --repeat 1)
bench() { timeout 120 "$LACUNA" bench "$@"; }
# All that a test of the program around the measurements needs.
none=(--kinds none --vms none)

# --- usage
check "help names the commands" grep -q '^  start ' <("$LACUNA" bench --help)
same "help bench says the same" "$("$LACUNA" bench --help)" "$("$LACUNA" help bench)"
for option in count kinds memory program vms repeat format save against plot from; do
	check "help bench start: --$option" grep -q -e "^  --$option" <("$LACUNA" help bench start)
done
same "bench start --help says the same" "$("$LACUNA" help bench start)" "$("$LACUNA" bench start --help)"
same "the manual page has every option" "" "$("$LACUNA" help bench start | grep -oE '^  --[a-z-]+' | tr -d ' ' |
	while read -r o; do grep -qF -e "*$o*" "$top/man/lacuna-bench.1.scd" || echo "$o"; done)"
same "help: no line ends with a blank" "" "$({ "$LACUNA" help bench && "$LACUNA" help bench start; } | grep ' $')"

refused "no command" "bench: no command given; see 'lacuna help bench'" "$LACUNA" bench
refused "unknown command" "bench: unknown command 'nonsense'" "$LACUNA" bench nonsense
refused "unknown option" "unknown option '--nonsense'; see 'lacuna help bench start'" "$LACUNA" bench start --nonsense 1
refused "an option of run" "unknown option '--kernel'" "$LACUNA" bench start --kernel x
refused "unexpected word" "bench start: unexpected argument 'x'" "$LACUNA" bench start x
refused "no value" "--count needs a value: --count=N" "$LACUNA" bench start --count
refused "not a number" "count: '1x' is not a number from 1 to" "$LACUNA" bench start --count 1x
refused "a sign" "count: '[+]1' is not a number" "$LACUNA" bench start --count +1
refused "zero" "count: '0' is not a number" "$LACUNA" bench start --count 0
refused "more than 64 bits" "count: '99999999999999999999999' is not" "$LACUNA" bench start --count 99999999999999999999999
refused "list: empty value" "vms: '' is not a number" "$LACUNA" bench start --vms 1,,2
refused "list: ends with a comma" "vms: '' is not a number" "$LACUNA" bench start --vms 1,
refused "list: twice" "vms: '10' is given twice" "$LACUNA" bench start --vms 10,2,10
refused "list: too large" "vms: '1001' is not a number from 1 to 1000" "$LACUNA" bench start --vms 1001
refused "list: too long" "vms: more than 32 values" "$LACUNA" bench start --vms "$(seq -s , 33)"
refused "words: unknown" "kinds: 'bochs' is none of: library, exec, floor, floor-naive, qemu, qemu-kernel, all" \
	"$LACUNA" bench start --kinds floor,bochs
refused "words: a part of one" "kinds: 'floo' is none of" "$LACUNA" bench start --kinds floo
refused "words: twice" "kinds: 'floor' is given twice" "$LACUNA" bench start --kinds floor,floor
refused "words: more than all" "kinds: 'all' is none of" "$LACUNA" bench start --kinds all,floor
refused "unknown format" "format: 'xml' is none of: table, json, csv" "$LACUNA" bench start --format xml
refused "no such program" "program: '$tmp/none': No such file" "$LACUNA" bench start --program "$tmp/none"
refused "save: no such folder" "save: create '$tmp/no/file': No such file" "$LACUNA" bench start --save "$tmp/no/file"
refused "save: empty" "save: the file name is empty" "$LACUNA" bench start --save=
refused "save: twice" "save: given twice" "$LACUNA" bench start --save a --save b

# --- formats, without a measurement
bench start "${none[@]}" --format json >"$result"
check "nothing measured: the schema holds" valid "$result"
holds "nothing measured: no row" '.schema == "lacuna-bench/2" and .command == "start" and .rows == [] and .figures == []' "$result"
status=0
bench start "${none[@]}" >/dev/full 2>"$tmp/err" || status=$?
same "a full disk: status" 125 "$status"
check "a full disk: one line" test "$(wc -l <"$tmp/err")" = 1

# what it was built from: the tree's commit, unless it has gone on since
commit=$(jq -r '.commit // empty' "$result")
same "the commit is what the build noted" "$(sed -n 's/^#define LACUNA_COMMIT "\(.*\)"$/\1/p' "$BUILD/commit.h")" "$commit"
if [ "$(cd "$top" && git rev-parse --show-cdup 2>&1)" = "" ]; then
	check "and git knows it" git -C "$top" rev-parse --verify "${commit%-dirty}^{commit}"
else
	same "no git tree, no commit" "" "$commit"
fi

# --- against
jq '.schema = "lacuna-bench/3"' "$result" >"$tmp/newer.json"
jq '.command = "pci"' "$result" >"$tmp/other.json"
echo '{"rows": 1}' >"$tmp/strange.json"
echo 'no JSON' >"$tmp/text"
refused "against: no such file" "against: unable to open $tmp/none" "$LACUNA" bench start --against "$tmp/none"
refused "against: not JSON" "against: '$tmp/text' is not JSON: line 1" "$LACUNA" bench start --against "$tmp/text"
refused "against: another JSON" "is not a result of 'lacuna bench --save'" "$LACUNA" bench start --against "$tmp/strange.json"
refused "against: another schema" "is of schema 'lacuna-bench/3', not 'lacuna-bench/2'" \
	"$LACUNA" bench start --against "$tmp/newer.json"
refused "against: another command" "is a result of 'bench pci', not of 'bench start'" \
	"$LACUNA" bench start --against "$tmp/other.json"

# --- from: the same, and with another command's options at their defaults
jq '.host |= (.cpu = "a CPU" | .kernel = "1.2.3")' "$result" >"$tmp/from.json"
jq '.rows = [{"what": "exec"}]' "$result" >"$tmp/partless.json"
jq '.figures = [{"name": "x"}]' "$result" >"$tmp/unitless.json"
refused "from: no such file" "from: unable to open $tmp/none" "$LACUNA" bench start --from "$tmp/none"
refused "from: another JSON" "from: '$tmp/strange.json' is not a result" "$LACUNA" bench start --from "$tmp/strange.json"
refused "from: a row of no part" "from: '$tmp/partless.json' is not a result" "$LACUNA" bench start --from "$tmp/partless.json"
refused "from: half a figure" "from: '$tmp/unitless.json' is not a result" "$LACUNA" bench start --from "$tmp/unitless.json"
refused "from: another command" "from: '$tmp/other.json' is a result of 'bench pci', not of 'bench start'" \
	"$LACUNA" bench start --from "$tmp/other.json"
refused "from: another schema" "from: '$tmp/newer.json' is of schema 'lacuna-bench/3'" "$LACUNA" bench start --from "$tmp/newer.json"
same "from: prints it" "$(jq -S . "$tmp/from.json")" "$(bench start --from "$tmp/from.json" --format json | jq -S .)"
jq '.commit = "abcdef0-dirty"' "$tmp/from.json" >"$tmp/commit.json"
check "from: names its commit" grep -q '^lacuna [0-9.]* (abcdef0-dirty) bench start: ' <(bench start --from "$tmp/commit.json")
check "from: names its host, not this one" grep -q '^lacuna .* bench start: a CPU, .* Linux 1.2.3' <(bench start --from "$tmp/from.json")

# --- what is missing
refused "no gnuplot" "plot: gnuplot is not installed: install it .Debian: gnuplot-nox. or leave --plot out" \
	env PATH=/nonexistent "$LACUNA" bench start --plot "$tmp/plots"
PATH=/nonexistent "$LACUNA" bench start --count 1 --kinds qemu,qemu-kernel --vms none --format json >"$result"
check "no qemu: the schema holds" valid "$result"
holds "no qemu: the rows say so" '[.rows[].not_available] == ["qemu-system-x86_64 is not installed", "qemu-system-x86_64 is not installed"]
	and .host.qemu == null' "$result"

# --- the end by a signal, while a child that has a child of its own runs; it takes QEMU's name
mkdir "$tmp/bin"
cat >"$tmp/bin/qemu-system-x86_64" <<FAKE
#!/bin/sh
[ "\$1" = --version ] && echo "fake" && exit
sleep 1000 &
echo "\$\$ \$!" >"$tmp/pids"
wait
FAKE
chmod +x "$tmp/bin/qemu-system-x86_64"
export PATH="$tmp/bin:$PATH"
interrupted INT 130 start --kinds qemu --vms none
interrupted TERM 143 start --kinds qemu --vms none
PATH=${PATH#*:}

if [ ! -w /dev/kvm ]; then
	skip "measurements" "no access to /dev/kvm"
	finish
fi

# --- measurements: what they are, not how fast
status=0
before=$(date -u +%FT%TZ)
bench start "${few[@]}" --format json --save "$tmp/saved.json" >"$result" 2>"$tmp/err" || status=$?
same "start: status" 0 "$status"
same "start: nothing on stderr" "" "$(cat "$tmp/err")"
check "start: the schema holds" valid "$result"
check "start: what is saved is what is printed" cmp "$result" "$tmp/saved.json"
holds "start: rows" '[.rows[] | .what // .vms] == ["library", "exec", "floor", 1, 3] and ([.rows[] | has("not_available")] | any | not)' "$result"
holds "start: so many starts" '[.rows[] | select(.part == "start") | .first_us.count] == [2, 2, 2]' "$result"
holds "start: the VM comes before its first instruction" '[.rows[] | select(.part == "start") |
	0 < .created_us.min and .created_us.max < .first_us.max] | all' "$result"
holds "start: a process comes before its VM" '.rows[1] | 0 < .process_us.min and .process_us.max < .created_us.max' "$result"
holds "start: ratios are to the floor, in pairs" '.rows[0].to_floor.pairs == 2 and .rows[0].to_floor.confidence == 0.5 and
	(.rows[2] | has("to_floor") | not)' "$result"
holds "start: machines have descriptors, threads and memory" '[.rows[] | select(.part == "many") |
	.fds_per_vm >= 5 and .threads_per_vm >= 2 and .resident_kib_per_vm.min > 0 and .ram_kib_per_vm.min >= 4] | all' "$result"
holds "start: PSS is at most RSS" '[.rows[] | select(.part == "many") | .pss_kib_per_vm.max <= .resident_kib_per_vm.max] | all' "$result"
holds "start: figures" '[.figures[].name] | length == 3 and .[0] == "library to the floor"' "$result"
holds "start: goals have intervals, of so many rounds" '[.figures[] | .interval.rounds, .interval.confidence] == [2, 0.5, 2, 0.5, 1, 0] and
	([.figures[:2][] | .interval.low <= .value and .value <= .interval.high and (.verdict == "not certain") ==
	(.interval.low <= .goal and .goal < .interval.high)] | all) and .figures[2].verdict == "not certain"' "$result"
holds "start: settings" '.settings | .count == 2 and .kinds == ["library", "exec", "floor"] and .vms == [1, 3] and .memory_mib == 256' "$result"
holds "start: the time" "\"$before\" <= .host.time and .host.time <= \"$(date -u +%FT%TZ)\"" "$result"
holds "start: the host" '.host | (.kvm.flavour | length) > 0 and .cpus >= 1 and .kernel == "'"$(uname -r)"'"' "$result"

bench start "${few[@]}" --format csv >"$tmp/result.csv"
check "csv: a line for each row, all of the same columns" /usr/bin/python3 - "$tmp/result.csv" <<-'PYTHON'
	import csv, sys
	rows = list(csv.DictReader(open(sys.argv[1], newline=""), strict=True))
	assert [r["what"] or r["vms"] for r in rows] == ["library", "exec", "floor", "1", "3"], rows
	assert all(None not in r and None not in r.values() for r in rows), rows
	assert float(rows[0]["first_us.p50"]) > 0 and rows[0]["vms"] == "" and float(rows[3]["pss_kib_per_vm.p50"]) > 0, rows
PYTHON
bench start "${few[@]}" --program "$LACUNA" >"$tmp/table"
check "table: rows" grep -qE '^exec +[0-9.]+ ' "$tmp/table"
check "table: figures" grep -qE '^library to the floor: [0-9.e+-]+ \([0-9.]+-[0-9.]+\) times \(goal: at most 1.3\): (met|missed|not certain); few rounds: 2, ' "$tmp/table"
same "table: no colour in a file" "" "$(grep -c $'\033' "$tmp/table" | grep -v '^0$')"
same "table: no line ends with a blank" "" "$(grep ' $' "$tmp/table")"

# --- against: an earlier run that was faster, slower, or had other counts
against() { # NAME STATUS PATTERN JQ-CHANGE
	jq "$4" "$tmp/saved.json" >"$tmp/earlier.json"
	status=0
	bench start "${few[@]}" --against "$tmp/earlier.json" >"$tmp/out" 2>&1 || status=$?
	same "against: $1: status" "$2" "$status"
	check "against: $1: says so" grep -qE "$3" "$tmp/out"
}
far='(.. | objects | select(has("iqr"))) |= (.iqr = 0)'
against "slower now" 1 '^worse: library: p50: 0.00 -> [0-9.]+ ms' "$far | (.rows[] | .first_us.p50? // empty) |= 0.001"
# what was measured before this, and is noise here, is as slow as anything: only the counts can be worse
slow='(.. | objects | select(has("iqr"))) |= (.p50 = 1e12 | .iqr = 0)'
against "faster now" 0 '^better: exec: p50: ' "$slow"
against "another count" 1 '^differs: 3 VMs: fds: 9999.00 -> [0-9.]+ /VM' "$slow | .rows[4].fds_per_vm = 9999"
against "another host" 0 '^the two runs differ in host.cpu' "$slow | .host.cpu = \"another\""
against "gone" 0 '^4 of 5 rows compared; 0 worse or different' "$slow | del(.rows[0])"

# --- charts
if command -v gnuplot >/dev/null; then
	status=0
	bench start "${few[@]}" --plot "$tmp/plots" >/dev/null 2>"$tmp/err" || status=$?
	same "plot: status" "0 " "$status $(cat "$tmp/err")"
	same "plot: the charts, and nothing else" \
		"start-many-memory.png start-many-memory.svg start-many-time.png start-many-time.svg start.png start.svg" \
		"$(cd "$tmp/plots" && echo *)"
	check "plot: SVG" grep -q '</svg>' "$tmp/plots/start.svg"
	check "plot: PNG" grep -q PNG <(head -c 8 "$tmp/plots/start.png")
	for text in "From the start to the guest" "time, ms" "floor" "$(uname -r)" "lacuna $("$LACUNA" version | cut -d ' ' -f 2)"; do
		check "plot: says '$text'" grep -qF "$text" "$tmp/plots/start.svg"
	done
else
	skip "charts" "gnuplot is not installed"
fi

# --- too few descriptors for all machines, and no right to use KVM
# (each limit leaves another number of descriptors where a machine more cannot be had: none, too)
for limit in {90..107}; do
	(ulimit -n "$limit" && bench start --kinds none --vms 2,50 --repeat 1 --format json) >"$result"
	check "$limit descriptors: the schema holds" valid "$result"
	holds "$limit descriptors: some machines run, for more the limit is named" '(.rows[0] | has("not_available") | not) and
		(.rows[1].not_available | test("of 50 machines have taken what the limit of '"$limit"' descriptors allows: raise it"))' "$result"
done
if [ "$(id -u)" = 0 ] && [ "$(stat -c %a /dev/kvm)" = 600 ]; then
	cp "$LACUNA" "$tmp/lacuna" && chmod 755 "$tmp"
	(cd / && setpriv --reuid 65534 --regid 65534 --clear-groups "$tmp/lacuna" bench start --count 1 --kinds library,floor,exec \
		--vms 1 --repeat 1 --format json) >"$result"
	check "no right to use KVM: the schema holds" valid "$result"
	holds "no right to use KVM: every row says so" '[.rows[].not_available | test("/dev/kvm")] == [true, true, true, true]' "$result"
else
	skip "no right to use KVM" "not root, or everybody may use /dev/kvm"
fi
finish
