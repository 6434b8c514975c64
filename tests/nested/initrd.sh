#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The stock kernel unpacks what --initrd made of directories: every kind of file arrives as it is in the tree, alone and
# between archives, compressed ones too.
. "$(dirname "$0")/../lib.sh"
. "$top/tests/nested/lib.sh"
. "$top/tests/nested/guest/describe.sh"
export LC_ALL=C
bb=
guest_files
base=$initrd
longest=$(printf 'n%0254d' 0)

make_tree() { # FOLDER
	mkdir -p "$1"/{bin,dev,empty,links/a,links/b,names,zz/deep/er}
	head -c 3000001 /dev/urandom >"$1/random"
	: >"$1/nothing"
	# shellcheck disable=SC2016 # for the guest
	printf '#!/bin/sh\necho ran as $(busybox id -u)\n' >"$1/bin/script"
	echo secret >"$1/zz/deep/er/secret"
	echo linked >"$1/links/1"
	ln "$1/links/1" "$1/links/b/2"
	ln "$1/links/1" "$1/links/a/3"
	ln -s ../links/1 "$1/zz/link"
	ln -s "/nowhere/$longest/$longest" "$1/zz/dangling"
	echo 1 >"$1/names/two words"
	echo 2 >"$1/names/-rf"
	echo 3 >"$1/names/"$'\303\244'
	echo 4 >"$1/names/line"$'\n'"break"
	echo 5 >"$1/names/$longest"
	echo 6 >"$1/names/TRAILER!!!"
	mkfifo "$1/links/fifo"
	ln "$1/links/fifo" "$1/links/fifo2"
	socat -u "UNIX-LISTEN:$1/dev/socket,unlink-close=0" /dev/null &
	until [ -S "$1/dev/socket" ]; do :; done
	kill "$!"
	if [ "$(id -u)" -eq 0 ]; then
		mknod "$1/dev/null" c 1 3
		mknod "$1/dev/zero" c 1 5
		mknod "$1/dev/disk" b 259 1048575
		chown 1:2 "$1/nothing"
		chown -h 3:4 "$1/zz/link"
		chown 65534:4000000000 "$1/zz/deep"
	fi
	chmod 640 "$1/random"
	chmod 4755 "$1/bin/script"
	chmod 1777 "$1/empty"
	chmod 400 "$1/zz/deep/er/secret" "$1/links/1"
	chmod 2750 "$1/zz/deep"
	find "$1" -exec touch -h -d @1234567890 {} +
	touch -d @4000000000 "$1/nothing" "$1/zz"
}

as_root() { # what belongs to this user is root's in the guest
	sed -E "s/( [0-9a-f]+ )$(id -u):/\10:/; s/( [0-9a-f]+ [0-9]+:)$(id -g) /\10 /"
}

arrived() { # NAME: what the guest found in /tree
	local found
	found=$(sed -n '/^TREE-BEGIN/,/^TREE-END/p' "$console" | sed '1d;$d')
	if [ "$found" = "$(cat "$tmp/tree.txt")" ]; then
		ok "$1: everything is as in the tree"
	else
		not_ok "$1: everything is as in the tree" "$(diff "$tmp/tree.txt" - <<<"$found")"
	fi
	same "$1: three names of one file" 1 "$(said linked)"
	same "$1: two names of one FIFO" 1 "$(said fifos)"
	same "$1: a program runs" "ran as 0" "$(said script)"
	[ "$(id -u)" -ne 0 ] || same "$1: device nodes work" " 00 00 00 00" "$(said null)"
}

# --- one directory, with all that the archive holds
mkdir "$tmp/rootfs"
(cd "$tmp/rootfs" && cpio --quiet -idm <"$base")
make_tree "$tmp/rootfs/tree"
describe "$tmp/rootfs/tree" | as_root >"$tmp/tree.txt"
chmod 700 "$tmp/rootfs"
initrd=$tmp/rootfs
boot directory initrd
ends "directory: the guest ends" 0 poweroff
same "directory: no warning" 0 "$(grep -c '^lacuna: initrd' "$console")"
arrived directory
same "directory: the guest's / is root's, and everybody may enter it" "755 0:0" "$(said root)"

# --- a base image, which lz4 alone would find no end of, two directories, and an archive once more
mkdir -p "$tmp/payload/overlay" "$tmp/over/overlay" "$tmp/last"
mv "$tmp/rootfs/tree" "$tmp/payload/tree"
echo payload >"$tmp/payload/overlay/1"
echo payload >"$tmp/payload/overlay/2"
echo payload >"$tmp/payload/overlay/3"
echo over >"$tmp/over/overlay/2"
echo last >"$tmp/last/3"
echo base >"$tmp/base"
(cd "$tmp" && echo base | cpio --quiet -o -H newc) >"$tmp/base.cpio"
cat "$base" "$tmp/base.cpio" | lz4 -l -q >"$tmp/base.lz4"
printf '%s\n' overlay overlay/3 >"$tmp/names"
(cd "$tmp/last" && mkdir overlay && mv 3 overlay && cpio --quiet -o -H newc <"$tmp/names" | gzip) >"$tmp/last.cpio.gz"
initrd=$tmp/base.lz4
boot several initrd --initrd "$tmp/payload" --initrd "$tmp/over" --initrd "$tmp/last.cpio.gz"
ends "several: the guest ends" 0 poweroff
arrived several
same "several: the later one stands" "payload over last " "$(said overlay)"
same "several: the first one is there" base "$(said oldest)"
finish
