#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A machine with a device of each type, some behind root ports: lspci -vvv parses every capability of
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

boot clean clean --disk "path=$tmp/disk.img" --net tap=tap0 --rng --balloon bus=2 --vsock "cid=3,path=$tmp/vsock" \
	--pmem "path=$tmp/pmem.img" --console "file=$tmp/hvc0" --rng bus=1 --pci ports=2
devices=9 ports=2 # the disk of the userland among them
ends "the guest ends" 0 poweroff
# Without the modules of a /lib/modules it can't name those that could drive a device.
sed -n '/^LSPCI-BEGIN/,/^LSPCI-END/p' "$console" | grep -v '^LSPCI\|libkmod' >"$tmp/lspci"
same "lacuna counts host bridge, devices and ports" $((1 + devices + ports)) "$(jq .machine.pci.functions "$stats")"
same "lspci lists them all" $((1 + devices + ports)) "$(grep -cE '^[0-9a-f]{2}:[0-9a-f]{2}\.[0-7] ' "$tmp/lspci")"
same "each virtio function has its driver, and MSI-X on" $devices \
	"$(awk -v RS= '/Kernel driver in use: virtio-pci/ && /MSI-X: Enable\+/' "$tmp/lspci" | grep -c '^[0-9a-f]')"
same "each root port has its driver" $ports "$(grep -c 'Kernel driver in use: pcieport' "$tmp/lspci")"
same "every virtio device has its driver" "" "$(said unbound)"
# <unknown> is what this pciutils calls the virtio capability for access through configuration space; a port has no I/O window.
same "lspci finds nothing odd" "" "$(grep -vE 'VirtIO: <unknown>|behind bridge: .*\[disabled\]' "$tmp/lspci" |
	grep -E '<access denied>|!!!|[Uu]nknown|\?\?|<unassigned>|disabled\]|broken|looped|virtual')"
same "no function reports an error" "" "$(grep -E '^\s+(Status|Secondary status|DevSta|UESta):' "$tmp/lspci" |
	grep -E '(Abort|SERR|PERR|Err|UnsupReq)\+')"

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
