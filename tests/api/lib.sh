# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Sourced by the tests beside it. BUILD is the build directory. Each "ok" or
# "not ok" line is one test.
set -u -o pipefail

# shellcheck disable=SC2034 # for those who source this
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${BUILD:?BUILD must name a build directory}"
tmp=$(mktemp -d)
failed=0

# shellcheck disable=SC2317 # called by trap
lib_cleanup() {
	if declare -F cleanup >/dev/null; then
		cleanup
	fi
	rm -rf --one-file-system "$tmp"
}
trap lib_cleanup EXIT
trap 'exit 130' INT TERM

# Run a command as a test; what it prints is shown when it fails: check NAME COMMAND...
check() {
	local name=$1

	shift
	if "$@" >"$tmp/check.out" 2>&1; then
		echo "ok $name"
	else
		echo "not ok $name"
		sed 's/^/    /' "$tmp/check.out"
		failed=1
	fi
}

# Two files are the same: same NAME EXPECTED ACTUAL
same() {
	check "$1" diff -u "$2" "$3"
}

done_testing() {
	exit "$failed"
}
