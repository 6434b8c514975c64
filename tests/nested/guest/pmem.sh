# SPDX-License-Identifier: Apache-2.0
# Persistent memory: as a block device, as a file system with DAX, as a target of other devices' DMA; then a read-only one.
# The host checks the files afterwards, and takes the first one away in the end.
. /tests/lib.sh
dmesg -c >/dev/null
load virtio_pmem nd_pmem
sum() {
	sha256sum | cut -d' ' -f1
}
userland true # before the mounts, which are seen in there then
say bytes "$(blockdev --getsize64 /dev/pmem0)"
say dax "$(cat /sys/block/pmem0/queue/dax)"
mkdir -p /mnt/rw /mnt/ro
mount -t ext4 -o dax=always /dev/pmem0 /mnt/rw && say mounted yes
say read "$(sum </mnt/rw/from-host)"
dd if=/dev/urandom of=/mnt/rw/from-guest bs=64k count=32 conv=fsync 2>/dev/null && say written "$(sum </mnt/rw/from-guest)"
# The disk's content, read straight into a mapping of a DAX file: no page of RAM lies between.
dd if=/dev/zero of=/mnt/rw/target bs=64k count=1 2>/dev/null
userland fio --name=dma --filename=/dev/vda --rw=read --size=64k --bs=64k --direct=1 --ioengine=psync \
	--mem=mmapshared:/mnt/rw/target --thread --output=/tmp/fio || cat /tmp/fio
say dma "$(sum </mnt/rw/target)"
sync
umount /mnt/rw && say unmounted yes
mount -t ext4 -o ro,dax=always /dev/pmem1 /mnt/ro && say ro-mounted yes
say ro-read "$(sum </mnt/ro/from-host)"
umount /mnt/ro
dd if=/dev/zero of=/dev/pmem1 bs=4k count=1 oflag=direct 2>/dev/null
say warnings "$(dmesg | grep -cE 'WARNING:|BUG:|rror')"
echo "guest waits"
read -r _
dd if=/dev/pmem0 of=/dev/null bs=1M iflag=direct
say gone no
