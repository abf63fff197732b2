#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The server of Hubble's API, asked by gRPC's own client.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/hubble/lib.sh
. "$here/lib.sh"

run test_server.py
