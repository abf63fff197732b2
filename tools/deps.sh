# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# What building, testing and the demo need, and how to get it. Sourced by
# tools/demo.sh and tests/run.sh:
#
#	deps_install build [test] [demo]
#
# returns when everything is there; otherwise it has said what to install.

# set | how to see that it is there | Debian package | what it is, for people elsewhere
deps_table='
build|command meson|meson|Meson 1.0 or newer
build|command ninja|ninja-build|Ninja
build|command cc|gcc|a C compiler (gcc or clang)
build|header stdio.h|libc6-dev|headers of the C library
build|header linux/bpf.h|linux-libc-dev|headers of the kernel (UAPI)
build|command pkg-config|pkg-config|pkg-config
build|clang|clang|clang 14 or newer, with the BPF target
build|command bpftool|bpftool|bpftool
build|module libbpf >= 1.1|libbpf-dev|libbpf 1.1 or newer, with headers
build|module libelf|libelf-dev|libelf, with headers
build|module zlib|zlib1g-dev|zlib, with headers
build|module yaml-0.1|libyaml-dev|libyaml, with headers
build|module libnghttp2 >= 1.43|libnghttp2-dev|libnghttp2, with headers (for libcilium-lite-hubble)
build|module libprotobuf-c >= 1.4|libprotobuf-c-dev|protobuf-c, with headers
build|module protobuf|libprotobuf-dev|the message definitions of Protocol Buffers
build|command protoc-c|protobuf-c-compiler|protoc-c, the compiler of protobuf-c
build|module openssl >= 3.0|libssl-dev|OpenSSL 3.0 or newer, with headers
build|module jansson >= 2.10|libjansson-dev|Jansson 2.10 or newer, with headers (for the tool clite)
build|module libmicrohttpd >= 0.9.71|libmicrohttpd-dev|libmicrohttpd 0.9.71 or newer, with headers (for the daemon clited)
build|command python3|python3|Python 3.9 or newer
test|module check >= 0.15|check|Check, the unit test framework
test|command g++|g++|a C++ compiler
test|command protoc|protobuf-compiler|protoc, the compiler of Protocol Buffers
test|python grpc|python3-grpcio|gRPC for Python
test|python google.protobuf|python3-protobuf|Protocol Buffers for Python
test|command openssl|openssl|the command openssl
test|command curl|curl|curl
test|command iperf3|iperf3|iperf3
test|command wrk|wrk|wrk
test|command nft|nftables|
test|command promtool|prometheus|
test|command ip|iproute2|iproute2
test|command ping|iputils-ping|ping
test|command ldd|libc-bin|ldd
test|command nm|binutils|binutils
test|command man|man-db|
test|command groff|groff-base|
test|command systemd-analyze|systemd|systemd
test|command col|bsdextrautils|
test|command clang-14|clang-14|
test|command clang-19|clang-19|
demo|command ip|iproute2|iproute2
demo|command curl|curl|curl
'

deps_have() {
	case $1 in
	command\ *) command -v "${1#command }" >/dev/null 2>&1 ;;
	module\ *) command -v pkg-config >/dev/null 2>&1 && pkg-config --exists "${1#module }" ;;
	header\ *) echo "#include <${1#header }>" | cc -E -x c - >/dev/null 2>&1 ;;
	# of python3, or of the system's, if that is another: packages are for that
	python\ *)
		python3 -c "import ${1#python }" >/dev/null 2>&1 ||
			/usr/bin/python3 -c "import ${1#python }" >/dev/null 2>&1
		;;
	clang) compgen -c clang | grep -qxE 'clang(-1[4-9]|-[2-9][0-9])?' ;;
	esac
}

# Lines of the table that belong to the sets in $@ and are missing.
deps_missing() {
	local set check package what

	while IFS='|' read -r set check package what; do
		if [[ -n $set && " $* " == *" $set "* ]] && ! deps_have "$check"; then
			printf '%s|%s\n' "$package" "$what"
		fi
	done <<<"$deps_table"
}

deps_tell() {
	local package what

	echo "These are missing; please install them with your system's package manager:" >&2
	while IFS='|' read -r package what; do
		[[ -z $what ]] || printf '  - %s (Debian: %s)\n' "$what" "$package" >&2
	done
}

# Entries without a description are other versions of what is there already:
# welcome, not needed.
deps_needed() {
	deps_missing "$@" | grep -v '|$'
}

deps_apt() {
	local package packages=()

	# For what is only welcome, no new package lists are fetched.
	if [[ -n $(deps_needed "$@") ]]; then
		echo "Installing what is missing with apt." >&2
		apt-get -qq update || return
	fi
	while IFS='|' read -r package _; do
		[[ -z $(apt-cache madison "$package" 2>/dev/null) ]] || packages+=("$package")
	done < <(deps_missing "$@")
	[[ ${#packages[@]} -eq 0 ]] || DEBIAN_FRONTEND=noninteractive \
		apt-get -qq -y --no-install-recommends install "${packages[@]}" >/dev/null
}

deps_install() {
	PATH=$PATH:/usr/sbin:/sbin
	[[ -n $(deps_missing "$@") ]] || return 0
	if command -v apt-get >/dev/null 2>&1 && [[ $EUID -eq 0 ]]; then
		deps_apt "$@"
	fi
	[[ -n $(deps_needed "$@") ]] || return 0
	deps_needed "$@" | sort -u | deps_tell
	if command -v apt-get >/dev/null 2>&1 && [[ $EUID -ne 0 ]]; then
		echo "Run as root, this script installs them itself." >&2
	fi
	return 1
}
