#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The server of Hubble's API, asked by gRPC's own client.
# shellcheck source=tests/hubble/lib.sh
. "$(dirname "$0")/lib.sh"

run test_server.py
