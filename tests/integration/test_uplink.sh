#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Services for the world at uplinks: back ends that are endpoints, on other hosts, and the
# host's own; who may use them; endpoints that go to the world with the uplink's address.
# shellcheck disable=SC2317,SC2015 # functions are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

vip4=203.0.113.80 vip6=2001:db8:f::80
node4=198.51.100.1 node6=2001:db8:100::1
far4=172.30.0.9 far6=2001:db8:30::9
near4=172.30.0.1 near6=2001:db8:30::1
no_mapping=167 not_in_range=177 no_backend=158 is_cluster_ip=174

# Another network, which knows no way to the clients: answers come to the balancer or nowhere.
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

# What both families have in common is tested with these: family 4, family 6.
family() {
	if [[ $1 == 4 ]]; then
		vip=$vip4 node=$node4 far=$far4 near=$near4 world=$world4 web1=$(address4 11)
		web2=$(address4 12) other=198.51.100.0/28
	else
		vip=$vip6 node=$node6 far=$far6 near=$near6 world=$world6 web1=$(address6 11)
		web2=$(address6 12) other=2001:db8:100::/124
	fi
}

# The services of an address: TCP 80 and UDP 53: service ADDRESS BACKEND,... [OPTION]...
service() {
	local address=$1 backends=() to port one

	IFS=, read -ra to <<<"$2"
	shift 2
	for port in 80/tcp 53/udp; do
		backends=()
		for one in "${to[@]}"; do backends+=("$(in_url "$one")"); done
		clite service update --frontend "$(in_url "$address"):$port" \
			--backends "$(IFS=, && echo "${backends[*]}")" --kind LoadBalancer "$@" >"$tmp/service.out" 2>&1 ||
			die "cannot update a service: $(cat "$tmp/service.out")"
	done
}

answered_by() {
	prints "$1 $2" get world "$3" && prints "$1 $2" ask world "$3"
}

# ---- where back ends are --------------------------------------------------------

places() {
	service "$vip" "$web1"
	check "$1: an endpoint sees the client" answered_by web1 "$world" "$vip"
	service "$vip" "$far"
	check "$1: another host sees the balancer" answered_by far "$near" "$vip"
	check "$1: large transfers, both ways" large
	check "$1: large datagrams" prints "far $near" ask world "$vip" --size 20000
	service "$vip" "$node"
	check "$1: the host itself sees the client" answered_by host "$world" "$vip"
	service "$node" "$far"
	check "$1: a service at the host's own address" answered_by far "$near" "$node"
	clite service delete "$(in_url "$node"):80" "$(in_url "$node"):53/udp" >/dev/null
	check "$1: without it the host answers itself" answered_by host "$world" "$node"
}

large() {
	service "$vip" "$far"
	[[ $(get world "$vip" 3000000 | wc -c) -eq 3000000 ]] &&
		prints 3000000 get world "$vip" x -T <(head -c 3000000 /dev/zero) -H 'Content-Length: 3000000' \
			-H 'Transfer-Encoding:'
}

unreachable() {
	clite service update --frontend "$(in_url "$vip"):7/udp" --backends "$(in_url "$far")" \
		--kind ExternalIP >/dev/null || return
	prints "Connection refused by $vip about $vip" in_ns world python3 "$root/tests/integration/net.py" \
		unreachable "$vip"
}

# A flow goes on over a change of the service; one whose back end goes is sent elsewhere.
kept() {
	local flow

	service "$vip" "$far"
	traffic flow world flow "$vip"
	flow=$pid
	for ((n = 0; n < 10; n++)); do
		service "$vip" "$far,$web1"
		service "$vip" "$far"
	done
	stop "$flow"
	cat "$tmp/flow"
	grep -qx 'lost 0' "$tmp/flow"
}

# ---- who gets which -----------------------------------------------------------------

# Who answers new flows (those that run keep their back ends): answers FROM
answers() {
	clite bpf ct flush >/dev/null
	ask "$1" "$vip" --count 16 --source-port 20000 --step 1 | sort -u | awk '{ print $1 }' | paste -sd ' '
}

affinity() {
	local one

	service "$vip" "$web1,$web2" --affinity 30
	one=$(answers world)
	[[ $one == web1 || $one == web2 ]] || { echo "answered: $one"; return 1; }
	# another algorithm, the same client
	service "$vip" "$web1,$web2" --affinity 30 --algorithm maglev
	prints "$one" answers world
	# its back end goes: another one, and that is kept
	service "$vip" "$([[ $one == web1 ]] && echo "$web2" || echo "$web1")" --affinity 30
	[[ $(answers world) != "$one" ]] || return
	service "$vip" "$web1,$web2"
	prints "web1 web2" answers world
}

refused_by() {
	local before

	before=$(drops "$1")
	refused ask world "$vip" --timeout 0.3 && LIMIT=0.5 refused get world "$vip" &&
		[[ $(drops "$1") -ge $((before + 2)) ]]
}

sources() {
	service "$vip" "$web1" --sources "192.0.2.0/24,$other" &&
		answered_by web1 "$world" "$vip" || return
	service "$vip" "$web1" --sources "192.0.2.0/24,2001:db8:77::/48" && refused_by "$not_in_range" || return
	service "$vip" "$web1" --sources "$other" --sources-deny && refused_by "$not_in_range" || return
	service "$vip" "$web1" --sources "192.0.2.0/24,2001:db8:77::/48" --sources-deny &&
		answered_by web1 "$world" "$vip" || return
	# Endpoints are not the world.
	service "$vip" "$web1" --sources "192.0.2.0/24" && prints "web1 $web2" get web2 "$vip"
}

# A cluster's own address is not the world's; endpoints use it.
cluster_ip() {
	service "$vip" "$web1" --kind ClusterIP && refused_by "$is_cluster_ip" && prints "web1 $web2" get web2 "$vip" &&
		prints "web1 $web2" ask web2 "$vip"
}

local_only() {
	service "$vip" "$far,$web1" --external-local && prints web1 answers world &&
		service "$vip" "$far,$web1" --internal-local && prints "far web1" answers world || return
	prints web1 answers web2 || return
	service "$vip" "$far" --external-local && refused_by "$no_backend" || return
	# An endpoint comes: it is local from then on; and goes.
	service "$vip" "$far,$web2" --external-local && prints web2 answers world && clite endpoint delete 12 >/dev/null &&
		refused_by "$no_backend" && endpoint web2 12 && prints web2 answers world
}

# ---- endpoints that go to the world ------------------------------------------------

# Nobody in the world knows the endpoints.
masqueraded() {
	prints "world $node" get web1 "$world" && prints "world $node" ask web1 "$world" &&
		ping_to web1 "$world" >/dev/null && prints "far $near" ask web1 "$far"
}

# Two endpoints from the same port to the same server, and back again from it.
same_port() {
	prints "world $node" ask web1 "$world" --source-port 40000 &&
		prints "world $node" ask web2 "$world" --source-port 40000 &&
		prints "world $node" ask web1 "$world" --source-port 40000 &&
		[[ $(clite bpf ct list -o json | query \
			'len({f["nat-source"]["port"] for f in d if f.get("nat-source", {}).get("ip") == sys.argv[2] and f["destination"]["ip"] == sys.argv[3] and f["source"]["port"] == 40000})' \
			"$node" "$world") -eq 2 ]]
}

excluded() {
	clite masquerade --exclude "$world" >/dev/null && prints "world $web1" get web1 "$world" &&
		prints "far $near" get web1 "$far" && clite masquerade --exclude '' >/dev/null && masqueraded
}

# A service whose back end is in the world: translated both ways at once.
service_in_the_world() {
	service "$vip" "$far"
	prints "far $near" get web1 "$vip" && prints "far $near" ask web1 "$vip"
}

# Eight ports: the ninth flow to the same server finds none.
exhausted() {
	local before

	before=$(drops "$no_mapping")
	ask web1 "$world" --count 8 --source-port 20000 --step 1 >/dev/null || return
	refused ask web1 "$world" --source-port 21000 --timeout 0.3 && [[ $(drops "$no_mapping") -gt $before ]] &&
		ask web1 "$far" --source-port 21000 >/dev/null &&
		clite bpf ct flush >/dev/null && ask web1 "$world" --source-port 21000
}

# What a trace says is what has just been seen.
traces() {
	service "$vip" "$far" --sources "$other"
	clite policy trace --src "$world" --dst "$vip" --dport 80 >"$tmp/out" && cat "$tmp/out" &&
		grep -q 'to another host' "$tmp/out" && grep -q "$far" "$tmp/out" || return
	service "$vip" "$web1" --sources "192.0.2.0/24,2001:db8:77::/48"
	clite policy trace --src "$world" --dst "$vip" --dport 80 >"$tmp/out"
	cat "$tmp/out"
	grep -q 'Denied by LB src range check' "$tmp/out" || return
	service "$vip" "$web1" --kind ClusterIP
	clite policy trace --src "$world" --dst "$vip" --dport 80 >"$tmp/out"
	grep -q 'Is a ClusterIP' "$tmp/out" || return
	service "$vip" "$web1"
	clite policy trace --src "$world" --dst "$vip" --dport 80 >"$tmp/out" && grep -q 'to endpoint' "$tmp/out"
}

no_more() {
	service "$vip" "" && refused_by "$no_backend"
}

# At once, and not after some time, from the world and from an endpoint; by whom it is.
rejected() {
	service "$vip" "" --reject
	for from in world web1; do
		prints "Connection refused" refused ask "$from" "$vip" --timeout 5 &&
			prints "Connection refused by $vip about $vip" in_ns "$from" python3 \
				"$root/tests/integration/net.py" unreachable "$vip" --port 53 || return
		get "$from" "$vip" >"$tmp/out" 2>&1
		grep -q "refused\|Could\|Failed" "$tmp/out" && ! grep -q "timed out" "$tmp/out" || return
	done
}

# The way to the back end takes less than what the client sends: it is told, and adapts.
path_mtu() {
	local status=0

	service "$vip" "$far"
	ip link set inner mtu 1300 && large && prints "far $near" ask world "$vip" --size 1200 &&
		in_ns world ip route get "$vip" >"$tmp/route" || status=$?
	cat "$tmp/route"
	grep -q 'mtu 1300' "$tmp/route" || status=1
	ip link set inner mtu 1500
	in_ns world ip route flush cache
	in_ns world ip -6 route flush cache
	return "$status"
}

# A protocol that is none of ours, for the host: it passes.
foreign() {
	background foreign.server host python3 -c 'if True:
		import socket
		s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)
		print("ready", flush=True)
		print(s.recv(100)[20:].decode(), flush=True)'
	wait_for grep -q ready "$tmp/foreign.server" &&
		in_ns world python3 -c 'if True:
			import socket, sys
			socket.socket(socket.AF_INET, socket.SOCK_RAW, 253).sendto(b"foreign", (sys.argv[1], 0))' "$node4" &&
		wait_for grep -qx foreign "$tmp/foreign.server"
}

make_host
make_world
make_far
workload web1 11
workload web2 12
serve web1 web2 far world host

new_instance() {
	clite instance create default "$@" >/dev/null || die "cannot create an instance"
	clite device attach uplink >/dev/null && clite device attach inner >/dev/null ||
		die "cannot attach the uplinks"
	endpoint web1 11
	endpoint web2 12
}

for mode in clsact tcx; do
	if [[ $mode == clsact ]]; then new_instance --clsact; else new_instance; fi
	for f in 4 6; do
		family $f
		places "$mode, IPv$f"
	done
	[[ $mode == tcx ]] || clite instance delete default >/dev/null
done
for f in 4 6; do
	family $f
	check "IPv$f: unreachable is told by the service" unreachable
	check "IPv$f: a flow goes on over changes" kept
	check "IPv$f: affinity" affinity
	check "IPv$f: sources" sources
	check "IPv$f: a cluster's own address" cluster_ip
	check "IPv$f: local back ends only" local_only
	check "IPv$f: traced" traces
	check "IPv$f: no back end" no_more
	check "IPv$f: no back end, rejected" rejected
	check "IPv$f: a way that takes less" path_mtu
done
check "masquerading is off at first" prints 'IPv4     : Disabled
IPv6     : Disabled
Excluded : none' clite masquerade
clite masquerade --ipv4 on --ipv6 on >/dev/null || die "cannot masquerade"
for f in 4 6; do
	family $f
	check "IPv$f: masqueraded" masqueraded
	check "IPv$f: one source port of two endpoints" same_port
	check "IPv$f: excluded" excluded
	check "IPv$f: a service with a back end in the world" service_in_the_world
done
check "foreign protocols pass an uplink" foreign
clite instance delete default >/dev/null
new_instance --snat-ports 50000-50007
clite masquerade --ipv4 on --ipv6 on >/dev/null || die "cannot masquerade"
for f in 4 6; do
	family $f
	check "IPv$f: no port is left, reason $no_mapping" exhausted
done
done_testing
