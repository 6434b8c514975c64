#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The names that the library defines: those of the public headers, those of the version script and those of both forms
# of the library are one list.
. "$(dirname "$0")/lib.sh"

map=src/api/liblacuna.map
so=$BUILD/liblacuna.so

check "the headers declare functions" test "$(declared | wc -l)" -ge 20
same_set "what the headers declare is LACUNA_API" "$(declared)" "$(marked)" \
	"include/lacuna: put LACUNA_API before %()" "tests/api/lib.sh: % is marked, but the compiler sees no such function"
same_set "the version script has every LACUNA_API prototype, and no more" "$(marked)" "$(listed)" \
	"$map: add this line to the newest node, in order: <tab>%;" "$map: remove %, which no header declares"
same_set "the shared library exports what the version script has" "$(listed)" \
	"$(nm -D --defined-only "$so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }')" \
	"% is declared and listed, but no file of src/ defines it" "% is exported without being listed: $map has a wildcard?"
same_set "the static library's global names are the same" "$(listed)" \
	"$(nm -g --defined-only "$BUILD/liblacuna.a" | awk 'NF == 3 { print $3 }')" \
	"% is listed, but liblacuna.a does not define it" \
	"% is global in liblacuna.a: compile it with -fvisibility=hidden, or list it"
same_set "all of them are functions" "" \
	"$(nm -D --defined-only "$so" | awk '$2 != "A" && $2 != "T" { print $3 }')" "" "% is data: no part of an interface"

# --- versions: each name has the node under which the version script lists it; the nodes are in the library, in order
major=${version%%.*}
same "soname" "liblacuna.so.$major" "$(readelf -dW "$so" | sed -nE 's/.*SONAME.*\[(.*)\]/\1/p')"
same "the shared library's links" "liblacuna.so.$major liblacuna.so.$version" \
	"$(readlink "$so") $(readlink "$BUILD/liblacuna.so.$major")"
nodes=$(sed -nE 's/^(LACUNA_[0-9.]+) \{$/\1/p' $map)
same "version nodes" "liblacuna.so.$major $(xargs <<<"$nodes")" "$(readelf -VW "$so" |
	awk '/^Version/ { on = /definition/ } on && / Name: / { sub(/.* Name: /, ""); print }' | xargs)"
check "the first version node is that of the soname" grep -qx "LACUNA_$major\.[0-9]*" <<<"${nodes%%$'\n'*}"
same "the node of each name" \
	"$(awk '/^LACUNA_/ { node = $1 } /^\tlacuna_/ { sub(/;.*/, "", $1); print $1 "@@" node }' $map | sort)" \
	"$(nm -D --defined-only "$so" | awk '$2 != "A" { print $3 }' | sort)"
same "each node's names are sorted" "" "$(awk '/^LACUNA_/ { last = "" }
	/^\tlacuna_/ { if ($1 <= last) print $1 " comes before " last; last = $1 }' $map)"

# --- what it needs of others
same_set "needs libc and what the Makefile says, no JSON" "$(printf '%s\n' libc "${libs[@]/#-l/lib}")" "$(readelf -dW "$so" |
	sed -nE 's/.*NEEDED.*\[(lib[a-z0-9]+)\.so\..*\]/\1/p' |
	{ if [ -n "$sanitize" ]; then grep -vE '^lib(asan|ubsan|tsan|m|gcc_s)$'; else cat; fi; })" \
	"%: linked, but not needed?" "%: not among lib_packages of the Makefile"
check "jansson is the program's alone" test -z "$(nm -D --undefined-only "$so" | grep ' json_')"
same "no executable stack" "RW" "$(readelf -lW "$so" | awk '$1 == "GNU_STACK" { print $7 }')"
same "no relocations of code" "" "$(readelf -dW "$so" | grep TEXTREL)"
finish
