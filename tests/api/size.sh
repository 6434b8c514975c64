#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The figures of `make size`, and the limit of the static program.
. "$(dirname "$0")/lib.sh"
unset MAKEFLAGS MAKEOVERRIDES

if [ -n "$sanitize" ]; then
	skip "sizes" "sanitizers need the shared C library"
	finish
fi
before=$(stat -c '%i %y' "$BUILD/lacuna" "$BUILD/liblacuna.a")
check "make size: at most 1.5 MiB" make -s --no-print-directory BUILD="$BUILD" size
make -s --no-print-directory BUILD="$BUILD" size >"$tmp/out"
sed 's/^/# /' "$tmp/out"
same "builds nothing anew" "$before" "$(stat -c '%i %y' "$BUILD/lacuna" "$BUILD/liblacuna.a")"
same "counts the public symbols" "$(listed | wc -l)" "$(awk '/^public symbols/ { print $NF }' "$tmp/out")"
same "the static program is one, and position-independent" "DYN 0" "$(readelf -hW "$BUILD/static/lacuna" |
	awk '$1 == "Type:" { print $2 }') $(readelf -dW "$BUILD/static/lacuna" | grep -c NEEDED)"
check "the static program runs" "$BUILD/static/lacuna" version
finish
