# SPDX-License-Identifier: Apache-2.0
# Runs programs of the userland image, and loads each further driver.
. /tests/lib.sh
say fio "$(userland fio --version)"
say iperf3 "$(userland iperf3 --version | head -n 1)"
say functions "$(userland lspci | wc -l)"
userland mkfs.ext4 -q /dev/vda
mount -t ext4 /dev/vda /mnt
echo kept >/mnt/file
say mounted "$(userland cat /mnt/file)"
umount /mnt
load virtio_net vmw_vsock_virtio_transport virtio_console virtio_balloon virtio_pmem nd_pmem
say drivers "$(ls -d /sys/module/virtio_net /sys/module/vmw_vsock_virtio_transport /sys/module/virtio_console \
	/sys/module/virtio_balloon /sys/module/virtio_pmem /sys/module/nd_pmem | wc -l)"
say uptime "$(cat /proc/uptime)"
