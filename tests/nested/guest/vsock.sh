# SPDX-License-Identifier: Apache-2.0
# Sockets to the host; tests/nested/vsock.sh is the other half.
. /tests/lib.sh
dmesg -c >/dev/null
load vmw_vsock_virtio_transport
userland true

# host STEP: has it done there, prints what it says
host() {
	echo "$1" | userland socat -t 100 - VSOCK-CONNECT:2:7000
}

# listen PORT SOCAT-ADDRESS [SOCAT-OPTION]: returns when it listens; what it logs then is in /tmp/PORT.log
listen() {
	mkfifo "/tmp/$1"
	# shellcheck disable=SC2086 # no option is no argument
	userland socat -d -d -t 100 ${3:-} "VSOCK-LISTEN:$1,fork,backlog=128" "$2" 2>"/tmp/$1" &
	exec 3<"/tmp/$1"
	while read -r line <&3; do
		case $line in *"listening on"*) break ;; esac
	done
	cat <&3 >"/tmp/$1.log" &
	exec 3<&-
}

say refused "$(userland socat - VSOCK-CONNECT:2:6999 2>&1 </dev/null)"
listen 5000 PIPE
say many "$(host many)"
say cid "$(sed -n 's/.*accepting connection from AF=40 cid:2 .* on AF=40 cid:\([0-9]*\) .*/\1/p' /tmp/5000.log | sort -u)"
# Each connection to 5004 makes one to the host. Linux gives up after 2 s, which is short where 100 processes share such a CPU:
# SO_VM_SOCKETS_CONNECT_TIMEOUT of AF_VSOCK, a struct timeval of 60 s.
listen 5004 VSOCK-CONNECT:2:6000,setsockopt-listen=40:6:x3c000000000000000000000000000000
say relayed "$(host relayed)"
listen 5001 EXEC:cat
say bulk "$(host bulk | cut -d' ' -f1)"
listen 5003 OPEN:/tmp/received,creat -u
host send
say received "$(sha256sum /tmp/received | cut -d' ' -f1)"
userland socat -u OPEN:/tmp/received VSOCK-CONNECT:2:6001
say closed "$(host closed)"
say bad "$(host bad)"
userland socat -u OPEN:/dev/zero VSOCK-CONNECT:2:6002 2>/dev/null
say writer ended

listen 5002 PIPE
say hold "$(host hold)"
for device in /sys/bus/virtio/drivers/*vsock*/virtio*; do
	driver=$(dirname "$device")
	basename "$device" >"$driver/unbind"
	basename "$device" >"$driver/bind"
done
say held "$(host held)"
say many-again "$(host many)"
say uptime "$(cat /proc/uptime)"
dmesg | grep -iE 'warning|bug:|vsock.*(error|fail)' | while read -r line; do say complaint "$line"; done
