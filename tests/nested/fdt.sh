#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The small kernel goes by the device tree alone: processors, memory, the serial port and its interrupt, PCI with all that is
# on it. Then what a kernel makes of both kinds of tables, and what becomes of one that reads no tree.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
flavour=small
guest_files
limit=90s
bzimage=$(dirname "$kernel")/bzImage
marked_disk
content="FDT $disk_sum"
devices=(--disk "path=$disk,serial=FDT" --rng)

run() { # NAME OPTION...: boots; types a line once the guest listens
	start "$1" fdt "${devices[@]}" "${@:2}"
	if await "guest listens"; then
		tell "by interrupt"
	fi
	conclude
}
# What must be the same of all boots by the tree. Linux 6.1 takes the ECAM window's address for the number of the PCI
# domain: on x86 it finds struct pci_sysdata where the driver of generic hosts has put something else.
by_tree() { # NAME CPUS
	ends "$1: boots and restarts" 0 reset
	same "$1: no ACPI" "" "$(said acpi)"
	same "$1: the model" lacuna "$(said model)"
	same "$1: processors" "$2" "$(said cpus)"
	same "$1: the disk" "$content" "$(said disk)"
	same "$1: the disk's interrupts are MSI" 1 "$(said disk-interrupts)"
	same "$1: the entropy device" 16 "$(said entropy)"
	same "$1: the serial port is the tree's" /soc/isa@0/serial@3f8 "$(said serial-node)"
	same "$1: its interrupt comes" "by interrupt" "$(said heard)"
}
warnings() { # the monitor's, of the kernel
	grep -ac '^lacuna: kernel: ' "$console"
}

run alone --tables fdt
by_tree "by the tree" 1
same "by the tree: where the disk is" e0000000:00:01.0 "$(said disk-at)"
same "by the tree: no complaint" 0 "$(said complaints)"
same "by the tree: no warning" 0 "$(warnings)"
holds "by the tree: configuration space is read without an exit" \
	'.exits.pci_config | .ecam_read == 0 and .ecam_write > 0 and .type1_read + .type1_write <= 2' "$stats"
dump=("$LACUNA" dump fdt --out "$tmp/dump" --kernel "$kernel" --initrd "$initrd" "${devices[@]}" --tables fdt
	--cmdline "console=ttyS0 quiet lacuna.test=fdt $words")
"${dump[@]}" >/dev/null
same "by the tree: it is what dump shows" "$(sha256sum <"$tmp/dump/machine.dtb" | cut -c1-16)" "$(said tree)"

run larger --tables fdt --cpus 3 --memory 4G --pci ports=2 --rng=bus=1 --rng=bus=2
by_tree "3 CPUs, 4 GiB, ports" 3
same "3 CPUs, 4 GiB, ports: functions" 7 "$(said functions)"
check "3 CPUs, 4 GiB, ports: memory" test "$(said memory)" -gt 3900

# --- acpi=off, where both are there: by the tree again; and without it, by ACPI
words=acpi=off
run off --tables both --cpus 2
by_tree "acpi=off" 2
words=
run both --tables both --cpus 2
ends "both: boots and powers off" 0 poweroff
same "both: by ACPI" "yes 0000:00:01.0" "$(said acpi) $(said disk-at)"
same "both: the disk, once" "$content 3" "$(said disk) $(said functions)"
same "both: processors" 2 "$(said cpus)"
same "both: no warning" 0 "$(warnings)"

# --- a bzImage, unpacked by the host or by itself
vmlinux=$kernel
kernel=$bzimage
run host --tables fdt --kernel-unpack host
by_tree "bzImage unpacked by the host" 1
same "bzImage unpacked by the host: no warning" 0 "$(warnings)"
run guest --tables fdt --kernel-unpack guest
by_tree "bzImage" 1
check "bzImage: nobody can see what it reads" grep -aq "is packed, so it can't be seen whether it reads device trees" "$console"
kernel=$vmlinux

# --- a stock kernel needs ACPI, and lacuna says so before it shows: it finds no PCI, and no timer's interrupt gets it further
flavour=cloud
guest_files
words=ignore_loglevel
for unpack in host guest; do
	start "stock-$unpack" boot --tables fdt --kernel-unpack $unpack "${devices[@]}"
	check "stock kernel, unpacked by $unpack: no PCI at all" await "PCI: System does not support PCI"
	kill "$pid" 2>/dev/null
	conclude
	same "stock kernel, unpacked by $unpack: one warning" 1 "$(warnings)"
done
check "stock kernel, unpacked by guest: what can't be seen" grep -aq "is packed, so it can't be seen" "$console"
check "stock kernel, unpacked by host: it reads no device tree" grep -aq \
	'is built without CONFIG_OF_EARLY_FLATTREE and reads no device tree: it needs ACPI' "$tmp/stock-host.console"
finish
