#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Services for the world at uplinks: back ends that are endpoints, on other hosts, and the
# host's own; endpoints that go to the world with the uplink's address.
# shellcheck disable=SC2317,SC2015 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

vip4=203.0.113.80 vip6=2001:db8:f::80
node4=198.51.100.1 node6=2001:db8:100::1
far4=172.30.0.9 far6=2001:db8:30::9
near4=172.30.0.1 near6=2001:db8:30::1

# Another network, with a server of which the way back goes anywhere but here.
make_far() {
	make_ns far
	ip link add inner type veth peer name eth0 netns far &&
		ip link set dev inner up &&
		ip addr add $near4/24 dev inner &&
		ip addr add $near6/64 dev inner nodad &&
		ip -n far link set dev eth0 up &&
		ip -n far addr add $far4/24 dev eth0 &&
		ip -n far addr add $far6/64 dev eth0 nodad || die "cannot make the other network"
}

# service ADDRESS PORT BACKEND... : on TCP and UDP
service() {
	local address=$1 port=$2 protocol list

	shift 2
	list=$(IFS=, && echo "$*")
	for protocol in tcp udp; do
		clite service update --frontend "$(in_url "$address"):$port/$protocol" --backends "$list" \
			>"$tmp/service.out" 2>&1 || die "cannot update a service: $(cat "$tmp/service.out")"
	done
}

make_host
make_world
make_far
workload web1 11
serve web1 far world host
clite instance create default >/dev/null || die "cannot create an instance"
clite device attach uplink >/dev/null || die "cannot attach the uplink"
clite device attach inner >/dev/null || die "cannot attach the inner device"
endpoint web1 11
service $vip4 80 "$(address4 11)"
service $vip4 53 "$(address4 11)"
check "local" prints "web1 $world4" get world $vip4
check "local udp" prints "web1 $world4" ask world $vip4
service $vip4 80 $far4
service $vip4 53 $far4
check "remote" prints "far $near4" get world $vip4
check "remote udp" prints "far $near4" ask world $vip4
clite bpf ct list
clite bpf metrics list
done_testing
