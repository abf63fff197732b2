#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Policies in the manner of Kubernetes' conformance tests: three namespaces with three
# pods each, ports 80 and 81, TCP, UDP and SCTP; every probe for every policy.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

make_host
clite instance create default >/dev/null || die "cannot create the instance"
number=0
for namespace in x y z; do
	for pod in a b c; do
		number=$((number + 1))
		workload "$namespace$pod" "$number"
		clite endpoint add "$namespace$pod" --ipv4 "$(address4 $number)" --name "$namespace/$pod" \
			-l k8s:pod="$pod" -l k8s:io.kubernetes.pod.namespace="$namespace" \
			-l k8s:io.cilium.k8s.namespace.labels.ns="$namespace" \
			--port serve-80-tcp=80 --port serve-81-tcp=81 --port serve-80-udp=80/udp \
			--port serve-81-udp=81/udp --port serve-80-sctp=80/sctp \
			--port serve-81-sctp=81/sctp >/dev/null || die "cannot add an endpoint"
	done
done
CLITE=$tool exec python3 "$root/tests/integration/conformance.py"
