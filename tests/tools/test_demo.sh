#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The demo runs to its end, leaves nothing behind, also when it is interrupted, and
# runs again.
# shellcheck disable=SC2317 # functions are called by name
# shellcheck source=tests/api/lib.sh
. "$(dirname "$0")/../api/lib.sh"

if [[ $EUID -ne 0 ]]; then
	echo "needs root: the demo makes network namespaces"
	exit 77
fi
if [[ ! -x $BUILD/tools/clite/clite ]]; then
	echo "the build has no tool clite"
	exit 77
fi

pid=
cleanup() {
	[[ -z $pid ]] || kill -TERM -- "-$pid" 2>/dev/null
	[[ -z $pid ]] || wait "$pid"
}

# What a demo may leave: namespaces, mounts, files, processes. All have its name.
traces() {
	{
		ip netns list
		findmnt -rn -o TARGET
		ls "${TMPDIR:-/tmp}"
		cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n'
	} | grep '[c]lite-demo'
}

lines_of() {
	grep -cE "$1" "$tmp/out"
}

at_least() {
	[[ $(lines_of "$2") -ge $1 ]]
}

wait_for() {
	local deadline=$((SECONDS + 60))

	until "$@"; do
		[[ $SECONDS -lt $deadline ]] && kill -0 "$pid" 2>/dev/null || return 1
		sleep 0.05
	done
}

run_demo() {
	timeout 120 "$root/tools/demo.sh" --build "$BUILD" >"$tmp/out" 2>&1
}

demo_is_whole() {
	check "$1: exits with 0" run_demo || cat "$tmp/out"
	check "$1: the policy drop was printed live" at_least 1 '^ +\| .*demo/other:.*Policy denied DROPPED'
	check "$1: forwarded flows were printed live" at_least 10 '^ +\| .*FORWARDED'
	check "$1: the rule is named" at_least 1 '^ +\| .*rule=web '
	check "$1: IPv6 was served by both" at_least 2 '[0-9] Hello from web1'
	check "$1: the transfer stalled" at_least 1 '^stalled at'
	check "$1: and went on" at_least 1 '^all 12582912 bytes are there'
	seconds=$(sed -n 's/.*Done in \([0-9]*\) seconds.*/\1/p' "$tmp/out")
	check "$1: in less than a minute (${seconds:-?} s)" test "${seconds:-99}" -lt 60
	traces >"$tmp/traces"
	same "$1: leaves nothing behind" /dev/null "$tmp/traces"
}

# Ctrl-C: the whole process group gets the signal.
interrupted_at() {
	local status=0

	: >"$tmp/out"
	# A background command of a script ignores SIGINT, and so would the demo.
	setsid env --default-signal=INT "$root/tools/demo.sh" --build "$BUILD" >"$tmp/out" 2>&1 &
	pid=$!
	check "interrupted at '$1': gets there" wait_for at_least 1 "$1"
	kill -INT -- "-$pid"
	wait "$pid" || status=$?
	pid=
	check "interrupted at '$1': exits with 130" test "$status" -eq 130
	traces >"$tmp/traces"
	same "interrupted at '$1': leaves nothing behind" /dev/null "$tmp/traces"
}

demo_is_whole "first run"
interrupted_at "== A datapath"
interrupted_at "now nobody is allowed"
demo_is_whole "run after that"

done_testing
