#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The server on an instance with real endpoints, policies and traffic.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../integration/lib.sh"
here=$root/tests/hubble
# shellcheck source=tests/hubble/lib.sh
. "$here/lib.sh"

make_host
workload red 1
workload blue 2
workload green 3
serve blue
clite instance create default >/dev/null || die "cannot create an instance"
endpoint red 1 --name shop/red-1
endpoint blue 2 --name shop/blue-1
allow web blue red | import

run test_instance.py
