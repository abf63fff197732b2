#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Measure what the datapath and the library cost; --help tells how.
set -u -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
# shellcheck source=tools/deps.sh
. tools/deps.sh

build=build/bench
quick=()
csv=()
rows=()

usage() {
	cat <<'TEXT'
usage: sudo ./tests/bench/run.sh [--quick] [--csv FILE] [--build DIR] [ROW...]

  --quick      fewer and shorter rounds: a look, not a measurement
  --csv FILE   write the table there too: name,median_ns,min_ns,max_ns,empty_ns
               for packets, name,median,min,max,unit for the rest
  --build DIR  where to build (with optimization); default: build/bench
  ROW          the beginning of a row's name, such as packet/ or net/udp64;
               default: all

Installs with apt what is missing, builds, measures, prints a table: medians of
all rounds with the least and the greatest. A target that is not reached is no
failure. Everything happens in namespaces that end with the run, whatever ends it.
TEXT
}

while [[ $# -gt 0 ]]; do
	case $1 in
	--quick) quick=(--quick) ;;
	--csv)
		csv=(--csv "$(realpath -m "${2:?--csv needs a file}")")
		shift
		;;
	--build)
		build=${2:?--build needs a directory}
		shift
		;;
	-h | --help)
		usage
		exit 0
		;;
	-*)
		usage >&2
		exit 2
		;;
	*) rows+=("$1") ;;
	esac
	shift
done

if [[ $EUID -ne 0 ]]; then
	echo "The benchmark needs root: it loads programs and makes namespaces." >&2
	exit 1
fi

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM

compile() {
	local setup=()

	[[ ! -e $build/build.ninja ]] || setup=(--reconfigure)
	meson setup "${setup[@]}" -Dbuildtype=release -Dtests=true -Dpython=false "$build" . &&
		ninja -C "$build" tests/bench/bench
}

deps_install build test || exit 1
if ! compile >"$log" 2>&1; then
	tail -n 60 "$log" >&2
	exit 1
fi
"$build/tests/bench/bench" "${quick[@]}" "${csv[@]}" -- "${rows[@]}"
