# SPDX-License-Identifier: Apache-2.0
# For the scenarios: what they found goes to the console as "guest NAME VALUE".
say() {
	echo "guest $1 $2"
}

# load MODULE...: further drivers, with what they need (guest_files devices)
load() {
	for module in "$@"; do
		while read -r file name; do
			[ -d "/sys/module/$name" ] || insmod "/modules/$file" || say load-failed "$name"
		done <"/modules/$module.order"
	done
}

# userland COMMAND...: runs one of Debian's own programs (guest_files userland). It sees the guest's /dev, /proc, /sys, /tmp
# and /mnt, and what is mounted there.
userland() {
	[ -x /userland/usr/bin/env ] || userland_mount || return
	chroot /userland "$@"
}

userland_mount() {
	load squashfs
	for disk in /sys/block/vd*; do
		[ "$(cat "$disk/serial")" != LACUNA-USERLAND ] || break
	done
	mkdir -p /userland
	mount --make-rshared /
	mount -t squashfs -o ro "/dev/${disk##*/}" /userland || return
	for dir in dev proc sys tmp mnt; do
		mount --bind "/$dir" "/userland/$dir"
	done
}
