#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The network device on passt, which connects it to this test's own network namespace, and that to another one where services
# run. passt is killed while the guest runs.
if [ "${1:-}" != inside ]; then
	map=()
	[ "$(id -u)" -eq 0 ] || map=(--map-root-user)
	# Also a PID namespace: whatever a service leaves behind ends with this test, and keeps no pipe of its open.
	exec unshare --net --pid --fork --kill-child --mount-proc "${map[@]}" bash "$0" inside
fi
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
guest_files userland
limit=120s
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$tmp"' EXIT

# What is behind the gateway.
mkfifo "$tmp/started"
unshare --net bash -c 'echo >"$0/started"; exec sleep 600' "$tmp" &
there=$!
read -r _ <"$tmp/started"
beyond() { nsenter --net="/proc/$there/ns/net" "$@"; }
ip link add here type veth peer name there netns $there
ip addr add 10.88.0.15/24 dev here
ip link set lo up
ip link set here up
ip route add default via 10.88.0.1
beyond ip addr add 10.88.0.1/24 dev there
beyond ip addr add 10.88.1.1/32 dev there
beyond ip link set there up
echo "0 2147483647" >/proc/sys/net/ipv4/ping_group_range
head -c 4M /dev/urandom >"$tmp/file"
sum=$(sha256sum <"$tmp/file" | cut -d' ' -f1)
beyond socat -U TCP-LISTEN:5001,reuseaddr,fork "OPEN:$tmp/file" &
beyond iperf3 -s >/dev/null &

traffic() { # NAME OPTION...
	local name=$1 back
	shift
	socat -u TCP-LISTEN:5002,reuseaddr,bind=127.0.0.1 "CREATE:$tmp/back" &
	back=$!
	boot "$name" passt "$@"
	kill $back 2>/dev/null
	ends "$name: the guest ends" 0 poweroff
	same "$name: MTU" 65520 "$(said mtu)"
	same "$name: ping" 3 "$(said ping)"
	same "$name: what the guest received" "$sum" "$(said received)"
	same "$name: what the guest sent" "$(said sum)" "$(sha256sum <"$tmp/back" | cut -d' ' -f1)"
	check "$name: iperf3 to the other side" test "$(said iperf)" -gt 0
	check "$name: iperf3 from the other side" test "$(said iperf-R)" -gt 0
	echo "# $name: iperf3 $(said iperf) Mbit/s from the guest, $(said iperf-R) Mbit/s to it"
}

# passt is the one child of lacuna, which is a child of this script.
child() { pgrep -P "$(pgrep -P $$ -x lacuna)"; }
words=lacuna.wait
(
	until grep -qs "guest ready" "$tmp/passt of its own.console"; do sleep 0.2; done
	child >"$tmp/killed"
	kill -KILL "$(cat "$tmp/killed")"
) &
traffic "passt of its own" --net passt,mtu=65520
same "killed: the guest sees no carrier" 0 "$(said carrier-then)"
same "killed: nothing gets through" fails "$(said ping-then)"
same "killed: one line says so" "lacuna: net0: passt has ended: the guest's link is down" "$(grep '^lacuna:' "$console")"
check "killed: no process is left" test ! -e "/proc/$(cat "$tmp/killed")"

words=
mkdir "$tmp/sockets" # passt gives up root's rights before it makes its socket
chmod 755 "$tmp"
chmod 777 "$tmp/sockets"
passt --foreground --one-off --quiet --socket "$tmp/sockets/passt" 2>"$tmp/passt.log" &
running=$!
until [ -S "$tmp/sockets/passt" ] || ! kill -0 $running 2>/dev/null; do sleep 0.1; done
traffic "passt that runs already" --net "passt=$tmp/sockets/passt,mtu=65520"
finish
