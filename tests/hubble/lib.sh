# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Sourced by the tests beside it. BUILD is the build directory.
set -u -o pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ ! -x ${BUILD:?BUILD must name a build directory}/tests/hubble/hubble_server ]]; then
	echo "the build has no libcilium-lite-hubble"
	exit 77
fi

# Debian's modules belong to Debian's Python, which need not be the first one here.
for python in python3 /usr/bin/python3 none; do
	"$python" -c 'import grpc, google.protobuf' 2>/dev/null && break
done
if [[ $python == none ]] || ! command -v protoc >/dev/null; then
	echo "needs gRPC and Protocol Buffers for Python, and protoc"
	exit 77
fi

# Run a unittest program; each of its tests is a line "ok" or "not ok": run PROGRAM
run() {
	exec env PYTHONDONTWRITEBYTECODE=1 GRPC_VERBOSITY=NONE "$python" "$here/report.py" "$here/$1"
}
