#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The network device on taps of a network namespace of this test's own: traffic both ways, checksums of what was transferred,
# offloads, several queues, large frames, and a driver that goes and comes back under load.
if [ "${1:-}" != inside ]; then
	map=()
	[ "$(id -u)" -eq 0 ] || map=(--map-root-user)
	exec unshare --net "${map[@]}" bash "$0" inside
fi
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
guest_files userland
limit=120s

head -c 8M /dev/urandom >"$tmp/file"
sum=$(sha256sum <"$tmp/file" | cut -d' ' -f1)
ip link set lo up
socat -U TCP-LISTEN:5001,reuseaddr,fork "OPEN:$tmp/file" &
socat -u TCP-LISTEN:5003,reuseaddr,fork OPEN:/dev/null &
iperf3 -s >/dev/null &
trap 'kill %1 %2 %3; rm -rf "$tmp"' EXIT

tap() { # NAME WORD...
	ip tuntap add "$1" mode tap "${@:2}"
	ip addr add 10.77.0.1/24 dev "$1"
	ip link set "$1" mtu 9000 up
}

traffic() { # NAME PAIRS OPTION...: a boot, and what it must find
	local name=$1 pairs=$2
	shift 2
	socat -u TCP-LISTEN:5002,reuseaddr "CREATE:$tmp/back" &
	local back=$!
	boot "$name" net "$@"
	kill $back 2>/dev/null
	ends "$name: the guest ends" 0 poweroff
	same "$name: address" 52:54:00:aa:bb:cc "$(said mac)"
	same "$name: MTU" 9000 "$(said mtu)"
	same "$name: pairs of queues" "$pairs" "$(said queues)"
	same "$name: the guest uses the offloads" 3 "$(said offloads)"
	same "$name: ping" 5 "$(said ping)"
	same "$name: frames of 8 KiB" 2 "$(said ping-large)"
	same "$name: what the guest received" "$sum" "$(said received)"
	same "$name: what the guest sent" "$(said sum)" "$(sha256sum <"$tmp/back" | cut -d' ' -f1)"
	check "$name: iperf3 to the host" test "$(said iperf)" -gt 0
	check "$name: iperf3 from the host" test "$(said iperf-R)" -gt 0
	same "$name: each pair has received" "$pairs" "$(said inputs)"
	same "$name: unbound" yes "$(said unbound)"
	same "$name: ping after bind" 3 "$(said ping-again)"
	same "$name: what the guest received after bind" "$sum" "$(said received-again)"
	same "$name: the guest's kernel has nothing to complain of" "" "$(said complaint)"
	echo "# $name: iperf3 $(said iperf) Mbit/s to the host, $(said iperf-R) Mbit/s from it"
}

tap tap0
traffic "tap" 1 --net tap=tap0,mac=52:54:00:aa:bb:cc,mtu=9000
ip link del tap0
tap tap1 multi_queue
traffic "tap with 2 queues" 2 --cpus 2 --net tap=tap1,queues=2,mac=52:54:00:aa:bb:cc,mtu=9000
ip link del tap1
finish
