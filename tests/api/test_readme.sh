#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2317 # functions are called by name
# The programs in README.md compile and run as they are printed there.
# shellcheck source=tests/api/lib.sh
. "$(dirname "$0")/lib.sh"

readme=$root/README.md
host=clite-readme-host
work=clite-readme-work
pids=()

# shellcheck disable=SC2317 # called by lib.sh
cleanup() {
	[[ ${#pids[@]} -eq 0 ]] || kill "${pids[@]}" 2>/dev/null
	wait
	ip netns del "$work" 2>/dev/null
	ip netns del "$host" 2>/dev/null
}

# The first code block of a language, as it is.
block() {
	awk -v start="\`\`\`$1" '$0 == start { on = 1; next } /^```/ { if (on) exit } on' "$readme"
}

in_host() {
	nsenter --net="/run/netns/$host" "$@"
}

wait_for() {
	local deadline=$((SECONDS + 11))

	until "$@" >/dev/null 2>&1; do
		[[ $SECONDS -lt $deadline ]] || return 1
		sleep 0.05
	done
}

get() {
	in_host curl --silent --max-time 2 --connect-timeout 1 "http://10.0.1.2:$1/"
}

# curl's 28: nothing came back.
unanswered() {
	get "$1"
	[[ $? -eq 28 ]]
}

# curl's 7: the workload itself refused.
refused() {
	get "$1"
	[[ $? -eq 7 ]]
}

flow() {
	grep -E "$1" "$tmp/flows"
}

# Once more: the first packets may have come before the program subscribed.
drop_printed() {
	get 81
	flow ':81 .*DROPPED'
}

make_network() {
	ip netns add "$host" && ip netns add "$work" &&
		ip -n "$host" link set lo up &&
		ip -n "$host" addr add 10.0.0.1/32 dev lo &&
		ip -n "$host" link add web type veth peer name eth0 netns "$work" &&
		ip -n "$host" link set web up &&
		ip -n "$host" route add 10.0.1.2 dev web src 10.0.0.1 &&
		ip -n "$work" link set lo up &&
		ip -n "$work" link set eth0 up &&
		ip -n "$work" addr add 10.0.1.2/32 dev eth0 &&
		ip -n "$work" route add 10.0.0.1 dev eth0
}

# A program that polices the device "web" and prints flows: try NAME COMMAND...
try() {
	local name=$1 pid

	shift
	# Before: the workload answers on both ports.
	check "$name: before, port 81 is refused by the workload" wait_for refused 81
	: >"$tmp/flows"
	# Not by in_host: $! would be a shell's, and to kill that not end the program.
	nsenter --net="/run/netns/$host" "$@" web >"$tmp/flows" 2>"$tmp/errors" &
	pid=$!
	pids+=("$pid")
	check "$name: port 81 is cut off" wait_for unanswered 81 || cat "$tmp/errors"
	check "$name: port 80 is served" get 80
	check "$name: the drop is printed" wait_for drop_printed
	check "$name: the forwarded flow is printed, with its rule" \
		wait_for flow ':80 .*FORWARDED.* rule=web '
	check "$name: it still runs" kill -0 "$pid"
	check "$name: it printed no errors" test ! -s "$tmp/errors"
	head -n 4 "$tmp/flows" | sed 's/^/# /'
	kill "$pid"
	wait "$pid" 2>/dev/null
	check "$name: with the program its instance is gone" wait_for refused 81
}

block c >"$tmp/web.c"
block python >"$tmp/web.py"
check "the C program has 40 lines at most" test "$(wc -l <"$tmp/web.c")" -le 40
check "the Python program has 15 lines at most" test "$(wc -l <"$tmp/web.py")" -le 15
check "there is a C program" test -s "$tmp/web.c"
check "there is a Python program" test -s "$tmp/web.py"

meson install -C "$BUILD" --no-rebuild --destdir "$tmp/stage" >"$tmp/install.log" 2>&1
pc=$(find "$tmp/stage" -name cilium-lite.pc)
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$tmp/stage
read -ra flags < <(pkg-config --cflags --libs cilium-lite)
check "the C program compiles" \
	"${CC:-cc}" -Wall -Wextra -Werror "$tmp/web.c" "${flags[@]}" -o "$tmp/web"

if [[ $EUID -ne 0 ]]; then
	echo "skip: needs root: running the programs of README.md"
	done_testing
fi
export LD_LIBRARY_PATH=${pc%/pkgconfig/*} PYTHONPATH=$root/bindings/python
check "a network of its own" make_network
mkdir "$tmp/www"
echo hello >"$tmp/www/index.html"
nsenter --net=/run/netns/$work python3 -m http.server 80 --bind 10.0.1.2 \
	--directory "$tmp/www" >/dev/null 2>&1 &
pids+=($!)
check "a web server" wait_for get 80

try C "$tmp/web"
try Python python3 "$tmp/web.py"

done_testing
