# SPDX-License-Identifier: Apache-2.0
# Disks under load and in trouble: vda by io_uring and vdb by threads, two queues each; vdc a block device of the host with
# direct I/O, where there is one; vdd on a file system of the host that is too small; vde a file that the host truncates.
. /tests/lib.sh
dmesg -c >/dev/null # what the boot had to say, of the CPU for instance, is not ours
by_serial() {
	for d in /sys/block/vd*; do
		[ "$(cat "$d/serial")" != "$1" ] || basename "$d"
	done
}
uring=$(by_serial uring) threads=$(by_serial threads) direct=$(by_serial direct) full=$(by_serial full) cut=$(by_serial cut)
say queues "$(ls "/sys/block/$uring/mq" | wc -l) $(ls "/sys/block/$threads/mq" | wc -l)"

# Every job verifies what it has written; they run side by side, each in a part of its own.
job() { # NAME DISK OFFSET SIZE BS DEPTH [LINE...]
	printf '[%s]\nfilename=/dev/%s\noffset=%s\nsize=%s\nbs=%s\niodepth=%s\n' "$@" | head -n 6
	shift 6
	for line in "$@"; do echo "$line"; done
}
{
	printf '[global]\nioengine=libaio\ndirect=1\nrw=randwrite\nverify=crc32c\nverify_fatal=1\nverify_state_save=0\nthread=1\nrandrepeat=1\n'
	job uring-4k "$uring" 0 768k 4k 32 cpus_allowed=0
	job uring-512 "$uring" 1m 64k 512 8 cpus_allowed=1
	job uring-128k "$uring" 2m 2m 128k 4 rw=write
	job uring-buffered "$uring" 4m 1m 16k 1 direct=0 fsync=16
	job threads-4k "$threads" 0 512k 4k 16 cpus_allowed=0
	job threads-64k "$threads" 2m 1m 64k 8 cpus_allowed=1
	[ -z "$direct" ] || job direct-4k "$direct" 0 512k 4k 16
} >/tmp/jobs
userland fio --eta=never --output=/tmp/fio.out /tmp/jobs
say fio "$?"
grep -E 'verify:|error=' /tmp/fio.out | head -n 5
sync

blkdiscard -o 8388608 -l 4194304 "/dev/$uring" && say discarded ok

dd if=/dev/zero of="/dev/$full" bs=64k oflag=direct 2>/dev/null
say full "$?"
dd if="/dev/$full" of=/dev/null bs=64k count=1 iflag=direct 2>/dev/null
say full-reads "$?"

# The driver goes and comes back while requests are under way.
device=$(basename "$(readlink "/sys/block/$threads/device")")
for round in 1 2 3; do
	disk=$(ls "/sys/bus/virtio/devices/$device/block")
	for i in 1 2; do
		dd if="/dev/$disk" of=/dev/null bs=16k iflag=direct 2>/dev/null &
	done
	echo "$device" >/sys/bus/virtio/drivers/virtio_blk/unbind
	wait
	echo "$device" >/sys/bus/virtio/drivers/virtio_blk/bind
done
disk=$(ls "/sys/bus/virtio/devices/$device/block")
dd if="/dev/$disk" of=/dev/null bs=64k count=8 iflag=direct 2>/dev/null && say bound-again ok

# The host truncates vde, then makes vda larger: that is the sign to go on.
before=$(blockdev --getsize64 "/dev/$uring")
echo waiting for the host
i=0
while [ "$(blockdev --getsize64 "/dev/$uring")" = "$before" ] && [ $i -lt 300 ]; do
	sleep 0.1
	i=$((i + 1))
done
size=$(blockdev --getsize64 "/dev/$uring")
say size "$size"
dd if=/dev/urandom of="/dev/$uring" bs=4096 count=1 seek=$((size / 4096 - 1)) oflag=direct 2>/dev/null && say last-block ok
dd if="/dev/$cut" of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null && say cut-front ok
dd if="/dev/$cut" of=/dev/null bs=4096 skip=512 count=1 iflag=direct 2>/dev/null
say cut-back "$?"
dmesg | grep -A 12 -E 'WARNING|BUG:|stuck' | head -n 60
say warnings "$(dmesg | grep -cE 'WARNING|BUG:|stuck')"
