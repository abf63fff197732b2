#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The version script, the headers and the library agree on what is public.
# shellcheck source=tests/api/lib.sh
. "$(dirname "$0")/lib.sh"

version=$(sed -n "s/^  version: '\([0-9]*\.[0-9]*\)\.[0-9]*',$/\1/p" "$root/meson.build")

# agree NAME LIBRARY MAP HEADER...
agree() {
	local name=$1 lib=$2 map=$3 soname

	shift 3
	python3 "$root/tests/api/declarations.py" functions "$@" >"$tmp/headers"
	sed -n 's/^\t\(clite_[a-z0-9_]*\);$/\1/p' "$map" >"$tmp/map"
	nm -D --defined-only --with-symbol-versions "$lib" >"$tmp/nm"
	awk '$2 == "T" { print $3 }' "$tmp/nm" | sort >"$tmp/versioned"
	sed 's/@.*//' "$tmp/versioned" >"$tmp/library"
	awk '$2 != "T" && $2 != "A" { print $3 }' "$tmp/nm" >"$tmp/data"
	LC_ALL=C sort -c "$tmp/map" 2>"$tmp/unsorted"

	check "$name: there are functions" test -s "$tmp/headers"
	same "$name: headers and version script agree" "$tmp/headers" "$tmp/map"
	same "$name: headers and library agree" "$tmp/headers" "$tmp/library"
	same "$name: the version script is sorted" /dev/null "$tmp/unsorted"
	same "$name: no data is exported" /dev/null "$tmp/data"

	sed "s/\$/@@CLITE_$version/" "$tmp/map" >"$tmp/expected"
	same "$name: every symbol has the version CLITE_$version" "$tmp/expected" "$tmp/versioned"

	soname=$(readelf -d "$lib" | sed -n 's/.*soname: \[\(.*\)\]/\1/p')
	check "$name: the soname is $name.so.0 ($soname)" test "$soname" = "$name.so.0"

	# cil_ is libsepol's and Cilium's, cl_ is OpenCL's.
	grep -E '^(cil_|cl_)' "$tmp/library" >"$tmp/foreign"
	same "$name: no public name begins with cil_ or cl_" /dev/null "$tmp/foreign"
}

headers=()
for header in "$root"/include/cilium-lite/*.h "$root"/include/cilium-lite/sys/*.h; do
	[[ $header == */hubble* ]] || headers+=("$header")
done
agree libcilium-lite "$BUILD/src/libcilium-lite.so" "$root/src/libcilium-lite.map" "${headers[@]}"
if [[ -e $BUILD/src/hubble/libcilium-lite-hubble.so ]]; then
	agree libcilium-lite-hubble "$BUILD/src/hubble/libcilium-lite-hubble.so" \
		"$root/src/hubble/libcilium-lite-hubble.map" "$root"/include/cilium-lite/hubble*.h
fi

numbers=$(sed -n 's/^#define CLITE_VERSION_[A-Z]* \([0-9]*\)$/\1/p' \
	"$root/include/cilium-lite/version.h" | paste -sd.)
check "header and build have the same version ($numbers)" \
	grep -q "^  version: '$numbers',\$" "$root/meson.build"

done_testing
