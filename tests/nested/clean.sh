#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A machine with a device of each type: lspci -vvv parses every capability of
# every function, each device gets its driver, and the guest's kernel has nothing to warn of.
if [ "${1:-}" != inside ]; then
	map=()
	[ "$(id -u)" -eq 0 ] || map=(--map-root-user)
	exec unshare --net "${map[@]}" bash "$0" inside
fi
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
guest_files userland
truncate -s 4M "$tmp/disk.img" "$tmp/pmem.img"
ip tuntap add dev tap0 mode tap
ip link set tap0 up

boot clean clean --disk "path=$tmp/disk.img" --net tap=tap0 --rng --balloon --vsock "cid=3,path=$tmp/vsock" \
	--pmem "path=$tmp/pmem.img"
ends "the guest ends" 0 poweroff
# Without the modules of a /lib/modules it can't name those that could drive a device.
sed -n '/^LSPCI-BEGIN/,/^LSPCI-END/p' "$console" | grep -v '^LSPCI\|libkmod' >"$tmp/lspci"
functions=$(jq .machine.pci.functions "$stats")
same "lspci lists every function" "$functions" "$(grep -cE '^[0-9a-f]{2}:[0-9a-f]{2}\.[0-7] ' "$tmp/lspci")"
check "all eight of them" test "$functions" -ge 8
same "each virtio function has its driver" "$((functions - 1))" "$(grep -c 'Kernel driver in use: virtio-pci' "$tmp/lspci")"
same "every virtio device has its driver" "" "$(said unbound)"
same "each virtio function has MSI-X on" "$((functions - 1))" "$(grep -c 'MSI-X: Enable+' "$tmp/lspci")"
# <unknown> is what this pciutils calls the virtio capability for access through configuration space.
same "lspci finds nothing odd" "" "$(grep -E '<access denied>|!!!|[Uu]nknown|\?\?|<unassigned>|disabled\]|broken|looped|virtual' "$tmp/lspci" |
	grep -v 'VirtIO: <unknown>')"
same "no function reports an error" "" "$(grep -E '(TAbort|MAbort|SERR|PERR|CorrErr|NonFatalErr|FatalErr|UnsupReq)\+' "$tmp/lspci")"

# What a stock kernel says here that is no fault of the machine's:
# - of the host's CPU and its microcode: Speculative Return Stack Overflow;
# - of the nested bed's CPU, which QEMU emulates: the size of its XSAVE area, the same under QEMU's q35 in there;
# - of virtio_pmem: behind it is no NVDIMM, and without one the kernel asks no further how to flush (nvdimm_has_flush);
# - of `pci=noearly`, which lacuna adds: no configuration access yet when the kernel first looks. ACPI's MCFG gives it soon after.
complaints=$(sed -n 's/^guest complaint //p' "$console" | grep -v '^Speculative Return Stack Overflow:' |
	grep -v '^nd_pmem .*unable to guarantee persistence of writes$' |
	grep -v '^PCI: Fatal: No config space access function found$')
[ -z "${LACUNA_IN_BED:-}" ] ||
	complaints=$(sed '/^XSAVE consistency problem/,/^CPUID\[0d, 1c\]/d; /^-*\[ cut here \]-*$/d' <<<"$complaints")
same "the guest's kernel warns of nothing" "" "$complaints"
finish
