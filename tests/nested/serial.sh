#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The stock kernel's serial driver: it finds a 16550A, takes 6000 bytes from a pipe and writes 19 KiB into one, and every
# byte arrives.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
guest_files
guest_command serial serial
mkfifo "$tmp/keyboard" "$tmp/screen"
seq 1 2000 | head -c 6000 >"$tmp/typed"

"${command[@]}" <"$tmp/keyboard" >"$tmp/screen" 2>&1 &
exec 3>"$tmp/keyboard" 4<"$tmp/screen"
: >"$console"
while IFS= read -r line <&4; do
	printf '%s\n' "${line%$'\r'}" >>"$console"
	case $line in "guest serial ready"*) break ;; esac
done
cat "$tmp/typed" >&3
tr -d '\r' <&4 >>"$console"
status=0
wait $! || status=$?

ends "the guest ends" 0 poweroff
same "the driver finds a 16550A" 16550A "$(said uart)"
sum=$(sha256sum <"$tmp/typed")
same "input arrives whole" "${sum%% *}" "$(said serial-in)"
same "output arrives whole" "$(seq 1 4000 | sha256sum)" "$(sed -n '/^OUTPUT-BEGIN/,/^OUTPUT-END/p' "$console" | sed '1d;$d' | sha256sum)"
# LSR and RBR for each byte that comes in; IIR, LSR, MSR and now and then IER for sixteen that go out.
holds "few exits for 6000 bytes in and 19 KiB out" '.exits.pio.serial <= 6000 * 2 + 6000 / 64 * 4 + 18893 / 16 * 4 + 300' "$stats"
check "the driver works by interrupts" test "0$(said interrupts)" -ge 10
echo "# serial exits $(jq .exits.pio.serial "$stats"), coalesced $(jq .coalesced.pio "$stats"), interrupts $(said interrupts)"
finish
