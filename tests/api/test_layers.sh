#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Each part includes only what its layer may use (docs/architecture.md).
# shellcheck source=tests/api/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$root" || exit 1

# All "file: header" pairs of C files below the directories given.
includes() {
	grep -rHoE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"][^">]+' "$@" |
		sed -E 's/:[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]/ /'
}

# Nothing in a directory includes what matches a pattern: forbid DIR NAME PATTERN
forbid() {
	includes "$1" >"$tmp/all"
	awk -v bad="$3" '$2 ~ bad' "$tmp/all" >"$tmp/bad"
	check "$1 includes something at all" test -s "$tmp/all"
	same "$1 does not use $2" /dev/null "$tmp/bad"
}

kernel='^(bpf/|linux/(bpf|if_link|rtnetlink|netlink|pkt_cls|pkt_sched)\.h|sys/(syscall|socket|ioctl|mount)\.h)'
inside='^(util|model|datapath|api)/|\.skel\.h$'

forbid src/util "the parts above it" '^(model|datapath|api|bpf|cilium-lite|linux)/|clite_layout|yaml\.h|\.skel\.h'
forbid src/model "libbpf, system calls, the parts above it" "$kernel|^(datapath|api)/|\\.skel\\.h"
forbid src/datapath "the API" '^api/'
forbid src/api "libbpf or the kernel" "$kernel|\\.skel\\.h"
forbid src/hubble "anything of the core but its public headers" '^(util|model|datapath|api|bpf)/|clite_layout|\.skel\.h'
forbid include "anything inside" "$inside|clite_layout"
forbid tools "anything inside" "$inside|clite_layout|^bpf/"
forbid bpf "the library" '^(util|model|datapath|api|cilium-lite|std[a-z]*\.h)'

# Only documents use libyaml, only the datapath uses libbpf.
includes src | awk '$2 == "yaml.h" { print $1 }' | grep -v '^src/model/\(document\|yaml\)' >"$tmp/bad"
same "only documents use libyaml" /dev/null "$tmp/bad"
includes src | awk '$2 ~ /^bpf\// { print $1 }' | grep -v '^src/datapath/' >"$tmp/bad"
same "only the datapath uses libbpf" /dev/null "$tmp/bad"

# The model makes no system call by another way either.
grep -rnE --include='*.c' '\b(syscall|ioctl|socket|open|openat|mmap|fork|getpid|clock_gettime|time)\(' \
	src/model >"$tmp/bad"
same "src/model makes no system calls" /dev/null "$tmp/bad"

# The library never prints, exits, or changes libbpf's print function.
grep -rnE --include='*.c' '\b(printf|puts|perror|exit|_exit|abort|assert|libbpf_set_print)\(' \
	src >"$tmp/bad"
same "the library never prints or exits" /dev/null "$tmp/bad"

# Licenses.
grep -rL --include='*.[ch]' --include='*.py' --include='*.sh' --include=meson.build \
	SPDX-License-Identifier: src include bpf tools tests bindings >"$tmp/bad"
same "every source file names its license" /dev/null "$tmp/bad"
grep -rL --include='*.[ch]' 'SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)' bpf >"$tmp/bad"
same "bpf/ is under both licenses" /dev/null "$tmp/bad"

done_testing
