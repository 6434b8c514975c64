#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The figures of a stock boot: 1 vCPU, blk and rng, `console=ttyS0 quiet`, power-on to power-off; and that 256 buses
# cost no more than one. Counted by lacuna and, once, by the kernel's tracepoints. Then the gate: none of the exit counts has moved
# since the baseline, those of a boot with a network and of scans of 256 buses among them.
if [ "${1:-}" != inside ]; then # in a network of this test's own
	map=()
	[ "$(id -u)" -eq 0 ] || map=(--map-root-user)
	exec unshare --net "${map[@]}" bash "$0" inside
fi
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
. "$top/tests/bed/count.sh"
. "$top/tests/baseline/lib.sh"
guest_files
truncate -s 64M "$tmp/disk.img"

counted=
if count_available; then
	count_start
	counted=yes
fi
boot figures boot --disk "path=$tmp/disk.img" --rng --pci buses=1
[ -z "$counted" ] || count_stop 0xe0000000 >"$tmp/counts"
ends "stock boot to power-off" 0 poweroff
one=$stats
[ -s "$one" ] || finish # nothing to look at
jq -c '{time_us, exits, coalesced}' "$one" | sed 's/^/# /'

holds "PCI config ports: at most 15 exits" \
	'(.exits.pci_config | .type1_read + .type1_write | numbers) <= 15' "$one"
holds "ECAM reads: no exit" '.exits.pci_config.ecam_read == 0' "$one"
holds "ECAM writes to present functions were counted" '.exits.pci_config.ecam_write > 0' "$one"
holds "absent functions: no exit" '.exits.pci_config.absent == 0' "$one"
holds "all returns to userspace: at most 1200" '.exits.total > 0 and .exits.total <= 1200' "$one"
holds "serial port: at most 300 exits" '(.exits.pio.serial | numbers) <= 300' "$one"
holds "CMOS: at most 10 exits" '(.exits.pio.cmos | numbers) <= 10' "$one"
holds "reasons add up to the total" '(.exits.by_reason | add) == .exits.total' "$one"
holds "the window is memory" '.machine.pci.window == "memory"' "$one"
holds "host bridge, blk and rng are the functions" '.machine.pci.functions == 3' "$one"
holds "times are in order" '.time_us | 0 < .first_entry and .first_entry < .marker and .marker < .end' "$one"

if [ -n "$counted" ]; then
	sed 's/^/# tracepoints: /' "$tmp/counts"
	count() { sed -n "s/^$1 //p" "$tmp/counts"; }
	same "tracepoints: the same exits in all" "$(count exits)" "$(jq .exits.total "$one")"
	same "tracepoints: the same port exits" "$(count exits_io)" "$(jq .exits.by_reason.io "$one")"
	same "tracepoints: the same MMIO exits" "$(count exits_mmio)" "$(jq .exits.by_reason.mmio "$one")"
	same "tracepoints: the same PCI config port accesses" "$(($(count port_config_read) + $(count port_config_write)))" \
		"$(jq '.exits.pci_config | .type1_read + .type1_write' "$one")"
	same "tracepoints: the same ECAM writes" "$(count ecam_write)" "$(jq .exits.pci_config.ecam_write "$one")"
	same "tracepoints: no ECAM read left the guest" 0 "$(count ecam_read)"
	check "tracepoints: PCI config ports at most 15" test "$(($(count port_config_read) + $(count port_config_write)))" -le 15
else
	skip "tracepoints: the same exits" "tracefs needs root and is not readable here"
fi

boot figures256 boot --disk "path=$tmp/disk.img" --rng --pci buses=256
ends "stock boot with 256 buses" 0 poweroff
jq -c '{time_us, exits, coalesced}' "$stats" | sed 's/^/# /'
holds "256 buses: ECAM reads and absent functions, no exit" \
	'.exits.pci_config | .ecam_read == 0 and .absent == 0' "$stats"
check "256 buses: exits within 5 % of one bus" jq -en --slurpfile a "$one" --slurpfile b "$stats" \
	'($a[0].exits.total) as $x | ($b[0].exits.total) as $y | (($x - $y) | fabs) <= 0.05 * $x'
holds "256 buses: MCFG announces them" '.machine.pci.buses == 256' "$stats"

note_boot boot "$one"
note_boot boot256 "$stats"

# The boot that `lacuna bench boot` has: with a network, and with its driver.
ip tuntap add boot0 mode tap
ip link set boot0 up
guest_files devices
boot figures-net bench-boot --disk "path=$tmp/disk.img" --rng --net tap=boot0
ends "stock boot with a network" 0 poweroff
jq -c '{time_us, exits, coalesced}' "$stats" | sed 's/^/# /'
holds "with a network: host bridge, blk, net and rng are the functions" '.machine.pci.functions == 4' "$stats"
holds "with a network: ECAM reads and absent functions, no exit" '.exits.pci_config | .ecam_read == 0 and .absent == 0' "$stats"
note_boot bootnet "$stats"
guest_files

"$LACUNA" bench pci --repeat 1 --format json >"$tmp/scan.json"
note_scan scan "$tmp/scan.json"
# where each access is a return, 256 buses are 16 times 16
"$LACUNA" bench pci --repeat 1 --buses 256 --mechanism ecam-4k,ecam-mixed,ecam-large --format json >"$tmp/scan256.json"
note_scan scan256 "$tmp/scan256.json"
note_faults scan256 "$tmp/scan256.json"
holds "scan of 256 buses with large pages, cold: no return, at most 140 faults" '[.rows[] | select(.mechanism == "ecam-large" and .pass == "cold") |
	.user_exits == 0 and (.faults | numbers) <= 140] == [true, true]' "$tmp/scan256.json"
gate "exits of the standard boot are the baseline's" boot
gate "exits of the standard boot with 256 buses are the baseline's" boot256
gate "exits of the standard boot with a network are the baseline's" bootnet
gate "exits of the standard scan are the baseline's" scan
# Faults are those of the bed's KVM, which always has a huge page to give.
[ -z "${LACUNA_IN_BED:-}" ] || gate "exits and faults of the scan of 256 buses are the baseline's" scan256

words=initcall_debug
boot initcall initcall --disk "path=$tmp/disk.img" --rng --pci buses=256
ends "boot with initcall_debug" 0 poweroff
t=$(said pci_subsys_init)
echo "# pci_subsys_init with 256 buses: ${t:-unknown} us (goal: at most 60000)"
check "the guest tells how long pci_subsys_init took" test "${t:-0}" -gt 0
finish
