#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Build everything and run every test; --help tells how. The last line is
# "N passed, N failed, N skipped".
set -u -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
# shellcheck source=tools/deps.sh
. tools/deps.sh

unprivileged=
quick=
build=build
failed_setup=

usage() {
	cat <<'TEXT'
usage: sudo ./tests/run.sh [--unprivileged] [--quick] [--build DIR]

  --unprivileged  it is all right that tests that need root are skipped
  --quick         one build only: no sanitizers, no second BPF compiler, no
                  build without libyaml
  --build DIR     where to build; default: build/

Installs with apt what is missing, builds, runs all tests, and prints what was
skipped and why. Exits with 0 only if nothing failed.
TEXT
}

while [[ $# -gt 0 ]]; do
	case $1 in
	--unprivileged) unprivileged=1 ;;
	--quick) quick=1 ;;
	--build)
		build=${2:?--build needs a directory}
		shift
		;;
	-h | --help)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
	shift
done

mkdir -p "$build" || exit 2
build=$(cd "$build" && pwd)
tmp=$(mktemp -d)
counts=$tmp/counts
: >"$counts"

# shellcheck disable=SC2317 # called by trap
finish() {
	local passed failed skipped status=0

	trap - EXIT INT TERM
	while mountpoint -q "$tmp/bpf" 2>/dev/null && umount "$tmp/bpf"; do :; done
	[[ -z $failed_setup ]] || echo "0 1 0" >>"$counts"
	read -r passed failed skipped < <(awk '/^[0-9]/ { p += $1; f += $2; s += $3 }
		END { print p + 0, f + 0, s + 0 }' "$counts")
	[[ $failed -eq 0 && $passed -gt 0 ]] || status=1
	echo
	if [[ $skipped -gt 0 ]]; then
		echo "Skipped:"
		sed -n 's/^skip /  /p' "$counts"
	fi
	if grep -qiE '^skip .*: .*\broot\b' "$counts" && [[ -z $unprivileged ]]; then
		echo "Tests that need root did not run. Run this as root, or with --unprivileged."
		status=1
	fi
	rm -rf --one-file-system "$tmp"
	echo "$passed passed, $failed failed, $skipped skipped"
	exit "$status"
}
trap finish EXIT
trap 'failed_setup=1; exit 130' INT TERM

headline() {
	printf '\n== %s\n' "$*"
}

# Run a command as one test with a time limit: run_test KIND NAME SECONDS COMMAND...
run_test() {
	local kind=$1 name=$2 seconds=$3 status=0

	shift 3
	timeout -k 10 "$seconds" "$@" >"$tmp/out" 2>&1 </dev/null || status=$?
	[[ $status -ne 124 ]] || echo "not ended within $seconds s" >>"$tmp/out"
	python3 tests/report.py "$counts" "$kind" "$name" "$status" "$tmp/out"
}

skip() {
	printf 'skip  %s: %s\n' "$1" "$2"
	printf '0 0 1\nskip %s: %s\n' "$1" "$2" >>"$counts"
}

# Configure and compile build/NAME: compile NAME OPTION...
compile() {
	local name=$1 dir=$build/$1 log=$tmp/build.log setup=()

	shift
	headline "build $name"
	[[ ! -e $dir/build.ninja ]] || setup=(--reconfigure)
	if meson setup "${setup[@]}" -Dwerror=true "$@" "$dir" . >"$log" 2>&1 &&
		ninja -C "$dir" >>"$log" 2>&1; then
		echo "ok    build $name"
		echo "1 0 0" >>"$counts"
		return 0
	fi
	tail -n 60 "$log"
	echo "FAIL  build $name"
	echo "0 1 0" >>"$counts"
	return 1
}

# C tests: run_suites NAME SUITE...
run_suites() {
	local name=$1 dir=$build/$1 suite args=()

	shift
	for suite; do args+=(--suite "$suite"); done
	rm -f "$dir/meson-logs/testlog.json"
	meson test -C "$dir" --no-rebuild --num-processes 1 "${args[@]}" >"$tmp/out" 2>&1
	if [[ -s $dir/meson-logs/testlog.json ]]; then
		python3 tests/report.py "$counts" meson "$name: " 0 "$dir/meson-logs/testlog.json"
	else
		python3 tests/report.py "$counts" text "$name: meson test" 1 "$tmp/out"
	fi
}

# Shell tests: run_scripts NAME DIRECTORY
run_scripts() {
	local script

	for script in tests/"$2"/test_*.sh; do
		[[ -x $script ]] || continue
		run_test text "$1: ${script#tests/}" 600 env BUILD="$build/$1" "$script"
	done
}

run_python() {
	run_test unittest "$1: python" 600 env BUILD="$build/$1" \
		PYTHONPATH="$PWD/bindings/python" PYTHONDONTWRITEBYTECODE=1 \
		CILIUM_LITE_LIBRARY="$build/$1/src/libcilium-lite.so" \
		LD_LIBRARY_PATH="$build/$1/src" \
		python3 -m unittest discover -v -s tests/python -t tests/python
}

# The tests use this bpf file system and leave the machine's own alone.
mount_bpffs() {
	[[ $EUID -eq 0 ]] || return 0
	mkdir -p "$tmp/bpf"
	if mount -t bpf bpf "$tmp/bpf" 2>"$tmp/out"; then
		export CLITE_TEST_BPFFS=$tmp/bpf
	else
		echo "cannot mount the bpf file system: $(cat "$tmp/out")" >&2
	fi
}

# Cilium's example policies are read too, where somebody has put them beside the
# project.
find_samples() {
	local dir

	for dir in ../*/data/policies; do
		[[ ! -d $dir ]] || export CLITE_POLICY_SAMPLES=${CLITE_POLICY_SAMPLES:-$PWD/$dir}
	done
}

test_main() {
	local dir

	compile main || return
	run_suites main unit fuzz api bpf integration oracle
	for dir in api bpf integration tools oracle hubble; do
		run_scripts main "$dir"
	done
	run_python main
}

test_sanitized() {
	export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1
	export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
	compile sanitize -Db_sanitize=address,undefined -Db_lundef=false \
		-Dtools=false -Dpython=false &&
		run_suites sanitize unit fuzz api
	unset ASAN_OPTIONS UBSAN_OPTIONS
}

# The BPF programs as the oldest compiler makes them, the library by clang.
test_clang14() {
	if ! command -v clang-14 >/dev/null; then
		skip "build clang14" "there is no clang-14"
		return
	fi
	CC=clang-14 compile clang14 -Dclang=clang-14 -Dpython=false &&
		run_suites clang14 bpf
}

test_noyaml() {
	compile noyaml -Dyaml=disabled -Dtools=false -Dpython=false || return
	run_suites noyaml unit
	run_test text "noyaml: api/test_links.sh" 60 env BUILD="$build/noyaml" tests/api/test_links.sh
}

test_nohubble() {
	local tool

	compile nohubble -Dhubble=disabled -Dpython=false || return
	for tool in clite clited; do
		run_test text "nohubble: tools/test_$tool.sh" 300 \
			env BUILD="$build/nohubble" "tests/tools/test_$tool.sh"
	done
}

headline "what is needed"
if ! deps_install build test; then
	failed_setup=1
	exit 1
fi
echo "ok    everything is there"
mount_bpffs
find_samples

test_main
if [[ -z $quick ]]; then
	test_sanitized
	test_clang14
	test_noyaml
	test_nohubble
fi
