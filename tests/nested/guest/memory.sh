# SPDX-License-Identifier: Apache-2.0
# How much RAM there is, and whether what is written to it stays. Linux takes pages above 4 GiB (zone Normal) first.
. /tests/lib.sh
free_above_4g() {
	sed -n '/zone *Normal/,$s/^ *pages free *//p' /proc/zoneinfo | head -n 1
}
say total-kib "$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)"
say last-range "$(grep 'System RAM' /proc/iomem | tail -n 1 | cut -d' ' -f1)"
before=$(free_above_4g)
mount -t tmpfs -o size=50% tmpfs /mnt
dd if=/dev/urandom of=/mnt/a bs=1M count=16 2>/dev/null
cat /mnt/a >/mnt/b
cmp -s /mnt/a /mnt/b && say kept yes
say used-above-4g "$((${before:-0} - $(free_above_4g)))"
