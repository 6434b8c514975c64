#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Kernels of Debian's that are not Linux, as far as they come on a machine without PIT, VGA and BIOS: GNU Mach and Xen, entered by
# multiboot, and memtest86+, which begins as a bzImage does. None ends by itself.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"

found() { # NAME: sets $kernel; false, with a skipped test, if apt has no such package
	kernel=$("$top/tools/other-kernels" "$1" 2>"$tmp/error") && return
	skip "$1" "$(cat "$tmp/error")"
	return 1
}

# watch NAME TEXT OPTION...: runs $kernel until its console has shown TEXT, ends it from outside and leaves what it said in $console
watch() {
	local name=$1 text=$2
	console=$tmp/$name.console
	"$LACUNA" run --kernel "$kernel" --timeout 90s --stats-file "$tmp/$name.json" "${@:3}" >"$console" 2>&1 </dev/null &
	pid=$!
	check "$name: comes up to: $text" await "$text"
	kill "$pid" 2>/dev/null
	conclude
}

if found gnumach; then
	head -c 3000000 /dev/urandom >"$tmp/module"
	watch gnumach "vm_page: DMA32: min" --memory 512M --cmdline "gnumach console=com0"
	check "gnumach: says who it is" grep -q "^GNU Mach 1.8" "$console"
	same "gnumach: the memory map is what E820 is" "0:9f000 100000:20000000 " \
		"$(sed -nE 's/^biosmem: 0*([0-9a-f]+):0*([0-9a-f]+), available/\1:\2/p' "$console" | tr '\n' ' ')"
	free() { sed -nE 's/^vm_page: DMA32: pages: [0-9]+ \([0-9]+M\), free: ([0-9]+) .*/\1/p' "$console"; }
	without=$(free)
	watch gnumach-module "vm_page: DMA32: min" --memory 512M --cmdline "gnumach console=com0" --initrd "$tmp/module"
	check "gnumach: a module takes its pages" test $((without - $(free))) -ge $((3000000 / 4096))
fi

# Its first module is what it would start, which it never comes to; the machine lacks the timer that it wants then.
if found xen; then
	cp "$kernel" "$tmp/module"
	watch xen "PCI: Using MCFG for segment 0000 bus 00-02" --memory 1G --pci buses=3 --initrd "$tmp/module" \
		--cmdline "xen no-real-mode console=com1 com1=115200,8n1,0x3f8,4 loglvl=all"
	check "xen: knows who has loaded it" grep -q "^(XEN) Bootloader: lacuna" "$console"
	check "xen: its command line, less the first word" grep -q "^(XEN) Command line: no-real-mode console=com1 " "$console"
	check "xen: the memory map" grep -q "^(XEN)  \[0000000000100000, 000000003fffffff\] (usable)" "$console"
	check "xen: the ACPI tables" grep -q "^(XEN) ACPI: MCFG .*LACUNA" "$console"
fi

if found memtest; then
	watch memtest "[Address test, walking ones" --memory 64M --add-cmdline off --cmdline "console=ttyS0,115200"
fi
finish
