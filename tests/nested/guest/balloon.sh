# SPDX-License-Identifier: Apache-2.0
# Uses memory and lets go of it, as the host says on the console; each "guest ready N" asks for the next step.
. /tests/lib.sh
dmesg -c >/dev/null
load virtio_balloon
driver=/sys/bus/virtio/drivers/virtio_balloon
device=$(cd $driver && echo virtio*)
dd if=/dev/urandom of=/tmp/keep bs=1M count=2 2>/dev/null # must come through all of it unharmed
kept=$(sha256sum </tmp/keep)
mkdir -p /mnt/fill

n=0
while echo "guest ready $n" && read -r step value; do
	case $step in
	fill)
		mount -t tmpfs -o size=100% tmpfs /mnt/fill
		dd if=/dev/zero of=/mnt/fill/a bs=1M count="$value" 2>/dev/null && say "filled-$n" yes
		;;
	drop) umount /mnt/fill ;;
	total) say total-kib "$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)" ;;
	rebind)
		for i in $(seq "$value"); do
			echo "$device" >$driver/unbind
			echo "$device" >$driver/bind
		done
		;;
	end) break ;;
	esac
	n=$((n + 1))
done
[ "$(sha256sum </tmp/keep)" = "$kept" ] && say kept yes
say complaints "$(dmesg | grep -cE 'WARNING:|BUG:|Out of memory|oom-kill')"
dmesg | grep -E 'WARNING:|BUG:|Out of memory|oom-kill'
