#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The public headers in C and C++, each alone and all together, and a program that takes the address of every function they
# declare, with either form of the library. The program is made from the headers, so a new function needs no line here.
. "$(dirname "$0")/lib.sh"

for_c=(-std=c17 "${warnings[@]}" "${c_warnings[@]}" -Iinclude)
alone() { # COMPILER LANGUAGE FLAG...: twice each, for the include guard
	local header
	for header in "${headers[@]}"; do
		printf '#include <%s>\n#include <%s>\n' "$header" "$header" | "$1" "${@:3}" -fsyntax-only -x "$2" - || return
	done
}

# Casts are spelled so that neither language warns of them.
program() {
	all_headers
	cat <<-'END'
	#include <stdio.h>
	#include <string.h>
	#ifdef __cplusplus
	#define FUNCTION(f) reinterpret_cast<function>(&f)
	#else
	#define FUNCTION(f) ((function)&f)
	#endif
	typedef void (*function)(void);
	static const function functions[] = {
	END
	declared | sed 's/.*/	FUNCTION(&),/'
	cat <<-'END'
	};
	int main(void)
	{
		const size_t count = sizeof(functions) / sizeof(functions[0]);
		const volatile function *f = functions; /* read, not assumed */
		for (size_t i = 0; i < count; i++)
			for (size_t j = 0; j < i; j++)
				if (!f[i] || f[i] == f[j])
					return 1;
		printf("%zu functions of lacuna %s\n", count, lacuna_version());
		return 0;
	}
	END
}
program >"$tmp/all.c"
cp "$tmp/all.c" "$tmp/all.cc"
expected="$(declared | wc -l) functions of lacuna $version"

linked() { # NAME COMPILER FILE FLAG...: builds FILE with the shared and the static library and runs both
	local name=$1 compiler=$2 source=$3
	shift 3
	check "$name: compiles" "$compiler" "$@" "${sanitizer_flags[@]}" -c -o "$tmp/all.o" "$source"
	check "$name: links with liblacuna.so" "$compiler" "${sanitizer_flags[@]}" -o "$tmp/shared" "$tmp/all.o" "$BUILD/liblacuna.so"
	same "$name: runs with liblacuna.so" "$expected" "$(LD_LIBRARY_PATH=$BUILD "$tmp/shared" 2>&1)"
	check "$name: links with liblacuna.a" "$compiler" "${sanitizer_flags[@]}" -o "$tmp/static" "$tmp/all.o" \
		"$BUILD/liblacuna.a" "${libs[@]}" -pthread
	same "$name: runs with liblacuna.a" "$expected" "$("$tmp/static" 2>&1)"
	rm -f "$tmp/all.o" "$tmp/shared" "$tmp/static"
}

if [ "$(declared)" != "$(listed | sort)" ]; then
	not_ok "the version script is complete" "no program can be linked before it is: see tests/api/symbols.sh"
	finish
fi
for compiler in "${c_compilers[@]}"; do
	check "C17, $compiler: each header alone" alone "$compiler" c "${for_c[@]}"
	linked "C17, $compiler" "$compiler" "$tmp/all.c" "${for_c[@]}"
done
for compiler in "${cxx_compilers[@]}"; do
	for std in c++11 c++17; do
		check "$std, $compiler: each header alone" alone "$compiler" c++ "-std=$std" "${warnings[@]}" -Iinclude
		linked "$std, $compiler" "$compiler" "$tmp/all.cc" "-std=$std" "${warnings[@]}" -Wold-style-cast -Iinclude
	done
done
finish
