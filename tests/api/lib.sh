# SPDX-License-Identifier: Apache-2.0
# What the tests of the library as a product share: how it was built, and what its headers declare.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
cd "$top" || exit 1

setting() { # NAME: of the Makefile's settings for $BUILD
	sed -n "s/^$1 := //p" "$BUILD"/settings-*.mk
}
cc=$(setting CC)
sanitize=$(setting SANITIZE)
read -ra libs < <(setting LIB_LIBS) # what the library needs, as options of the linker
version=$("$LACUNA" version | cut -d ' ' -f 2)

# Programs that use a sanitized library need the same compiler's sanitizer.
if [ -n "$sanitize" ]; then
	c_compilers=("$cc")
	case $cc in *clang*) cxx_compilers=(clang++) ;; *) cxx_compilers=(g++) ;; esac
	sanitizer_flags=("-fsanitize=$sanitize")
else
	c_compilers=(gcc clang)
	cxx_compilers=(g++ clang++)
	sanitizer_flags=()
fi
warnings=(-Wall -Wextra -Wpedantic -Wshadow -Wundef -Wcast-qual -Wwrite-strings -Werror)
c_warnings=(-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition)

mapfile -t headers < <(cd include && printf '%s\n' lacuna/*.h)
all_headers() { printf '#include <%s>\n' "${headers[@]}"; }

# Names marked LACUNA_API: from the text, without comments.
marked() {
	local header
	for header in include/lacuna/*.h; do gcc -fpreprocessed -dD -E -P "$header" 2>/dev/null; done |
		awk 'BEGIN { RS = ";" } /LACUNA_API/ && match($0, /lacuna_[a-z0-9_]+ *\(/) {
			name = substr($0, RSTART, RLENGTH - 1); sub(/ +$/, "", name); print name }' | sort -u
}

# Functions that the headers declare: from the compiler.
declared() {
	all_headers | gcc -std=c17 -Iinclude -fsyntax-only -x c - -aux-info /dev/stdout |
		sed -nE 's|^/\* include/lacuna/.*extern [^(]*[ *]([A-Za-z0-9_]+) \(.*|\1|p' | sort -u
}

# The symbols of the version script.
listed() {
	sed -nE 's/^\t(lacuna_[a-z0-9_]+);.*/\1/p' src/api/liblacuna.map
}
