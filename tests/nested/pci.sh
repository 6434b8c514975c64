#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What lspci finds in a stock guest is what lacuna says it gives: every byte of every function, except for what a guest
# sets itself. In all three ways of reaching configuration space, with the same functions in each.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
guest_files lspci
truncate -s 4M "$tmp/disk.img"

# Linux, and so lspci, looks beyond byte 256 only in host bridges and functions with a PCI Express capability.
# "function offset value" for each byte of a dump in the form of lspci -xxxx; "--" for bytes that belong to the guest:
# command, cache line, BARs, ROM, interrupt line, and control registers of the PM, MSI-X and PCI Express capabilities.
bytes() { # LIMIT
	awk -v limit="$1" '
	function hex(s,   i, v) {
		for (i = 1; i <= length(s); i++)
			v = v * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1
		return v + 0
	}
	function flush(   i, cap, id, guest, express, end) {
		if (name == "")
			return
		guest[4]; guest[5]; guest[12]; guest[60]
		if (v[14] == "00" || v[14] == "80") { # a bridge keeps its bus numbers and windows
			for (i = 16; i < 40; i++) guest[i]
			for (i = 48; i < 52; i++) guest[i]
		}
		for (cap = hex(v[52]); cap >= 64 && !seen[name, cap]++; cap = hex(v[cap + 1])) {
			id = v[cap]
			if (id == "01") for (i = 4; i < 6; i++) guest[cap + i]
			if (id == "11") for (i = 2; i < 4; i++) guest[cap + i]
			if (id == "10") express = 1
			if (id == "10") for (i = 8; i < 10; i++) guest[cap + i]
		}
		end = v[11] v[10] == "0600" || express ? limit : 256
		for (i = 0; i < end && (i in v); i++)
			printf "%s %03x %s\n", name, i, (i in guest) ? "--" : v[i]
		for (i in v) delete v[i]
	}
	/^([0-9a-f]*:)?[0-9a-f][0-9a-f]:[01][0-9a-f]\.[0-7]/ { flush(); name = $1; sub(/^0000:/, "", name) }
	/^[0-9a-f]+: [0-9a-f][0-9a-f]( |$)/ {
		at = hex(substr($1, 1, length($1) - 1))
		for (f = 2; f <= NF; f++) v[at + f - 2] = $f
	}
	END { flush() }'
}

first=
for config in ecam both type1; do
	limit=4096
	[ $config != type1 ] || limit=256
	options=(--pci "config=$config" --disk "path=$tmp/disk.img" --rng --rng=bus=2 --rng=bus=2)

	boot "$config" pci "${options[@]}"
	ends "config=$config: boots" 0 poweroff
	sed -n '/^LSPCI-BEGIN/,/^LSPCI-END/p' "$console" >"$tmp/lspci"
	bytes $limit <"$tmp/lspci" >"$tmp/found"
	"$LACUNA" dump pci --out "$tmp/dump" "${options[@]}" >/dev/null
	cat "$tmp"/dump/* | bytes $limit >"$tmp/given"
	rm -rf "$tmp/dump"

	same "config=$config: lspci reads every byte of 7 functions on 3 buses" $((7 * limit)) "$(wc -l <"$tmp/found")"
	if out=$(diff "$tmp/given" "$tmp/found" 2>&1); then
		ok "config=$config: they are the bytes that lacuna gave"
	else
		not_ok "config=$config: they are the bytes that lacuna gave" "$(head -n 20 <<<"$out")"
	fi
	same "config=$config: four functions use MSI-X" 4 "$(grep -c 'MSI-X: Enable+' "$tmp/lspci")"
	check "config=$config: lspci has nothing to complain of" \
		test "$(grep -ciE 'unknown header|denied|region.*disabled\]|<unassigned>|!!!|chain (looped|broken)' "$tmp/lspci")" -eq 0
	functions=$(grep -oE '^[0-9a-f:.]+ [0-9a-f]+: [0-9a-f]+:[0-9a-f]+' "$tmp/lspci")
	same "config=$config: the same functions as ever" "${first:=$functions}" "$functions"

	case $config in
	ecam) holds "config=ecam: nothing through the ports" \
		'(.exits.pci_config | .type1_read + .type1_write | numbers) <= 15' "$stats" ;;
	both) holds "config=both: ECAM reads cost no exit here either" '.exits.pci_config.ecam_read == 0' "$stats" ;;
	type1) holds "config=type1: no window, all through the ports" \
		'.machine.pci.window == "none" and .exits.pci_config.ecam_write == 0 and .exits.pci_config.type1_read > 0' \
		"$stats" ;;
	esac
done
finish
