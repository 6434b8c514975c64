# SPDX-License-Identifier: Apache-2.0
# With every driver loaded: all that lspci says, and each warning or error of the kernel's.
. /tests/lib.sh
load virtio_net vmw_vsock_virtio_transport virtio_balloon virtio_console virtio_pmem nd_pmem
echo LSPCI-BEGIN
userland lspci -vvv 2>&1
echo LSPCI-END
say unbound "$(for d in /sys/bus/virtio/devices/*; do [ -e "$d/driver" ] || echo "${d##*/}"; done)"
dmesg -r | sed -n 's/^<[0-4]>\[[ 0-9.]*\] /guest complaint /p'
