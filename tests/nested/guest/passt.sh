# SPDX-License-Identifier: Apache-2.0
# Traffic over passt: with 10.88.1.1 behind the gateway, and with the host itself, which the gateway's address stands for.
# Then the link goes down, if lacuna.wait says so.
. /tests/lib.sh
remote=10.88.1.1
gateway=10.88.0.1
load virtio_net
say mtu "$(cat /sys/class/net/eth0/mtu)"
ip addr add 10.88.0.15/24 dev eth0
ip link set eth0 up
ip route add default via $gateway
say carrier "$(cat /sys/class/net/eth0/carrier)"
say ping "$(userland /usr/bin/ping -q -c 3 -i 0.2 $remote | sed -n 's/.* \([0-9]*\) received.*/\1/p')"
say received "$(nc $remote 5001 | sha256sum | cut -d' ' -f1)"
head -c 4194304 /dev/urandom >/tmp/file
say sum "$(sha256sum </tmp/file | cut -d' ' -f1)"
nc $gateway 5002 </tmp/file
for direction in "" -R; do
	say "iperf$direction" "$(userland iperf3 -c $remote -n 8M $direction -J | sed -n '/"end"/,$p' |
		awk '/"sum_received"/ { s = 1 } s && /"bits_per_second"/ { gsub(/[^0-9.]/, ""); printf "%d", $0 / 1e6; exit }')"
done
say ready now
if grep -q lacuna.wait /proc/cmdline; then
	n=0
	while [ "$(cat /sys/class/net/eth0/carrier)" = 1 ] && [ $n -lt 300 ]; do
		usleep 100000
		n=$((n + 1))
	done
	say carrier-then "$(cat /sys/class/net/eth0/carrier)"
	userland /usr/bin/ping -q -c 1 -W 1 $remote >/dev/null 2>&1 || say ping-then fails
fi
