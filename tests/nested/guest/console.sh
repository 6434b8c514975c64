# SPDX-License-Identifier: Apache-2.0
# A virtio console with a console port and two named ones: names, bytes both ways, size, unbinding under load. What the
# host has to wait for goes to the serial port, which is this scenario's console.
. /tests/lib.sh
load virtio_console
drivers=/sys/bus/virtio/drivers/virtio_console
device=$(cd $drivers && ls -d virtio[0-9]*)

port() { # NAME: its device node
	grep -lx "$1" /sys/class/virtio-ports/*/name | sed 's,.*/\(.*\)/name,/dev/\1,'
}

# The driver learns of its ports one by one.
await_names() {
	until [ "$(cat /sys/class/virtio-ports/*/name 2>/dev/null | grep -c lacuna)" = 2 ] && [ -e /dev/hvc0 ]; do usleep 20000; done
}

await_names
# A port reads as ended as long as the guest doesn't know of somebody at the other end.
take() { # SIZE: into /tmp/data
	: >/tmp/data
	until [ "$(stat -c %s /tmp/data)" -ge "$1" ]; do
		head -c $(($1 - $(stat -c %s /tmp/data))) <&5 >>/tmp/data
		usleep 20000
	done
}

say names "$(cat /sys/class/virtio-ports/*/name | sort | tr '\n' ' ')"
echo "hello from hvc0" >/dev/hvc0

for name in org.lacuna.socket org.lacuna.pty; do
	exec 5<>"$(port $name)"
	take 300000
	say "sum-$name" "$(sha256sum </tmp/data | cut -d' ' -f1)"
	cat /tmp/data >&5
	exec 5>&-
done

window() { # nothing when it has no size
	stty size </dev/hvc0 2>/dev/null
}
say window-before "$(window)"
until [ -n "$(window)" ]; do usleep 50000; done
say window-after "$(window)"

# The host takes all that comes from this port for now.
for round in 1 2 3; do
	# opened here, while they are there: a shell would make a file of that name
	exec 5<>"$(port org.lacuna.socket)" 6<>"$(port org.lacuna.pty)" 7<>/dev/hvc0
	cat /dev/zero >&5 2>/dev/null &
	head -c 100000 /dev/zero >&6 2>/dev/null &
	head -c 65536 /dev/zero >&7 2>/dev/null &
	exec 5>&- 6>&- 7>&-
	usleep 200000
	echo "$device" >$drivers/unbind
	wait
	[ ! -e /dev/hvc0 ] || say "not-gone-$round" hvc0
	echo "$device" >$drivers/bind
	await_names
done
await_names
say names-after "$(cat /sys/class/virtio-ports/*/name | sort | tr '\n' ' ')"
echo "hello once more" >/dev/hvc0
exec 5<>"$(port org.lacuna.socket)"
say ready-after 1
take 100000
say sum-after "$(sha256sum </tmp/data | cut -d' ' -f1)"
exec 5>&-
say complaints "$(dmesg | grep -E 'WARNING: .*virtio|BUG:|virtio_console.*(rror|fail)|hung task' | tr '\n' ';')"
