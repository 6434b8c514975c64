#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sockets between a stock guest and the host: both directions, many at once, bulk data, either side going away, the driver
# unbound and bound. The guest leads: it connects to port 7000 of the host, sends the name of a step, and gets what that
# step prints here.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
guest_files userland
path=$tmp/vsock
count=100
bulk=$((1024 * 1024))
head -c "$bulk" /dev/urandom >"$tmp/bulk"
sum=$(sha256sum <"$tmp/bulk")
sum=${sum%% *}

# to_guest PORT: connects standard input and output to a port of the guest; the first line is "OK number".
cat >"$tmp/step" <<-STEP
	cd "$tmp"
	peer=$BUILD/tests/nested/vsock-peer
	to_guest() { { echo "CONNECT \$1"; cat; } | socat -t 100 - UNIX-CONNECT:vsock; }
	read -r step
	case \$step in
	many) \$peer connect vsock 5000 $count 5000 ;;
	relayed) \$peer connect vsock 5004 $count 5000 ;;
	bulk) to_guest 5001 <bulk | tail -n +2 | sha256sum ;;
	send) to_guest 5003 <bulk >/dev/null ;;
	closed) to_guest 5999 </dev/null | wc -c ;;
	bad) printf 'HELLO 5000\n' | socat -t 100 - UNIX-CONNECT:vsock | wc -c ;;
	hold) # opens one more and keeps it
		echo >hold.fifo
		cut -d' ' -f1 hold-ok.fifo
		;;
	held) cat held.fifo ;;
	esac
STEP
cd "$tmp" || exit
mkfifo hold.fifo hold-ok.fifo held.fifo
"$BUILD/tests/nested/vsock-peer" serve vsock_6000 "$count" >served 2>&1 &
server=$!
timeout 150 socat -u UNIX-LISTEN:vsock_6001 - 2>>log | sha256sum >got &
receiver=$!
timeout 150 socat -u UNIX-LISTEN:vsock_6002 - 2>>log | head -c 100000 | wc -c >gone &
leaver=$!
(
	read -r _ <hold.fifo
	socat UNIX-CONNECT:vsock SYSTEM:"echo CONNECT 5002; head -n 1 >hold-ok.fifo; cat >/dev/null"
	echo ended >held.fifo
) >>log 2>&1 &
socat -t 100 UNIX-LISTEN:vsock_7000,fork,backlog=128 EXEC:"bash $tmp/step" >>log 2>&1 &

limit=100s
boot vsock vsock --vsock "cid=33,path=$path"
wait "$server" "$receiver" "$leaver"
# shellcheck disable=SC2046 # several numbers
kill $(jobs -p) 2>/dev/null
ends "the guest ends" 0 poweroff
same "the guest's CID" 33 "$(said cid)"
same "host to guest: $count connections at once, echoed" "$count" "$(said many)"
same "host to guest to host: twice $count connections at once, echoed" "$count $count" "$(said relayed) $(cat served)"
same "bulk, host to guest and back" "$sum" "$(said bulk)"
same "bulk, guest to host" "$sum" "$(cut -d" " -f1 got)"
same "bulk, host to guest, then the end" "$sum" "$(said received)"
check "no listener in the host: refused at once" grep -q "Connection reset" <<<"$(said refused)"
same "no listener in the guest: closed without a word" 0 "$(said closed)"
same "no greeting: closed without a word" 0 "$(said bad)"
same "the host's program goes in the middle: it had what it read" 100000 "$(cat gone)"
same "the host's program goes in the middle: the guest's ends" ended "$(said writer)"
same "a connection is open" OK "$(said hold)"
same "driver unbound: the host's side ends" ended "$(said held)"
same "driver bound again: works" "$count" "$(said many-again)"
same "no complaint in the kernel's log" "" "$(said complaint)"
check "the socket is removed at the end" test ! -e "$path"
finish
