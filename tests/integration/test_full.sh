#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Full maps: the call that does not fit fails and says which map and how large it is,
# nothing has changed, and after something was deleted there is room again.
# shellcheck disable=SC2317,SC2015 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

# red is served and green is not, whatever else happens.
traffic_as_before() {
	prints "blue $(address4 1)" ask red "$(address4 2)" && prints "blue $(address6 1)" get red "$(address6 2)" &&
		prints "blue $(address4 1)" ask red 10.96.0.1 && refused ask green "$(address4 2)" --timeout 0.2
}

# does_not_fit MAP SIZE COMMAND...
does_not_fit() {
	local map=$1 size=$2

	shift 2
	is_refused "map '$map' is full: it holds $size" "$@"
}

# ... with this text, and nothing has changed: is_refused TEXT COMMAND...
is_refused() {
	local text=$1

	shift
	listings >"$tmp/before"
	fails_with "$text" "$@" || return
	listings >"$tmp/after"
	diff "$tmp/before" "$tmp/after" | head -n 20
	cmp "$tmp/before" "$tmp/after" && traffic_as_before
}

add_endpoint() {
	clite endpoint add "$1" --ipv4 "$(address4 "$2")" --ipv6 "$(address6 "$2")" -l app=more
}

add_service() {
	clite service update --frontend "10.96.0.$1:53/udp" --backends "$(address4 2)"
}

# Policies that need a table of their own each, for labels of an endpoint that is there:
# policies NUMBER...
policies() {
	local n

	for n; do
		allow "more$n" more red | sed "s/^  ingress:/  egress:\n  - toPorts: [{ports: [{port: '$n', protocol: TCP}]}]\n  ingress:/"
	done
}

import_policies() {
	policies "$@" | clite policy import -
}

many_prefixes() {
	python3 - "$1" <<-'PY'
		import sys
		print("apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: prefixes}\n"
		      "spec:\n  endpointSelector: {matchLabels: {app: blue}}\n  ingress:\n  - fromCIDR: [")
		print(",".join(f"172.{n >> 16}.{n >> 8 & 255}.{n & 255}/32" for n in range(int(sys.argv[1]))))
		print("]")
	PY
}

import_many() {
	many_prefixes "$1" >"$tmp/many.yaml"
	clite policy import "$tmp/many.yaml"
}

# A service with thousands of back ends: large_service NUMBER COUNT
large_service() {
	clite service update --frontend "10.96.1.$1:80" --backends "$(python3 -c '
import sys
print(",".join(f"10.{sys.argv[1]}.{n >> 8}.{n & 255}" for n in range(int(sys.argv[2]))))' "$@")"
}

make_host
workload red 1
workload blue 2
workload green 3
workload more1 4
workload more2 5
serve blue

# create OPTION...: an instance in which red is served, directly and by a service
create() {
	clite instance create default "$@" >/dev/null || die "cannot create an instance"
	endpoint red 1
	endpoint blue 2
	endpoint green 3
	allow web blue red | import
	add_service 1 >/dev/null || die "cannot make a service"
}

create --endpoints 4 --services 3 --policies 3
check "as it should be" traffic_as_before

check "endpoints: the last that fits" add_endpoint more1 4
check "endpoints: one too many" does_not_fit endpoints 4 add_endpoint more2 5
check "endpoints: room after a delete" clite endpoint delete more1
check "endpoints: which is used" add_endpoint more2 4

check "services: the last that fit" eval 'add_service 2 && add_service 3'
check "services: one too many" does_not_fit services 3 add_service 4
check "services: room after a delete" clite service delete 10.96.0.2:53/udp
check "services: which is used" add_service 4

check "policies: the last that fits" import_policies 1
check "policies: one too many" does_not_fit policies 3 import_policies 2
check "policies: room after a delete" clite policy delete more1
check "policies: which is used" import_policies 2
clite instance delete default >/dev/null

create
check "prefixes: those that fit" import_many 2000
check "prefixes: too many" is_refused "all numbers for CIDR identities are in use" import_many 66000
check "prefixes: room as before" import_many 2001
check "back ends: those that fit" large_service 1 8000
for n in 2 3 4 5 6 7 8; do
	large_service $n 8000 >/dev/null || break
done
check "back ends: seven more services" test "$n" -eq 8
check "back ends: too many" does_not_fit backends 65535 large_service 9 8000
check "back ends: too many for a service that is there" does_not_fit backends 65535 large_service 1 9900
check "back ends: room after a delete" clite service delete 10.96.1.2:80
check "back ends: which is used" large_service 9 8000
done_testing
