# SPDX-License-Identifier: Apache-2.0
# Traffic with the host, which is 10.77.0.1 and serves iperf3 on port 5201, a file on 5001, and takes one on 5002. The device
# is unbound and bound again in the middle of a transfer.
. /tests/lib.sh
host=10.77.0.1
up() {
	ip addr add 10.77.0.2/24 dev eth0
	ip link set eth0 up
}
dmesg -c >/dev/null
load virtio_net
say mac "$(cat /sys/class/net/eth0/address)"
say mtu "$(cat /sys/class/net/eth0/mtu)"
say queues "$(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)"
up
say offloads "$(userland /usr/sbin/ethtool -k eth0 | grep -cE '^(tx-checksumming|tcp-segmentation-offload): on|^rx-checksumming: on')"
say ping "$(userland /usr/bin/ping -q -c 5 -i 0.2 $host | sed -n 's/.* \([0-9]*\) received.*/\1/p')"
say ping-large "$(userland /usr/bin/ping -q -c 2 -i 0.2 -M 'do' -s 8000 $host | sed -n 's/.* \([0-9]*\) received.*/\1/p')"
say received "$(nc $host 5001 | sha256sum | cut -d' ' -f1)"
head -c 8388608 /dev/urandom >/tmp/file
say sum "$(sha256sum </tmp/file | cut -d' ' -f1)"
nc $host 5002 </tmp/file
for direction in "" -R; do
	say "iperf$direction" "$(userland iperf3 -c $host -n 16M -P "$(nproc)" $direction -J | sed -n '/"end"/,$p' |
		awk '/"sum_received"/ { s = 1 } s && /"bits_per_second"/ { gsub(/[^0-9.]/, ""); printf "%d", $0 / 1e6; exit }')"
done
# A driver sends on the queue of the CPU that it runs on, and a tap answers a flow on the queue that it came from.
for cpu in $(seq 0 $(($(nproc) - 1))); do
	userland taskset "$(printf 0x%x $((1 << cpu)))" iperf3 -c $host -n 8M -R >/dev/null
done
say inputs "$(awk '/virtio[0-9]*-input/ { n = 0; for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i; c += n > 20 } END { print c + 0 }' /proc/interrupts)"

device=$(basename "$(readlink /sys/class/net/eth0/device)")
nc $host 5003 </dev/zero &
flood=$!
before=$(cat /sys/class/net/eth0/statistics/tx_bytes)
until [ $(($(cat /sys/class/net/eth0/statistics/tx_bytes) - before)) -gt 1000000 ]; do usleep 20000; done
echo "$device" >/sys/bus/virtio/drivers/virtio_net/unbind
[ -e /sys/class/net/eth0 ] || say unbound yes
kill $flood
echo "$device" >/sys/bus/virtio/drivers/virtio_net/bind
up
say ping-again "$(userland /usr/bin/ping -q -c 3 -i 0.2 $host | sed -n 's/.* \([0-9]*\) received.*/\1/p')"
say received-again "$(nc $host 5001 | sha256sum | cut -d' ' -f1)"
dmesg | grep -iE 'warning|bug:|virtio_net.*(error|fail)|bad gso' | while read -r line; do say complaint "$line"; done
