#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# --initrd with files, directories and several of them: what is taken, and what is refused in one line.
. "$(dirname "$0")/../lib.sh"

elf=$BUILD/tests/guest/endings.elf
mkdir "$tmp/root" "$tmp/empty"
printf '#!/bin/sh\n' >"$tmp/root/init"
chmod 755 "$tmp/root/init"
refused "a directory without a kernel" "initrd: the built-in probe guest takes none" "$LACUNA" run --initrd "$tmp/root"
refused "no name" "initrd: the file name is empty" "$LACUNA" run --initrd "$tmp/root" --initrd ''

if [ ! -w /dev/kvm ]; then
	skip "initrds" "no access to /dev/kvm"
	finish
fi

run() { # NAME PATTERN OPTION...
	local name=$1 pattern=$2
	shift 2
	refused "$name" "$pattern" "$LACUNA" run --kernel "$elf" "$@"
}
taken() { # NAME STDERR OPTION...: the guest runs to its end, and stderr is this line
	local name=$1 status=0
	timeout 30 "$LACUNA" run --kernel "$elf" --cmdline "test=poweroff ${words:-}" --serial off "${@:3}" \
		>"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
	same "$name: status" 0 "$status"
	same "$name: stderr" "$2" "$(cat "$tmp/err")"
}
owner_only="setpriv --bounding-set=-all --inh-caps=-all --securebits=+noroot"
nothing="lacuna: initrd: there is no /init, so Linux will look for another root file system: add one, or name a program \
with rdinit= or a disk with root= in the command line"

# --- taken
taken "a directory" "" --initrd "$tmp/root"
taken "a directory, with a slash" "" --initrd "$tmp/root/"
ln -s root "$tmp/link"
taken "a link to a directory" "" --initrd "$tmp/link"
cd "$tmp/root" || exit 1
taken "the current directory" "" --initrd .
cd "$top" || exit 1
taken "an empty directory" "$nothing" --initrd "$tmp/empty"
words=root=/dev/vda taken "an empty directory beside a root file system" "" --initrd "$tmp/empty"
head -c 100001 /dev/zero >"$tmp/archive"
taken "an archive, a directory and the archive again" "" --initrd "$tmp/archive" --initrd "$tmp/root" --initrd "$tmp/archive"
chmod 644 "$tmp/root/init"
taken "an init that can't be run" "lacuna: initrd: /init is not executable, and Linux will not run it: chmod +x" \
	--initrd "$tmp/empty" --initrd "$tmp/root"
check "dump takes directories too" "$LACUNA" dump cmdline --out "$tmp/dump" --kernel "$elf" --initrd "$tmp/root"

# --- refused
run "a name that is not there" "initrd '$tmp/none': open: No such file" --initrd "$tmp/root" --initrd "$tmp/none"
ln -s nowhere "$tmp/dangling"
run "a link that leads nowhere" "initrd '$tmp/dangling': open: No such file" --initrd "$tmp/dangling"
run "a device" "initrd '/dev/zero': is not a regular file: copy its content to one" --initrd /dev/zero
mkfifo "$tmp/fifo"
run "a FIFO" "initrd '$tmp/fifo': is not a regular file" --initrd "$tmp/fifo"
: >"$tmp/nothing"
run "an empty file" "initrd '$tmp/nothing': is empty" --initrd "$tmp/root" --initrd "$tmp/nothing"

mkdir -p "$tmp/secret/etc"
echo x >"$tmp/secret/etc/shadow"
chmod 0 "$tmp/secret/etc/shadow"
# shellcheck disable=SC2086 # a command and its options
refused "a file in it without permission" "initrd '$tmp/secret': open 'etc/shadow': Permission denied" \
	$owner_only "$LACUNA" run --kernel "$elf" --initrd "$tmp/secret"
chmod 0 "$tmp/secret/etc"
# shellcheck disable=SC2086
refused "a directory in it without permission" "initrd '$tmp/secret': open 'etc': Permission denied" \
	$owner_only "$LACUNA" run --kernel "$elf" --initrd "$tmp/secret"
chmod 0 "$tmp/secret"
# shellcheck disable=SC2086
refused "a directory without permission" "initrd '$tmp/secret': open: Permission denied" \
	$owner_only "$LACUNA" run --kernel "$elf" --initrd "$tmp/secret"
chmod -R 700 "$tmp/secret"

mkdir "$tmp/large"
truncate -s 48M "$tmp/large/data"
run "a directory larger than RAM" "initrd '$tmp/large': does not fit: needs 49153 KiB, and [0-9]+ KiB of RAM are left .*: give" \
	--memory 48M --initrd "$tmp/large"
run "a directory and an archive larger than RAM" "initrd '$tmp/large': does not fit, with 1 more: needs 49251 KiB, and" \
	--memory 49M --initrd "$tmp/large" --initrd "$tmp/archive"
truncate -s 4G "$tmp/large/data"
run "a file of 4 GiB" "initrd '$tmp/large': 'data' has 4096 MiB, and files in an initramfs end below 4 GiB: put it on a disk" \
	--memory 8G --initrd "$tmp/large"
deep=$tmp/deep
mkdir "$deep"
(cd "$deep" && for _ in $(seq 17); do d=$(printf 'd%0249d' 0) && mkdir "$d" && cd "$d" || exit; done)
run "paths that Linux passes over" "initrd '$deep': the path of '\.\.\..*0' has 4266 bytes, and Linux unpacks none above 4095: shorten it" \
	--initrd "$deep"
mkdir "$tmp/odd"
: >"$tmp/odd/line"$'\n'"break"
chmod 0 "$tmp/odd/line"$'\n'"break"
# shellcheck disable=SC2086
refused "a line break in a name stays one line" "'line\?break': Permission denied" \
	$owner_only "$LACUNA" run --kernel "$elf" --initrd "$tmp/odd"
# The descriptor that reads the directory is in it, too, and is closed when it has been read.
run "what vanishes meanwhile" "initrd '/proc/self/fdinfo': '[0-9]+' vanished while the directory was read: try again" \
	--initrd /proc/self/fdinfo
run "files with more than their size" "initrd '/proc/sys/kernel/random': 'boot_id' has more than the 0 bytes" \
	--initrd /proc/sys/kernel/random
finish
