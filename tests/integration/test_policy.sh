#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Policies decide about real traffic: who is served, what is dropped and told, what
# a change does to connections that are there.
# shellcheck disable=SC2317,SC2015 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

denied=133 denied_by_rule=181

# Nothing comes back, and this many packets were dropped for the reason:
# dropped REASON COMMAND...
dropped() {
	local reason=$1 before

	shift
	before=$(drops "$reason")
	refused "$@" || return
	[[ $(drops "$reason") -gt $before ]] || {
		clite bpf metrics list
		return 1
	}
}

# The same for both families and protocols: all_served FROM NUMBER, all_dropped FROM REASON
all_served() {
	prints "web $(address4 "$2")" get "$1" "$web4" &&
		prints "web $(address6 "$2")" get "$1" "$web6" &&
		prints "web $(address4 "$2")" ask "$1" "$web4" &&
		prints "web $(address6 "$2")" ask "$1" "$web6" &&
		ping_to "$1" "$web4" -c 1 && ping_to "$1" "$web6" -c 1
}

all_dropped() {
	local address

	for address in "$web4" "$web6"; do
		dropped "$2" knock_tcp "$1" "$address" &&
			dropped "$2" ask "$1" "$address" --timeout 0.2 &&
			dropped "$2" in_ns "$1" ping -q -c 1 -W 0.2 "$address" || return
	done
}

knock_tcp() {
	LIMIT=0.3 get "$1" "$2"
}

# ---- who is served --------------------------------------------------------------

by_labels() {
	clite policy delete --all >/dev/null
	check "without a policy: other is served" all_served other 2
	allow web web client | import
	check "allowed: client is served" all_served client 1
	check "not allowed: other is dropped, reason $denied" all_dropped other $denied
	check "not allowed: nor is the host" dropped "$denied" ask host "$web4" --timeout 0.2
	check "not allowed: nor is the world" dropped "$denied" ask world "$web6" --timeout 0.2
	check "what web sends is free" prints "client $(address4 11)" get web "$(address4 1)"
}

subscribed() {
	[[ $(clite status -o json | query 'd["subscribers"]') -eq 1 ]]
}

told() {
	background events host "$tool" monitor -t drop -n 1 -o json
	wait_for subscribed || return
	refused ask other "$web4" --timeout 0.2 || return
	wait "$pid"
	sed 1d "$tmp/events" >"$tmp/event"
	prints "DROPPED 133 POLICY_DENIED $(address4 2) $web4 53 other web" query \
		'" ".join(str(x) for x in (lambda f: (f["verdict"], f["drop_reason"], f["drop_reason_desc"],
		f["IP"]["source"], f["IP"]["destination"], f["l4"]["UDP"]["destination_port"],
		f["source"]["pod_name"], f["destination"]["pod_name"]))(d["flow"]))' <"$tmp/event"
}

deny_over_allow() {
	allow everyone web client | sed '/matchLabels:/{N;s/matchLabels:.*app: client/matchExpressions: [{key: app, operator: Exists}]/}' >"$tmp/all.yaml"
	{
		cat "$tmp/all.yaml"
		allow web web client other
	} | import
	check "deny over allow: client is served" all_served client 1
	check "deny over allow: other is dropped, reason $denied_by_rule" all_dropped other $denied_by_rule
}

entity() {
	cat <<-YAML | import
		apiVersion: cilium.io/v2
		kind: CiliumNetworkPolicy
		metadata: {name: web}
		spec:
		  endpointSelector: {matchLabels: {app: web}}
		  ingress:
		  - fromEntities: [$1]
	YAML
}

by_entity() {
	clite policy delete --all >/dev/null
	entity host
	check "entity host: the host is served, IPv4" prints "web $host4" get host "$web4"
	check "entity host: the host is served, IPv6" prints "web $host6" ask host "$web6"
	check "entity host: the world is dropped" dropped "$denied" ask world "$web4" --timeout 0.2
	check "entity host: endpoints are dropped" all_dropped client $denied
	entity world
	check "entity world: the world is served, IPv4" prints "web $world4" ask world "$web4"
	check "entity world: the world is served, IPv6" prints "web $world6" get world "$web6"
	check "entity world: the host is dropped" dropped "$denied" ask host "$web6" --timeout 0.2
}

by_prefix() {
	clite policy delete --all >/dev/null
	cat <<-YAML | import
		apiVersion: cilium.io/v2
		kind: CiliumNetworkPolicy
		metadata: {name: web}
		spec:
		  endpointSelector: {matchLabels: {app: web}}
		  ingress:
		  - fromCIDR: [198.51.100.0/28, 2001:db8:100::/64]
		  egress:
		  - toCIDRSet:
		    - cidr: 198.51.100.0/24
		      except: [198.51.100.128/25]
	YAML
	check "prefix: inside is served, IPv4" prints "web $world4" get world "$web4"
	check "prefix: inside is served, IPv6" prints "web $world6" ask world "$web6"
	check "prefix: outside is dropped" dropped "$denied" get world "$web4" '' --interface 198.51.100.200 --max-time 0.3
	check "prefix: egress inside is served" prints "world $(address4 11)" get web "$world4"
	check "prefix: egress to the exception is dropped" dropped "$denied" ask web 198.51.100.200 --timeout 0.2
	check "prefix: egress elsewhere is dropped" dropped "$denied" ask web "$world6" --timeout 0.2
}

# ---- changes ----------------------------------------------------------------------

# Packets in both directions of the flows that web serves.
flow_packets() {
	clite bpf ct list web -o json | query \
		'sorted((f["source"]["port"], f["packets"]) for f in d if 80 in (f["source"]["port"], f["destination"]["port"]))'
}

received() {
	stat -c %s "$tmp/received" 2>/dev/null || echo 0
}

more_than() {
	[[ $(received) -gt $1 ]]
}

drops_more_than() {
	[[ $(drops "$denied") -gt $1 ]]
}

# An established connection is cut at its next packet, and goes on after the change back.
cut() {
	local address=$1 before after transfer at

	clite policy delete --all >/dev/null
	clite bpf ct flush >/dev/null
	allow web web client | import
	rm -f "$tmp/received"
	background curl client "${curl[@]}" -o "$tmp/received" --limit-rate 4M --max-time 20 \
		"http://$(in_url "$address")/6000000"
	transfer=$pid
	wait_for more_than 500000 || return
	allow web web nobody | import
	at=$(drops "$denied") before=$(flow_packets)
	wait_for drops_more_than "$at" || return
	after=$(flow_packets)
	if [[ $before != "$after" || $before == '[]' ]]; then
		echo "packets of the flow: $before, and then $after"
		return 1
	fi
	allow web web client | import
	wait "$transfer" && [[ $(received) -eq 6000000 ]]
}

# Two policies that both let the client ask and nobody knock take turns.
atomic() {
	local address pids=() n

	for n in 1 2; do
		cat >"$tmp/turn$n.yaml" <<-YAML
			apiVersion: cilium.io/v2
			kind: CiliumNetworkPolicy
			metadata: {name: web}
			spec:
			  endpointSelector: {matchLabels: {app: web}}
			  ingress:
			  - fromEndpoints: [{matchLabels: {app: client}}]
			    toPorts: [{ports: [{port: "53", protocol: UDP}, {port: "$((1000 + n))", protocol: TCP}]}]
		YAML
	done
	clite policy delete --all >/dev/null
	clite policy import "$tmp/turn2.yaml" >/dev/null || return
	traffic sink web sink
	pids+=("$pid")
	for address in "$web4" "$web6"; do
		traffic "flow $address" client flow "$address"
		pids+=("$pid")
		traffic "knock $address" client knock "$address"
		pids+=("$pid")
	done
	for ((n = 0; n < 200; n++)); do
		clite policy import "$tmp/turn$((n % 2 + 1)).yaml" >/dev/null || return
	done
	stop "${pids[@]}"
	tail "$tmp/sink" "$tmp/flow "* "$tmp/knock "*
	prints ready cat "$tmp/sink" && for address in "$web4" "$web6"; do
		grep -qx 'lost 0' "$tmp/flow $address" &&
			[[ $(sed -n 's/^sent //p' "$tmp/flow $address") -gt 200 &&
				$(sed -n 's/^sent //p' "$tmp/knock $address") -gt 200 ]] || return
	done
}

make_host
make_world
workload client 1
workload other 2
workload web 11
web4=$(address4 11) web6=$(address6 11)
ip -n world addr add 198.51.100.200/24 dev eth0
serve client web world
# A small window, so that what is in flight is soon read.
in_ns client sh -c 'echo 4096 65536 65536 >/proc/sys/net/ipv4/tcp_rmem'
clite instance create default >/dev/null || die "cannot create an instance"
endpoint client 1
endpoint other 2
endpoint web 11

by_labels
check "a drop is told with its reason and names" told
deny_over_allow
by_entity
by_prefix
clite device attach uplink >/dev/null || die "cannot attach the uplink"
by_prefix
check "a change cuts a transfer and lets it go on, IPv4" cut "$web4"
check "a change cuts a transfer and lets it go on, IPv6" cut "$web6"
check "200 changes are atomic for running traffic" atomic
done_testing
