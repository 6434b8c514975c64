#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lacuna bench boot with Debian's kernel, beside QEMU's q35: counts by tracepoints and by lacuna, one bus that traps as the honest rival,
# phases from the guest's log; and that a signal in the midst of it leaves nothing behind.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
guest_files devices
result=$tmp/result.json
options=(--kernel "$kernel" --initrd "$initrd" --cmdline 'console=ttyS0 quiet lacuna.test=bench-boot')

if [ ! -w /sys/kernel/tracing/instances ]; then
	skip "bench boot beside QEMU" "counting needs root and tracefs"
	finish
fi
instances() { (cd /sys/kernel/tracing/instances && echo *); }
before=$(instances)

status=0
timeout 400 "$LACUNA" bench boot "${options[@]}" --repeat 1 --count 1 --initcalls log --variants lacuna,lacuna-trap-1bus --compare qemu-q35 \
	--format json >"$result" 2>"$tmp/err" || status=$?
same "status" "0 " "$status $(cat "$tmp/err")"
check "the schema holds" valid "$result"
jq -c '.rows[] | del(.. | .mad?, .mean?, .p90?, .p99?, .iqr?, .noise?)' "$result" | sed 's/^/# /'
row() { echo "(.rows[] | select(.part == \"$1\" and .what == \"$2\"))"; }
holds "all are measured and counted" '([.rows[].what] | length == 12) and ([.rows[] | has("not_available")] | any | not)' "$result"
holds "tracepoints and statistics agree" "$(row returns lacuna)"'.tracepoints_agree and '"$(row returns lacuna-trap-1bus)"'.tracepoints_agree' \
	"$result"
holds "of QEMU the tracepoints tell" "$(row returns qemu-q35)"' | .counted_by == "tracepoints" and .pci_config.absent == null and
	.tracepoints_agree == null and .class.io + .class.mmio <= .returns.max and .class.pci <= .returns.max' "$result"
# medians of two boots, each rounded: half of one for each reason
holds "every return has its reason, of lacuna and of QEMU" '[.rows[] | select(.part == "returns") | (.returns.p50 - (.by_reason | add) | fabs) <= 0.5 + (.by_reason | length) / 2] == [true, true, true]' \
	"$result"
holds "exits to KVM: more than the returns, by reasons of the CPU" '[.rows[] | select(.part == "exits") | .exits.p50 == (.by_reason | add) and
	.by_reason.npf > 0 and .by_reason.msr > 0] == [true, true, true] and '"$(row exits lacuna)"'.exits.p50 > '"$(row returns lacuna)"'.returns.p50 and
	'"$(row exits qemu-q35)"'.exits.p50 > '"$(row returns qemu-q35)"'.returns.p50' "$result"
holds "a window in memory: no read returns" "$(row returns lacuna)"'.pci_config.window_read == 0' "$result"
holds "the honest rival: it reads, and writes the same" "$(row returns lacuna-trap-1bus)"'.pci_config.window_read > 300 and
	'"$(row returns lacuna-trap-1bus)"'.pci_config.window_write == '"$(row returns lacuna)"'.pci_config.window_write' "$result"
holds "q35: thousands of accesses by ports" "$(row returns qemu-q35)"'.pci_config | .port_read > 5000 and .port_write > 5000' "$result"
holds "the monitors' memory" '[.rows[] | select(.part == "boot") | .memory_kib.p50 > 500] == [true, true, true] and
	'"$(row boot lacuna)"'.memory_kib.p50 < '"$(row boot qemu-q35)"'.memory_kib.p50' "$result"
in_order="$(row phases lacuna)"' | [.process_us, .created_us, .first_us, .kernel_us, .pci_arch_init_us, .acpi_init_us,
	.pci_subsys_init_us, .init_us, .marker_us] | map(.p50) | . == sort and .[0] > 0'
holds "phases are in order" "$in_order" "$result"
holds "every guest tells of its initcalls" '[.rows[] | select(.part == "phases") | .took_us | (.pci_arch_init, .acpi_init, .pci_subsys_init) |
	numbers] | length == 9' "$result"
echo "# pci_subsys_init, us: q35 $(jq "$(row phases qemu-q35)"'.took_us.pci_subsys_init' "$result"), lacuna $(jq "$(row phases lacuna)"'.took_us.pci_subsys_init' "$result")"
holds "goals of counts are met" '[.figures[] | select(.name | startswith("time") | not) | .verdict] == ["met", "met"]' "$result"
same "no tracing instance is left" "$before" "$(instances)"

timeout 200 "$LACUNA" bench boot "${options[@]}" --repeat 1 --count 0 --initcalls console --variants lacuna --format json >"$result"
holds "phases by the console: they are in order" "$in_order" "$result"
holds "phases by the console: what initcalls took" "$(row phases lacuna)"'.took_us | map(numbers) | length == 3' "$result"

# while the command waits, the histograms of the instance are armed
interrupted INT 130 boot "${options[@]}" --variants lacuna --compare-cmd "mine=sleep 1000 & echo \$\$ \$!>'$tmp/pids'; wait"
same "SIGINT: nor is any other instance" "$before" "$(instances)"
finish
