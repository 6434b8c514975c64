#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A kernel as old ones were configured: without MMCONFIG, so that ports 0xCF8-0xCFF are its one way to PCI. It is the third one of
# tools/guest-kernel. What it finds where the ports are there, and what is said where they are not.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
flavour=small
guest_files cpuid
marked_disk
devices=(--disk "path=$disk" --rng)

warning="is built without CONFIG_PCI_MMCONFIG and will find no PCI with config=ecam; give --pci config=both or config=type1"
warned() {
	grep -acF "$warning" "$console"
}

use_kernel type1
echo "# --pci  port reads  port writes  window writes  all exits"
for config in type1 both; do
	boot $config pv-bit "${devices[@]}" --pci config=$config
	ends "config=$config: boots and powers off" 0 poweroff
	same "config=$config: it finds three functions, and its disk" "3 $disk_sum" "$(said functions) $(said disk)"
	same "config=$config: nothing to warn of" 0 "$(warned)"
	holds "config=$config: all through the ports" \
		'.exits.pci_config | .type1_read >= 500 and .ecam_write == 0 and (.ecam_read // 0) == 0' "$stats"
	jq -r --arg c $config '.exits as $e | $e.pci_config as $p |
		"# config=\($c)  \($p.type1_read)  \($p.type1_write)  \($p.ecam_write)  \($e.total)"' "$stats"
done

# --- the default has no ports: it is up, all the same, and was told before
boot ecam pv-bit "${devices[@]}"
ends "config=ecam: boots and powers off" 0 poweroff
same "config=ecam: it finds nothing" "0" "$(said functions)"
same "config=ecam: one warning says so" 1 "$(warned)"

# --- a bzImage is looked into where it is unpacked here; the kernel's neighbour, which has MMCONFIG, is none of this
use_kernel type1
kernel=$(dirname "$kernel")/bzImage
boot packed pv-bit "${devices[@]}"
same "bzImage: the warning" 1 "$(warned)"
use_kernel plain
boot plain pv-bit "${devices[@]}"
same "with MMCONFIG: no warning, and all is found" "0 3" "$(warned) $(said functions)"
finish
