#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What the library needs: libbpf, libelf, zlib; libyaml if it reads documents.
# shellcheck source=tests/api/lib.sh
. "$(dirname "$0")/lib.sh"

lib=$BUILD/src/libcilium-lite.so
expected="libbpf libelf libz"
requires="libbpf >= 1.1 libelf zlib"
if grep -q yaml "$BUILD/pkgconfig/cilium-lite.pc"; then
	expected+=" libyaml-0"
	requires+=" yaml-0.1"
fi

names() {
	sed -n 's/^[[:space:]]*\(lib[^ ]*\)\.so[^ ]* => .*/\1/p' | sort -u
}

# What libelf itself needs is its own affair (libzstd on newer systems).
elf=$(ldd "$lib" | sed -n 's/.*libelf\.so[^ ]* => \([^ ]*\) .*/\1/p')
ldd "$elf" | names >"$tmp/elf"
ldd "$lib" | names >"$tmp/actual"
tr ' ' '\n' <<<"$expected libc" | cat - "$tmp/elf" | sort -u >"$tmp/expected"
same "ldd: $expected" "$tmp/expected" "$tmp/actual"

readelf -d "$lib" | sed -n 's/.*NEEDED.*\[\(.*\)\.so.*/\1/p' | sort >"$tmp/needed"
tr ' ' '\n' <<<"$expected libc" | sort >"$tmp/may"
comm -23 "$tmp/needed" "$tmp/may" >"$tmp/more"
same "linked directly: nothing else" /dev/null "$tmp/more"

check "the .pc file says the same" \
	grep -qx "Requires.private: $requires" "$BUILD/pkgconfig/cilium-lite.pc"

# The server of Hubble's API is a library of its own, on the core.
hubble=$BUILD/src/hubble/libcilium-lite-hubble.so
if [[ -e $hubble ]]; then
	readelf -d "$hubble" | sed -n 's/.*NEEDED.*\[\(.*\)\.so.*/\1/p' | sort >"$tmp/needed"
	printf '%s\n' libc libcilium-lite libcrypto libnghttp2 libprotobuf-c libssl >"$tmp/may"
	comm -23 "$tmp/needed" "$tmp/may" >"$tmp/more"
	same "libcilium-lite-hubble links directly to nothing else" /dev/null "$tmp/more"
fi

# The bytecode is inside: no file of the build is looked for at run time.
strings -a "$lib" | grep -F "$BUILD/bpf/" >"$tmp/paths"
same "no path of the build tree in the library" /dev/null "$tmp/paths"

done_testing
