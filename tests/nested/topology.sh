#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Three hundred devices behind root ports: all bind, nothing is moved, a function costs what it costs among three, and
# lspci has nothing to complain of. Then ports that are asked for by number, with Debian's generic kernel, whose port
# driver binds to them.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
guest_files lspci
words=log_buf_len=4M
head -c 64K /dev/urandom >"$tmp/a.img"
head -c 64K /dev/urandom >"$tmp/b.img"
first=$(sha256sum <"$tmp/a.img")
last=$(sha256sum <"$tmp/b.img")

boot few topology --cpus 4 --disk "path=$tmp/a.img" --rng --rng
ends "3 devices: boots" 0 poweroff
few=$stats
same "3 devices: all bind" "2 1" "$(said rngs) $(said disks)"
# What the emulated CPU of the bed makes Linux say differs from boot to boot only in registers and in time.
warnings() {
	grep '^WARNING' "$console" | grep -vE ' (Code|CR2|FS|R[0-9A-Z]{2}):|CPUID\[|hrtimer: interrupt took' | sort -u
}
warnings >"$tmp/warnings"

rngs=()
for _ in $(seq 298); do
	rngs+=(--rng)
done
boot many topology --cpus 4 --disk "path=$tmp/a.img" "${rngs[@]}" --disk "path=$tmp/b.img"
ends "300 devices: boots" 0 poweroff
same "300 devices: 35 ports, 36 buses" "336 36" "$(said functions) $(said buses)"
same "300 devices: all bind" "298 2" "$(said rngs) $(said disks)"
check "300 devices: two vectors each at least" test "$(said vectors)" -ge 600
same "300 devices: they work" "64 ${first%% *} ${last%% *}" "$(said random) $(said first-disk) $(said last-disk)"
holds "300 devices: ECAM reads and absent functions, no exit" \
	'.exits.pci_config | .ecam_read == 0 and .absent == 0' "$stats"
holds "300 devices: the statistics agree" '.machine.pci | .functions == 336 and .buses == 36 and .window == "memory"' "$stats"
jq -r '"# \(.machine.pci.functions) functions on \(.machine.pci.buses) buses: \(.exits.pci_config.ecam_write) config writes, \(.exits.pci_config.ecam_write / .machine.pci.functions * 10 | round / 10) each; \(.exits.mmio.bar) BAR accesses, \(.exits.total) exits"' \
	"$few" "$stats"
check "300 devices: config exits per function as with 3, within 15 %" jq -en --slurpfile a "$few" --slurpfile b "$stats" \
	'def each: .exits.pci_config.ecam_write / .machine.pci.functions;
	 ($a[0] | each) as $x | ($b[0] | each) as $y | $x > 0 and (($x - $y) | fabs) <= 0.15 * $x'
same "300 devices: Linux keeps every address" "1 0" "$(said log) $(said moved)"
same "300 devices: Linux warns of nothing that it does not warn of with 3" "" "$(warnings | comm -13 "$tmp/warnings" -)"
same "lspci: every function, no complaint" "336 0" "$(said lspci-functions) $(said lspci-complaints)"
same "lspci: a link for each port and what is behind it" $((35 + 274)) "$(said lspci-links)"
same "lspci: ports with wired bus numbers, integrated endpoints" "35 35 26" \
	"$(said lspci-ports) $(said lspci-fixed-buses) $(said lspci-integrated)"
same "lspci: a serial number for all but the host bridge" 335 "$(said lspci-serials)"

flavour=generic
guest_files lspci
boot ports topology --pci ports=4 --disk "path=$tmp/a.img,bus=1" --rng=bus=1 --rng=bus=3 --disk "path=$tmp/b.img,bus=4"
ends "ports=4: Debian's generic kernel boots" 0 poweroff
same "ports=4: functions and buses" "9 5" "$(said functions) $(said buses)"
same "ports=4: the port driver takes them, and no interrupt" "4 0" "$(said pcieports) $(said port-vectors)"
same "ports=4: all bind" "2 2" "$(said rngs) $(said disks)"
same "ports=4: they work" "64 ${first%% *} ${last%% *}" "$(said random) $(said first-disk) $(said last-disk)"
holds "ports=4: ECAM reads and absent functions, no exit" '.exits.pci_config | .ecam_read == 0 and .absent == 0' "$stats"
same "ports=4: Linux keeps every address" "1 0" "$(said log) $(said moved)"
same "ports=4: lspci has no complaint" "9 0" "$(said lspci-functions) $(said lspci-complaints)"
same "resets: by function and by bus, both are offered" "flr bus" "$(said reset-methods)"
same "resets: done, and the driver binds again" "done 2 done 2" \
	"$(said reset-flr) $(said after-flr) $(said reset-bus) $(said after-bus)"
same "resets: without a warning" 0 "$(said reset-warnings)"
finish
