#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The virtio console with stock guests: one with three ports, over a file, a socket and a pseudo-terminal, unbound and bound
# again under load; one whose only console it is, on a real terminal whose window changes.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
guest_files devices
limit=100s
control() { timeout 20 "$LACUNA" control "$tmp/control" "$@"; }
await() { # PATTERN: until the guest's console has a line like that, or the machine has ended
	until grep -q "$1" "$console" 2>/dev/null || ! kill -0 "$machine" 2>/dev/null; do sleep 0.1; done
}
summed() { sha256sum | cut -d' ' -f1; }

# --- three ports
head -c 300000 /dev/urandom >"$tmp/bulk"
guest_command ports console --console "file=$tmp/hvc0" --console "socket=$tmp/port,name=org.lacuna.socket" \
	--console "pty,link=$tmp/pty,name=org.lacuna.pty" --control "$tmp/control"
"${command[@]}" >"$console" 2>&1 </dev/null &
machine=$!
await READY
# More than the guest's buffers and the sockets' hold, so it has to wait on its way.
{
	cat "$tmp/bulk"
	until [ "$(stat -c %s "$tmp/socket.back")" -ge 300000 ] || ! kill -0 "$machine"; do sleep 0.1; done
} | timeout 120 socat - "UNIX-CONNECT:$tmp/port" >"$tmp/socket.back"
exec 5<>"$tmp/pty"
cat "$tmp/bulk" >&5 &
timeout 120 head -c 300000 <&5 >"$tmp/pty.back"
wait $!
await window-before
check "set the window's size" control set console0 size=101x33
# From now on somebody takes what the guest writes.
socat -u "UNIX-CONNECT:$tmp/port" OPEN:/dev/null &
taker=$!
cat <&5 >/dev/null &
await ready-after
control get console0 >"$tmp/get"
kill "$taker"
wait "$taker" 2>/dev/null
head -c 100000 "$tmp/bulk" | timeout 120 socat -u - "UNIX-CONNECT:$tmp/port"
status=0
wait "$machine" || status=$?
exec 5>&-
tr -d '\r' <"$console" >"$console.clean" && mv "$console.clean" "$console"
ends "three ports: the guest ends" 0 poweroff
same "three ports: names" "org.lacuna.pty org.lacuna.socket " "$(said names)"
check "the console port: output" grep -q "^hello from hvc0" "$tmp/hvc0"
bulk=$(summed <"$tmp/bulk")
for way in socket pty; do
	same "$way: host to guest" "$bulk" "$(said "sum-org.lacuna.$way")"
	same "$way: and back" "$bulk" "$(summed <"$tmp/$way.back")"
done
same "the window has no size at first" "" "$(said window-before)"
same "the window's size in the guest" "33 101" "$(said window-after)"
same "unbound and bound under load: all ports are there" "org.lacuna.pty org.lacuna.socket " "$(said names-after)"
check "unbound and bound: the console port works" grep -aq "hello once more" "$tmp/hvc0"
same "unbound and bound: a named port works" "$(head -c 100000 "$tmp/bulk" | summed)" "$(said sum-after)"
same "no complaint of the guest's kernel" "" "$(said complaints)"
check "get: the end of a port" grep -q "^console0 port2.path=/dev/pts/" "$tmp/get"
check "get: a port that both have open" grep -q "^console0 port1.guest=open" "$tmp/get"
check "the socket and the link have gone" test ! -e "$tmp/port" -a ! -L "$tmp/pty"

# --- the only console
cat >"$tmp/term" <<SH
stty cols 90 rows 30
echo \$\$ >"$tmp/pid"
exec "$LACUNA" run --kernel "$kernel" --initrd "$initrd" --console stdio --cmdline "console=hvc0 quiet lacuna.test=hvc0" \
	--marker "$marker" --timeout "$limit" --stats-file "$tmp/hvc0.json" --control "$tmp/control"
SH
console=$tmp/hvc0.console stats=$tmp/hvc0.json
mkfifo "$tmp/keys"
script -qefc "sh $tmp/term" "$console" <"$tmp/keys" >/dev/null 2>&1 &
machine=$!
exec 6>"$tmp/keys"
await "guest kernel-too"
printf 'typed' >&6
await "guest size-1"
stty -F "$(readlink "/proc/$(cat "$tmp/pid")/fd/0")" cols 91 rows 31 # as a terminal's window does: SIGWINCH
await "guest size-2"
check "set the size of a terminal's port" control set console0 size=132x50
status=0
wait "$machine" || status=$?
exec 6>&-
tr -d '\r' <"$console" >"$console.clean" && mv "$console.clean" "$console"
ends "hvc0 alone: the guest ends" 0 poweroff
same "hvc0 alone: it is the console" hvc0 "$(said console)"
check "hvc0 alone: it says its kernel's release" test -n "$(said kernel-too)"
same "hvc0 alone: keys" typed "$(said typed)"
same "hvc0 alone: the window at the start" "30 90" "$(said size-1)"
same "hvc0 alone: the window was resized" "31 91" "$(said size-2)"
same "hvc0 alone: by the control socket" "50 132" "$(said size-3)"
holds "hvc0 alone: the marker is seen there" '.time_us.marker != null and .exits.pio.serial == 0' "$stats"
finish
