#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Debian's bzImages (cloud: LZ4, generic: XZ) unpacked by the guest, by the host, and taken from the cache: it boots the same way, and how long it takes.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
cache=$tmp/vmlinux
words=nokaslr # what the host's way loses: so the three differ in nothing else

ways() { # NAME OPTION...
	local name=$1
	shift
	boot "$name" pci "$@"
	ends "$name: the guest ends" 0 poweroff
	cp "$console" "$tmp/$name.seen"
	jq .exits.total "$stats" >"$tmp/$name.exits"
	jq '.time_us.marker / 1000 | round' "$stats" >"$tmp/$name.ms"
}
functions() { grep -E '^guest function' "$tmp/$1.seen"; }

median() { # WAY
	cat "$tmp/$1"-?.ms | sort -n | sed -n 2p
}
percent() { # PART WHOLE
	echo "$(($1 * 100 / $2)) %"
}

for flavour in generic cloud; do
	guest_files
	for round in 1 2 3; do
		rm -rf "$cache"
		ways "guest-$round" --kernel-unpack guest --kernel-cache "$cache"
		check "$flavour, round $round: nothing is kept of that" test ! -e "$cache"
		ways "host-$round" --kernel-unpack host --kernel-cache "$cache"
		same "$flavour, round $round: one kernel is kept" 1 "$(find "$cache" -type f | wc -l)"
		kept=$(stat -c %i "$(find "$cache" -type f)")
		ways "cache-$round" --kernel-cache "$cache"
		same "$flavour, round $round: and used" "$kept" "$(stat -c %i "$(find "$cache" -type f)")"
		same "$flavour, round $round: the guest finds the same" "$(functions "guest-$round")" "$(functions "cache-$round")"
		near=$(($(cat "$tmp/guest-$round.exits") - $(cat "$tmp/cache-$round.exits")))
		check "$flavour, round $round: as many exits, but for a few" test $((near * near)) -le 400
	done
	guest=$(median guest) host=$(median host) warm=$(median cache)
	echo "# $flavour: time to userspace, median of 3: unpacked by the guest $guest ms," \
		"by the host $host ms ($(percent "$host" "$guest")), from the cache $warm ms ($(percent "$warm" "$guest"))"
done

# A kernel file whose memo is there isn't read, but for its header: what all of lacuna reads, with and without it.
reads() { # MEMO: yes|no
	[ "$1" = yes ] || find "$cache" -type l -delete
	limit=1ms guest_command read pci --kernel-cache "$cache"
	bash -c '"$@"; sed -n "s/^rchar: //p" "/proc/$$/io" >&3' reads "${command[@]}" 3>"$tmp/reads" >/dev/null 2>&1 </dev/null
	cat "$tmp/reads"
}
reads yes >/dev/null
known=$(reads yes) unknown=$(reads no) again=$(reads yes)
payload=$(od -An -t u4 -j $((0x24c)) -N 4 "$kernel")
echo "# bytes read: with a memo $known, without one $unknown, then $again; the payload has $((payload))"
near() { test $(($1 - $2)) -le 4096 -a $(($2 - $1)) -le 4096; } # counters of eventfds, files of /proc
check "with a memo the payload is not read" near $((unknown - known)) "$payload"
check "and the next start has made one" near "$again" "$known"
finish
