#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How a machine ends, as an exit status, on stderr and in the statistics; and help, version, doctor and dump.
. "$(dirname "$0")/../lib.sh"

endings=$BUILD/tests/guest/endings.elf
stats=$tmp/stats.json
seen() { # OPTION...: runs lacuna; sets $status, $tmp/out, $tmp/err
	status=0
	timeout 30 "$LACUNA" run "$@" >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
}
ends() { # NAME STATUS REASON CODE STDERR-LINES OPTION...
	local name=$1 want=$2 reason=$3 code=$4 lines=$5
	shift 5
	rm -f "$stats"
	seen --kernel "$endings" --stats-file "$stats" "$@"
	same "$name: status" "$want" "$status"
	same "$name: lines on stderr" "$lines" "$(wc -l <"$tmp/err")"
	holds "$name: statistics" ".end == {reason: \"$reason\", code: $code}" "$stats"
}

# --- without a machine
check "help names every command" grep -q doctor <("$LACUNA" help)
for option in kernel initrd cmdline add-cmdline cpus memory hugepages disk rng serial console pci marker timeout stats-file control verbose; do
	check "help run: --$option" grep -q -e "^  --$option" <("$LACUNA" help run)
done
same "the manual page has every option" "" "$("$LACUNA" help run | grep -oE '^  --[a-z-]+' | tr -d ' ' |
	while read -r o; do grep -qF -e "*$o*" "$top/man/lacuna.1.scd" || echo "$o"; done)"
same "run --help says the same as help run" "$("$LACUNA" help run)" "$("$LACUNA" run --cpus 0 --help)"
same "help: no line ends with a blank" "" "$(for c in run dump control doctor bench version; do "$LACUNA" help "$c"; done | grep ' $')"
check "version" grep -qE '^lacuna [0-9]+\.[0-9]+\.[0-9]+$' <("$LACUNA" --version)
status=0
"$LACUNA" help >/dev/full 2>"$tmp/err" || status=$?
same "help to a full disk: status" 125 "$status"

if [ ! -w /dev/kvm ]; then
	skip "endings and statistics" "no access to /dev/kvm"
	finish
fi

# --- endings
ends "power-off" 0 poweroff 0 0 --cmdline test=poweroff
ends "reset by CF9" 0 reset 0 0 --cmdline test=cf9
ends "reset by ACPI" 0 reset 0 0 --cmdline test=acpi-reset
ends "reset by the keyboard controller" 0 reset 0 0 --cmdline test=i8042
ends "exit code 0" 0 exit-code 0 0 --cmdline "test=exit code=0"
ends "exit code 7" 7 exit-code 7 0 --cmdline "test=exit code=7"
ends "exit code 255" 255 exit-code 255 0 --cmdline "test=exit code=255"
ends "triple fault" 134 crash 0 1 --cmdline test=triple-fault
check "triple fault: reason and RIP" grep -qE '^lacuna: guest crashed: .*(0x)?[0-9a-f]{4,}' "$tmp/err"
ends "timeout" 124 timeout 0 0 --cmdline test=hang --timeout 200ms
ends "a thousand years are no timeout" 0 poweroff 0 0 --cmdline test=poweroff --timeout 1000000h
holds "timeout: not before its time" '.time_us.end >= 200000' <(
	"$LACUNA" run --kernel "$endings" --cmdline test=hang --timeout 200ms --stats-file - --serial off
)

# --- signals: sent once the guest has printed
signalled() { # SIGNAL STATUS
	local pid status=0
	mkfifo "$tmp/console"
	"$LACUNA" run --kernel "$endings" --cmdline test=hang --timeout 20 --stats-file "$stats" \
		>"$tmp/console" 2>"$tmp/err" </dev/null &
	pid=$!
	grep -qm1 hang "$tmp/console"
	kill "-$1" "$pid"
	wait "$pid" || status=$?
	rm "$tmp/console"
	same "SIG$1: status" "$2" "$status"
	holds "SIG$1: statistics" '.end.reason == "stopped"' "$stats"
}
signalled TERM 143
signalled HUP 125
check "SIGHUP: says so" grep -q 'lacuna: stopped: the terminal has gone' "$tmp/err"

# --- statistics: the contract, key by key
monotonic_us() {
	python3 -c 'import time; print(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)'
}
before=$(monotonic_us)
seen --stats-file "$stats" --marker checksum --cpus 2 --memory 64M --pci config=both,buses=16 --rng
same "statistics: the run" 0 "$status"
holds "statistics: keys" '
	keys == ["coalesced","end","exits","kvm","lacuna","machine","time_us"] and
	(.machine | keys) == ["memory_bytes","pci","vcpus"] and
	(.machine.pci | keys) == ["buses","config","functions","large_pages","window"] and
	(.time_us | keys) == ["created","end","first_entry","marker","origin","started"] and
	(.exits | keys) == ["by_reason","mmio","pci_config","pio","total"] and
	(.exits.pci_config | keys) == ["absent","ecam_read","ecam_write","type1_read","type1_write"] and
	(.exits.pio | keys) == ["cmos","other","reset","serial"] and
	(.exits.mmio | keys) == ["bar","other"] and (.coalesced | keys) == ["mmio","pio"] and
	(.end | keys) == ["code","reason"]' "$stats"
holds "statistics: the machine" '.machine.vcpus == 2 and .machine.memory_bytes == 67108864 and
	.machine.pci.config == "both" and .machine.pci.buses == 16 and .machine.pci.functions == 2 and
	(.machine.pci.large_pages | type) == "boolean"' "$stats"
holds "statistics: times in order" '.time_us | 0 < .created and .created <= .started and
	.started <= .first_entry and .first_entry <= .marker and .marker <= .end' "$stats"
holds "statistics: the origin is a moment of the host's clock" \
	"$before <= .time_us.origin and .time_us.origin + .time_us.end <= $(monotonic_us)" "$stats"
holds "statistics: reasons add up to the total" '(.exits.by_reason | add) == .exits.total' "$stats"
holds "statistics: port and memory exits add up" '.exits |
	(.pci_config.type1_read + .pci_config.type1_write + (.pio | add)) >= .by_reason.io' "$stats"
same "statistics: ends with a line break" "" "$(tail -c 1 "$stats")"
same "statistics: nothing else in the folder" stats.json "$(cd "$tmp" && ls -d stats*)"
same "statistics: permissions follow the umask" 640 "$(umask 027 && rm "$stats" &&
	"$LACUNA" run --serial off --stats-file "$stats" && stat -c %a "$stats")"
holds "statistics: no marker, no time" '.time_us.marker == null' "$stats"
ln -s stats.json "$tmp/link.json"
seen --serial off --stats-file "$tmp/link.json" --cpus 3
check "statistics: a symbolic link stays one" test -L "$tmp/link.json"
holds "statistics: and is followed" '.machine.vcpus == 3' "$stats"
mkfifo "$tmp/pipe"
"$LACUNA" run --serial off --stats-file "$tmp/pipe" &
holds "statistics: into a pipe" '.end.reason == "poweroff" or .end.reason == "exit-code"' <(cat "$tmp/pipe")
wait
status=0
"$LACUNA" run --serial off --stats-file /dev/full 2>"$tmp/err" || status=$?
same "statistics: no space: status" 125 "$status"
check "statistics: no space: why" grep -q '^lacuna: stats-file: write: No space' "$tmp/err"

# --- serial
seen --kernel "$endings" --cmdline test=hang --timeout 200ms --serial "file=$tmp/log"
check "serial into a file" grep -q hang "$tmp/log"
check "serial into a file: nothing on stdout" test ! -s "$tmp/out"
seen --kernel "$endings" --cmdline test=poweroff --serial off
check "serial off: nothing on stdout" test ! -s "$tmp/out"
check "input from a pipe" grep -q "hello" <(printf 'helloq' | "$LACUNA" run --timeout 20 \
	--kernel "$BUILD/tests/guest/console.elf" --cmdline test=echo)
# shellcheck disable=SC2016
check "closed descriptors are not taken for the console" bash -c \
	'"$0" run --serial off --stats-file "$1" <&- >&- 2>&-' "$LACUNA" "$stats"

# --- dump and doctor
check "dump" "$LACUNA" dump acpi e820 cmdline pci --out "$tmp/dump" --kernel "$endings" --cmdline "a b" --rng
same "dump: the names it prints are the files" "$(find "$tmp/dump" -type f | sort)" \
	"$("$LACUNA" dump acpi e820 cmdline pci --out "$tmp/dump" | sort)"
check "dump: tables" test -s "$tmp/dump/dsdt.aml"
"$LACUNA" dump cmdline --out "$tmp/dump" --kernel "$endings" --cmdline "a b" >/dev/null
same "dump: command line with what lacuna adds" "reserve=0xcf8,8 pci=noearly a b" "$(cat "$tmp/dump/cmdline.txt")"
for added in both:pci=noearly\  type1:; do
	"$LACUNA" dump cmdline --out "$tmp/dump" --kernel "$endings" --cmdline "a b" --pci "config=${added%%:*}" >/dev/null
	same "dump: command line with config=${added%%:*}" "${added#*:}a b" "$(cat "$tmp/dump/cmdline.txt")"
done
"$LACUNA" dump cmdline --out "$tmp/dump" --kernel "$endings" --cmdline "a b" --add-cmdline off >/dev/null
same "dump: command line without" "a b" "$(cat "$tmp/dump/cmdline.txt")"
check "doctor finds KVM usable" "$LACUNA" doctor
check "doctor says which window" grep -qE '^(ok|!!)  ECAM window: ' <("$LACUNA" doctor)

# --- descriptors of the shell's
truncate -s 1M "$tmp/disk"
exec 7<>"$tmp/disk"
for _ in 1 2; do # it is free again, and as it was
	seen --kernel "$BUILD/tests/guest/virtio.elf" --cmdline test=blk --disk fd=7,serial=handed-in
	same "disk by descriptor: status" 0 "$status"
	check "disk by descriptor: what the guest prints" grep -q "capacity 2048 id handed-in" "$tmp/out"
done
same "disk by descriptor: its offset" $'pos:\t0' "$(grep pos /proc/$$/fdinfo/7)"
exec 7<&-
same "disk by descriptor: what the guest wrote" abcdefgh "$(dd if="$tmp/disk" bs=512 skip=3 count=1 status=none | head -c 8)"
finish
