#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The device tree, seen by other programs: dtc reads it and writes it again without a warning, our source text compiles to
# the same tree, and the schemas of the Devicetree Specification and of Linux's bindings have nothing against it.
. "$(dirname "$0")/../lib.sh"

if [ ! -w /dev/kvm ]; then
	skip "device trees" "no access to /dev/kvm"
	finish
fi

machine=$BUILD/tests/guest/machine.elf
truncate -s 5000 "$tmp/initrd"
odd=$'a="b c" \\back\\slash tab\there \x01\x7f'

compile() { # FROM FILE [TO]: to a blob as dtc writes it, on stdout; complaints go to $tmp/warnings
	dtc -I "$1" -O "${3:-dtb}" "$2" 2>>"$tmp/warnings"
}
validate() { # FILE [FOLDER]: prints complaints; nodes without a schema are none
	dt-validate ${2:+-s "$2"} "$1" 2>&1
}

same_by_dtc() { # NAME
	local dtb=$tmp/fdt/machine.dtb
	compile dtb "$dtb" dts >"$tmp/again.dts"
	compile dtb "$dtb" >"$tmp/direct.dtb"
	compile dts "$tmp/again.dts" >"$tmp/again.dtb"
	compile dts "$tmp/fdt/machine.dts" >"$tmp/ours.dtb"
	same "$1: dtc has no warning" "" "$(cat "$tmp/warnings")"
	check "$1: dtc reads back what it wrote" cmp "$tmp/direct.dtb" "$tmp/again.dtb"
	check "$1: our source is the same tree" cmp "$tmp/direct.dtb" "$tmp/ours.dtb"
}

bindings=$("$top/tools/dt-bindings" 2>"$tmp/why") || bindings=
tree() { # NAME OPTION...
	local name=$1 dtb=$tmp/fdt/machine.dtb
	shift
	rm -rf "$tmp/fdt" "$tmp/warnings"
	check "$name: dump" "$LACUNA" dump fdt --out "$tmp/fdt" "$@"
	same_by_dtc "$name"
	same "$name: the specification's schemas" "" "$(validate "$dtb")"
	if [ -n "$bindings" ]; then
		same "$name: Linux's schemas" "" "$(validate "$dtb" "$bindings")"
	else
		skip "$name: Linux's schemas" "$(tail -n 1 "$tmp/why")"
	fi
}

tree "plain"
tree "254 CPUs, 256 buses, 5 GiB" --cpus 254 --memory 5G --pci buses=256 --serial off
tree "initrd and an odd command line" --kernel "$machine" --initrd "$tmp/initrd" --cmdline "$odd" --tables fdt
tree "both tables, ports, type 1" --tables both --pci config=both,ports=9 --cpus 3 --memory 3G

# dt-validate reads ASCII only, a command line may be anything.
"$LACUNA" dump fdt --out "$tmp/fdt" --cmdline $'caf\xc3\xa9 \xff' >/dev/null
same_by_dtc "not ASCII"

# The schemas do find something where there is something to be found.
"$LACUNA" dump fdt --out "$tmp/fdt" --pci ports=9 >/dev/null
sed 's/bus-range = <0x0 0x9>/bus-range = <0x0 0x100>/' "$tmp/fdt/machine.dts" | compile dts - >"$tmp/bad.dtb"
check "a schema finds a bad bus-range" grep -q 'bus-range.*256' <(validate "$tmp/bad.dtb")

# --- what is dumped is what is handed over, whatever the guest gets
dump() { # FOLDER WHAT OPTION...
	"$LACUNA" dump "$2" --out "$tmp/$1" "${@:3}" >/dev/null
}
for tables in acpi fdt both; do
	dump "$tables" fdt --tables $tables --cmdline x
	dump "$tables" acpi --tables $tables --cmdline x
done
check "dump: the same for acpi and fdt" diff -r "$tmp/acpi" "$tmp/fdt"
check "dump: the same for acpi and both" diff -r "$tmp/acpi" "$tmp/both"
check "dump: both kinds" test -s "$tmp/fdt/facp.aml" -a -s "$tmp/fdt/machine.dtb"
refused "dump: no device tree without the window" "fdt: a device tree describes the ECAM window, of which pci config=type1 has none" \
	"$LACUNA" dump fdt --out "$tmp/none" --pci config=type1

# --- a guest that reads it
run() { # OPTION...
	status=0
	timeout 60 "$LACUNA" run --timeout 50 "$@" </dev/null >"$tmp/out" 2>"$tmp/err" || status=$?
}
run --tables fdt --rng
same "probe guest: status" 0 "$status"
same "probe guest: no complaint" "" "$(cat "$tmp/err")"
check "probe guest: finds the window in the tree" grep -q 'device tree: ECAM at 0xe0000000, 1 buses' "$tmp/out"
check "probe guest: finds the device" grep -q '1af4:1044' "$tmp/out"
run --pci config=type1
check "probe guest: neither is said" grep -q 'no MCFG, no device tree; type 1 works' "$tmp/out"

finish
