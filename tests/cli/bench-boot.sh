#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lacuna bench boot: usage, the schema of its results, other commands, what is missing, and the end by a signal. It boots the probe guest,
# which runs on any KVM; tests/nested/bench-boot.sh boots Linux.
. "$(dirname "$0")/../lib.sh"

result=$tmp/result.json
kernel=$BUILD/firmware/probe.elf
bench() { timeout 120 "$LACUNA" bench boot --kernel "$kernel" --marker checksum "$@"; }

# --- usage
check "help bench names it" grep -q '^  boot ' <("$LACUNA" help bench)
for option in kernel initrd cmdline disk net memory cpus marker until repeat count variants compare compare-cmd initcalls timeout program \
	format save against plot; do
	check "help: --$option" grep -q -e "^  --$option" <("$LACUNA" help bench boot)
done
same "the manual page has every option" "" "$("$LACUNA" help bench boot | grep -oE '^  --[a-z-]+' | tr -d ' ' |
	while read -r o; do grep -qF -e "*$o*" "$top/man/lacuna-bench.1.scd" || echo "$o"; done)"
same "help: no line ends with a blank" "" "$("$LACUNA" help bench boot | grep ' $')"
refused "no kernel" "bench boot: --kernel is missing: what is to be booted" "$LACUNA" bench boot
refused "no such kernel" "kernel: '$tmp/none': No such file" "$LACUNA" bench boot --kernel "$tmp/none"
refused "no such initrd" "initrd: '$tmp/none': No such file" "$LACUNA" bench boot --initrd "$tmp/none"
refused "no such disk" "disk: '$tmp/none': No such file" "$LACUNA" bench boot --disk "$tmp/none"
refused "no such program" "program: '$tmp/none': No such file" "$LACUNA" bench boot --program "$tmp/none"
refused "another network" "net: 'passt' is not tap=NAME" "$LACUNA" bench boot --net passt
refused "a network without a name" "net: 'tap=' is not tap=NAME" "$LACUNA" bench boot --net tap=
refused "a network with more" "net: 'tap=a,mtu=9' is not tap=NAME" "$LACUNA" bench boot --net tap=a,mtu=9
refused "an empty marker" "marker: a text of 1 to 256 bytes on one line is needed" "$LACUNA" bench boot --marker=
refused "a marker of two lines" "marker: a text of 1 to 256 bytes" "$LACUNA" bench boot --marker $'a\nb'
refused "a long marker" "marker: a text of 1 to 256 bytes" "$LACUNA" bench boot --marker "$(printf '%257s' x)"
refused "too little memory" "memory: '31' is not a number from 32 to 65536" "$LACUNA" bench boot --memory 31
refused "no CPU" "cpus: '0' is not a number from 1 to 254" "$LACUNA" bench boot --cpus 0
refused "no round" "repeat: '0' is not a number from 1 to 1000" "$LACUNA" bench boot --repeat 0
refused "no number" "count: 'all' is not a number from 0 to 1000" "$LACUNA" bench boot --count all
refused "no time" "timeout: '0' is not a number from 1 to 86400" "$LACUNA" bench boot --timeout 0
refused "until: unknown" "until: 'login' is none of: end, marker" "$LACUNA" bench boot --until login
refused "initcalls: unknown" "initcalls: 'yes' is none of: none, console, log" "$LACUNA" bench boot --initcalls yes
refused "unknown variant" "variants: 'lacuna-2bus' is none of: lacuna, lacuna-1bus, .*, lacuna-unpack-guest, all" \
	"$LACUNA" bench boot --variants lacuna,lacuna-2bus
refused "unknown monitor" "compare: 'bochs' is none of: qemu-q35, qemu-q35-onebus, qemu-microvm, qemu-microvm-rtc, qemu-microvm-onebus, all" \
	"$LACUNA" bench boot --compare qemu-q35,bochs
refused "a monitor twice" "compare: 'qemu-q35' is given twice" "$LACUNA" bench boot --compare qemu-q35,qemu-q35
refused "a command without a name" "compare-cmd: 'true' is not NAME=COMMAND" "$LACUNA" bench boot --compare-cmd true
refused "a command with a strange name" "compare-cmd: 'My own=true' is not NAME=COMMAND" "$LACUNA" bench boot --compare-cmd 'My own=true'
refused "a name without a command" "compare-cmd: 'mine=': the command is empty" "$LACUNA" bench boot --compare-cmd mine=
refused "a window that is no number" "compare-cmd: 'mine@high': behind the @" "$LACUNA" bench boot --compare-cmd mine@high=true
refused "a name that is taken" "compare-cmd: the name 'qemu-q35' is taken" "$LACUNA" bench boot --compare-cmd qemu-q35=true
refused "a name twice" "compare-cmd: the name 'a' is taken" "$LACUNA" bench boot --compare-cmd a=true --compare-cmd a=true
nine=()
for i in 1 2 3 4 5 6 7 8 9; do nine+=(--compare-cmd "c$i=true"); done
refused "too many commands" "compare-cmd: more than 8" "$LACUNA" bench boot "${nine[@]}"

# --- the end by a signal, while a command with a child of its own runs
for signal in INT:130 TERM:143; do
	interrupted "${signal%:*}" "${signal#*:}" boot --kernel "$kernel" --marker checksum --compare-cmd \
		"mine=sleep 1000 & echo \$\$ \$! >'$tmp/pids'; wait"
done

if [ ! -w /dev/kvm ]; then
	skip "measurements" "no access to /dev/kvm"
	finish
fi

# --- a command that leaves its process group, and what it leaves behind
"$LACUNA" bench boot --kernel "$BUILD/tests/guest/endings.elf" --variants lacuna --repeat 1 --count 0 --timeout 2 --marker none --format json \
	--compare-cmd 'stray=setsid sleep 987654 & timeout 987655 sleep 987656' >"$tmp/stray.json" 2>&1
check "a command that leaves its process group: nothing is left" [ -z "$(pgrep -f 'sleep 98765[46]|timeout 987655')" ]

# --- every variant, and commands: one that boots, one that does not, one that goes on, one that fails behind the marker
status=0
env_words='[ "$LACUNA_BOOT_MEMORY $LACUNA_BOOT_CPUS $LACUNA_BOOT_CMDLINE $LACUNA_BOOT_INITRD$LACUNA_BOOT_TAP" = "64 1 probe.scan=linux " ]'
bench --memory 64 --cmdline probe.scan=linux --variants all --repeat 2 --count 0 --timeout 20 --format json --save "$tmp/saved.json" \
	--compare-cmd "mine=$env_words && exec '$LACUNA' run --kernel \"\$LACUNA_BOOT_KERNEL\" --disk \"path=\$LACUNA_BOOT_DISK\"" \
	--compare-cmd 'none=echo no such monitor >&2; exit 3' --compare-cmd 'late=echo checksum; exit 7' \
	--compare-cmd 'silent=true' >"$result" 2>"$tmp/err" || status=$?
same "status" 0 "$status"
same "nothing on stderr" "" "$(cat "$tmp/err")"
check "the schema holds" valid "$result"
check "what is saved is what is printed" cmp "$result" "$tmp/saved.json"
row() { echo "(.rows[] | select(.part == \"$1\" and .what == \"$2\"))"; }
holds "variants: a row each" '[.rows[] | select(.part == "boot") | .what] == ["lacuna", "lacuna-1bus", "lacuna-256bus", "lacuna-type1",
	"lacuna-trap-1bus", "lacuna-trap-256bus", "lacuna-unpack-guest", "mine", "none", "late", "silent"]' "$result"
holds "variants: all boot, so many times" '[.rows[:6][] | .marker_us.count == 2 and 0 < .marker_us.min and .marker_us.max <= .end_us.max] | all' "$result"
holds "variants: times are to lacuna's" '(.rows[0] | has("to_lacuna") | not) and .rows[1].to_lacuna.pairs == 2' "$result"
holds "a command boots, in the environment that was promised" '.rows[6].marker_us.count == 2' "$result"
holds "a command that fails: why" "$(row boot none)"'.not_available == "ended before the guest had printed '\''checksum'\'': no such monitor"' "$result"
holds "a command that fails behind the marker: why" "$(row boot late)"'.not_available == "ended with status 7"' "$result"
holds "a command that says nothing" "$(row boot silent)"'.not_available == "ended before the guest had printed '\''checksum'\''"' "$result"
holds "what was not to be counted says so" "$(row returns mine)"'.not_available == "not asked for: --count 0"' "$result"
holds "the window in memory: no read returns" "$(row returns lacuna)"'.pci_config | .window_read == 0 and .window_write > 0' "$result"
holds "a window that traps: reads return" "$(row returns lacuna-trap-1bus)"'.pci_config.window_read > 0' "$result"
holds "more buses: more reads" "$(row returns lacuna-trap-256bus)"'.pci_config.window_read > 10 * '"$(row returns lacuna-trap-1bus)"'.pci_config.window_read' "$result"
holds "ports: no window" "$(row returns lacuna-type1)"'.pci_config | .port_read > 1000 and .window_read + .window_write == 0' "$result"
holds "classes add up" '[.rows[] | select(.part == "returns" and has("class")) | .class.pci == (.pci_config | .port_read + .port_write +
	.window_read + .window_write) and .class.io + .class.mmio <= .returns.max] | length == 7 and all' "$result"
holds "reasons add up, and have the classes" '[.rows[] | select(.part == "returns" and has("class")) | .returns.max - (.by_reason | add) <= 6 and
	.by_reason.io == .class.io and (.by_reason.mmio // 0) == .class.mmio] | length == 7 and all' "$result"
holds "exits to KVM were not to be counted, either" '[.rows[] | select(.part == "exits" and .what != "none" and .what != "late" and .what != "silent") |
	.not_available] | length == 8 and all(. == "not asked for: --count 0")' "$result"
holds "phases are in order" '[.rows[] | select(.part == "phases") | 0 < .process_us.min and .process_us.max < .created_us.max and
	.created_us.max < .first_us.max and .first_us.max < .marker_us.max] | length == 7 and all' "$result"
holds "no goal without the monitor it is about" '.figures == []' "$result"
holds "settings" '.settings | .kernel == "probe.elf" and .memory_mib == 64 and .count == 0 and .net == false and
	(.compare_cmd | keys == ["late", "mine", "none", "silent"])' "$result"

# --- counts that differ are told; times are not looked at here
few=(--repeat 1 --count 0 --variants lacuna)
bench "${few[@]}" --save "$tmp/saved.json" >"$tmp/table"
check "table: returns" grep -qE '^lacuna +[0-9]+ +[0-9]+ +[0-9]+ +[0-9]+ +2 ' "$tmp/table"
slow='(.. | objects | select(has("iqr"))) |= (.iqr = 1e15)'
for change in '.rows[1].class.pci += 1' '.rows[1].pci_config.window_write += 1'; do
	jq "$slow | $change" "$tmp/saved.json" >"$tmp/earlier.json"
	status=0
	bench "${few[@]}" --against "$tmp/earlier.json" >"$tmp/out" || status=$?
	same "another count ($change): status" 1 "$status"
	check "another count ($change): says so" grep -qE '^differs: lacuna: (for PCI|writes): [0-9]+ -> [0-9]+' "$tmp/out"
done
jq "$slow | .rows[1].returns |= (.iqr = 0 | .p50 /= 2)" "$tmp/saved.json" >"$tmp/earlier.json"
status=0
bench "${few[@]}" --against "$tmp/earlier.json" >"$tmp/out" || status=$?
same "twice as many returns: status" 1 "$status"
check "twice as many returns: says so" grep -qE '^worse: lacuna: all: [0-9]+ -> [0-9]+' "$tmp/out"
jq "$slow | .rows[1].returns |= (.iqr = 0 | .p50 += 2)" "$tmp/saved.json" >"$tmp/earlier.json"
check "the same counts, but for a few returns" bench "${few[@]}" --against "$tmp/earlier.json"

# --- a guest that does not end: it is ended at the marker, or the time is up
endless=(--repeat 1 --count 0 --variants lacuna --timeout 2 --compare-cmd 'mine=echo checksum; exec sleep 1000')
bench "${endless[@]}" --until marker --format json >"$result"
holds "until the marker: such a guest has a row" '.rows[1].marker_us.count == 1' "$result"
bench "${endless[@]}" --format json >"$result"
holds "until the end: it has none" '.rows[1].not_available | test("did not power off within 2 s; with --until marker it need not")' "$result"
bench --repeat 1 --count 0 --variants lacuna --timeout 1 --compare-cmd 'mine=exec sleep 1000' --format json >"$result"
holds "no marker in time" '.rows[1].not_available == "the guest did not print '\''checksum'\'' within 1 s"' "$result"

# --- what is missing
mkdir "$tmp/empty"
PATH=$tmp/empty "$LACUNA" bench boot --kernel "$kernel" --marker checksum --repeat 1 --compare all --variants lacuna --format json >"$result"
check "no qemu: the schema holds" valid "$result"
holds "no qemu: the rows say so, the rest runs" '.rows[0].marker_us.count == 1 and ([.rows[] | select(.what != "lacuna") | .not_available] ==
	[range(15) | "qemu-system-x86_64 is not installed"])' "$result"
holds "no qemu: goals are not available" '(.figures | length == 9) and ([.figures[].value] | unique == [null])' "$result"
mine=(--compare-cmd "mine='$LACUNA' run --kernel \"\$LACUNA_BOOT_KERNEL\"" --repeat 1 --variants lacuna --format json)
if [ "$(id -u)" = 0 ]; then
	# shellcheck disable=SC2016
	unshare --mount sh -c 'umount -l /sys/kernel/tracing 2>/dev/null; exec "$@"' sh \
		"$LACUNA" bench boot --kernel "$kernel" --marker checksum "${mine[@]}" >"$result"
	check "no tracefs: the schema holds" valid "$result"
	holds "no tracefs: the row says so, the rest runs" "$(row boot mine)"'.marker_us.count == 1 and ('"$(row returns mine)"'.not_available |
		test("counting needs tracefs at /sys/kernel/tracing: No such file or directory: mount -t tracefs")) and ('"$(row returns lacuna)"'.returns.count == 1)' "$result"
	cp "$LACUNA" "$tmp/lacuna" && cp "$kernel" "$tmp/kernel" && chmod 755 "$tmp" "$tmp/kernel"
	(cd / && setpriv --reuid 65534 --regid 65534 --clear-groups "$tmp/lacuna" bench boot --kernel "$tmp/kernel" --marker checksum \
		--repeat 1 --variants lacuna --compare-cmd 'mine=echo checksum' --format json) >"$result"
	check "no right to count: the schema holds" valid "$result"
	holds "no right to count: the row says so, the rest runs" "$(row boot mine)"'.marker_us.count == 1 and ('"$(row returns mine)"'.not_available |
		test("counting needs .*Permission denied: run as root"))' "$result"
else
	skip "no tracefs" "not root"
	skip "no right to count" "not root"
fi
# --- charts
if command -v gnuplot >/dev/null; then
	bench "${few[@]}" --plot "$tmp/plots" >/dev/null
	same "plot: the charts, and nothing else" "boot-phases.png boot-phases.svg boot-returns.png boot-returns.svg" "$(cd "$tmp/plots" && echo *)"
	for text in "Returns of KVM to the monitor in one boot" "PCI configuration" "serial port" "lacuna"; do
		check "plot: says '$text'" grep -qF "$text" "$tmp/plots/boot-returns.svg"
	done
else
	skip "charts" "gnuplot is not installed"
fi
finish
