# SPDX-License-Identifier: Apache-2.0
# Proves the disk and the entropy device; the disk's size and serial number, its content before and after writing.
# The host checks the file afterwards.
. /tests/lib.sh
disk=/dev/vda
say disk-bytes "$(blockdev --getsize64 $disk)"
say disk-serial "$(cat /sys/block/vda/serial)"
say disk-cache "$(cat /sys/block/vda/queue/write_cache)"
say disk-discard "$(cat /sys/block/vda/queue/discard_max_bytes)"
say disk-read "$(dd if=$disk bs=64k count=64 iflag=direct 2>/dev/null | sha256sum | cut -d' ' -f1)"
# 8 MiB at 16 MiB, through the page cache and a flush; then one sector, and the very last one, directly.
dd if=$disk bs=1M count=4 2>/dev/null >/tmp/pattern
cat /tmp/pattern /tmp/pattern | dd of=$disk bs=1M seek=16 conv=fsync 2>/dev/null && say disk-write ok
head -c 512 /tmp/pattern | dd of=$disk bs=512 seek=65537 oflag=direct 2>/dev/null && say disk-sector ok
head -c 512 /tmp/pattern | dd of=$disk bs=512 seek=$(($(blockdev --getsz $disk) - 1)) oflag=direct 2>/dev/null &&
	say disk-last ok
blkdiscard -o 41943040 -l 1048576 $disk && say disk-discarded ok
sync
say rng-current "$(cat /sys/class/misc/hw_random/rng_current)"
say rng-bytes "$(dd if=/dev/hwrng bs=64 count=1 2>/dev/null | wc -c)"
say rng-differs "$(for i in 1 2; do dd if=/dev/hwrng bs=16 count=1 2>/dev/null | od -An -tx1; done | sort -u | wc -l)"
if [ -b /dev/vdb ]; then
	say readonly "$(cat /sys/block/vdb/ro)"
	dd if=/dev/vda of=/dev/vdb bs=512 count=1 oflag=direct 2>/dev/null && say readonly-written yes
fi
say vectors "$(grep -c 'virtio[0-9]*-' /proc/interrupts)"
