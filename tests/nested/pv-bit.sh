#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The feature bit from end to end: the small kernel with and without our patch, each way to offer configuration space, the bit on
# and off, ACPI tables or a device tree. Which mechanism the kernel then uses is told by what leaves the guest. And when it can't or must not do as the bit says.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
flavour=small
guest_files cpuid
marked_disk
devices=(--disk "path=$disk" --rng)
counts=pv-bit
guest_version=$(basename "$(dirname "$(dirname "$kernel")")")
. "$top/tests/baseline/lib.sh"

# Type 1 costs a hundred exits and more, for the three functions here. Less than 15 are what a kernel does before it has settled.
run() { # KERNEL NAME OPTION...: boots; sets $mechanism, as the exits tell it
	use_kernel "$1"
	boot "$2" pv-bit "${devices[@]}" "${@:3}"
	mechanism=$(jq -r '.exits.pci_config | (.type1_read + .type1_write) as $ports |
		if .ecam_read != 0 or .ecam_write == null then "reads leave through the window"
		elif $ports <= 15 and .ecam_write >= 50 then "window"
		elif $ports >= 100 and .ecam_write <= 15 then "ports"
		else "both: \(.)" end' "$stats")
}
went() { # NAME MECHANISM FEATURES LOG [END]: how the last boot did; LOG is what the patch said, after "PCI: "
	ends "$1: boots and ends" 0 "${5:-poweroff}"
	same "$1: it finds three functions, and its disk" "3 $disk_sum" "$(said functions) $(said disk)"
	same "$1: a program sees the bit" "$3" "$(printf '0x%08x' $(($(said kvm-features) & 0x80008000)))"
	same "$1: configuration space is reached through" "$2" "$mechanism"
	same "$1: the patch says" "$4" "$(said 'log kvm-guest: PCI:')"
}
now='using MMCONFIG for base access'
later="$now as soon as it is accepted"

row() { # TABLES HALF CONFIG BIT: boots one combination; its line of the table, and what it must be
	local want=ports log='' features=0x80000000 end=poweroff
	run "$2" "$1-$2-$3-$4" --tables "$1" --pci "config=$3,pv-bit=$4"
	jq -r --arg t "$1" --arg k "$2" --arg c "$3" --arg b "$4" --arg m "$mechanism" '.exits as $e | $e.pci_config as $p |
		"# \($t)  \($k)  config=\($c)  \($b)  \($m)  \($p.type1_read)  \($p.type1_write)  \($p.ecam_write)  \($e.total)"' \
		"$stats"
	note_rest "$1.$2.$3.$4" "$stats"
	[ "$4" = 31 ] || features=0x00000000
	[ "$3" != ecam ] || want=window
	[ "$1" != fdt ] || end=reset
	if [ "$2-$4" = patched-31 ] && [ "$3" != ecam ]; then # else there is nothing to override
		log=$later
		[ "$1-$3" != acpi-both ] || want=window
	fi
	went "$1, $2, config=$3, bit $4" $want $features "$log" $end
}

# With a tree, type 1 is taken first where it is there, whatever the bit says: the override waits for MCFG, which never comes. And
# no tree describes what has no window.
echo "# tables  kernel  --pci  bit  through  port reads  port writes  window writes  all exits"
for tables in acpi fdt; do
	for half in plain patched; do
		for config in ecam both type1; do
			[ $tables-$config != fdt-type1 ] || continue
			for bit in 31 off; do
				row $tables $half $config $bit
			done
		done
	done
done
for tables in acpi fdt; do
	gate "$tables: exits of each combination are the baseline's" $tables
done
config_exits='.exits.pci_config | .type1_read + .type1_write + .ecam_read + .ecam_write'
ecam=$(jq "$config_exits" "$tmp/acpi-patched-ecam-31.json") both=$(jq "$config_exits" "$tmp/acpi-patched-both-31.json")
echo "# patched kernel, bit on: config exits with config=both $both, with config=ecam $ecam"
check "patched, bit on: config=both is within 10 % of config=ecam" \
	test $((both * 100)) -le $((ecam * 110)) -a $((both * 100)) -ge $((ecam * 90))

# Whatever is read after the kernel has settled adds with each function; what it does before does not.
devices+=(--rng --rng --rng --rng --rng --rng)
run patched many --pci config=both
same "patched, six devices more: as many port accesses" \
	"$(jq -c '.exits.pci_config | [.type1_read, .type1_write]' "$tmp/acpi-patched-both-31.json")" \
	"$(jq -c '.exits.pci_config | [.type1_read, .type1_write]' "$stats")"
same "patched, six devices more: all found" 9 "$(said functions)"
devices=("${devices[@]:0:3}")

# --- without pci=noearly, which lacuna adds: MMCONFIG is accepted before the patch's turn, not after it. Before that, Linux has
# looked for chipsets in its own ways, through the ports; so what counts is that reading every register later adds nothing.
run patched early --pci config=both --add-cmdline off
ports=$(jq -c '.exits.pci_config | [.type1_read, .type1_write]' "$stats")
went "accepted early" "$mechanism" 0x80000000 "$now"
holds "accepted early: writes go through the window" '.exits.pci_config.ecam_write >= 50' "$stats"
same "accepted early: the kernel never says type 1" "" "$(said 'log PCI: Using configuration type')"
boot idle boot "${devices[@]}" --pci config=both --add-cmdline off
same "accepted early: later reads need no port" "$(jq -c '.exits.pci_config | [.type1_read, .type1_write]' "$stats")" "$ports"

# --- the user wins
for words in pci=conf1 pci=nommconf; do
	run patched $words --pci config=both
	went "$words" ports 0x80000000 ""
done
words=

# --- an MCFG that the kernel rejects, for nothing reserves what it names: in place of lacuna's, from the initramfs
"$LACUNA" dump acpi --out "$tmp/acpi" --pci config=both >/dev/null
mapfile -t byte < <(od -An -v -t u1 -w1 "$tmp/acpi/mcfg.aml" | tr -d ' ')
byte[24]=255 byte[47]=208 byte[9]=0 # OEM revision, so that it is taken for the newer; base 0xd0000000; checksum
total=0
for b in "${byte[@]}"; do
	total=$((total + b))
done
byte[9]=$((-total & 255))
mkdir -p "$tmp/table/kernel/firmware/acpi"
for b in "${byte[@]}"; do
	# shellcheck disable=SC2059
	printf "\\x$(printf %02x "$b")"
done >"$tmp/table/kernel/firmware/acpi/mcfg.aml"
(cd "$tmp/table" && find kernel | cpio --quiet -o -H newc) | cat - "$initrd" >"$tmp/rejected"
initrd=$tmp/rejected
run patched rejected --pci config=both
went "MCFG rejected" ports 0x80000000 "$later"
same "MCFG rejected: the kernel says so" "using MMCONFIG" "$(said 'log PCI: not')"
guest_files cpuid

# --- bit 15, on purpose: this kernel takes it for MSI_EXT_DEST_ID, and no APIC id needs that
run patched bit15 --pci config=both,pv-bit=15,pv-bit-15=i-understand --cpus 2
went "bit 15" ports 0x00008000 ""
finish
