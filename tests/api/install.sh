#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make install` and `make uninstall`, and what a program finds that is built against an installed copy by pkg-config.
. "$(dirname "$0")/lib.sh"
unset MAKEFLAGS MAKEOVERRIDES

# An environment that would build something else, if anything were built.
installer() { # TARGET VARIABLE=VALUE...
	CC=false CFLAGS=-O0 LDFLAGS=-static SANITIZE='' STATIC=1 make -s --no-print-directory BUILD="$BUILD" "$@" 2>&1
}
built() { stat -c '%n %i %y' "$BUILD"/lacuna "$BUILD"/liblacuna.{a,so} "$BUILD"/obj/src/api/*.o "$BUILD"/settings-*.mk; }
relative() { # FOLDER: its files and links
	(cd "$1" && find . ! -type d -printf '%P\n' | sort)
}

# --- below DESTDIR, each folder named by hand
root=$tmp/root
before=$(built)
check "install" installer install DESTDIR="$root" prefix=/opt/l exec_prefix=/opt/e libdir=/opt/e/lib64 mandir=/opt/man
same "install builds nothing anew, when all was built before" "$before" "$(built)"
expected=$({
	printf '%s\n' bin/lacuna lib64/liblacuna.{a,so,"so.${version%%.*}","so.$version"} lib64/pkgconfig/lacuna.pc | sed 's|^|opt/e/|'
	printf 'opt/l/include/%s\n' "${headers[@]}"
	for page in man/*.scd; do
		page=$(basename "$page" .scd)
		echo "opt/man/man${page##*.}/$page"
	done
	echo opt/l/share/bash-completion/completions/lacuna
	echo opt/l/share/zsh/site-functions/_lacuna
	ls README.md CHANGELOG.md LICENSE docs/*.md docs/*.json docs/bench/*.svg examples/*.[ch] examples/*.md examples/guest/* 2>/dev/null | sed 's|^|opt/l/share/doc/lacuna/|'
} | sort)
same "installs these files" "$expected" "$(relative "$root")"
same "programs and libraries may be executed, nothing else" \
	"$(printf '%s\n' bin/lacuna "lib64/liblacuna.so.$version" | sed 's|^|opt/e/|')" \
	"$(cd "$root" && find . -type f -perm /111 -printf '%P\n' | sort)"
same "everybody may read all of it" "" "$(find "$root" -type f ! -perm -444 -o -type d ! -perm -555)"
same "no file names the folder of the installation" "" "$(grep -rlF "$tmp" "$root")"
same "no header is missing" "$(cat include/lacuna/*.h | cksum)" "$(cat "$root"/opt/l/include/lacuna/*.h | cksum)"
check "install again" installer install DESTDIR="$root" prefix=/opt/l exec_prefix=/opt/e libdir=/opt/e/lib64 mandir=/opt/man
same "installs the same files again" "$expected" "$(relative "$root")"

touch "$root/opt/l/include/lacuna/other.h" "$root/opt/e/bin/other"
check "uninstall" installer uninstall DESTDIR="$root" prefix=/opt/l exec_prefix=/opt/e libdir=/opt/e/lib64 mandir=/opt/man
same "uninstall leaves what others put there" $'opt/e/bin/other\nopt/l/include/lacuna/other.h' "$(relative "$root")"
rm "$root/opt/l/include/lacuna/other.h" "$root/opt/e/bin/other"
check "uninstall again" installer uninstall DESTDIR="$root" prefix=/opt/l exec_prefix=/opt/e libdir=/opt/e/lib64 mandir=/opt/man
same "nothing is left, no folder of ours either" "" "$(relative "$root")$(find "$root" -name '*lacuna*')"
same "uninstall builds nothing" "$before" "$(built)"

# --- programs against an installed copy
prefix=$tmp/prefix
check "install below a prefix" installer install prefix="$prefix"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
same "pkg-config: version" "$version" "$(pkg-config --modversion lacuna)"
same "pkg-config: a folder follows its prefix" "-I/moved/include" \
	"$(pkg-config --define-variable=prefix=/moved --cflags lacuna | xargs)"
same "pkg-config: a shared program needs the library alone" "-L$prefix/lib -llacuna" "$(pkg-config --libs lacuna | xargs)"
same_set "pkg-config: --static names what the library needs" "$(printf '%s\n' -llacuna "${libs[@]}")" \
	"$(pkg-config --static --libs-only-l lacuna | xargs -n 1 | grep -vx -- -lpthread)" "lacuna.pc lacks %" "lacuna.pc has %, which the library does not need"
check "lacuna runs where it was installed" "$prefix/bin/lacuna" version

ends() { # NAME COMMAND...: the embedder, and the machine it runs
	same "$1: runs" "$version" "$("${@:2}" version 2>&1)"
	if [ -w /dev/kvm ]; then
		same "$1: its machine ends as it should" poweroff "$("${@:2}" 2>&1)"
	else
		skip "$1: its machine ends as it should" "no access to /dev/kvm"
	fi
}
embed() { # NAME OUTPUT COMPILER FLAG...
	# shellcheck disable=SC2046 # words
	check "$1: builds" "$3" -std=c17 "${warnings[@]}" "${sanitizer_flags[@]}" -o "$2" tests/api/embed.c "${@:4}"
}
read -ra flags < <(pkg-config --cflags --libs lacuna)
read -ra static_flags < <(pkg-config --static --cflags --libs lacuna)
for compiler in "${c_compilers[@]}"; do
	embed "shared, $compiler" "$tmp/shared" "$compiler" "${flags[@]}"
	ends "shared, $compiler" env LD_LIBRARY_PATH="$prefix/lib" "$tmp/shared"
	if [ -n "$sanitize" ]; then
		skip "static, $compiler" "sanitizers need the shared C library"
		continue
	fi
	for kind in -static -static-pie; do
		embed "$kind, $compiler" "$tmp/static" "$compiler" $kind "${static_flags[@]}"
		same "$kind, $compiler: needs no library" "" "$(readelf -dW "$tmp/static" | grep NEEDED)"
		ends "$kind, $compiler" "$tmp/static"
	done
done
check "the shared program asks for the soname" grep -qF "[liblacuna.so.${version%%.*}]" <(readelf -dW "$tmp/shared")

# --- an embedder with every name that the library has inside
nm -g --defined-only "$BUILD/liblacuna-internal.a" 2>/dev/null | awk 'NF == 3 && $3 !~ /^(lacuna_|_|\.)/ { print $3 }' |
	sort -u >"$tmp/inside"
check "the library has names inside" test "$(wc -l <"$tmp/inside")" -gt 100
sed 's/.*/int &(void); int &(void) { return 1; }/' "$tmp/inside" >"$tmp/clash.c"
check "an embedder may have all of them" "$cc" "${sanitizer_flags[@]}" -fno-builtin -o "$tmp/clash" \
	tests/api/embed.c "$tmp/clash.c" -I"$prefix/include" "$prefix/lib/liblacuna.a" "${libs[@]}" -pthread
ends "with all of them" "$tmp/clash"

check "uninstall from a prefix" installer uninstall prefix="$prefix"
same "leaves nothing there" "" "$(relative "$prefix")"
finish
