#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The policy oracle: first it itself against hand-made tables, then the datapath
# against it. ORACLE_ARGS go to run.py ("--long", "--seed X").
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONDONTWRITEBYTECODE=1

if out=$(python3 "$here/test_oracle_self.py" 2>&1); then
	echo "ok the oracle itself: $(grep -oE '^Ran [0-9]+ tests' <<<"$out")"
else
	echo "$out"
	echo "not ok the oracle itself"
	exit 1
fi
# shellcheck disable=SC2086 # several arguments
exec python3 "$here/run.py" ${ORACLE_ARGS:-}
