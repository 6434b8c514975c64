#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The life of a passt that belongs to a machine, in a network namespace of this test's own: it ends with the machine, however
# that ends; when it ends first, the guest sees its link go down and one line says so.
if [ "${1:-}" != inside ]; then
	map=()
	[ "$(id -u)" -eq 0 ] || map=(--map-root-user)
	if [ -w /dev/kvm ] && unshare --net "${map[@]}" bash -c ': <>/dev/net/tun' 2>/dev/null; then
		exec unshare --net "${map[@]}" bash "$0" inside
	fi
fi
. "$(dirname "$0")/../lib.sh"
if [ "${1:-}" != inside ]; then
	skip "passt and the life of a machine" "namespaces, /dev/kvm or /dev/net/tun are not allowed here"
	finish
fi
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$tmp"' EXIT

# passt wants an interface with a route to the world.
ip link set lo up
ip tuntap add up0 mode tap
ip addr add 10.88.0.15/24 dev up0
ip link set up0 up
ip route add default via 10.88.0.1

start() { # OPTION...: a machine whose guest waits for its link to go down; sets vm and passt
	mkfifo "$tmp/fifo"
	"$LACUNA" run --kernel "$BUILD/tests/guest/net.elf" --cmdline test=link --timeout 60 --net "$@" \
		>"$tmp/fifo" 2>"$tmp/err" </dev/null &
	vm=$!
	exec {screen}<"$tmp/fifo"
	rm "$tmp/fifo"
	until_line "link: 1" || not_ok "the guest starts" "$(cat "$tmp/err")"
	passt=$(pgrep -P $vm) # its only child
}
until_line() {
	local line
	while read -r line <&"$screen"; do
		[ "${line%$'\r'}" != "$1" ] || return 0
	done
	return 1
}
gone() { # PID: within ten seconds; a process that only waits for being reaped, by whoever inherited it, is gone too
	local n
	for n in {1..100}; do
		if [ ! -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; then
			return 0
		fi
		sleep 0.1
	done
	return 1
}

start passt
check "it is passt" grep -q passt "/proc/$passt/comm"
same "it has only its own descriptors of ours" "/dev/null /dev/null pipe socket" \
	"$(for n in 0 1 2 3; do readlink "/proc/$passt/fd/$n"; done | sed 's/:.*//' | paste -sd' ')"
kill -KILL "$passt"
status=0
until_line "link: down" && wait $vm || status=$?
same "passt ends first: the guest sees it and lives" 0 $status
same "passt ends first: one line" "lacuna: net0: passt has ended: the guest's link is down" "$(cat "$tmp/err")"
check "passt ends first: it was reaped" test ! -e "/proc/$passt"

start passt
kill -TERM $vm
wait $vm
check "the machine is ended: so is passt, and reaped" test ! -e "/proc/$passt"
same "the machine is ended: nothing is said" "" "$(cat "$tmp/err")"

start passt
kill -KILL $vm
wait $vm 2>/dev/null
check "the machine is killed: passt ends by itself" gone "$passt"

passt --foreground --one-off --quiet --runas 0 --socket "$tmp/socket" 2>"$tmp/log" &
other=$!
until [ -S "$tmp/socket" ] || ! kill -0 $other 2>/dev/null; do sleep 0.05; done
start "passt=$tmp/socket"
same "somebody else's passt: none is started" "" "$passt"
kill -KILL $other
wait $other 2>/dev/null
status=0
until_line "link: down" && wait $vm || status=$?
same "somebody else's passt ends: the guest sees it and lives" 0 $status
same "somebody else's passt ends: one line" \
	"lacuna: net0: the other end of its socket is gone: the guest's link is down" "$(cat "$tmp/err")"
finish
