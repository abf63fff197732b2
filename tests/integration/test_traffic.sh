#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Real traffic between endpoints on veth pairs and a tap, the host and the world:
# TCP, UDP, ICMP; small and large packets; both ways to attach, both ways out.
# shellcheck disable=SC2317,SC2015 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

megabytes=4

transfer() {
	prints $((megabytes * 1000000)) get "$1" "$2" $((megabytes * 1000000)) -o /dev/null -w '%{size_download}'
}

upload() {
	prints $((megabytes * 1000000)) get "$1" "$2" '' -H Expect: --upload-file "$tmp/large"
}

# Everything that one may want from the other: talk TITLE FROM ADDRESS-OF-FROM TO ADDRESS-OF-TO
talk() {
	local title="$mode: $1, IPv$2" from=$3 source=$4 to=$5 address=$6

	check "$title: TCP" prints "$to $source" get "$from" "$address"
	check "$title: UDP of 20000 bytes" prints "$to $source" ask "$from" "$address" --size 20000
	check "$title: ping of 4000 bytes" ping_to "$from" "$address" -s 4000
	check "$title: $megabytes MB up" upload "$from" "$address"
	[[ -z $thorough ]] || {
		check "$title: UDP" prints "$to $source" ask "$from" "$address"
		check "$title: ping" ping_to "$from" "$address"
		check "$title: $megabytes MB down" transfer "$from" "$address"
	}
}

both() {
	local title=$1 from=$2 number=$3 to=$4 v4=$5 v6=$6

	talk "$title" 4 "$from" "$(address4 "$number")" "$to" "$v4"
	talk "$title" 6 "$from" "$(address6 "$number")" "$to" "$v6"
}

# From outside to an endpoint: inward FROM ADDRESS4 ADDRESS6 TO NUMBER
inward() {
	talk "$1 to $4" 4 "$1" "$2" "$4" "$(address4 "$5")"
	talk "$1 to $4" 6 "$1" "$3" "$4" "$(address6 "$5")"
}

# The workload finds that nobody else has its addresses.
not_duplicate() {
	ip -n red addr del "$(address6 1)/128" dev eth0
	in_ns red sh -c 'echo 1 >/proc/sys/net/ipv6/conf/eth0/accept_dad'
	ip -n red addr add "$(address6 1)/128" dev eth0 || return
	wait_for not_tentative || return
	ip -n red -6 addr show dev eth0
	! ip -n red -6 addr show dev eth0 | grep -q dadfailed
}

not_tentative() {
	[[ -z $(ip -n red -6 addr show dev eth0 tentative) ]]
}

# The gateway has the hardware address of the host's side, by ARP and by neighbour discovery.
gateway_found() {
	local mac

	mac=$(cat /sys/class/net/red/address)
	ip -n red neigh flush dev eth0
	get red "$(address4 2)" && get red "$(address6 2)" || return
	ip -n red neigh show
	[[ $(ip -n red neigh show "$gateway4") == *"lladdr $mac"* &&
		$(ip -n red neigh show "$gateway6") == *"lladdr $mac"* ]]
}

# The router's way out takes less than a whole packet, and neither end knows it.
narrow() {
	ip link set dev uplink mtu 1300 || return
	upload red "$world4" && upload red "$world6" || return
	in_ns red ip route get "$world4" | tee /dev/stderr | grep -q 'mtu 1300' || return
	in_ns red ip route get "$world6" | tee /dev/stderr | grep -q 'mtu 1300'
}

wide() {
	ip link set dev uplink mtu 1500
	ip -n red route flush cache
	ip -n red -6 route flush cache
}

no_drops() {
	local dropped

	dropped=$(clite status -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["dropped"])')
	[[ $dropped -eq 0 ]] && return
	clite bpf metrics list
	return 1
}

create() {
	clite instance create default "$@" >/dev/null || die "cannot create an instance"
	endpoint red 1
	endpoint blue 2
	endpoint green 3
}

to_world() {
	both "veth to world" red 1 world "$world4" "$world6"
	both "tap to world" green 3 world "$world4" "$world6"
	inward world "$world4" "$world6" blue 2
	inward world "$world4" "$world6" green 3
}

# What does not depend on where the world is.
inside() {
	both "veth to veth" red 1 blue "$(address4 2)" "$(address6 2)"
	both "veth to tap" red 1 green "$(address4 3)" "$(address6 3)"
	both "tap to veth" green 3 blue "$(address4 2)" "$(address6 2)"
	both "veth to host" red 1 host "$host4" "$host6"
	both "tap to host" green 3 host "$host4" "$host6"
	inward host "$host4" "$host6" blue 2
	inward host "$host4" "$host6" green 3
}

# run_mode MODE OPTION...
run_mode() {
	mode=$1
	shift
	create "$@"
	[[ $mode == neigh ]] || inside
	to_world
	check "$mode: small path MTU" narrow
	wide
	clite device attach uplink >/dev/null || die "cannot attach the uplink"
	mode="$mode, uplink attached"
	to_world
	check "$mode: small path MTU" narrow
	wide
	[[ -z $thorough ]] || {
		check "$mode: the gateway is answered" gateway_found
		check "$mode: duplicate address detection" not_duplicate
		wide
	}
	check "$mode: nothing was dropped" no_drops
	check "$mode: deleted" clite instance delete default
}

make_host
make_world
workload red 1
workload blue 2
workload_tap green 3
truncate -s ${megabytes}000000 "$tmp/large"
serve host world red blue green

thorough=1
run_mode tcx
thorough=
run_mode clsact --clsact
run_mode neigh --neigh
done_testing
