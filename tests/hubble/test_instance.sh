#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The server on an instance with real endpoints, policies and traffic.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../integration/lib.sh"
# shellcheck source=tests/hubble/lib.sh
. "$root/tests/hubble/lib.sh"

make_host
workload red 1
workload blue 2
workload green 3
serve blue
clite instance create default >/dev/null || die "cannot create an instance"
endpoint red 1 --name shop/red-1
endpoint blue 2 --name shop/blue-1
allow web blue red | import


# The second C program of README.md.
awk '/^```c$/ { n++; on = n == 2; next } /^```/ { on = 0 } on' "$root/README.md" >"$tmp/serve.c"
check "the program in README.md compiles" "${CC:-cc}" -Wall -Wextra -Werror -I "$root/include" \
	"$tmp/serve.c" -L "$BUILD/src/hubble" -L "$BUILD/src" -Wl,-rpath-link,"$BUILD/src" \
	-lcilium-lite-hubble -lcilium-lite -o "$tmp/serve"
export SERVE=$tmp/serve LD_LIBRARY_PATH=$BUILD/src/hubble:$BUILD/src

run test_instance.py
