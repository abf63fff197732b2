#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Each public header compiles alone, in each standard that it promises.
# shellcheck source=tests/api/lib.sh
. "$(dirname "$0")/lib.sh"

strict=(-fsyntax-only -Wall -Wextra -pedantic-errors -Werror -I "$root/include")

# compiler, language, standards
try() {
	local compiler=$1 language=$2 header std

	shift 2
	for header in "$root"/include/cilium-lite/*.h "$root"/include/cilium-lite/sys/*.h; do
		header=${header#"$root/include/"}
		# Twice: a header must bear that, too.
		printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' \
			"$header" "$header" >"$tmp/one"
		for std; do
			check "$compiler $std $header" \
				"$compiler" -x "$language" "-std=$std" "${strict[@]}" "$tmp/one"
		done
	done
}

command -v "${CC:=cc}" >/dev/null || CC=gcc
try "$CC" c c99 c11 c17
try "${CXX:-g++}" c++ c++11 c++17 c++20
if command -v clang >/dev/null; then
	try clang c c99 c17
fi

# Every header is in the umbrella, but for sys/ and those of other libraries.
(cd "$root/include" && ls cilium-lite/*.h) | grep -vxE 'cilium-lite/(cilium-lite|hubble[a-z_]*)\.h' >"$tmp/expected"
sed -n 's/^#include <\(.*\)>$/\1/p' "$root/include/cilium-lite/cilium-lite.h" | sort >"$tmp/actual"
same "the umbrella includes every header" "$tmp/expected" "$tmp/actual"

# And installed.
(cd "$root/include" && find cilium-lite -name '*.h') | sort >"$tmp/expected"
grep -o "'cilium-lite/[^']*\.h'" "$root/include/meson.build" | tr -d "'" | sort >"$tmp/actual"
same "every header is installed" "$tmp/expected" "$tmp/actual"

done_testing
