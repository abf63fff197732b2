#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Sizes and offsets of the public structs are those of layout.txt (64-bit).
# After a struct grew at its end:
#	BUILD=build/main tests/api/test_layout.sh --update
# shellcheck source=tests/api/lib.sh
. "$(dirname "$0")/lib.sh"

golden=$root/tests/api/layout.txt

if [[ $(getconf LONG_BIT) != 64 ]]; then
	echo "the golden list is for 64-bit machines"
	exit 77
fi
python3 "$root/tests/api/declarations.py" layout "$root"/include/cilium-lite/*.h >"$tmp/layout.c" &&
	"${CC:-cc}" -I "$root/include" -o "$tmp/layout" "$tmp/layout.c" &&
	"$tmp/layout" >"$tmp/actual" || exit 1
if [[ ${1-} == --update ]]; then
	cp "$tmp/actual" "$golden"
	exit
fi
same "layout of the public structs" "$golden" "$tmp/actual"

# Structs that the caller fills or the library hands out begin with sz. These are
# elements of arrays in such structs, and never grow.
cat >"$tmp/plain" <<'EOF'
clite_backend
clite_filter_event_type
clite_filter_workload
clite_metric_label
clite_peer
clite_port
clite_requirement
clite_selector
EOF
sed -n 's/^\(clite_[a-z0-9_]*\) .*/\1/p' "$golden" | sort >"$tmp/all"
sed -n 's/^\(clite_[a-z0-9_]*\)\.sz 0+8$/\1/p' "$golden" | sort >"$tmp/sized"
comm -23 "$tmp/all" "$tmp/sized" >"$tmp/unsized"
same "every struct but elements of arrays begins with sz" "$tmp/plain" "$tmp/unsized"

done_testing
