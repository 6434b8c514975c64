# SPDX-License-Identifier: Apache-2.0
# Packages of Debian that are fetched and unpacked, never installed; sourced by tools/guest-kernels and tools/guest-kernel.
# The caller sets $work, a folder of its own, and defines fail MESSAGE, which ends it. What apt said last is in $work/log.

apt_get() {
	apt-get -qq -o Acquire::Retries=3 -o APT::Sandbox::User=root "$@" >"$work/log" 2>&1
}

refresh() {
	local as_root=()
	[ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
	"${as_root[@]}" apt-get -qq -o Acquire::Retries=3 update 2>&1 | tee "$work/log" >/dev/null
}

unpack() { # PACKAGE FOLDER: fetches the package and puts its files into the folder; prints its version
	mkdir -p "$work/deb" "$2"
	fetch() { (cd "$work/deb" && apt_get download "$1"); }
	fetch "$1" || { refresh && fetch "$1"; } || fail "cannot download $1"
	dpkg-deb -x "$work"/deb/*.deb "$2" || fail "cannot unpack $1"
	dpkg-deb -f "$work"/deb/*.deb Version
	rm -rf "$work/deb"
}
