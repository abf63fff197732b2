#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Install into a staging root; then a C and a C++ program outside the tree build
# with nothing but pkg-config, and run without privileges.
# shellcheck source=tests/api/lib.sh
. "$(dirname "$0")/lib.sh"

version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" "$root/meson.build")

check "install into a staging root" \
	meson install -C "$BUILD" --no-rebuild --destdir "$tmp/stage"
pc=$(cd "$tmp/stage" && find . -name cilium-lite.pc)
check "there is a .pc file" test -n "$pc" || done_testing
libdir=$tmp/stage/${pc%/pkgconfig/*}

(cd "$tmp/stage" && find . -name '*.h' | sed 's|.*/include/||' | sort) >"$tmp/actual"
(cd "$root/include" && find cilium-lite -name '*.h' | sort) >"$tmp/expected"
hubble=$(cd "$tmp/stage" && find . -name cilium-lite-hubble.pc)
[[ -n $hubble ]] || sed -i '/hubble[a-z_]*\.h$/d' "$tmp/expected"
same "all headers are installed" "$tmp/expected" "$tmp/actual"
for lib in libcilium-lite ${hubble:+libcilium-lite-hubble}; do
	for link in "$lib.so" "$lib.so.0"; do
		check "$link is a link to $lib.so.$version" \
			test "$(readlink -f "$libdir/$link")" = "$(readlink -f "$libdir")/$lib.so.$version"
	done
done
(cd "$tmp/stage" && find . -name '*.a' -o -name '*internal*' -o -name 'test_*') >"$tmp/inside"
same "nothing of the inside is installed" /dev/null "$tmp/inside"

export PKG_CONFIG_PATH=$tmp/stage/${pc%/cilium-lite.pc} PKG_CONFIG_SYSROOT_DIR=$tmp/stage
mkdir "$tmp/outside"
cp "$root/tests/api/consumer/consumer.c" "$tmp/outside/"
cp "$root/tests/api/consumer/consumer.c" "$tmp/outside/consumer.cc"
read -ra flags < <(pkg-config --cflags --libs cilium-lite)
echo "# ${flags[*]}"
check "pkg-config knows the version" test "$(pkg-config --modversion cilium-lite)" = "$version"

# The program must reach its files without privileges, too.
chmod 755 "$tmp" "$tmp/outside"
unprivileged=()
[[ $EUID -ne 0 ]] || unprivileged=(setpriv --reuid=65534 --regid=65534 --clear-groups)

consume() {
	local what=$1 status=0

	shift
	check "build $what with pkg-config" "$@" -Wall -Wextra -Werror -o "$tmp/outside/consumer" \
		"${flags[@]}"
	"${unprivileged[@]}" env "LD_LIBRARY_PATH=$libdir" "$tmp/outside/consumer" "$version" ||
		status=$?
	check "run $what" test "$status" = 0
}

consume "a C program" "${CC:-cc}" -std=c99 "$tmp/outside/consumer.c"
consume "a C++ program" "${CXX:-g++}" -std=c++11 "$tmp/outside/consumer.cc"

if [[ -n $hubble ]]; then
	cp "$root/tests/api/consumer/hubble.c" "$tmp/outside/"
	cp "$root/tests/api/consumer/hubble.c" "$tmp/outside/hubble.cc"
	read -ra flags < <(pkg-config --cflags --libs cilium-lite-hubble)
	echo "# ${flags[*]}"
	check "pkg-config knows the version of the other library" \
		test "$(pkg-config --modversion cilium-lite-hubble)" = "$version"
	consume "a C program with a server" "${CC:-cc}" -std=c99 "$tmp/outside/hubble.c"
	consume "a C++ program with a server" "${CXX:-g++}" -std=c++11 "$tmp/outside/hubble.cc"
fi

done_testing
