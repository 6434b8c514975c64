#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The control socket of a running machine: every request, what is refused, and that the socket goes with the machine.
. "$(dirname "$0")/../lib.sh"

endings=$BUILD/tests/guest/endings.elf
sock=$tmp/control

# --- without a machine
refused "no request" "control: give a socket and a request" "$LACUNA" control "$sock"
refused "no machine" "control: connect to '$sock': No such file" "$LACUNA" control "$sock" stats
refused "set without a property" "control: set needs a device and KEY=VALUE" "$LACUNA" control "$sock" set disk0
refused "too many words" "control: unexpected argument 'now'" "$LACUNA" control "$sock" stop now now
refused "a line break" "a request can't hold a line break" "$LACUNA" control "$sock" get "rng0"$'\n'"stop"
refused "a request too long" "request is too long" "$LACUNA" control "$sock" set disk0 "size=$(printf '%05000d' 1)"
long=$tmp/$(printf '%0120d' 0)
refused "a client's path too long" "path of a socket can have 107 bytes" "$LACUNA" control "$long" stats
refused "a machine's path too long" "path of a socket can have 107 bytes" "$LACUNA" run --serial off --control "$long"
refused "an empty path" "control: the file name is empty" "$LACUNA" run --serial off --control=
refused "two sockets" "control: given twice" "$LACUNA" run --serial off --control "$sock" --control "$sock.2"
refused "a socket in a missing folder" "control: create '$tmp/none/c': No such file" \
	"$LACUNA" run --serial off --control "$tmp/none/c"
: >"$sock"
refused "a path in use" "control: '$sock' is there already: remove it if" "$LACUNA" run --serial off --control "$sock"
refused "a file that is no socket" "control: nobody listens at '$sock'" "$LACUNA" control "$sock" stats
check "which is still there" test -f "$sock"
rm "$sock"
refused "another option wrong" "memory" "$LACUNA" run --control "$sock" --serial off --memory 1
check "leaves no socket behind" test ! -e "$sock"

if [ ! -w /dev/kvm ]; then
	skip "requests to a machine" "no access to /dev/kvm"
	finish
fi
refused "a kernel missing" "No such file" "$LACUNA" run --control "$sock" --serial off --kernel "$tmp/none"
check "leaves no socket behind either" test ! -e "$sock"

# --- a machine that hangs; it is up when it has printed
up() { # OPTION...: sets $pid
	mkfifo "$tmp/console"
	"$LACUNA" run --kernel "$endings" --cmdline test=hang --timeout 60 --control "$sock" "$@" \
		>"$tmp/console" 2>"$tmp/run.err" </dev/null &
	pid=$!
	grep -qm1 hang "$tmp/console"
	rm "$tmp/console"
}
down() { # NAME STATUS
	local status=0
	wait "$pid" || status=$?
	same "$1: the machine's status" "$2" "$status"
	check "$1: the socket has gone" test ! -e "$sock"
}
ask() { timeout 20 "$LACUNA" control "$sock" "$@"; }
# Sends text as it is, ends its side, and prints the answers.
# shellcheck disable=SC2059 # the text has escapes
raw() { printf "$@" | timeout 20 socat -t 20 - "UNIX-CONNECT:$sock"; }

up --rng --rng
same "the socket is its owner's" 600 "$(stat -c %a "$sock")"
ask stats >"$tmp/stats"
holds "stats" '.machine.pci.functions == 3 and .end.reason == "none" and .exits.total > 0' "$tmp/stats"
check "get" ask get
check "get of a device" ask get rng0
refused "get of no device" "control: no device is called 'disk0'" "$LACUNA" control "$sock" get disk0
refused "set of no device" "control: no device is called 'disk0'" "$LACUNA" control "$sock" set disk0 size=1
refused "set of what can't be" "control: rng1: nothing of it can be changed" "$LACUNA" control "$sock" set rng1 a=b
refused "unknown request" "control: unknown request; give get, set" "$LACUNA" control "$sock" reboot
refused "a second machine at that path" "is there already" "$LACUNA" run --serial off --control "$sock"
check "power-button" ask power-button
same "state" running "$(ask state)"
check "pause" ask pause
same "state when it pauses" paused "$(ask state)"
check "pause, once more" ask pause
same "a paused guest makes no exits" "$(ask stats | jq .exits.total)" "$(ask stats | jq .exits.total)"
check "resume" ask resume
same "state when it goes on" running "$(ask state)"
check "resume, once more" ask resume

same "answers come in order" '{"ok":true,"devices":{}}
{"ok":false,"error":"unknown request; give get, set, stats, state, pause, resume, power-button or stop"}
{"ok":true,"devices":{}}' "$(raw 'get rng1\nbogus\nget\n')"
same "set without arguments" '{"ok":false,"error":"set: give a device and KEY=VALUE"}' "$(raw 'set\nse')"
same "a word too many" '{"ok":false,"error":"this request takes no argument"}' "$(raw 'stop now\n')"
same "an empty line" '{"ok":false,"error":"unknown request; give get, set, stats, state, pause, resume, power-button or stop"}' "$(raw '\n')"
same "a zero byte" '{"ok":false,"error":"the request holds a zero byte"}' "$(raw 'stop\0\n')"
same "a device's name that is no UTF-8" "{\"ok\":false,\"error\":\"no device is called '??'\"}" "$(raw 'get \xff\xfe\n')"
same "a line too long" '{"ok":false,"error":"the request is too long"}' "$(raw '%04096d' 0)"
same "the longest line" '{"ok":false,"error":"unknown request; give get, set, stats, state, pause, resume, power-button or stop"}' "$(raw '%04095d\n' 0)"

# Clients that say nothing, half a line, or never read, keep nobody from being served.
mkfifo "$tmp/hold"
others=()
for i in $(seq 10); do
	{
		[ "$i" != 1 ] || printf sta
		cat "$tmp/hold"
	} | socat - "UNIX-CONNECT:$sock" &
done
yes stats | socat -u - "UNIX-CONNECT:$sock" 2>"$tmp/stuck.err" &
connections() { find "/proc/$pid/fd" -lname 'socket:*' | wc -l; }
until [ "$(connections)" -ge 12 ]; do sleep 0.02; done # ten, one, and what they connect to
exec 3>"$tmp/hold"
check "stats beside idle and stuck clients" ask stats
others=()
for _ in $(seq 10); do
	ask stats >/dev/null &
	others+=("$!")
done
served=0
for p in "${others[@]}"; do
	wait "$p" && served=$((served + 1))
done
same "ten clients at once" 10 "$served"
check "stop" ask stop
down "stop" 0
exec 3>&-
wait

up
kill -TERM "$pid"
down "SIGTERM" 143
up
mv "$sock" "$sock.old" && : >"$sock"
kill -TERM "$pid"
wait "$pid" || :
check "what took the socket's place stays" test -f "$sock"
rm "$sock" "$sock.old"
up
kill -KILL "$pid"
wait "$pid" 2>/dev/null || :
refused "a machine that was killed" "control: nobody listens at '$sock'" "$LACUNA" control "$sock" stats
refused "and its socket" "is there already: remove it" "$LACUNA" run --serial off --control "$sock"
finish
